//! `gantry fetch`: an image into the store, verified.

use discovery::fetch::Source;
use serde_json::json;

use super::client::{Watcher, wait};
use super::{Context, Failure};

/// Fetch an image by name, URL or file, verify it and put it into the store
///
/// Prints the image ID. Nothing enters the store before the signature, the signer, the
/// archive, the name and the labels were checked.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry fetch example.com/team/hello
  gantry fetch example.com/team/hello:1.0.0,os=linux,arch=amd64
  gantry fetch https://example.com/files/hello.aci     # signature: …/hello.aci.asc
  gantry fetch ./hello.aci                             # signature: ./hello.aci.asc")]
pub(crate) struct Args {
    /// NAME[:VERSION][,LABEL=VALUE…], an https URL that ends in .aci, or a FILE
    #[arg(value_name = "NAME|URL|FILE")]
    source: Source,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        super::trust::on_schedule(context, &self.source);
        let (client, store, trust) = (context.client(), context.store()?, context.trust()?);
        let watcher = Watcher::start(context, "fetching");
        let fetched = wait(client.fetch(&self.source, &store, &trust, &watcher))?;
        for warning in &fetched.warnings {
            context.warn(warning);
        }
        let (record, new) = (&fetched.imported.record, fetched.imported.new);
        context.note(format_args!(
            "{} signed by {}{}",
            discovery::printable_line(&record.reference().to_string()),
            record.signer,
            if new { "" } else { ", in the store already" },
        ));
        let value = json!({
            "imageId": record.image_id,
            "new": new,
            "record": record,
            "warnings": fetched.warnings,
        });
        Ok(context.print(&value, &record.image_id)?)
    }
}
