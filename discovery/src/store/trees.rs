//! Rendered trees that overlays lie on, and which overlays those are.
//!
//! ```text
//! trees/
//!   3c5f…90/            named by the images it was rendered from, in order
//!     images.json       their image IDs, the rendered one first
//!     below             of a tree that is a layer: the name of the tree it lies on
//!     manifest
//!     rootfs/           never written to: its files are hard links to objects
//! overlays/
//!   77a0….json          one overlay: its folder, its tree, and the boot and mount namespace
//!                       in which it was mounted
//! ```
//!
//! A lock dies with its process, and an overlay does not, so a tree is in use as long as a record
//! says so: until `image unmount`, the next boot, or until the mount is seen to be gone from the
//! namespace in which it was made. A tree that a layer lies on stays as long as the layer does.

use std::collections::HashSet;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use aci::stage::{self, Existing, Hold, Lock};
use aci::{ContentDigest, ContentHash, ImageId, Name};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::gc::remove_file;
use super::read::entries;
use super::{Store, StoreError};

const IMAGES_FILE: &str = "images.json";
const BELOW_FILE: &str = "below";

/// A rendered tree, held against others.
pub(crate) struct Tree {
    store: Store,
    key: String,
    _lock: Lock,
}

/// What `overlays/….json` says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Mounted {
    /// The folder, as bytes: a path need not be text.
    folder: Vec<u8>,
    tree: String,
    boot: String,
    namespace: String,
}

impl Store {
    pub(crate) fn trees(&self) -> PathBuf {
        self.root().join("trees")
    }

    fn overlays(&self) -> PathBuf {
        self.root().join("overlays")
    }

    /// The tree of these images, which need not be there yet.
    pub(crate) fn tree(&self, images: &[ImageId], hold: Hold) -> Result<Tree, StoreError> {
        let trees = self.trees();
        stage::create_private_folder(&trees).map_err(StoreError::io("create", &trees))?;
        let key = key_of(images);
        let lock = self.named_lock(&format!("tree-{key}"), hold)?;
        Ok(Tree { store: self.clone(), key, _lock: lock })
    }

    /// The trees that no overlay lies on and that an image is missing of, or that were not used
    /// for so long. Each is held alone.
    pub(super) fn unused_trees(
        &self,
        gone: &HashSet<ImageId>,
        grace: Duration,
        now: Timestamp,
    ) -> Result<Vec<Tree>, StoreError> {
        let used: HashSet<String> = self.mounted()?.into_iter().map(|one| one.tree).collect();
        let mut unused: Vec<Tree> = Vec::new();
        let (layers, whole): (Vec<_>, Vec<_>) =
            self.tree_keys()?.into_iter().partition(|key| below(&self.trees().join(key)).is_some());
        for key in layers.into_iter().chain(whole) {
            if used.contains(&key) {
                continue;
            }
            let Some(lock) = self.attempt_lock(&format!("tree-{key}"), Hold::Exclusive)? else {
                continue;
            };
            let tree = Tree { store: self.clone(), key, _lock: lock };
            // Asked while it is held: whoever makes a layer above it holds it as well.
            if self.layers_on(&tree)?.any(|key| unused.iter().all(|tree| tree.key != key)) {
                continue;
            }
            let images = tree.images();
            let whole = images.as_ref().is_some_and(|images| {
                images.iter().all(|id| !gone.contains(id) && self.image_folder(id).is_dir())
            });
            let grace = jiff::SignedDuration::try_from(grace).unwrap_or(jiff::SignedDuration::MAX);
            if !whole || tree.used().is_none_or(|used| now.duration_since(used) > grace) {
                unused.push(tree);
            }
        }
        Ok(unused)
    }

    /// A whole tree that is likely to have most of the files of these images, held against
    /// others: of those that share images with it, or else have the same name, the one that was
    /// made last.
    pub(crate) fn similar_tree(
        &self,
        name: &Name,
        images: &[ImageId],
    ) -> Result<Option<Tree>, StoreError> {
        let mut best = None;
        for key in self.tree_keys()?.into_iter().filter(|tree| *tree != key_of(images)) {
            let Some(lock) = self.attempt_lock(&format!("tree-{key}"), Hold::Shared)? else {
                continue;
            };
            let tree = Tree { store: self.clone(), key, _lock: lock };
            let Some(others) = tree.images().filter(|images| key_of(images) == tree.key) else {
                continue;
            };
            let Some(first) = others.first().filter(|_| below(&tree.folder()).is_none()) else {
                continue;
            };
            let shared = others.iter().filter(|id| images.contains(id)).count();
            let named = self.record(first)?.is_some_and(|record| record.name == *name);
            let rank = (shared, named, tree.used());
            if (shared > 0 || named) && best.as_ref().is_none_or(|(most, _)| rank > *most) {
                best = Some((rank, tree));
            }
        }
        Ok(best.map(|(_, tree)| tree))
    }

    fn tree_keys(&self) -> Result<Vec<String>, StoreError> {
        let mut keys = entries(&self.trees())?;
        keys.retain(|key| !key.starts_with('.'));
        Ok(keys)
    }

    /// The layers that lie on a tree.
    fn layers_on(&self, tree: &Tree) -> Result<impl Iterator<Item = String>, StoreError> {
        let trees = self.trees();
        let below = tree.key.clone();
        let keys = self.tree_keys()?.into_iter();
        Ok(keys.filter(move |key| self::below(&trees.join(key)).is_some_and(|on| on == below)))
    }

    /// The overlays that are, or may be, mounted. Records of others are removed.
    fn mounted(&self) -> Result<Vec<Mounted>, StoreError> {
        let (boot, namespace) = (boot(), namespace());
        let mut mounted = Vec::new();
        let _ = stage::clean(&self.overlays());
        for name in entries(&self.overlays())? {
            let path = self.overlays().join(name);
            let read = fs::read(&path).ok();
            let Some(one) = read.and_then(|bytes| serde_json::from_slice::<Mounted>(&bytes).ok())
            else {
                continue;
            };
            let gone = one.namespace == namespace && !is_mounted(&one.folder().join("rootfs"));
            if one.boot != boot || gone {
                remove_file(&path)?;
            } else {
                mounted.push(one);
            }
        }
        Ok(mounted)
    }

    fn overlay_record(&self, folder: &Path) -> PathBuf {
        let mut hash = ContentHash::default();
        hash.update(folder.as_os_str().as_bytes());
        self.overlays().join(format!("{}.json", hash.finish().digits()))
    }

    /// Forgets the overlay at a folder; `false` where there is none.
    pub(crate) fn forget_overlay(&self, folder: &Path) -> Result<bool, StoreError> {
        let path = self.overlay_record(folder);
        let there = path.exists();
        remove_file(&path)?;
        Ok(there)
    }

    /// Whether there is a record of an overlay at a folder.
    pub(crate) fn knows_overlay(&self, folder: &Path) -> bool {
        self.overlay_record(folder).exists()
    }
}

impl Mounted {
    fn folder(&self) -> PathBuf {
        std::ffi::OsString::from_vec(self.folder.clone()).into()
    }
}

impl Tree {
    /// Where it is, or is to be.
    pub(crate) fn folder(&self) -> PathBuf {
        self.store.trees().join(&self.key)
    }

    /// Where the tree is on which this one lies, if it is a layer.
    pub(crate) fn below(&self) -> Option<PathBuf> {
        below(&self.folder()).map(|key| self.store.trees().join(key))
    }

    /// Whether it is there, and was rendered from these images.
    pub(crate) fn is_of(&self, images: &[ImageId]) -> bool {
        let stands = self.below().is_none_or(|below| below.join(IMAGES_FILE).exists());
        stands && self.images().is_some_and(|found| found == images)
    }

    /// Writes down what the tree in `folder` is, before it gets its place.
    pub(crate) fn describe(
        &self,
        folder: &Path,
        images: &[ImageId],
        below: Option<&Tree>,
    ) -> Result<(), StoreError> {
        let write = |name: &str, text: &[u8]| {
            let path = folder.join(name);
            stage::write(&path, text, 0o644, Existing::Refuse)
                .map_err(StoreError::io("write", &path))
        };
        if let Some(below) = below {
            write(BELOW_FILE, below.key.as_bytes())?;
        }
        let list = serde_json::to_vec(images).map_err(std::io::Error::from);
        write(IMAGES_FILE, &list.map_err(StoreError::io("write", folder.join(IMAGES_FILE)))?)
    }

    /// The image IDs it was rendered from, where it says so.
    pub(crate) fn images(&self) -> Option<Vec<ImageId>> {
        let bytes = fs::read(self.folder().join(IMAGES_FILE)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    fn used(&self) -> Option<Timestamp> {
        let modified = fs::metadata(self.folder().join(IMAGES_FILE)).ok()?.modified().ok()?;
        Timestamp::try_from(modified).ok()
    }

    /// Remembers that an overlay is to be mounted on it.
    pub(crate) fn record_overlay(&self, folder: &Path) -> Result<(), StoreError> {
        let overlays = self.store.overlays();
        stage::create_folders(&overlays).map_err(StoreError::io("create", &overlays))?;
        let mounted = Mounted {
            folder: folder.as_os_str().as_bytes().to_vec(),
            tree: self.key.clone(),
            boot: boot(),
            namespace: namespace(),
        };
        let path = self.store.overlay_record(folder);
        let fault = || StoreError::io("write", &path);
        let text = serde_json::to_vec(&mounted).map_err(std::io::Error::from).map_err(fault())?;
        stage::write(&path, &text, 0o644, Existing::Replace).map_err(fault())
    }

    /// Removes it, for who holds it alone.
    pub(crate) fn remove(&self) -> Result<(), StoreError> {
        let folder = self.folder();
        stage::remove_folder(&folder).map_err(StoreError::io("remove", &folder))
    }
}

/// The tree that the tree in a folder lies on.
fn below(folder: &Path) -> Option<String> {
    let key = fs::read_to_string(folder.join(BELOW_FILE)).ok()?;
    ContentDigest::from_digits(&key).is_ok().then_some(key)
}

fn key_of(images: &[ImageId]) -> String {
    let mut hash = ContentHash::default();
    let who = rustix::process::geteuid().as_raw();
    hash.update(format!("gantry tree 2\n{who}\n").as_bytes());
    for id in images {
        hash.update(id.as_str().as_bytes());
        hash.update(b"\n");
    }
    hash.finish().digits()
}

fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

fn namespace() -> String {
    let link = fs::read_link("/proc/self/ns/mnt").unwrap_or_default();
    link.to_string_lossy().into_owned()
}

/// Whether something is mounted at a path, as this namespace sees it.
pub(crate) fn is_mounted(path: &Path) -> bool {
    let table = fs::read("/proc/self/mountinfo").unwrap_or_default();
    let wanted = path.as_os_str().as_bytes();
    table
        .split(|&byte| byte == b'\n')
        .filter_map(|line| line.split(|&byte| byte == b' ').nth(4))
        .any(|place| unescaped(place) == wanted)
}

/// A path of mountinfo: space, tab, line end and backslash stand there in octal.
fn unescaped(mut text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some((&byte, rest)) = text.split_first() {
        let octal = rest.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(value) if byte == b'\\' => {
                out.push(value);
                text = &rest[3..];
            }
            _ => {
                out.push(byte);
                text = rest;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounted_paths_are_read_with_their_escapes() {
        assert_eq!(unescaped(b"/a\\040b\\134\\1"), b"/a b\\\\1");
        assert!(is_mounted(Path::new("/proc")));
        assert!(!is_mounted(Path::new("/proc/self")));
    }
}
