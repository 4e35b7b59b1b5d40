//! `gantry registry fsck`.

use std::fmt::Write;

use registry::{Clock, Rebuild, admin};
use serde_json::json;

use super::{Context, Failure, Kind, PlaceArgs, wait};

/// Compare a registry's catalogue, its files and its keys
///
/// Files are looked for and not read: that is for `gantry registry scrub`. With --rebuild, the images
/// in the catalogue are made anew from the files and their signatures alone: each is verified with the
/// keys that are trusted for its name, and what does not verify is told and not served. So keys that
/// have signed what is there have to be trusted still. Tokens, tombstones, policies and whatever else
/// only the database knows stay, where it can be read. Where policies cannot, `read=token` is set on
/// every domain, so that nobody sees what not everybody could see.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry fsck --data ./data
  gantry registry fsck --data ./data --rebuild --dry-run
  gantry registry fsck --data ./data --rebuild --json
  gantry registry fsck --data ./data --remove-orphans

Exit codes: 0 all is as it should be; 1 something is not.")]
pub(crate) struct Args {
    #[command(flatten)]
    place: PlaceArgs,
    /// Make the catalogue anew; stop the servers first
    #[arg(long)]
    rebuild: bool,
    /// Tell what a new catalogue would hold and what would be lost, and change nothing
    #[arg(long, requires = "rebuild")]
    dry_run: bool,
    /// Remove files that the catalogue does not know and that are older than a day, before comparing
    #[arg(long, conflicts_with = "rebuild")]
    remove_orphans: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let place = self.place.place();
        if self.remove_orphans {
            let removed = wait(admin::remove_orphans(&place, Clock::system()))?;
            let (blobs, bytes) = (removed.blobs, removed.bytes);
            context.note(format_args!("{blobs} files removed, {bytes} bytes"));
        }
        let checked = match (self.rebuild, self.dry_run) {
            (true, true) => wait(admin::rebuild(&place, Rebuild::DryRun, Clock::system()))?,
            (true, false) => wait(admin::rebuild(&place, Rebuild::Now, Clock::system()))?,
            (false, _) => wait(admin::check(&place, Clock::system()))?,
        };
        let (images, blobs) = (checked.images, checked.blobs);
        let made = match (self.rebuild, self.dry_run) {
            (true, true) => "would be in the new catalogue",
            (true, false) => "in the new catalogue",
            (false, _) => "in the catalogue",
        };
        context.note(format_args!("{images} images {made}, {blobs} files"));
        let mut text = String::new();
        for finding in &checked.findings {
            let code = json!(finding.code);
            let (code, what) = (code.as_str().unwrap_or_default(), &finding.what);
            let _ = writeln!(text, "{code}: {what}: {}", finding.detail);
        }
        for table in &checked.lost {
            let _ = writeln!(text, "lost: {table}, or a part of it: {}", held(table));
        }
        let data = place.data.display();
        for prefix in &checked.closed {
            let _ = writeln!(
                text,
                "closed: {prefix}: its policies are lost, so only who is allowed to read sees it; \
                 `gantry registry policy set --data {data} --prefix {prefix} --read public` opens it"
            );
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

/// What is in a table that only the database has.
fn held(table: &str) -> &'static str {
    match table {
        "audit" | "audit_head" => "the audit log",
        "failures" => "failed logins",
        "images" => "when images were pushed, by whom, and in which order",
        "oidc_rules" => "rules for jobs",
        "policies" => "who may read, and whether images may be replaced",
        "settings" => "whether the registry is read-only",
        "tokens" => "tokens",
        "tombstones" => "which images were deleted; they come back where their files are there",
        "users" => "users",
        "yanks" => "which images their authors have withdrawn",
        _ => "what is in no file",
    }
}
