//! `gantry image`: the images in the store.

pub(super) mod bundle;
mod export;
mod extract;
mod fold;
mod fsck;
mod gc;
mod list;
mod manifest;
pub(super) mod render;
mod rm;
mod show;
mod unmount;
mod verify;

use aci::ImageId;
use clap::Subcommand;
use discovery::Store;
use discovery::store::{StoredImage, Wanted};

use super::client::{failure, wanted};
use super::{Context, Failure};

/// Look at, check, export and remove the images in the store
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one in a process, and it is used up at once"
)]
enum Command {
    List(list::Args),
    Show(show::Args),
    Manifest(manifest::Args),
    Export(export::Args),
    Extract(extract::Args),
    Render(render::Args),
    Bundle(bundle::Args),
    Unmount(unmount::Args),
    Verify(verify::Args),
    Fsck(fsck::Args),
    Rm(rm::Args),
    Gc(gc::Args),
    Fold(fold::Args),
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self.command {
            Command::List(args) => args.run(context),
            Command::Show(args) => args.run(context),
            Command::Manifest(args) => args.run(context),
            Command::Export(args) => args.run(context),
            Command::Extract(args) => args.run(context),
            Command::Render(args) => args.run(context),
            Command::Bundle(args) => args.run(context),
            Command::Unmount(args) => args.run(context),
            Command::Verify(args) => args.run(context),
            Command::Fsck(args) => args.run(context),
            Command::Rm(args) => args.run(context),
            Command::Gc(args) => args.run(context),
            Command::Fold(args) => args.run(context),
        }
    }
}

/// Which images a command is about: those named, or all.
#[derive(clap::Args)]
struct Chosen {
    /// The images: the beginnings of image IDs, or NAME[:VERSION][,LABEL=VALUE…]
    #[arg(value_name = "ID|NAME", value_parser = wanted, required_unless_present = "all")]
    images: Vec<Wanted>,
    /// Every image in the store
    #[arg(long, conflicts_with = "images")]
    all: bool,
}

impl Chosen {
    fn ids(&self, store: &Store) -> Result<Vec<ImageId>, Failure> {
        if self.all {
            return store.ids().map_err(failure);
        }
        let found: Result<_, _> = self.images.iter().map(|image| store.find(image)).collect();
        found.map_err(failure)
    }
}

/// Finds the image a person means and opens it, locked against removal.
pub(super) fn open(context: &Context, wanted: &Wanted) -> Result<StoredImage, Failure> {
    let store = context.store()?;
    open_id(&store, &store.find(wanted).map_err(failure)?)
}

/// Opens an image that was found.
pub(super) fn open_id(store: &Store, id: &ImageId) -> Result<StoredImage, Failure> {
    match store.open_image(id).map_err(failure)? {
        Some(image) => Ok(image),
        // Removed since it was found.
        None => Err(failure(discovery::store::StoreError::Absent {
            wanted: id.to_string(),
            similar: Vec::new(),
        })),
    }
}

/// Bytes as a person reads them.
fn size(bytes: u64) -> indicatif::BinaryBytes {
    indicatif::BinaryBytes(bytes)
}
