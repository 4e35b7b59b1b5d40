//! Walking a tree in canonical order, from folder to folder by open descriptors.
//!
//! Nothing is reached by its whole path. So no link that somebody puts in the place of a folder
//! while a tree is packed leads out of it, and paths may be longer than the kernel takes
//! (`PATH_MAX`). A stack stands in for recursion.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{
    Access, AtFlags, CWD, FileType, Mode, OFlags, RawDir, Stat, StatxAttributes, StatxFlags,
};
use rustix::io::Errno;

use crate::attributes;
use crate::error::{Problem, ProblemKind};
use crate::ignore::{IGNORE_FILE, Ignore};

/// Folders kept open at once; of deeper trees the upper ones are opened again on the way back.
const OPEN_FOLDERS: usize = 128;

/// Device and inode: what makes a file one file. Two file systems below one root share inode
/// numbers.
pub(crate) type Identity = (u64, u64);

#[expect(clippy::useless_conversion, reason = "the fields are wider on some platforms")]
pub(crate) fn identity(stat: &Stat) -> Identity {
    (stat.st_dev.into(), stat.st_ino.into())
}

pub(crate) fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// A build that a tree is copied into, which may lie in that tree.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Destination {
    /// The folder of the build, where it has its name already.
    pub(crate) folder: Option<Identity>,
}

impl Destination {
    /// Whether a file is the build, or is half written by a command like this one.
    fn is(self, stat: &Stat, name: &OsStr) -> bool {
        self.folder == Some(identity(stat)) || aci::stage::is_staged(name)
    }
}

/// Something in the tree.
pub(crate) struct Found {
    /// The path below the root, empty for the root itself.
    pub(crate) below: Vec<u8>,
    /// What it was when it was found, links not followed.
    pub(crate) stat: Stat,
    /// The folder it is in.
    folder: Arc<OwnedFd>,
    /// The folder that it is.
    itself: Option<Arc<OwnedFd>>,
}

impl Found {
    fn name(&self) -> &OsStr {
        name_of(&self.below)
    }

    pub(crate) fn file_name(&self) -> &[u8] {
        self.name().as_bytes()
    }

    pub(crate) fn kind(&self) -> FileType {
        file_type(&self.stat)
    }

    pub(crate) fn is_directory(&self) -> bool {
        self.kind() == FileType::Directory
    }

    /// Opens a regular file without following a link, waiting for a pipe, or touching its access
    /// time.
    pub(crate) fn open(&self) -> io::Result<File> {
        Ok(open_quietly(&*self.folder, self.name(), OFlags::NOFOLLOW | OFlags::NONBLOCK)?.into())
    }

    /// What has this name now.
    pub(crate) fn look_again(&self) -> io::Result<Stat> {
        Ok(rustix::fs::statat(&*self.folder, self.name(), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Whether this process may read it.
    pub(crate) fn may_read(&self) -> bool {
        rustix::fs::accessat(&*self.folder, self.name(), Access::READ_OK, AtFlags::EACCESS).is_ok()
    }

    /// Where a symlink points to.
    pub(crate) fn target(&self) -> io::Result<Vec<u8>> {
        Ok(rustix::fs::readlinkat(&*self.folder, self.name(), Vec::new())?.into_bytes())
    }

    /// The extended attributes of anything but a regular file.
    pub(crate) fn attributes(&self) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        if let Some(folder) = &self.itself {
            return attributes::read(&attributes::From::Open(folder.as_fd()));
        }
        // A link or a device cannot be opened for this, and a call that takes a folder and a name
        // is too new to count on (`listxattrat`, Linux 6.13).
        let folder = PathBuf::from(format!("/proc/self/fd/{}", self.folder.as_raw_fd()));
        attributes::read(&attributes::From::Path(&folder.join(self.name())))
    }
}

/// Gives what is in a tree: depth first, the names of each folder in byte order, which is the
/// order of paths compared segment by segment.
pub(crate) struct Walk<'a> {
    root: &'a Path,
    ignore: &'a Ignore,
    one_file_system: bool,
    /// The one name of the root that is meant, without the root itself.
    pub(crate) only: Option<&'a OsStr>,
    /// Whether `.aciignore` in the root is a file like others.
    pub(crate) keeps_ignore_file: bool,
    /// What the tree is copied into.
    pub(crate) destination: Option<Destination>,
    levels: Vec<Level>,
    started: bool,
    /// What the ignore patterns have left out; a folder counts as one.
    pub(crate) ignored: u64,
}

/// A folder that the walk is in.
struct Level {
    below: Vec<u8>,
    identity: Identity,
    /// Absent while the walk is far below.
    open: Option<Arc<OwnedFd>>,
    names: std::vec::IntoIter<Vec<u8>>,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(root: &'a Path, ignore: &'a Ignore, one_file_system: bool) -> Self {
        Self {
            root,
            ignore,
            one_file_system,
            only: None,
            keeps_ignore_file: false,
            destination: None,
            levels: Vec::new(),
            started: false,
            ignored: 0,
        }
    }

    /// The next thing there is, or what is wrong with it. The walk goes on after a problem.
    fn step(&mut self) -> Result<Option<Found>, Problem> {
        if !self.started {
            self.started = true;
            // Who may enter a folder need not be allowed to read it.
            let how = if self.only.is_some() { OFlags::PATH } else { OFlags::empty() };
            let open = open_quietly(CWD, self.root, how | OFlags::DIRECTORY);
            let open = open.map_err(|error| self.unreadable(b"", error))?;
            let root = self.enter(Vec::new(), open, None)?;
            if self.only.is_none() {
                return Ok(Some(root));
            }
        }
        loop {
            let Some(level) = self.levels.last_mut() else { return Ok(None) };
            let Some(name) = level.names.next() else {
                self.leave()?;
                continue;
            };
            let mut below = level.below.clone();
            if !below.is_empty() {
                below.push(b'/');
            }
            below.extend_from_slice(&name);
            let Some(folder) = level.open.clone() else {
                return Err(self.unreadable(&below, Errno::BADF));
            };
            if let Some(found) = self.look(below, folder)? {
                return Ok(Some(found));
            }
        }
    }

    /// Looks at one name of a folder; `None` where it is left out.
    fn look(&mut self, below: Vec<u8>, folder: Arc<OwnedFd>) -> Result<Option<Found>, Problem> {
        let name = name_of(&below);
        let stat = rustix::fs::statat(&*folder, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| self.unreadable(&below, error))?;
        let directory = file_type(&stat) == FileType::Directory;
        if below == IGNORE_FILE && !self.keeps_ignore_file {
            return Ok(None);
        }
        // acbuild copied the build into itself.
        if self.destination.is_some_and(|it| it.is(&stat, name)) {
            return Ok(None);
        }
        if self.ignore.hides(&below, directory) {
            self.ignored += 1;
            return Ok(None);
        }
        if !directory {
            let mounted =
                || Self::is_mounted(&folder, name).map_err(|error| self.unreadable(&below, error));
            if self.one_file_system && mounted()? {
                return Err(self.problem(&below, ProblemKind::MountedFile));
            }
            return Ok(Some(Found { below, stat, folder, itself: None }));
        }
        let open = open_quietly(&*folder, name, OFlags::DIRECTORY | OFlags::NOFOLLOW)
            .map_err(|error| self.unreadable(&below, error))?;
        self.enter(below, open, Some(folder)).map(Some)
    }

    /// Reads the names of a folder, and stands in it.
    fn enter(
        &mut self,
        below: Vec<u8>,
        open: OwnedFd,
        folder: Option<Arc<OwnedFd>>,
    ) -> Result<Found, Problem> {
        let unreadable = |error| self.unreadable(&below, error);
        let stat = rustix::fs::fstat(&open).map_err(unreadable)?;
        let identity = identity(&stat);
        let mut names = Vec::new();
        let is_root_of_one = self.only.is_some() && below.is_empty();
        if is_root_of_one
            || !(self.one_file_system
                && self.is_mount_point(&open, identity).map_err(unreadable)?)
        {
            self.check_folder(&below, &open, identity)?;
            names = match self.only.filter(|_| below.is_empty()) {
                Some(only) => vec![only.as_bytes().to_vec()],
                None => self::names(&open).map_err(unreadable)?,
            };
        }
        let open = Arc::new(open);
        let level = Level {
            below: below.clone(),
            identity,
            open: Some(open.clone()),
            names: names.into_iter(),
        };
        self.levels.push(level);
        if let Some(far) = self.levels.len().checked_sub(OPEN_FOLDERS + 1) {
            self.levels[far].open = None;
        }
        let folder = folder.unwrap_or_else(|| open.clone());
        Ok(Found { below, stat, folder, itself: Some(open) })
    }

    /// Refuses folders whose content is no content of a tree.
    fn check_folder(&self, below: &[u8], open: &OwnedFd, found: Identity) -> Result<(), Problem> {
        // A mount of a folder into itself: its files would be packed over and over.
        if let Some(ancestor) = self.levels.iter().find(|level| level.identity == found) {
            let ancestor = self.path(&ancestor.below);
            return Err(self.problem(below, ProblemKind::Cycle(ancestor)));
        }
        let same_device = self.levels.last().is_some_and(|level| level.identity.0 == found.0);
        if !same_device && is_pseudo(open).map_err(|error| self.unreadable(below, error))? {
            return Err(self.problem(below, ProblemKind::PseudoFileSystem));
        }
        Ok(())
    }

    /// Goes back to the folder above, which is opened again if it had to be closed.
    fn leave(&mut self) -> Result<(), Problem> {
        let Some(left) = self.levels.pop() else { return Ok(()) };
        let Some(above) = self.levels.last_mut() else { return Ok(()) };
        if above.open.is_some() {
            return Ok(());
        }
        let reopened = left.open.ok_or(Errno::BADF).and_then(|open| {
            let above = open_quietly(&*open, OsStr::new(".."), OFlags::DIRECTORY)?;
            let stat = rustix::fs::fstat(&above)?;
            Ok((above, identity(&stat)))
        });
        match reopened {
            Ok((open, found)) if found == above.identity => {
                above.open = Some(Arc::new(open));
                Ok(())
            }
            // A folder that was moved away while the walk was below it.
            Ok(_) => Err(self.give_up(&left.below, ProblemKind::Moved)),
            Err(error) => {
                let why = io::Error::from(error).to_string();
                Err(self.give_up(&left.below, ProblemKind::Unreadable(why)))
            }
        }
    }

    /// A problem after which there is no way back.
    fn give_up(&mut self, below: &[u8], kind: ProblemKind) -> Problem {
        self.levels.clear();
        self.problem(below, kind)
    }

    fn is_mount_point(&self, open: &OwnedFd, found: Identity) -> rustix::io::Result<bool> {
        let Some(root) = self.levels.first() else { return Ok(false) };
        // The device tells other file systems; a bind mount of the same one tells itself.
        Ok(root.identity.0 != found.0 || Self::is_mounted(open, OsStr::new(""))?)
    }

    /// Whether something is mounted where this name is; no name means the folder itself. The
    /// device of a file does not tell: on overlayfs it is another one than that of its folder.
    fn is_mounted(folder: &OwnedFd, name: &OsStr) -> rustix::io::Result<bool> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH;
        let found = rustix::fs::statx(folder, name, flags, StatxFlags::empty())?;
        Ok(found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
    }

    fn unreadable(&self, below: &[u8], error: Errno) -> Problem {
        self.problem(below, ProblemKind::Unreadable(io::Error::from(error).to_string()))
    }

    fn problem(&self, below: &[u8], kind: ProblemKind) -> Problem {
        Problem { path: self.path(below), kind }
    }

    fn path(&self, below: &[u8]) -> PathBuf {
        path_of(self.root, below)
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<Found, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

/// Where something of the tree is, for people.
pub(crate) fn path_of(root: &Path, below: &[u8]) -> PathBuf {
    if below.is_empty() { root.to_owned() } else { root.join(OsStr::from_bytes(below)) }
}

fn name_of(below: &[u8]) -> &OsStr {
    let name = below.rsplit(|&b| b == b'/').next().unwrap_or(below);
    OsStr::from_bytes(if name.is_empty() { b"." } else { name })
}

fn names(folder: &OwnedFd) -> rustix::io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    let mut buffer = Vec::with_capacity(32 << 10);
    let mut entries = RawDir::new(folder, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// File systems whose files are made up when they are read: their sizes say nothing.
fn is_pseudo(folder: &OwnedFd) -> rustix::io::Result<bool> {
    const SYSFS_MAGIC: u64 = 0x6265_6572;
    let kind = rustix::fs::fstatfs(folder)?.f_type;
    Ok(kind == rustix::fs::PROC_SUPER_MAGIC || u64::try_from(kind) == Ok(SYSFS_MAGIC))
}

/// Opens for reading, without touching the access time where this user may choose that.
fn open_quietly(
    folder: impl AsFd,
    path: impl AsRef<OsStr>,
    flags: OFlags,
) -> rustix::io::Result<OwnedFd> {
    let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC;
    let open = |flags| rustix::fs::openat(&folder, path.as_ref(), flags, Mode::empty());
    match open(flags | OFlags::NOATIME) {
        // Only the owner may leave the access time alone.
        Err(Errno::PERM) => open(flags),
        other => other,
    }
}
