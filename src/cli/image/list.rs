//! `gantry image list`.

use std::fmt::Write;

use super::super::client::failure;
use super::{Context, Failure};

/// List the images in the store, by name, labels and image ID
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry image list
  gantry image list --json")]
pub(crate) struct Args {}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let listing = context.store()?.list().map_err(failure)?;
        for damaged in &listing.damaged {
            context.warn(damaged);
        }
        if !context.json() && listing.images.is_empty() {
            context.note("no images");
            return Ok(());
        }
        let mut text = String::new();
        for (at, record) in listing.images.iter().enumerate() {
            let reference = discovery::printable_line(&record.reference().to_string());
            let line = if at == 0 { "" } else { "\n" };
            let _ = write!(text, "{line}{}  {reference}", record.image_id);
        }
        Ok(context.print(&listing.images, text)?)
    }
}
