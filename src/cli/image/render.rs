//! `gantry image render`.

use std::path::{Path, PathBuf};

use aci::{Limits, Refuse};
use discovery::render::{self, Files, RenderError, Rendered, Shape};
use discovery::store::Wanted;
use serde_json::json;

use super::super::client::wanted;
use super::super::files::in_json;
use super::{Context, Failure, open};
use crate::cli::Kind;

/// Make a folder of an image's files, as an app would see them
///
/// The folder holds manifest and rootfs/, and appears when it is whole. As root, files
/// belong to whom the image says; otherwise to you.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry image render example.com/team/hello ./hello
  gantry image render sha512-8f1c ./rootfs --rootfs-only")]
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
        make(context, &self.image, &self.folder, Files::Rendered, self.rootfs_only)
    }
}

/// Renders or extracts an image and prints the folder.
pub(super) fn make(
    context: &Context,
    wanted: &Wanted,
    folder: &Path,
    files: Files,
    rootfs_only: bool,
) -> Result<(), Failure> {
    let image = open(context, wanted)?;
    let shape = if rootfs_only { Shape::Rootfs } else { Shape::Image };
    let rendered =
        render::render(&image, folder, files, shape, &Limits::default()).map_err(unrendered)?;
    tell(context, &rendered);
    let value = json!({
        "imageId": rendered.image_id,
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
