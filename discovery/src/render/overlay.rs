//! An overlay: a tree of the store below, which is never written to, and a folder of changes
//! above it.
//!
//! ```text
//! DIR/
//!   manifest
//!   rootfs/    the mount: what an app sees and may write to
//!   upper/     what was changed
//!   work/      the kernel's
//! ```

use std::ffi::CString;
use std::fs::{self, DirBuilder, File, FileTimes, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aci::stage::{self, Existing, Hold, StagedFolder};
use aci::{ImageId, Limits};
use rustix::fs::XattrFlags;
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount as unmount_path};

use super::gather::{Gathered, open_dependencies};
use super::layer::{Layer, Side};
use super::target::{at, commit, stage_beside};
use super::{Link, RenderError, fill};
use crate::store::{Store, StoreError, StoredImage, Tree};

/// An overlay that was mounted.
#[derive(Debug)]
pub struct Overlay {
    /// The folder, with no link in its path.
    pub folder: PathBuf,
    /// The images below it, the rendered one first.
    pub images: Vec<ImageId>,
    /// Whether the tree below it had to be rendered first.
    pub rendered: bool,
    /// What the user should know, in sentences.
    pub remarks: Vec<String>,
}

/// Renders an image, with its dependencies, as an overlay at `target`, which must not exist or be
/// an empty folder. The tree below is rendered once and used again.
pub fn overlay(
    image: &StoredImage,
    target: &Path,
    limits: &Limits,
) -> Result<Overlay, RenderError> {
    let (parents, staged) = stage_beside(target)?;
    let others = open_dependencies(image, limits)?;
    let images: Vec<ImageId> = std::iter::once(image)
        .chain(&others)
        .map(|image| image.record().image_id.clone())
        .collect();
    for used in std::iter::once(image).chain(&others) {
        used.mark_used();
    }
    let mut remarks = Vec::new();
    let mut tree = image.store().tree(&images, Hold::Shared)?;
    let rendered = !tree.is_of(&images);
    if rendered {
        // A lock that is shared cannot become one's own without being given up.
        drop(tree);
        tree = image.store().tree(&images, Hold::Exclusive)?;
        if !tree.is_of(&images) {
            remarks = make_tree(image, others, &images, &tree, limits)?;
        }
    }
    fill_folder(&staged, &tree, image)?;
    commit(staged, target)?;
    parents.keep();
    let folder = target.canonicalize().map_err(at(target))?;
    tree.record_overlay(&folder)?;
    let layers = std::iter::once(tree.folder()).chain(tree.below());
    if let Err(source) = mount_at(&folder, layers.map(|layer| layer.join("rootfs"))) {
        image.store().forget_overlay(&folder)?;
        let _ = stage::remove_folder(&folder);
        return Err(RenderError::Mount { path: folder, source });
    }
    Ok(Overlay { folder, images, rendered, remarks })
}

/// Renders the tree below, for who holds it alone: all of it, or as a layer above another tree.
fn make_tree(
    image: &StoredImage,
    others: Vec<StoredImage>,
    images: &[ImageId],
    tree: &Tree,
    limits: &Limits,
) -> Result<Vec<String>, RenderError> {
    tree.remove()?;
    let trees = image.store().trees();
    let mut staged = StagedFolder::new_in(&trees).map_err(at(&trees))?;
    staged.keep_private();
    let gathered = Gathered::open(image, others)?;
    let plan = gathered.plan(limits)?;
    let wanted = Side { plan: &plan, images: &gathered };
    let base = image.store().similar_tree(&image.record().name, images)?;
    // What is wrong with another tree is no reason not to have this one.
    let layer = base.as_ref().and_then(|base| layer_above(base, wanted, limits).ok().flatten());
    let below = base.filter(|_| layer.is_some());
    let rendered =
        fill::fill_planned(&gathered, &plan, layer.as_ref(), staged.path(), Link::Hard, limits)?;
    tree.describe(staged.path(), images, below.as_ref())?;
    staged.sync_tree().map_err(at(&trees))?;
    commit(staged, &tree.folder())?;
    Ok(rendered.remarks)
}

/// The layer to lie above a tree, where that is less work than another tree.
fn layer_above<'p>(
    base: &Tree,
    wanted: Side<'_, 'p>,
    limits: &Limits,
) -> Result<Option<Layer<'p>>, RenderError> {
    let store = wanted.images.top.image.store();
    let mut images = Vec::new();
    for id in base.images().unwrap_or_default() {
        let Some(image) = store.open_image(&id)? else { return Ok(None) };
        images.push(image);
    }
    if images.is_empty() {
        return Ok(None);
    }
    let others = images.split_off(1);
    let gathered = Gathered::open(&images[0], others)?;
    let plan = gathered.plan(limits)?;
    let layer = Layer::between(wanted, Side { plan: &plan, images: &gathered })?;
    Ok(Some(layer).filter(|layer| layer.size() * 2 <= wanted.plan.files.len()))
}

fn fill_folder(staged: &StagedFolder, tree: &Tree, image: &StoredImage) -> Result<(), RenderError> {
    let manifest = staged.path().join("manifest");
    stage::write(&manifest, image.manifest_bytes(), 0o644, Existing::Refuse)
        .map_err(at(&manifest))?;
    for name in ["rootfs", "upper", "work"] {
        let path = staged.path().join(name);
        DirBuilder::new().mode(0o700).create(&path).map_err(at(&path))?;
    }
    // The root of what is mounted is as the upper folder is.
    let upper = staged.path().join("upper");
    as_another(&upper, &tree.folder().join("rootfs")).map_err(at(&upper))
}

/// Gives a folder the properties of another.
fn as_another(folder: &Path, other: &Path) -> io::Result<()> {
    let (found, folder) = (other.metadata()?, File::open(folder)?);
    let other = File::open(other)?;
    std::os::unix::fs::fchown(&folder, Some(found.uid()), Some(found.gid()))?;
    folder.set_permissions(Permissions::from_mode(found.mode() & 0o7777))?;
    // No list of names and no value is longer (Linux: XATTR_LIST_MAX, XATTR_SIZE_MAX).
    let (mut names, mut value) = (vec![0u8; 64 << 10], vec![0u8; 64 << 10]);
    // What the system sets by itself, as labels, is not the caller's to set everywhere.
    let unless_refused = |error| match error {
        Errno::OPNOTSUPP | Errno::PERM | Errno::ACCESS => Ok(0),
        error => Err(error),
    };
    let got = rustix::fs::flistxattr(&other, &mut names[..]).or_else(unless_refused)?;
    for name in names[..got].split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        let got = rustix::fs::fgetxattr(&other, name, &mut value[..])?;
        rustix::fs::fsetxattr(&folder, name, &value[..got], XattrFlags::empty())
            .map(|()| 0)
            .or_else(unless_refused)?;
    }
    folder
        .set_times(FileTimes::new().set_accessed(found.accessed()?).set_modified(found.modified()?))
}

/// Mounts an overlay of these layers, the highest first.
fn mount_at(folder: &Path, layers: impl Iterator<Item = PathBuf>) -> io::Result<()> {
    let mut options = Vec::new();
    for layer in layers {
        options.extend_from_slice(if options.is_empty() { b"lowerdir=" } else { b":" });
        options.extend_from_slice(&escaped(&layer.canonicalize()?));
    }
    for name in ["upper", "work"] {
        options.extend_from_slice(format!(",{name}dir=").as_bytes());
        options.extend_from_slice(&escaped(&folder.join(name)));
    }
    // Elsewhere than in the first user namespace nobody may set the attributes it uses else.
    let all_ids = "0 0 4294967295";
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    if map.split_whitespace().collect::<Vec<_>>().join(" ") != all_ids {
        options.extend_from_slice(b",userxattr");
    }
    let options = CString::new(options)?;
    let (kind, target) = (c"overlay", folder.join("rootfs"));
    Ok(mount(kind, &target, kind, MountFlags::empty(), Some(options.as_c_str()))?)
}

/// A path as an option of a mount: commas, colons and backslashes mean something there.
fn escaped(path: &Path) -> Vec<u8> {
    let special = |byte: &u8| matches!(byte, b'\\' | b',' | b':');
    let bytes = path.as_os_str().as_bytes();
    bytes
        .iter()
        .flat_map(|byte| special(byte).then_some(b'\\').into_iter().chain([*byte]))
        .collect()
}

/// Unmounts an overlay that [`overlay`] has mounted. What was changed stays in `DIR/upper`, or
/// goes with the whole folder.
pub fn unmount(store: &Store, target: &Path, remove: bool) -> Result<(), RenderError> {
    let absent = || RenderError::NoOverlay(target.to_owned());
    let folder = target.canonicalize().map_err(|_| absent())?;
    if !store.knows_overlay(&folder) {
        return Err(absent());
    }
    match unmount_path(folder.join("rootfs"), UnmountFlags::NOFOLLOW) {
        // It was unmounted by other means.
        Ok(()) | Err(Errno::INVAL) => {}
        Err(error) => return Err(at(&folder)(error.into())),
    }
    store.forget_overlay(&folder).map(drop).map_err(RenderError::from)?;
    if remove {
        stage::remove_folder(&folder).map_err(StoreError::io("remove", &folder))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_options_have_their_separators_escaped() {
        assert_eq!(escaped(Path::new("/a,b:c\\d")), b"/a\\,b\\:c\\\\d");
    }
}
