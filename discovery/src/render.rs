//! Rendering: a stored image becomes a folder (spec: ace.md, "Filesystem Setup").
//!
//! ```text
//! DIR/
//!   manifest   the image's manifest, as it is in the image
//!   rootfs/    its files and those of its dependencies, less those that the lists of the
//!              images (pathWhitelist) leave out
//! ```
//!
//! ```text
//! images of the store ──▶ indexes ──▶ aci::plan: which file of which image
//!     ──▶ objects that are there: copied, cloned or linked
//!     ──▶ the others: read from their archive, and kept as objects
//! ```
//!
//! No content is rendered whose digest is not the one in its image's index. The folder is filled
//! under a hidden name beside its place and gets its name when it is whole. As root, files
//! belong to whom the image says; as another user, all belongs to the caller.

mod error;
mod extract;
mod fill;
mod gather;
mod layer;
mod overlay;
mod target;

use std::path::Path;

use aci::archive::{LeftOut, Ownership, UnpackOptions};
use aci::{ImageId, ImageManifest, Limits};

use crate::bundle::{self, Bundle, BundleOptions, Host};
use crate::store::StoredImage;
use target::{at, commit, place, stage_beside};

pub use error::RenderError;
pub use extract::extract;
pub use overlay::{Overlay, overlay, unmount};

/// Which files of an image are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Files {
    /// What an app sees: with the dependencies' files below, and the path whitelists applied.
    Rendered,
    /// All that is in this one image, and nothing of its dependencies.
    All,
}

/// What the target folder is to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `manifest` and `rootfs/`.
    Image,
    /// What is in `rootfs/`.
    Rootfs,
}

/// How files that the store has already get into the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Link {
    /// Sharing their blocks where the file system can do that, else copied.
    #[default]
    Auto,
    /// Copied.
    Copy,
    /// Hard-linked: for a tree that nobody writes to, since what is written to it is written to
    /// the store. Files with extended attributes are copied.
    Hard,
    /// Sharing their blocks, or not at all.
    Reflink,
}

/// What was rendered.
#[derive(Debug)]
pub struct Rendered {
    /// The image's ID.
    pub image_id: ImageId,
    /// The manifest inside the image.
    pub manifest: ImageManifest,
    /// All images whose files may be there, the weakest first and the image itself last.
    pub images: Vec<ImageId>,
    /// What the user should know, in sentences.
    pub remarks: Vec<String>,
}

/// Renders an image into `target`, which must not exist or be an empty folder.
pub fn render(
    image: &StoredImage,
    target: &Path,
    files: Files,
    shape: Shape,
    limits: &Limits,
) -> Result<Rendered, RenderError> {
    render_linked(image, target, files, shape, Link::Auto, limits)
}

/// The same, and says how files get from the store into the folder.
pub fn render_linked(
    image: &StoredImage,
    target: &Path,
    files: Files,
    shape: Shape,
    link: Link,
    limits: &Limits,
) -> Result<Rendered, RenderError> {
    let (parents, staged) = stage_beside(target)?;
    let rendered = match files {
        Files::Rendered => fill::fill(image, staged.path(), link, limits)?,
        Files::All => unpack(image, staged.path(), limits)?,
    };
    place(staged, target, shape)?;
    parents.keep();
    image.mark_used();
    Ok(rendered)
}

/// Renders an image into `target` and adds a `config.json`: an OCI bundle. The folder
/// is the caller's alone, for programs in it may have set-user-ID bits.
pub fn render_bundle(
    image: &StoredImage,
    target: &Path,
    options: &BundleOptions,
    host: &Host,
    limits: &Limits,
) -> Result<(Rendered, Bundle), RenderError> {
    let (parents, mut staged) = stage_beside(target)?;
    staged.keep_private();
    let rendered = fill::fill(image, staged.path(), Link::Auto, limits)?;
    let bundle =
        bundle::write(staged.path(), &rendered.manifest, &rendered.image_id, options, host)?;
    staged.sync_tree().map_err(at(target))?;
    commit(staged, target)?;
    parents.keep();
    image.mark_used();
    Ok((rendered, bundle))
}

/// Unpacks the whole of one image into an existing empty folder, and checks that it was the one
/// that was imported.
fn unpack(image: &StoredImage, folder: &Path, limits: &Limits) -> Result<Rendered, RenderError> {
    let unpacked =
        aci::archive::unpack(image.file()?, folder, &UnpackOptions::new(ownership()), limits)?;
    // A file that was changed on disk since its import was never verified.
    if unpacked.image.image_id() != &image.record().image_id {
        return Err(RenderError::Altered {
            wanted: image.record().image_id.clone(),
            found: unpacked.image.image_id().clone(),
        });
    }
    let image_id = unpacked.image.image_id().clone();
    Ok(Rendered {
        images: vec![image_id.clone()],
        image_id,
        manifest: unpacked.image.manifest().clone(),
        remarks: remarks(&unpacked.left_out),
    })
}

fn ownership() -> Ownership {
    let root = rustix::process::geteuid().is_root();
    if root { Ownership::Restore } else { Ownership::Caller }
}

fn remarks(left_out: &LeftOut) -> Vec<String> {
    let mut remarks = Vec::new();
    if ownership() == Ownership::Caller {
        remarks.push("all files belong to you: only root can restore their owners".to_owned());
    }
    for (count, what) in [
        (left_out.devices, "device files"),
        (left_out.set_id, "set-user-ID and set-group-ID bits"),
        (left_out.xattrs, "extended attributes"),
    ] {
        if count > 0 {
            remarks.push(format!("{count} {what} could not be restored here and were left out"));
        }
    }
    remarks
}

#[cfg(test)]
pub(crate) mod tests;
