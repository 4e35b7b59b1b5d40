//! `gantry registry gc`.

use registry::{Clock, admin};
use serde_json::json;

use super::{Context, Failure, PlaceArgs, wait};

/// Remove files that no image refers to
///
/// A server does this by itself, every hour. What a push is storing stays, and so does everything
/// while a backup is being made.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry gc --data ./data --dry-run
  gantry registry gc --data ./data --json")]
pub(crate) struct Args {
    #[command(flatten)]
    place: PlaceArgs,
    /// Remove nothing, and tell what would be removed
    #[arg(long)]
    dry_run: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let place = self.place.place();
        let collected = match self.dry_run {
            true => wait(admin::collectable(&place, Clock::system()))?,
            false => wait(admin::collect(&place, Clock::system()))?,
        };
        let done = if self.dry_run { "would be removed" } else { "removed" };
        let registry::Collected { blobs, bytes } = collected;
        let value = json!({ "blobs": blobs, "bytes": bytes, "dryRun": self.dry_run });
        Ok(context.print(&value, format_args!("{blobs} files {done}, {bytes} bytes"))?)
    }
}
