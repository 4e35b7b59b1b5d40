//! `gantry image fsck`.

use std::fmt::Write;

use discovery::store::{Rebuild, fsck};

use super::super::client::{failure, now};
use super::super::{Failure, Kind};
use super::Context;

/// Read every file of the store again and compare it with what its name or its record says
///
/// With --rebuild, indexes and records are made again from their images, and damaged objects are
/// removed: they come back when an image that has them is rendered. A damaged image is told;
/// remove it and fetch it again. Whether its signature is good is for image verify.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry image fsck
  gantry image fsck --rebuild --json

Exit codes: 0 nothing is wrong, or nothing any more; 1 something is.")]
pub(crate) struct Args {
    /// Make again what can be made
    #[arg(long)]
    rebuild: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let store = context.store()?;
        let trust = if self.rebuild { Some(context.trust()?) } else { None };
        let rebuild = trust.as_ref().map(|trust| Rebuild { trust, now: now() });
        let found = fsck(&store, rebuild).map_err(failure)?;
        let mut text = String::new();
        for finding in &found.findings {
            let done = if finding.repaired { " (put right)" } else { "" };
            let (code, path, what) = (finding.code, finding.path.display(), &finding.what);
            let _ = writeln!(text, "{code}: {path}: {what}{done}");
        }
        let (images, objects) = (found.images, found.objects);
        context.note(format_args!("{images} images and {objects} objects were read"));
        if context.json() || !text.is_empty() {
            context.print(&found, text.trim_end())?;
        }
        if found.is_clean() {
            return Ok(());
        }
        let wrong = found.findings.iter().filter(|finding| !finding.repaired).count();
        Err(Failure::new(Kind::Failed, anyhow::anyhow!("the store has {wrong} damaged files")))
    }
}
