//! `gantry image list`.

use std::cmp::Reverse;
use std::fmt::Write;

use clap::ValueEnum;
use discovery::store::Record;
use jiff::Timestamp;
use serde::Serialize;

use super::super::client::failure;
use super::{Context, Failure, size};

/// List the images in the store, by name, labels and image ID
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry image list
  gantry image list --long --sort used
  gantry image list --json")]
pub(crate) struct Args {
    /// What comes first: names from a to z, the largest, or the latest
    #[arg(long, value_enum, default_value_t = Sort::Name)]
    sort: Sort,
    /// Show size, signer and last use too
    #[arg(long, short)]
    long: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Sort {
    Name,
    Size,
    Imported,
    Used,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    #[serde(flatten)]
    record: Record,
    last_used: Timestamp,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let store = context.store()?;
        let listing = store.list().map_err(failure)?;
        for damaged in &listing.damaged {
            context.warn(damaged);
        }
        if !context.json() && listing.images.is_empty() {
            context.note("no images");
            return Ok(());
        }
        let listed = |record: Record| Listed { last_used: store.last_used(&record), record };
        let mut images: Vec<Listed> = listing.images.into_iter().map(listed).collect();
        match self.sort {
            // As the store lists them.
            Sort::Name => {}
            Sort::Size => images.sort_by_key(|image| Reverse(image.record.tar_bytes)),
            Sort::Imported => images.sort_by_key(|image| Reverse(image.record.imported_at)),
            Sort::Used => images.sort_by_key(|image| Reverse(image.last_used)),
        }
        let text = if self.long { long(&images) } else { short(&images) };
        Ok(context.print(&images, text.trim_end())?)
    }
}

fn short(images: &[Listed]) -> String {
    let mut text = String::new();
    for Listed { record, .. } in images {
        let reference = discovery::printable_line(&record.reference().to_string());
        let _ = writeln!(text, "{}  {reference}", record.image_id);
    }
    text
}

fn long(images: &[Listed]) -> String {
    let mut text =
        format!("{:<19}  {:>9}  {:<16}  {:<20}  NAME\n", "IMAGE ID", "SIZE", "SIGNER", "LAST USED");
    for Listed { record, last_used } in images {
        let reference = discovery::printable_line(&record.reference().to_string());
        let signer = record.signer.to_string();
        let _ = writeln!(
            text,
            "{:<19}  {:>9}  {:<16}  {last_used:.0}  {reference}",
            &record.image_id.as_str()[..19],
            size(record.tar_bytes).to_string(),
            &signer[signer.len() - 16..],
        );
    }
    text
}
