//! `gantry image verify`.

use aci::{ImageId, Limits};
use discovery::store::{self, Wanted};
use serde_json::json;

use super::super::client::{failure, wanted};
use super::super::{Failure, Kind};
use super::Context;

/// Read images in the store again and check them under today's trusted keys
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry image verify example.com/team/hello
  gantry image verify --all")]
pub(crate) struct Args {
    /// The images: the beginnings of image IDs, or NAME[:VERSION][,LABEL=VALUE…]
    #[arg(value_name = "ID|NAME", value_parser = wanted, required_unless_present = "all")]
    images: Vec<Wanted>,
    /// Every image in the store
    #[arg(long, conflicts_with = "images")]
    all: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let (store, trust) = (context.store()?, context.trust()?);
        let ids: Vec<ImageId> = if self.all {
            store.ids().map_err(failure)?
        } else {
            let found: Result<_, _> = self.images.iter().map(|image| store.find(image)).collect();
            found.map_err(failure)?
        };
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for id in ids {
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
        let refused = |failure: &Failure| matches!(failure, Failure::Refusal(Kind::Refused, _));
        let at = bad.iter().position(|(_, failure)| refused(failure)).unwrap_or(0);
        match bad.into_iter().nth(at) {
            Some((_, failure)) => Err(failure),
            None => Ok(()),
        }
    }
}
