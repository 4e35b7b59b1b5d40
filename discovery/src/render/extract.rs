//! Unpacking an image file that is in no store.

use std::io::Read;
use std::path::Path;

use aci::Limits;
use aci::archive::{UnpackOptions, Unpacked, unpack};

use super::target::{place, stage_beside};
use super::{RenderError, Shape};

/// Unpacks an image file into `target`, which must not exist or be an empty folder.
///
/// All of this one image, in one pass over `file`: nothing is said about who made it, and
/// nothing of its dependencies is there.
pub fn extract(
    file: impl Read,
    target: &Path,
    shape: Shape,
    options: &UnpackOptions<'_>,
    limits: &Limits,
) -> Result<Unpacked, RenderError> {
    let (parents, staged) = stage_beside(target)?;
    let unpacked = unpack(file, staged.path(), options, limits)?;
    place(staged, target, shape)?;
    parents.keep();
    Ok(unpacked)
}
