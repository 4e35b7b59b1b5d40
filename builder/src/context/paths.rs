//! Paths in an image: what was given becomes where it is, links followed inside the root alone.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use aci::archive::PathBytes;
use aci::root::Root;
use rustix::fs::{FileType, Stat};

use super::error::ContextError;

/// A place in the image: below the root, no link on the way to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The path below the root; empty for the root itself.
    pub(crate) below: Vec<u8>,
    /// What is there.
    pub(crate) kind: Option<FileType>,
}

impl Place {
    /// Where `path` of the image is. A link at its end is itself what is meant.
    pub(crate) fn of(root: &Root, path: &Path) -> Result<Self, ContextError> {
        let clean = clean(path)?;
        let io = ContextError::io("look for", Path::new("/").join(&clean));
        let (Some(parent), Some(name)) = (clean.parent(), clean.file_name()) else {
            return Ok(Self { below: Vec::new(), kind: Some(FileType::Directory) });
        };
        let find = || {
            let parent = root.resolved(&Path::new("/").join(parent))?;
            let whole = parent.join(name);
            let stat = root.lstat(&whole)?;
            Ok((whole, stat))
        };
        let (whole, stat): (PathBuf, Option<Stat>) = find().map_err(io)?;
        let below = whole.strip_prefix("/").unwrap_or(&whole).as_os_str().as_bytes().to_vec();
        Ok(Self { below, kind: stat.map(|stat| FileType::from_raw_mode(stat.st_mode)) })
    }

    /// The same where a link at the end is followed: a folder to put things into.
    pub(crate) fn of_folder(root: &Root, path: &Path) -> Result<Self, ContextError> {
        let place = Self::of(root, path)?;
        if place.kind != Some(FileType::Symlink) {
            return Ok(place);
        }
        let whole = Path::new("/").join(clean(path)?);
        let io = ContextError::io("look for", &whole);
        let resolved = root.resolved(&whole).map_err(io)?;
        // A link that leads nowhere.
        if resolved == whole { Ok(place) } else { Self::of(root, &resolved) }
    }

    /// For people, from the root on.
    pub(crate) fn shown(&self) -> String {
        format!("/{}", PathBytes(self.below.clone()))
    }

    pub(crate) fn is_root(&self) -> bool {
        self.below.is_empty()
    }
}

/// Shows all that is below a folder of a root, by its path below the root: a folder before what is
/// in it, which is shown where `visit` says so.
pub(super) fn walk(
    root: &Path,
    folder: &[u8],
    mut visit: impl FnMut(&[u8], &Metadata) -> Result<Descend, ContextError>,
) -> Result<(), ContextError> {
    let mut left = vec![folder.to_vec()];
    while let Some(folder) = left.pop() {
        let path = root.join(path_of(&folder));
        let io = |error| ContextError::io("read", &path)(error);
        for entry in fs::read_dir(&path).map_err(io)? {
            let entry = entry.map_err(io)?;
            let metadata = entry.metadata().map_err(io)?;
            let below = join(&folder, entry.file_name().as_bytes());
            if visit(&below, &metadata)? == Descend::Into && metadata.is_dir() {
                left.push(below);
            }
        }
    }
    Ok(())
}

/// Whether what is in a folder is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Descend {
    Into,
    Past,
}

/// The folder of a path below the root, and its name there.
pub(crate) fn split(below: &[u8]) -> (&[u8], &[u8]) {
    match below.iter().rposition(|&b| b == b'/') {
        Some(slash) => (&below[..slash], &below[slash + 1..]),
        None => (&[], below),
    }
}

/// Whether a path is below a folder.
pub(crate) fn is_below(below: &[u8], folder: &[u8]) -> bool {
    folder.is_empty() || below.strip_prefix(folder).is_some_and(|rest| rest.starts_with(b"/"))
}

pub(crate) fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    match folder {
        [] => name.to_vec(),
        _ if name.is_empty() => folder.to_vec(),
        _ => [folder, b"/", name].concat(),
    }
}

/// The path without `.`, doubled slashes and the root, whether it began there or not. acbuild
/// followed `..` out of the image; here it leads nowhere, like `cd ..` above the root, and since
/// nobody means that, it is refused.
fn clean(path: &Path) -> Result<PathBuf, ContextError> {
    let fault = |why| {
        let path = PathBytes(path.as_os_str().as_bytes().to_vec()).to_string();
        Err(ContextError::Path { path, why })
    };
    if path.as_os_str().is_empty() {
        return fault("it is empty");
    }
    if path.as_os_str().as_bytes().contains(&0) {
        return fault("it holds a NUL byte");
    }
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) if name.len() > 255 => {
                return fault("a name in it has more than 255 bytes");
            }
            Component::Normal(name) => clean.push(name),
            Component::ParentDir if !clean.pop() => return fault("\"..\" leads out of the image"),
            _ => {}
        }
    }
    Ok(clean)
}

/// The path of something below the root.
pub(crate) fn path_of(below: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(below))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn place_follows_links_inside_the_root_alone() {
        let outside = tempfile::tempdir().unwrap();
        let rootfs = tempfile::tempdir().unwrap();
        let at = |name: &str| rootfs.path().join(name);
        fs::create_dir_all(at("usr/bin")).unwrap();
        fs::write(at("usr/bin/a"), "").unwrap();
        symlink("usr/bin", at("bin")).unwrap();
        symlink(outside.path(), at("out")).unwrap();
        symlink("../../../../../..", at("up")).unwrap();
        let root = Root::open(rootfs.path()).unwrap();
        let place = |path: &str| Place::of(&root, Path::new(path)).unwrap();
        assert_eq!(place("/bin/a").below, b"usr/bin/a");
        assert_eq!(place("bin/./b/").below, b"usr/bin/b");
        assert_eq!(place("/bin").kind, Some(FileType::Symlink));
        assert_eq!(place("/up/usr").below, b"usr", "the root has nothing above it");
        assert_eq!(place("/").below, b"");
        assert_eq!(place("/x/../usr").below, b"usr");
        let folder = Place::of_folder(&root, Path::new("/bin")).unwrap();
        assert_eq!(folder.below, b"usr/bin");
        for bad in ["", "..", "/../x", "a/../../b", "\0"] {
            assert!(Place::of(&root, Path::new(bad)).is_err(), "{bad:?}");
        }
    }
}
