//! `gantry image render`.

use std::path::{Path, PathBuf};

use aci::{Limits, Refuse};
use clap::ValueEnum;
use discovery::render::{self, Files, Link, RenderError, Rendered, Shape};
use discovery::store::{StoredImage, Wanted};
use serde_json::json;

use super::super::client::wanted;
use super::super::fetching::PullOption;
use super::super::files::in_json;
use super::{Context, Failure};
use crate::cli::Kind;

/// Make a folder of an image's files and those of its dependencies, as an app would see them
///
/// The folder holds manifest and rootfs/, and appears when it is whole. As root, files
/// belong to whom the image says; otherwise to you. The store keeps the content of each file
/// once: what an image shares with another one that was rendered is not unpacked again.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry image render example.com/team/hello ./hello
  gantry image render --pull update example.com/team/hello ./newest
  gantry image render sha512-8f1c ./rootfs --rootfs-only
  gantry image render example.com/team/hello ./hello --link hard
  sudo gantry image render example.com/team/hello ./hello --overlay

--link says how files that the store has get into the folder: copy; reflink, sharing their
blocks; hard, as further names of the store's own files, for a folder nobody writes to, since
what is written there is written to the store (image fsck finds it); auto, which is reflink
where the file system can do it and else copy.")]
pub(crate) struct Args {
    /// The image: the beginning of its image ID, or NAME[:VERSION][,LABEL=VALUE…]
    #[arg(value_name = "ID|NAME", value_parser = wanted)]
    image: Wanted,
    /// The folder to make; it must not exist, or be empty
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    #[command(flatten)]
    pull: PullOption,
    /// Only what is in rootfs/
    #[arg(long)]
    rootfs_only: bool,
    /// How files get from the store into the folder
    #[arg(long, value_name = "HOW", value_enum, default_value_t = How::Auto)]
    link: How,
    /// Mount an overlay instead: rootfs/ over a tree of the store, changes in upper/. Needs root
    #[arg(long, conflicts_with_all = ["rootfs_only", "link"])]
    overlay: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum How {
    Auto,
    Copy,
    Hard,
    Reflink,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        if self.overlay {
            return self.mount(context);
        }
        let link = match self.link {
            How::Auto => Link::Auto,
            How::Copy => Link::Copy,
            How::Hard => Link::Hard,
            How::Reflink => Link::Reflink,
        };
        let image = self.pull.open(context, &self.image)?;
        make(context, &image, &self.folder, Files::Rendered, self.rootfs_only, link)
    }

    fn mount(self, context: &Context) -> Result<(), Failure> {
        let image = self.pull.open(context, &self.image)?;
        let overlay =
            render::overlay(&image, &self.folder, &Limits::default()).map_err(unrendered)?;
        for remark in &overlay.remarks {
            context.note(remark);
        }
        let value = json!({
            "imageId": image.record().image_id,
            "images": overlay.images,
            "folder": in_json(&self.folder),
            "treeRendered": overlay.rendered,
            "remarks": overlay.remarks,
        });
        Ok(context.print(&value, self.folder.display())?)
    }
}

/// Renders or extracts an image and prints the folder.
pub(super) fn make(
    context: &Context,
    image: &StoredImage,
    folder: &Path,
    files: Files,
    rootfs_only: bool,
    link: Link,
) -> Result<(), Failure> {
    let shape = if rootfs_only { Shape::Rootfs } else { Shape::Image };
    let rendered = render::render_linked(image, folder, files, shape, link, &Limits::default())
        .map_err(unrendered)?;
    tell(context, &rendered);
    let value = json!({
        "imageId": rendered.image_id,
        "images": rendered.images,
        "folder": in_json(folder),
        "remarks": rendered.remarks,
    });
    Ok(context.print(&value, folder.display())?)
}

/// Says what the user should know of a rendered image.
pub(in crate::cli) fn tell(context: &Context, rendered: &Rendered) {
    for remark in &rendered.remarks {
        context.note(remark);
    }
}

/// An error of rendering as the end of a command.
pub(in crate::cli) fn unrendered(error: RenderError) -> Failure {
    refused(error.kind(), &error)
}

/// An error of this kind as the end of a command, with all it has to say.
pub(in crate::cli) fn refused(kind: discovery::Kind, error: &impl Refuse) -> Failure {
    let kind = match kind {
        discovery::Kind::Failed => Kind::Failed,
        discovery::Kind::Usage => Kind::Usage,
        discovery::Kind::NotFound => Kind::NotFound,
        discovery::Kind::Refused => Kind::Refused,
        discovery::Kind::Server => Kind::Server,
        discovery::Kind::Network => Kind::Network,
    };
    Failure::refusal(kind, error.refusal())
}
