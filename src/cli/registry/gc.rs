//! `gantry registry gc`.

use registry::admin::{self, GcRequest};
use registry::{Clock, Collected};
use serde_json::json;

use super::{At, AtArgs, Context, Failure, wait};

/// Remove files that no image refers to
///
/// A server does this by itself, every hour. What a push is storing stays, and so does everything
/// while a backup is being made.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry gc --data ./data --dry-run
  gantry registry gc --data ./data --json
  gantry registry gc --registry https://example.com --token-file admin.token")]
pub(crate) struct Args {
    #[command(flatten)]
    at: AtArgs,
    /// Remove nothing, and tell what would be removed
    #[arg(long)]
    dry_run: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let collected = match self.at.at(context)? {
            At::Data(place) if self.dry_run => wait(admin::collectable(&place, Clock::system()))?,
            At::Data(place) => wait(admin::collect(&place, Clock::system()))?,
            At::Server(server) => server.post("gc", &GcRequest { dry_run: self.dry_run })?,
        };
        let done = if self.dry_run { "would be removed" } else { "removed" };
        let Collected { blobs, bytes } = collected;
        let value = json!({ "blobs": blobs, "bytes": bytes, "dryRun": self.dry_run });
        Ok(context.print(&value, format_args!("{blobs} files {done}, {bytes} bytes"))?)
    }
}
