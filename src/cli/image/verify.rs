//! `gantry image verify`.

use aci::Limits;
use discovery::store;
use serde_json::json;

use super::super::client::failure;
use super::super::{Failure, Kind};
use super::{Chosen, Context};

/// Read images in the store again and check them under today's trusted keys
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry image verify example.com/team/hello
  gantry image verify --all")]
pub(crate) struct Args {
    #[command(flatten)]
    chosen: Chosen,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let (store, trust) = (context.store()?, context.trust()?);
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for id in self.chosen.ids(&store)? {
            match store::verify(&store, &id, &trust, &Limits::default()) {
                Ok(signature) => {
                    for warning in signature.warnings() {
                        context.warn(format_args!("{id}: {warning}"));
                    }
                    context.note(format_args!("good: {id} signed by {}", signature.signer()));
                    good.push(json!({ "imageId": id, "signer": signature.signer() }));
                }
                Err(error) => bad.push((id, failure(error))),
            }
        }
        let failed: Vec<_> = bad.iter().map(|(id, _)| id.to_string()).collect();
        let text = failed.iter().map(|id| format!("bad: {id}")).collect::<Vec<_>>().join("\n");
        if context.json() || !failed.is_empty() {
            context.print(&json!({ "good": good, "bad": failed }), text)?;
        }
        // The gravest one is said in full, and decides the exit code.
        let refused = |failure: &Failure| {
            matches!(failure, Failure::Refusal(Kind::Refused, _) | Failure::Untrusted(..))
        };
        let at = bad.iter().position(|(_, failure)| refused(failure)).unwrap_or(0);
        match bad.into_iter().nth(at) {
            Some((_, failure)) => Err(failure),
            None => Ok(()),
        }
    }
}
