//! `gantry registry backup`.

use std::path::PathBuf;

use registry::{BackUp, Clock, admin};

use super::{Context, Failure, Kind, PlaceArgs, wait};

/// Copy a registry while it runs: its catalogue at one moment, its images, and its keys
///
/// Files that are in DIR already are not copied again, so the next backup into the same folder takes
/// a short time. DIR holds one whole backup at any moment. Each file is compared with its digest as it
/// is copied; with --verify those that are there are read as well. A backup is not replaced by one of
/// another registry, or of one that has lost its images; a folder that is no backup's is refused. What
/// is not in it: the registry's TLS keys, its configuration, and uploads under way.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry backup --data ./data --to /mnt/backup
  gantry registry backup --data ./data --to /mnt/backup --prune --json
  gantry registry backup --data ./data --to /mnt/backup --verify

Exit codes: 0 all is in the backup; 1 the registry has lost files, and the rest is.")]
pub(crate) struct Args {
    #[command(flatten)]
    place: PlaceArgs,
    /// The folder of the backup; it is created where it is missing
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Remove from DIR the files that no image refers to any more
    #[arg(long)]
    prune: bool,
    /// Read the files that are in DIR already, too, and copy those again that are damaged
    #[arg(long)]
    verify: bool,
    /// Replace the backup in DIR, though it has images and the registry has none, or is another
    /// registry's, or damaged
    #[arg(long)]
    replace: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let place = self.place.place();
        let how = BackUp { prune: self.prune, verify: self.verify, replace: self.replace };
        let done = wait(admin::back_up(&place, &self.to, how, Clock::system()))?;
        let registry::BackedUp { blobs, bytes, copied, repaired, pruned, lost } = &done;
        let mut text = format!("{blobs} files, {bytes} bytes; {copied} copied, {pruned} removed");
        if *repaired > 0 {
            text.push_str(&format!("; {repaired} were damaged there"));
        }
        context.print(&done, text)?;
        if let Some(first) = lost.first() {
            let error = anyhow::anyhow!(
                "{} files are lost or damaged and not in the backup, the first is {first}; \
                 `gantry registry scrub` tells of which images",
                lost.len()
            );
            return Err(Failure::new(Kind::Failed, error));
        }
        Ok(())
    }
}
