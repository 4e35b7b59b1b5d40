//! `gantry registry usage`.

use std::fmt::Write;

use aci::Name;
use registry::admin;
use serde_json::json;

use super::{Context, Failure, PlaceArgs, wait};

/// Tell how many images each name has, and how many bytes they take
///
/// This is what quotas are compared with. A file that two images share counts twice.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry usage --data ./data
  gantry registry usage --data ./data --prefix example.com/team --json")]
pub(crate) struct Args {
    #[command(flatten)]
    place: PlaceArgs,
    /// Of this name and all below it
    #[arg(long, value_name = "NAME")]
    prefix: Option<Name>,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let names = wait(admin::usage(&self.place.place(), self.prefix.as_ref()))?;
        let images: u64 = names.iter().map(|name| name.images).sum();
        let bytes: u64 = names.iter().map(|name| name.bytes).sum();
        let mut text = String::new();
        for name in &names {
            let _ = writeln!(text, "{}  {} images  {} bytes", name.name, name.images, name.bytes);
        }
        let _ = write!(text, "all  {images} images  {bytes} bytes");
        Ok(context.print(&json!({ "names": names, "images": images, "bytes": bytes }), text)?)
    }
}
