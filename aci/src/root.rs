//! Looking into a rootfs without ever leaving it.
//!
//! A rootfs was made by a stranger. Its `/etc/passwd` may be a link to the
//! host's, its `/etc` a link to `/`. Every path here is resolved by the kernel
//! with the rootfs as its root (`openat2`, `RESOLVE_IN_ROOT`).

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use crate::archive::tree::{Missing, open_folder};

/// An open rootfs folder.
#[derive(Debug)]
pub struct Root {
    folder: OwnedFd,
}

/// What stood in the place where a folder was wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Nothing: the folder was made.
    Made,
    /// An empty folder.
    Empty,
    /// A folder with something in it.
    Filled,
    /// Something else, which the folder has replaced.
    Replaced,
}

impl Root {
    /// Opens the rootfs at `path`.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Self { folder: rustix::fs::open(path, flags, Mode::empty())? })
    }

    /// Opens the folder at a path below the root, following no symlink on the way.
    pub fn folder(&self, below: &[u8]) -> io::Result<OwnedFd> {
        open_folder(&self.folder, below, Missing::Refuse)
    }

    /// What `path` is, symlinks followed; `None` where there is nothing.
    pub fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        self.stat_with(path, OFlags::empty())
    }

    /// What `path` itself is, a symlink at its end not followed.
    pub fn lstat(&self, path: &Path) -> io::Result<Option<Stat>> {
        self.stat_with(path, OFlags::NOFOLLOW)
    }

    fn stat_with(&self, path: &Path, flags: OFlags) -> io::Result<Option<Stat>> {
        match self.open_below(path, OFlags::PATH | flags)? {
            Some(file) => Ok(Some(rustix::fs::fstat(file)?)),
            None => Ok(None),
        }
    }

    /// The bytes of the regular file `path`, at most `limit` of them; `None` where
    /// there is no such file.
    pub fn read(&self, path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
        // A device or a fifo in the place of the file would act, or hang, on opening.
        if !self.stat(path)?.is_some_and(|stat| is_file(&stat)) {
            return Ok(None);
        }
        let Some(file) = self.open_below(path, OFlags::RDONLY | OFlags::NONBLOCK)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        File::from(file).take(limit).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// `path` with every symlink on it resolved; what does not exist stays as written.
    pub fn resolved(&self, path: &Path) -> io::Result<PathBuf> {
        let mut rest = Vec::new();
        let mut existing = path;
        loop {
            if let Some(file) = self.open_below(existing, OFlags::PATH)? {
                let root = name_of(&self.folder)?;
                let inside = name_of(&file)?;
                let below = inside.strip_prefix(&root).map_err(|_| io::ErrorKind::NotFound)?;
                let mut whole = Path::new("/").join(below);
                whole.extend(rest.iter().rev());
                return Ok(whole);
            }
            let (Some(parent), Some(name)) = (existing.parent(), existing.file_name()) else {
                return Err(io::ErrorKind::NotFound.into());
            };
            rest.push(name);
            existing = parent;
        }
    }

    /// Makes `path` a folder, mode 0755, with its parents. What is no folder at its
    /// end makes way, as the spec asks for mount points (ace.md, "Volume Setup").
    pub fn make_folder(&self, path: &Path) -> io::Result<Place> {
        let mut parent = self.open_below(Path::new("/"), OFlags::PATH)?.ok_or(Errno::NOENT)?;
        let names: Vec<&OsStr> = path
            .components()
            .filter_map(|part| match part {
                Component::Normal(name) => Some(name),
                _ => None,
            })
            .collect();
        let mut place = Place::Filled;
        let mut walked = PathBuf::from("/");
        for (at, name) in names.iter().enumerate() {
            let last = at + 1 == names.len();
            walked.push(name);
            let found = self.open_below(&walked, OFlags::PATH)?;
            let folder = match &found {
                Some(file) => is_folder(&rustix::fs::fstat(file)?),
                None => false,
            };
            if !folder {
                // A dangling symlink is there without leading anywhere: it makes way as well.
                let something = self.lstat(&walked)?.is_some();
                if something && !last {
                    return Err(io::ErrorKind::NotADirectory.into());
                }
                if something {
                    rustix::fs::unlinkat(&parent, *name, rustix::fs::AtFlags::empty())?;
                }
                rustix::fs::mkdirat(&parent, *name, Mode::from_raw_mode(0o755))?;
                place = if something { Place::Replaced } else { Place::Made };
            }
            parent = match found {
                Some(file) if folder => file,
                _ => {
                    let made = self
                        .open_below(&walked, OFlags::RDONLY | OFlags::DIRECTORY)?
                        .ok_or(Errno::NOENT)?;
                    // Whatever the umask is.
                    rustix::fs::fchmod(&made, Mode::from_raw_mode(0o755))?;
                    made
                }
            };
        }
        if place == Place::Filled && self.is_empty(path)? {
            place = Place::Empty;
        }
        Ok(place)
    }

    /// Makes `path` a regular file, for another to be mounted over it, with folders above it as
    /// [`Root::make_folder`] makes them.
    pub fn make_file(&self, path: &Path) -> io::Result<Place> {
        match self.stat(path)? {
            Some(stat) if is_folder(&stat) => return Err(io::ErrorKind::IsADirectory.into()),
            Some(_) => return Ok(Place::Filled),
            None => {}
        }
        let above = path.parent().unwrap_or(Path::new("/"));
        self.make_folder(above)?;
        let folder = self.open_below(above, OFlags::PATH)?.ok_or(Errno::NOENT)?;
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        rustix::fs::openat(folder, name, flags | OFlags::NOFOLLOW, Mode::from_raw_mode(0o644))?;
        Ok(Place::Made)
    }

    fn is_empty(&self, path: &Path) -> io::Result<bool> {
        let Some(folder) = self.open_below(path, OFlags::RDONLY | OFlags::DIRECTORY)? else {
            return Ok(true);
        };
        for entry in rustix::fs::Dir::read_from(&folder)? {
            if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn open_below(&self, path: &Path, flags: OFlags) -> io::Result<Option<OwnedFd>> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        // The empty path names nothing; the root does.
        let path = if path.as_os_str().is_empty() { Path::new("/") } else { path };
        match rustix::fs::openat2(
            &self.folder,
            path,
            flags | OFlags::CLOEXEC,
            Mode::empty(),
            resolve,
        ) {
            Ok(file) => Ok(Some(file)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether it is a folder.
pub fn is_folder(stat: &Stat) -> bool {
    rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir()
}

/// Whether it is a regular file.
pub fn is_file(stat: &Stat) -> bool {
    rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file()
}

fn name_of(file: &OwnedFd) -> io::Result<PathBuf> {
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    let name = rustix::fs::readlink(link, Vec::new())?;
    Ok(PathBuf::from(std::ffi::OsString::from_vec(name.into_bytes())))
}

/// `path` from the root, without `.` and doubled slashes; `None` where it is not
/// absolute, holds `..`, or a NUL, which no mount can.
pub fn clean(path: &str) -> Option<PathBuf> {
    let path = Path::new(path);
    if !path.is_absolute() || path.as_os_str().as_bytes().contains(&0) {
        return None;
    }
    path.components().all(|part| part != Component::ParentDir).then(|| path.components().collect())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn root_follows_links_inside_and_never_leaves() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "host").unwrap();
        let rootfs = tempfile::tempdir().unwrap();
        let at = |name: &str| rootfs.path().join(name);
        fs::create_dir_all(at("real/etc")).unwrap();
        fs::write(at("real/etc/passwd"), "inside").unwrap();
        symlink("/real/etc", at("etc")).unwrap();
        symlink(outside.path().join("secret"), at("leak")).unwrap();
        symlink("../../../../../../../../../../etc/hostname", at("climb")).unwrap();
        symlink("loop", at("loop")).unwrap();

        let root = Root::open(rootfs.path()).unwrap();
        assert_eq!(root.read(Path::new("/etc/passwd"), 99).unwrap().unwrap(), b"inside");
        assert_eq!(root.read(Path::new("/etc/passwd"), 3).unwrap().unwrap(), b"ins");
        for absent in ["/leak", "/climb", "/loop", "/none", "/real/etc/passwd/x"] {
            assert!(root.read(Path::new(absent), 99).unwrap().is_none(), "{absent}");
            assert!(root.stat(Path::new(absent)).unwrap().is_none(), "{absent}");
        }
        assert!(root.lstat(Path::new("/leak")).unwrap().is_some());
        assert_eq!(
            root.resolved(Path::new("/etc/new/deep")).unwrap(),
            Path::new("/real/etc/new/deep")
        );
        assert_eq!(root.resolved(Path::new("/")).unwrap(), Path::new("/"));
    }

    #[test]
    fn make_folder_creates_replaces_and_stays_inside() {
        let outside = tempfile::tempdir().unwrap();
        let rootfs = tempfile::tempdir().unwrap();
        let at = |name: &str| rootfs.path().join(name);
        fs::write(at("file"), "x").unwrap();
        fs::create_dir_all(at("full/inner")).unwrap();
        symlink(outside.path(), at("out")).unwrap();
        symlink("/full", at("link")).unwrap();
        let root = Root::open(rootfs.path()).unwrap();
        let make = |path: &str| root.make_folder(Path::new(path));

        assert_eq!(make("/a/b/c").unwrap(), Place::Made);
        let mode = fs::metadata(at("a/b")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o755);
        assert_eq!(make("/a/b/c").unwrap(), Place::Empty);
        assert_eq!(make("/full").unwrap(), Place::Filled);
        assert_eq!(make("/link/inner").unwrap(), Place::Empty);
        assert_eq!(make("/file").unwrap(), Place::Replaced);
        assert!(at("file").is_dir());
        // A link out of the rootfs dangles inside it.
        assert!(make("/out/x").is_err());
        assert_eq!(make("/out").unwrap(), Place::Replaced);
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    #[test]
    fn clean_wants_an_absolute_path_without_dots() {
        assert_eq!(clean("/a//b/./c/").unwrap(), Path::new("/a/b/c"));
        assert_eq!(clean("/").unwrap(), Path::new("/"));
        for bad in ["a", "", "/a/../b", "/..", "/a\0b"] {
            assert!(clean(bad).is_none(), "{bad:?}");
        }
    }
}
