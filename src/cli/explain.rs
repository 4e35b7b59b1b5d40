//! `gantry explain`: why an image would be trusted, or not.

use discovery::explain::Explain;
use discovery::fetch::Source;

use super::client::wait;
use super::{Context, Failure, Kind};

/// Explain, rule by rule, whether an image would be trusted: pages, endpoints, keys, policies
///
/// Pages and signatures are asked for; the image is not, and nothing is changed. Ends with 0
/// where the image would be trusted, else with the code that `gantry fetch` would end with.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry explain example.com/team/hello
  gantry explain ./hello.aci                  # reads the image and its signature
  gantry explain sha512-8f1c                  # an image of the store, under today's trust
  gantry explain --json example.com/team/hello:1.0.0")]
pub(crate) struct Args {
    /// NAME[:VERSION][,LABEL=VALUE…], an image ID, an https URL that ends in .aci, or a FILE
    #[arg(value_name = "NAME|ID|URL|FILE")]
    source: Source,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let (client, store, trust) = (context.client(), context.store()?, context.trust()?);
        let explain = Explain {
            client: &client,
            store: &store,
            trust: &trust,
            trusted: &context.trust_store(),
        };
        let asking = async { Ok::<_, discovery::Error>(explain.source(&self.source).await) };
        let explanation = wait(asking)?;
        context.print(&explanation, explanation.tree.to_string().trim_end())?;
        match explanation.kind {
            None => Ok(()),
            Some(kind) => Err(Failure::Said(Kind::from(kind))),
        }
    }
}
