//! `gantry image extract`.

use std::path::PathBuf;

use discovery::render::{Files, Link};
use discovery::store::Wanted;

use super::super::client::wanted;
use super::render::make;
use super::{Context, Failure, open};

/// Unpack the files of one image, without its dependencies and its path whitelist
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry image extract example.com/team/hello ./hello
  gantry image extract sha512-8f1c ./rootfs --rootfs-only")]
pub(crate) struct Args {
    /// The image: the beginning of its image ID, or NAME[:VERSION][,LABEL=VALUE…]
    #[arg(value_name = "ID|NAME", value_parser = wanted)]
    image: Wanted,
    /// The folder to make; it must not exist, or be empty
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Only what is in rootfs/
    #[arg(long)]
    rootfs_only: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let image = open(context, &self.image)?;
        make(context, &image, &self.folder, Files::All, self.rootfs_only, Link::Copy)
    }
}
