//! `gantry registry fsck`.

use std::fmt::Write;

use registry::{Clock, admin};
use serde_json::json;

use super::{Context, Failure, Kind, PlaceArgs, wait};

/// Compare a registry's catalogue, its files and its keys
///
/// Files are looked for and not read: that is for `gantry registry scrub`. With --rebuild, the images
/// in the catalogue are made anew from the files and their signatures alone: each is verified with the
/// keys that are trusted for its name, and what does not verify is told and not served. Tokens,
/// tombstones and whatever else only the database knows stay, where it can be read.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry fsck --data ./data
  gantry registry fsck --data ./data --rebuild --json

Exit codes: 0 all is as it should be; 1 something is not.")]
pub(crate) struct Args {
    #[command(flatten)]
    place: PlaceArgs,
    /// Make the catalogue anew; stop the servers first
    #[arg(long)]
    rebuild: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let place = self.place.place();
        let checked = match self.rebuild {
            true => wait(admin::rebuild(&place, Clock::system()))?,
            false => wait(admin::check(&place, Clock::system()))?,
        };
        let (images, blobs) = (checked.images, checked.blobs);
        let made = if self.rebuild { "in the new catalogue" } else { "in the catalogue" };
        context.note(format_args!("{images} images {made}, {blobs} files"));
        let mut text = String::new();
        for finding in &checked.findings {
            let code = json!(finding.code);
            let (code, what) = (code.as_str().unwrap_or_default(), &finding.what);
            let _ = writeln!(text, "{code}: {what}: {}", finding.detail);
        }
        for table in &checked.lost {
            let _ = writeln!(text, "lost: not all of the table {table} could be read");
        }
        if context.json() || !text.is_empty() {
            context.print(&checked, text.trim_end())?;
        }
        match checked.findings.len() + checked.lost.len() {
            0 => Ok(()),
            wrong => Err(Failure::new(Kind::Failed, anyhow::anyhow!("{wrong} findings"))),
        }
    }
}
