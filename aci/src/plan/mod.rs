//! Which file of which image an app sees: the rules on dependencies and path whitelists, as a
//! pure step before anything is unpacked (spec: aci.md, "Dependency Matching" and
//! "pathWhitelist"; ace.md, "Filesystem Setup").
//!
//! [`plan`] takes the image that is rendered, the images that are there for its dependencies,
//! and of each the list of its archive's entries. It yields every path of the rendered root
//! file system once, with the entry it comes from. Nothing is read or written.
//!
//! The rules, with a worked example: `docs/dependencies.md`. In short:
//!
//! - dependencies are taken depth first, in the order of the list, the image itself last; what
//!   comes later overrides what came before
//! - directories merge; anything else that is overridden is gone, with all below it. A symlink
//!   is never followed, it is replaced
//! - a file has to be named by its image's own whitelist and by those of all images above it
//! - a hard link keeps its content, whatever becomes of the file it was a link to
//!
//! The spec says it as a sequence of extractions that overwrite each other. Here the images are
//! gone through the other way round, the strongest first, so each path is decided once and
//! nothing is planned that is overwritten later.
//!
//! Memory is about 130 bytes for each distinct path; time grows with the entries looked at, but
//! for the sorting. Both are bounded by [`Limits::plan_entries`].

mod error;
mod links;
mod resolve;
mod tree;
mod whitelist;

use crate::archive::{EntryKind, PathBytes};
use crate::digest::ImageId;
use crate::limits::Limits;
use crate::manifest::ImageManifest;

pub use error::PlanError;
pub use whitelist::Whitelist;

/// An image that a plan may use.
#[derive(Debug, Clone, Copy)]
pub struct PlanImage<'a> {
    /// Its image ID.
    pub image_id: &'a ImageId,
    /// The manifest inside it.
    pub manifest: &'a ImageManifest,
    /// Bytes of its image file as it was retrieved. `None` where that is not known: then a
    /// dependency's `size` is not compared.
    pub file_bytes: Option<u64>,
    /// The entries of its archive, in the archive's order. Those that are not `rootfs` or
    /// below it, as `manifest`, are passed over.
    pub entries: &'a [PlanEntry],
}

/// What a plan has to know of one entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanEntry {
    /// The path, as `rootfs/bin/hello`.
    pub path: PathBytes,
    /// What it is.
    pub kind: EntryKind,
}

/// The whole of a rendered root file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan<'a> {
    /// Every path once, `rootfs` first, folders before what is in them, the names of a folder
    /// compared as bytes (the order of profile v1).
    pub files: Vec<PlannedFile<'a>>,
    /// The images in the order of override, the weakest first and the rendered one last. An
    /// image that more than one path of dependencies leads to comes more than once, except
    /// where it can add nothing that it does not add at a later place.
    pub order: Vec<Visit<'a>>,
}

/// One path of the rendered root file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedFile<'a> {
    /// The path: `rootfs`, or `rootfs/` and plain segments.
    pub path: &'a [u8],
    /// Where it comes from.
    pub source: Source<'a>,
}

/// Where a planned file comes from. Entries are numbered as in [`PlanImage::entries`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source<'a> {
    /// A folder that something is in, but of which no image has an entry that may be rendered:
    /// mode 0755, owner 0:0.
    Made,
    /// An entry of an image.
    Entry {
        /// The image.
        image_id: &'a ImageId,
        /// The entry whose path this is.
        entry: usize,
        /// The entry that says what is there: kind, content and properties. It is another one
        /// than `entry` where that is a hard link to a file that is not rendered itself.
        content: usize,
    },
    /// Another name of a planned file of the same image.
    Link {
        /// The image.
        image_id: &'a ImageId,
        /// The entry, a hard link.
        entry: usize,
        /// The path of the file, an earlier entry of the image.
        target: &'a [u8],
    },
}

/// One place of an image in the order of override.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit<'a> {
    /// The image.
    pub image_id: &'a ImageId,
    /// The images above it, on this path of dependencies, whose whitelists it is under besides
    /// its own, the outermost first.
    pub limited_by: Vec<&'a ImageId>,
}

/// Plans the rendering of `top`. Dependencies are looked for among `others`, which stand in the
/// order in which they are preferred where more than one of them fits.
///
/// ```
/// use aci::archive::EntryKind;
/// use aci::plan::{PlanEntry, PlanImage, Source, plan};
/// use aci::{ImageId, ImageManifest, Limits};
///
/// let manifest = |text: &str| ImageManifest::from_json(text.as_bytes());
/// let base = manifest(
///     r#"{"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/base"}"#)?;
/// let app = manifest(
///     r#"{"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/app",
///         "dependencies": [{"imageName": "example.com/base"}],
///         "pathWhitelist": ["/bin/app", "/etc/config"]}"#)?;
/// let file = |path: &str| PlanEntry { path: path.into(), kind: EntryKind::File { size: 1 } };
/// let below = [file("rootfs/etc/config"), file("rootfs/etc/other")];
/// let own = [file("rootfs/bin/app")];
/// let (app_id, base_id) = (ImageId::of([1; 64]), ImageId::of([2; 64]));
///
/// let app =
///     PlanImage { image_id: &app_id, manifest: &app, file_bytes: None, entries: &own };
/// let base =
///     PlanImage { image_id: &base_id, manifest: &base, file_bytes: None, entries: &below };
/// let planned = plan(&app, &[base], &Limits::default())?;
///
/// let shown: Vec<(&[u8], Source<'_>)> = planned.files.iter().map(|f| (f.path, f.source)).collect();
/// assert_eq!(shown, [
///     (&b"rootfs"[..], Source::Made),
///     (b"rootfs/bin", Source::Made),
///     (b"rootfs/bin/app", Source::Entry { image_id: &app_id, entry: 0, content: 0 }),
///     (b"rootfs/etc", Source::Made),
///     (b"rootfs/etc/config", Source::Entry { image_id: &base_id, entry: 0, content: 0 }),
/// ]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn plan<'a>(
    top: &PlanImage<'a>,
    others: &[PlanImage<'a>],
    limits: &Limits,
) -> Result<Plan<'a>, PlanError> {
    let images: Vec<PlanImage<'a>> = std::iter::once(top).chain(others).copied().collect();
    let (tree, visits, links) = resolve::go_through(&images, limits)?;
    let files = links.settle(&images, tree.taken(&images));
    let order = visits
        .into_iter()
        .rev()
        .map(|(image, above)| Visit {
            image_id: images[image].image_id,
            limited_by: above.into_iter().map(|image| images[image].image_id).collect(),
        })
        .collect();
    Ok(Plan { files, order })
}

/// The path below `rootfs`, empty for `rootfs` itself; `None` for all that is not rendered.
/// Archives that write `./rootfs/bin/` mean `rootfs/bin`.
fn inside(path: &PathBytes) -> Option<&[u8]> {
    let path = path.0.strip_prefix(b"./").unwrap_or(&path.0);
    let path = path.strip_suffix(b"/").unwrap_or(path);
    let below = match path.strip_prefix(b"rootfs")? {
        [] => return Some(&[]),
        [b'/', below @ ..] => below,
        _ => return None,
    };
    // The archive's reader refuses such paths. Here, where lists come from anywhere, they must
    // not become a path that leads out of what is rendered.
    let plain = |segment: &[u8]| {
        !segment.is_empty() && segment != b"." && segment != b".." && !segment.contains(&0)
    };
    below.split(|&byte| byte == b'/').all(plain).then_some(below)
}

/// The path with `rootfs`, of an entry that is [`inside`].
fn whole(path: &PathBytes) -> &[u8] {
    let path = path.0.strip_prefix(b"./").unwrap_or(&path.0);
    path.strip_suffix(b"/").unwrap_or(path)
}

/// The order of profile v1: segment by segment, so `a/b` comes before `a-b`.
pub fn canonical(one: &[u8], other: &[u8]) -> std::cmp::Ordering {
    // No path holds a zero byte.
    let rank = |byte: u8| if byte == b'/' { 0 } else { byte };
    match one.iter().zip(other).position(|(a, b)| a != b) {
        Some(at) => rank(one[at]).cmp(&rank(other[at])),
        None => one.len().cmp(&other.len()),
    }
}

#[cfg(test)]
mod compared;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
