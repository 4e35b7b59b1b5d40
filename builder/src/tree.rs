//! Walking a tree in canonical order, and turning what is found into archive entries.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use aci::archive::{Entry, EntryKind, PathBytes};
use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags};
use walkdir::WalkDir;

use crate::attributes;
use crate::error::{PackError, Problem, ProblemKind};

/// Whose the files are in the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// All belong to this user and group.
    Fixed {
        /// User ID.
        uid: u32,
        /// Group ID.
        gid: u32,
    },
    /// As they are on disk.
    Keep,
}

/// What a first look at a tree has shown.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// Bytes of content, hard links counted once.
    pub(crate) bytes: u64,
    /// The newest modification time.
    pub(crate) newest: i64,
    /// Sockets left out.
    pub(crate) sockets: u64,
    /// Names that begin with `.wh.`, which layered formats take for deletions.
    pub(crate) whiteout_names: u64,
}

/// How a tree is walked.
pub(crate) struct Tree<'a> {
    pub(crate) root: &'a Path,
    pub(crate) owner: Owner,
    /// No time in the image is later than this.
    pub(crate) latest: Option<i64>,
    pub(crate) skip_sockets: bool,
    pub(crate) one_file_system: bool,
}

impl Tree<'_> {
    /// Depth first, the names of each folder in byte order: the order of the paths
    /// compared segment by segment.
    fn walk(&self) -> impl Iterator<Item = walkdir::Result<walkdir::DirEntry>> {
        WalkDir::new(self.root)
            .same_file_system(self.one_file_system)
            .sort_by_file_name()
            .into_iter()
    }

    /// Looks at everything, reads nothing, and reports every problem at once.
    pub(crate) fn survey(&self) -> Result<Survey, PackError> {
        let mut survey = Survey { newest: i64::MIN, ..Survey::default() };
        let mut links = HashMap::new();
        let mut problems = Vec::new();
        // Root may read everything; others are asked before, not in the middle of the work.
        let ask = !rustix::process::geteuid().is_root();
        for entry in self.walk() {
            let found = entry.and_then(|entry| Ok((entry.metadata()?, entry)));
            let (metadata, entry) = match found {
                Ok(found) => found,
                Err(error) => {
                    problems.push(unreadable(&error));
                    continue;
                }
            };
            let kind = metadata.file_type();
            let problem = |kind| Problem { path: entry.path().to_owned(), kind };
            if kind.is_socket() {
                survey.sockets += 1;
                if !self.skip_sockets {
                    problems.push(problem(ProblemKind::Socket));
                }
                continue;
            }
            if kind.is_char_device() && metadata.rdev() == 0 {
                problems.push(problem(ProblemKind::Whiteout));
            }
            if kind.is_file() {
                if ask && !may_read(entry.path()) {
                    problems.push(problem(ProblemKind::Unreadable("permission denied".to_owned())));
                }
                if first_name(&mut links, &metadata, || ()).is_none() {
                    survey.bytes += metadata.len();
                }
            }
            if entry.file_name().as_bytes().starts_with(b".wh.") {
                survey.whiteout_names += 1;
            }
            survey.newest = survey.newest.max(self.time(&metadata));
        }
        if problems.is_empty() { Ok(survey) } else { Err(PackError::Problems(problems)) }
    }

    /// Gives every entry, in canonical order, with the open file where it has content.
    pub(crate) fn entries(
        &self,
        mut each: impl FnMut(&Entry, Option<&mut File>) -> io::Result<()>,
    ) -> Result<(), PackError> {
        let mut links = HashMap::new();
        for found in self.walk() {
            let found = found.map_err(|error| PackError::Problems(vec![unreadable(&error)]))?;
            let path = found.path();
            let failed = |source| PackError::Read { path: path.to_owned(), source };
            let metadata = found.metadata().map_err(|error| failed(error.into()))?;
            if metadata.file_type().is_socket() && self.skip_sockets {
                continue;
            }
            let name = self.archive_path(path);
            if let Some(target) = first_name(&mut links, &metadata, || name.clone()) {
                // The first name has the attributes; a link has none of its own.
                let entry = self.entry(name, EntryKind::HardLink { target }, &metadata, Vec::new());
                each(&entry, None)?;
            } else if metadata.is_file() {
                self.file(path, name, &metadata, &mut each)?;
            } else {
                let kind = special(path, &metadata).map_err(failed)?;
                let xattrs = attributes::read(&attributes::From::Path(path)).map_err(failed)?;
                each(&self.entry(name, kind, &metadata, xattrs), None)?;
            }
        }
        Ok(())
    }

    fn file(
        &self,
        path: &Path,
        name: PathBytes,
        expected: &Metadata,
        each: &mut impl FnMut(&Entry, Option<&mut File>) -> io::Result<()>,
    ) -> Result<(), PackError> {
        let failed = |source| PackError::Read { path: path.to_owned(), source };
        let changed = || PackError::Changed { path: path.to_owned() };
        let mut file = open(path).map_err(failed)?;
        let before = file.metadata().map_err(failed)?;
        // Whoever put a pipe, or another file, in its place would have us wait, or read that.
        if !before.is_file() || identity(&before) != identity(expected) {
            return Err(changed());
        }
        let xattrs = attributes::read(&attributes::From::File(&file)).map_err(failed)?;
        let kind = EntryKind::File { size: before.len() };
        let entry = self.entry(name, kind, &before, xattrs);
        each(&entry, Some(&mut file)).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => changed(),
            // The writer's own trouble is said where it happened.
            _ => PackError::Write(error),
        })?;
        let after = file.metadata().map_err(failed)?;
        let state = |m: &Metadata| (m.len(), m.mtime(), m.mtime_nsec());
        if state(&before) == state(&after) { Ok(()) } else { Err(changed()) }
    }

    fn entry(
        &self,
        path: PathBytes,
        kind: EntryKind,
        metadata: &Metadata,
        xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    ) -> Entry {
        let (uid, gid) = match self.owner {
            Owner::Fixed { uid, gid } => (uid, gid),
            Owner::Keep => (metadata.uid(), metadata.gid()),
        };
        // A symlink's mode says nothing, and differs between file systems.
        let mode = if metadata.is_symlink() { 0o777 } else { metadata.mode() & 0o7777 };
        Entry { path, kind, mode, uid, gid, mtime: self.time(metadata), xattrs }
    }

    /// Whole seconds; the kernel counts fractions forward, so this cuts towards the past.
    fn time(&self, metadata: &Metadata) -> i64 {
        metadata.mtime().min(self.latest.unwrap_or(i64::MAX))
    }

    /// `rootfs`, or `rootfs/` and the path below the root.
    fn archive_path(&self, path: &Path) -> PathBytes {
        let below = path.strip_prefix(self.root).unwrap_or(path).as_os_str().as_bytes();
        if below.is_empty() { "rootfs".into() } else { PathBytes([b"rootfs/", below].concat()) }
    }
}

/// The first name of a file that has several, or `None` where this is it. Device and
/// inode make a file: two file systems below one root share inode numbers.
fn first_name<T: Clone>(
    links: &mut HashMap<(u64, u64), T>,
    metadata: &Metadata,
    name: impl FnOnce() -> T,
) -> Option<T> {
    if metadata.nlink() < 2 || metadata.is_dir() {
        return None;
    }
    let key = identity(metadata);
    let first = links.get(&key).cloned();
    if first.is_none() {
        links.insert(key, name());
    }
    first
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn special(path: &Path, metadata: &Metadata) -> io::Result<EntryKind> {
    let kind = metadata.file_type();
    let device = || {
        let device = metadata.rdev();
        (rustix::fs::major(device), rustix::fs::minor(device))
    };
    if kind.is_dir() {
        Ok(EntryKind::Directory)
    } else if kind.is_symlink() {
        let target = std::fs::read_link(path)?;
        Ok(EntryKind::Symlink { target: target.as_os_str().as_bytes().into() })
    } else if kind.is_char_device() {
        Ok(EntryKind::Character { device: device() })
    } else if kind.is_block_device() {
        Ok(EntryKind::Block { device: device() })
    } else if kind.is_fifo() {
        Ok(EntryKind::Fifo)
    } else {
        Err(io::Error::other("a kind of file no archive can hold"))
    }
}

/// Opens a regular file without following a link, waiting for a pipe, or touching its access time.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let quiet = rustix::fs::open(path, flags | OFlags::NOATIME, Mode::empty());
    let fd = match quiet {
        // Only the owner may leave the access time alone.
        Err(rustix::io::Errno::PERM) => rustix::fs::open(path, flags, Mode::empty()),
        other => other,
    }?;
    Ok(fd.into())
}

fn may_read(path: &Path) -> bool {
    rustix::fs::accessat(CWD, path, Access::READ_OK, AtFlags::EACCESS).is_ok()
}

fn unreadable(error: &walkdir::Error) -> Problem {
    let path = error.path().unwrap_or(Path::new("")).to_owned();
    let why = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
    Problem { path, kind: ProblemKind::Unreadable(why) }
}
