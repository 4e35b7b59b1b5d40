//! `gantry registry restore`.

use std::path::PathBuf;

use registry::{Clock, admin};

use super::{Context, Failure, PlaceArgs, wait};

/// Make a registry of a backup, in an empty place
///
/// Each file is compared with its digest. All of it is restored, or nothing: where it was cut off,
/// nothing runs on the data directory until it was done again. An empty directory that is there stays
/// whose it is; run this as the user of the server. The backup may be of a registry with the other
/// kind of database.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry restore --from /mnt/backup --data ./data
  gantry registry restore --from /mnt/backup --data ./data \\
      --database postgres://gantry@db.example.com/gantry --database-password-file db.password")]
pub(crate) struct Args {
    #[command(flatten)]
    place: PlaceArgs,
    /// The folder of the backup
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// Restore the rest where files are missing from the backup or damaged in it; a push of the same
    /// image brings them back
    #[arg(long)]
    allow_lost: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let place = self.place.place();
        let restored = wait(admin::restore(&self.from, &place, self.allow_lost, Clock::system()))?;
        let registry::Restored { blobs, bytes, lost } = &restored;
        for blob in lost {
            context.warn(format_args!("lost: {blob}"));
        }
        Ok(context.print(&restored, format_args!("{blobs} files, {bytes} bytes"))?)
    }
}
