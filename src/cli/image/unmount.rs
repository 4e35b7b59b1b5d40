//! `gantry image unmount`.

use std::path::PathBuf;

use discovery::render;
use serde_json::json;

use super::super::files::in_json;
use super::render::unrendered;
use super::{Context, Failure};

/// Unmount an overlay that image render --overlay has mounted
///
/// What was changed stays in DIR/upper.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry image unmount ./hello
  gantry image unmount ./hello --remove")]
pub(crate) struct Args {
    /// The folder that image render --overlay made
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Remove the folder, and what was changed in it
    #[arg(long)]
    remove: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        render::unmount(&context.store()?, &self.folder, self.remove).map_err(unrendered)?;
        let value = json!({ "folder": in_json(&self.folder), "removed": self.remove });
        Ok(context.print(&value, self.folder.display())?)
    }
}
