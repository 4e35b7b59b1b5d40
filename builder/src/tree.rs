//! What is found in a tree becomes archive entries.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use aci::Limits;
use aci::archive::{Entry, EntryKind, PathBytes};
use rustix::fs::{FileType, Stat};

use crate::attributes;
use crate::context::{Device, Properties, Property};
use crate::error::{PackError, Problem, ProblemKind};
use crate::ignore::Ignore;
use crate::overrides::{Override, Overrides};
use crate::owner::{Overflow, Owner, Unknown};
use crate::pack::NotRead;
use crate::walk::{Destination, Found, Identity, Walk, file_type, identity, path_of};

/// What a first look at a tree has shown.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// Bytes of content, hard links counted once.
    pub(crate) bytes: u64,
    /// The newest modification time.
    pub(crate) newest: i64,
    /// Sockets left out.
    pub(crate) sockets: u64,
    /// What the ignore patterns left out.
    pub(crate) ignored: u64,
    /// Names that begin with `.wh.`, which layered formats take for deletions.
    pub(crate) whiteout_names: u64,
    /// Files whose owner may be one that has no ID here.
    pub(crate) unknown_owners: u64,
    /// Whether there is a context of acbuild in the root.
    pub(crate) build_context: bool,
}

/// A tree, and how it is packed.
pub(crate) struct Tree<'a> {
    pub(crate) root: &'a Path,
    /// The one thing of the root that is meant, without the root itself.
    pub(crate) only: Option<&'a OsStr>,
    pub(crate) owner: &'a Owner,
    pub(crate) overrides: &'a Overrides,
    /// What files are that the disk cannot say.
    pub(crate) recorded: Option<&'a Properties>,
    pub(crate) ignore: &'a Ignore,
    /// Whether `.aciignore` in the root is a file like others.
    pub(crate) keeps_ignore_file: bool,
    /// No time in the image is later than this.
    pub(crate) latest: Option<i64>,
    pub(crate) skip_sockets: bool,
    pub(crate) one_file_system: bool,
    /// Whether it is copied into the build that is this folder, where there is one: that is left
    /// out, and so is what is half written.
    pub(crate) destination: Option<Destination>,
    /// The image file that is written, and the folder it will lie in.
    pub(crate) output: Option<(&'a Path, Identity)>,
}

impl<'a> Tree<'a> {
    fn walk(&self) -> Walk<'a> {
        let mut walk = Walk::new(self.root, self.ignore, self.one_file_system);
        walk.only = self.only;
        walk.keeps_ignore_file = self.keeps_ignore_file;
        walk.destination = self.destination;
        walk
    }

    fn path(&self, found: &Found) -> PathBuf {
        path_of(self.root, &found.below)
    }

    /// Looks at everything, reads nothing, and reports every problem at once.
    pub(crate) fn survey(&self) -> Result<Survey, PackError> {
        self.look(|_| Ok(()))
    }

    /// Looks at everything, and gives what there is until something is wrong.
    fn look(
        &self,
        mut each: impl FnMut(Found) -> Result<(), PackError>,
    ) -> Result<Survey, PackError> {
        let mut look = Look {
            tree: self,
            survey: Survey { newest: i64::MIN, ..Survey::default() },
            links: Links::default(),
            problems: Vec::new(),
            used: vec![false; self.overrides.0.len()],
            overflow: Overflow::here(),
            limits: Limits::default(),
            is_root: rustix::process::geteuid().is_root(),
        };
        let (mut walk, mut given) = (self.walk(), Ok(()));
        for found in walk.by_ref() {
            match found {
                Ok(found) => {
                    look.at(&found)?;
                    if given.is_ok() && look.problems.is_empty() {
                        given = each(found);
                    }
                }
                Err(problem) => look.problems.push(problem),
            }
        }
        look.survey.ignored = walk.ignored;
        if !look.problems.is_empty() {
            return Err(PackError::Problems(look.problems));
        }
        let unused = self.overrides.0.iter().zip(look.used).filter(|(_, used)| !used);
        let unused: Vec<_> = unused.map(|(rule, _)| rule.clone()).collect();
        if !unused.is_empty() {
            return Err(PackError::Unmatched(unused));
        }
        given.map(|()| look.survey)
    }

    /// Gives every entry, in canonical order, with the open file where it has content.
    pub(crate) fn entries(
        &self,
        mut each: impl FnMut(&Entry, Option<Opened>) -> Result<(), PackError>,
    ) -> Result<(), PackError> {
        let mut links = Links::default();
        for found in self.walk() {
            let found = found.map_err(|problem| PackError::Problems(vec![problem]))?;
            self.give(found, &mut links, &mut each)?;
        }
        Ok(())
    }

    /// The same with a survey in one walk: what was given counts only where that found no problem.
    pub(crate) fn surveyed_entries(
        &self,
        mut each: impl FnMut(&Entry, Option<Opened>) -> Result<(), PackError>,
    ) -> Result<Survey, PackError> {
        let mut links = Links::default();
        self.look(|found| self.give(found, &mut links, &mut each))
    }

    /// Gives the entry of what was found.
    fn give(
        &self,
        found: Found,
        links: &mut Links<PathBytes>,
        each: &mut impl FnMut(&Entry, Option<Opened>) -> Result<(), PackError>,
    ) -> Result<(), PackError> {
        let failed = |source| PackError::Read { path: self.path(&found), source };
        if found.kind() == FileType::Socket && self.skip_sockets {
            return Ok(());
        }
        if let Some(target) = links.first(&found.stat, || archive_path(&found.below)) {
            // The first name has the attributes; a link has none of its own.
            let kind = EntryKind::HardLink { target };
            each(&self.entry(&found, kind, &found.stat, Vec::new())?, None)
        } else if let Some(kind) = self.device(&found) {
            each(&self.entry(&found, kind, &found.stat, Vec::new())?, None)
        } else if found.kind() == FileType::RegularFile {
            self.file(found, each)
        } else {
            let kind = special(&found).map_err(failed)?;
            let attributes = found.attributes().map_err(failed)?;
            each(&self.entry(&found, kind, &found.stat, attributes)?, None)
        }
    }

    /// The device that a file on disk stands for.
    fn device(&self, found: &Found) -> Option<EntryKind> {
        let property = self.recorded?.of(&found.below)?;
        property.device.filter(|_| found.kind() == FileType::RegularFile).map(Device::kind)
    }

    /// What the record and the rules say of a file, of which these count more.
    fn change(&self, found: &Found, stat: &Stat, used: impl FnMut(usize)) -> Override {
        let own = self.recorded.and_then(|recorded| recorded.of(&found.below));
        let own = own.map(Property::as_override).unwrap_or_default();
        own.then(self.overrides.of(&found.below, file_type(stat), used))
    }

    fn file(
        &self,
        found: Found,
        each: &mut impl FnMut(&Entry, Option<Opened>) -> Result<(), PackError>,
    ) -> Result<(), PackError> {
        let path = self.path(&found);
        let failed = |source| PackError::Read { path: path.clone(), source };
        let file = found.open().map_err(failed)?;
        let before = rustix::fs::fstat(&file).map_err(|error| failed(error.into()))?;
        // Whoever put a pipe, or another file, in its place would have us wait, or read that.
        if file_type(&before) != FileType::RegularFile || identity(&before) != identity(&found.stat)
        {
            return Err(PackError::Changed { path });
        }
        let attributes = attributes::read(&attributes::From::Open(file.as_fd())).map_err(failed)?;
        let kind = EntryKind::File { size: u64::try_from(before.st_size).unwrap_or(0) };
        let entry = self.entry(&found, kind, &before, attributes)?;
        each(&entry, Some(Opened { file, before, found, path }))
    }

    fn entry(
        &self,
        found: &Found,
        kind: EntryKind,
        stat: &Stat,
        mut attributes: Vec<(Vec<u8>, Vec<u8>)>,
    ) -> Result<Entry, PackError> {
        let change = self.change(found, stat, |_| ());
        let problem = |kind| PackError::Problems(vec![Problem { path: self.path(found), kind }]);
        let (uid, gid) = self.owner_of(stat, &change).map_err(problem)?;
        // What a rule gives stands in the image as it is given.
        for (name, value) in attributes.iter_mut().filter(|(name, _)| !change.gives(name)) {
            let moved = self.owner.attribute(name, value);
            *value = moved.ok_or_else(|| problem(ProblemKind::UnmappedAttribute(name.clone())))?;
        }
        // A symlink's mode says nothing, and differs between file systems.
        let own = if file_type(stat) == FileType::Symlink { 0o777 } else { stat.st_mode & 0o7777 };
        let mode = change.mode.unwrap_or(own);
        let xattrs = match kind {
            EntryKind::HardLink { .. } => attributes,
            _ => change.attributes(attributes),
        };
        let path = archive_path(&found.below);
        Ok(Entry { path, kind, mode, uid, gid, mtime: self.time(stat), xattrs })
    }

    fn owner_of(&self, stat: &Stat, change: &Override) -> Result<(u32, u32), ProblemKind> {
        let (uid, gid) = (stat.st_uid, stat.st_gid);
        change.owner.or_else(|| self.owner.of(uid, gid)).ok_or(ProblemKind::Unmapped(uid, gid))
    }

    /// Whole seconds; the kernel counts fractions forward, so this cuts towards the past.
    fn time(&self, stat: &Stat) -> i64 {
        stat.st_mtime.min(self.latest.unwrap_or(i64::MAX))
    }
}

/// A regular file that is open to be read, on any thread.
pub(crate) struct Opened {
    pub(crate) file: File,
    /// What it was when it was opened.
    before: Stat,
    found: Found,
    path: PathBuf,
}

impl Opened {
    /// Whether there may be hard links to it.
    pub(crate) fn has_other_names(&self) -> bool {
        self.before.st_nlink > 1
    }

    /// Lets somebody read it, and sees to it that it did not change meanwhile.
    pub(crate) fn read(
        mut self,
        read: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> Result<(), PackError> {
        let path = self.path;
        if let Err(error) = read(&mut self.file) {
            return Err(match error.kind() {
                io::ErrorKind::InvalidData => PackError::Changed { path },
                _ => match error.downcast::<NotRead>() {
                    Ok(NotRead(source)) => PackError::Read { path, source },
                    // The writer's own trouble is said where it happened.
                    Err(error) => PackError::Write(error),
                },
            });
        }
        // By its name: a file that another one took the place of has changed too.
        let after = match self.found.look_again() {
            Ok(after) => after,
            Err(source) => return Err(PackError::Read { path, source }),
        };
        let state = |s: &Stat| (identity(s), s.st_size, s.st_mtime, s.st_mtime_nsec);
        let same = state(&self.before) == state(&after);
        if same { Ok(()) } else { Err(PackError::Changed { path }) }
    }
}

/// A look at a tree that is under way.
struct Look<'a> {
    tree: &'a Tree<'a>,
    survey: Survey,
    links: Links<(PathBuf, Override)>,
    problems: Vec<Problem>,
    /// Which rules have changed something.
    used: Vec<bool>,
    overflow: Overflow,
    limits: Limits,
    /// Of root, opening a file tells whether it can be read, and nothing else.
    is_root: bool,
}

impl Look<'_> {
    fn at(&mut self, found: &Found) -> Result<(), PackError> {
        let tree = self.tree;
        if let Some((output, folder)) = tree.output
            && found.is_directory()
            && identity(&found.stat) == folder
        {
            let (output, tree) = (output.to_owned(), tree.root.to_owned());
            return Err(PackError::OutputInside { output, tree });
        }
        if found.kind() == FileType::Socket {
            self.survey.sockets += 1;
            if !tree.skip_sockets {
                self.problem(found, ProblemKind::Socket);
            }
            return Ok(());
        }
        if found.kind() == FileType::CharacterDevice && found.stat.st_rdev == 0 {
            self.problem(found, ProblemKind::Whiteout);
        }
        let used = &mut self.used;
        let change = tree.change(found, &found.stat, |rule| used[rule] = true);
        self.owner(found, &change);
        self.name(found);
        let limits = &self.limits;
        let depth = found.below.iter().filter(|&&byte| byte == b'/').count() + 2;
        if "rootfs/".len() + found.below.len() > limits.path_bytes || depth > limits.path_depth {
            self.problem(found, ProblemKind::TooLong);
        }
        self.survey.newest = self.survey.newest.max(tree.time(&found.stat));
        if found.kind() == FileType::RegularFile && !self.is_root && !found.may_read() {
            self.problem(found, ProblemKind::Unreadable("permission denied".to_owned()));
        }
        let first = self.links.first(&found.stat, || (tree.path(found), change.clone()));
        match first {
            Some((first, said)) if said != change => {
                self.problem(found, ProblemKind::OtherName(first));
            }
            None if found.kind() == FileType::RegularFile && tree.device(found).is_none() => {
                self.survey.bytes += u64::try_from(found.stat.st_size).unwrap_or(0);
            }
            _ => {}
        }
        Ok(())
    }

    fn owner(&mut self, found: &Found, change: &Override) {
        if let Err(kind) = self.tree.owner_of(&found.stat, change) {
            self.problem(found, kind);
        } else if change.owner.is_none() && !matches!(self.tree.owner, Owner::Fixed { .. }) {
            match self.overflow.unknown(found.stat.st_uid, found.stat.st_gid) {
                Unknown::No => {}
                Unknown::Perhaps => self.survey.unknown_owners += 1,
                Unknown::Yes => self.problem(found, ProblemKind::UnknownOwner),
            }
        }
    }

    fn name(&mut self, found: &Found) {
        if found.file_name().starts_with(b".wh.") {
            self.survey.whiteout_names += 1;
        }
        self.survey.build_context |= found.below == b".acbuild" && found.is_directory();
    }

    fn problem(&mut self, found: &Found, kind: ProblemKind) {
        self.problems.push(Problem { path: self.tree.path(found), kind });
    }
}

/// The files that have several names, while there are names to come.
struct Links<T>(HashMap<Identity, (T, u64)>);

impl<T> Default for Links<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Clone> Links<T> {
    /// What was kept of the first name of this file, or `None` where this is it.
    #[expect(clippy::useless_conversion, reason = "the count is narrower on some platforms")]
    fn first(&mut self, stat: &Stat, keep: impl FnOnce() -> T) -> Option<T> {
        let names = u64::from(stat.st_nlink);
        if names < 2 || file_type(stat) == FileType::Directory {
            return None;
        }
        let key = identity(stat);
        let Some((first, left)) = self.0.get_mut(&key) else {
            self.0.insert(key, (keep(), names - 1));
            return None;
        };
        *left -= 1;
        let (first, left) = (first.clone(), *left);
        // Memory is for files whose names are still to come, not for all there were.
        if left == 0 {
            self.0.remove(&key);
        }
        Some(first)
    }
}

/// `rootfs`, or `rootfs/` and the path below the root.
fn archive_path(below: &[u8]) -> PathBytes {
    if below.is_empty() { "rootfs".into() } else { PathBytes([b"rootfs/", below].concat()) }
}

fn special(found: &Found) -> io::Result<EntryKind> {
    let device = (rustix::fs::major(found.stat.st_rdev), rustix::fs::minor(found.stat.st_rdev));
    match found.kind() {
        FileType::Directory => Ok(EntryKind::Directory),
        FileType::Symlink => Ok(EntryKind::Symlink { target: PathBytes(found.target()?) }),
        FileType::CharacterDevice => Ok(EntryKind::Character { device }),
        FileType::BlockDevice => Ok(EntryKind::Block { device }),
        FileType::Fifo => Ok(EntryKind::Fifo),
        _ => Err(io::Error::other("a kind of file no archive can hold")),
    }
}

#[cfg(test)]
mod tests;
