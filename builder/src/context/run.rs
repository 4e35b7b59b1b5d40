//! A command runs in the image, and what it changed becomes a change of the context.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use discovery::bundle::Host;
use discovery::runtime::Tools;
use rustix::fs::FileType;

use super::change::Change;
use super::error::ContextError;
use super::journal::Set;
use super::lower::Lower;
use super::paths::{Place, is_below, join, path_of, split};
use super::properties::{Device, Properties, Property};
use crate::step::{self, Bytes, Engine, Helper, Kind, Network, Present, Step, StepMount};

/// A command, and how it is run.
pub struct RunStep<'a> {
    /// How this program is started again.
    pub helper: &'a Helper,
    /// What this machine and this caller can do.
    pub host: &'a Host,
    /// Programs of the machine.
    pub tools: &'a Tools,
    /// The rendered root file systems of the images it depends on, topmost first.
    pub dependencies: &'a [PathBuf],
    /// The program and its arguments.
    pub command: &'a [OsString],
    /// The whole environment.
    pub environment: &'a [(OsString, OsString)],
    /// Where the command starts.
    pub working_directory: &'a Path,
    /// Which network.
    pub network: Network,
    /// What of the host is mounted.
    pub mounts: &'a [StepMount],
    /// The host's name inside.
    pub hostname: &'a str,
    /// What starts the command.
    pub engine: Engine,
    /// Whether what it writes to standard output goes to standard error.
    pub output_to_error: bool,
    /// No file that it leaves is of a later time than this, in seconds since 1970: the next command
    /// would see when this one ran.
    pub latest: Option<i64>,
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Its exit code; where it is not 0, the change has nothing of what it did.
    pub code: u8,
    /// Whether changes of owners were answered with success and not made.
    pub faked_owners: bool,
    /// How much it removed, or replaced, of the images this one depends on.
    pub removed: u64,
}

impl Change<'_> {
    /// Runs a command, and takes what it changed in.
    pub fn run(&mut self, how: &RunStep<'_>) -> Result<Ran, ContextError> {
        let (scratch, name) = self.slot()?;
        let dependencies = Lower::open(how.dependencies)?;
        let mut all = dependencies.properties(&self.root, &self.properties)?;
        all.merge(self.properties.clone());
        let owners = all.owned();
        let hidden: Vec<Bytes> = self.hidden(&dependencies)?.into_iter().map(Bytes::from).collect();
        let lower: Vec<PathBuf> =
            std::iter::once(self.rootfs()).chain(how.dependencies.iter().cloned()).collect();
        let step = Step {
            helper: how.helper,
            host: how.host,
            tools: how.tools,
            lower: &lower,
            hidden: &hidden,
            scratch: &scratch,
            owners: &owners,
            command: how.command,
            environment: how.environment,
            working_directory: how.working_directory,
            network: how.network,
            mounts: how.mounts,
            hostname: how.hostname,
            engine: how.engine.clone(),
            output_to_error: how.output_to_error,
            latest: how.latest,
        };
        let ended = step.run()?;
        let mut ran = Ran { code: ended.code, faked_owners: ended.faked_owners, removed: 0 };
        if ran.code != 0 {
            return Ok(ran);
        }
        let mut taken = Taken {
            change: self,
            dependencies,
            before: all,
            upper: join(name.as_bytes(), b"upper"),
            whole: None,
            unchanged: Vec::new(),
            removed: 0,
            host: how.host,
            is_alone: ended.faked_owners,
        };
        let io = |error| ContextError::io("read", ended.changes.file())(error);
        for change in ended.changes.read().map_err(io)? {
            match change.map_err(io)? {
                step::Change::Removed { path } => taken.remove(path.as_slice())?,
                step::Change::Present(present) => taken.take(present)?,
            }
        }
        ran.removed = taken.removed;
        Ok(ran)
    }
}

/// Takes what a command left in the upper folder of its overlay.
struct Taken<'c, 'x> {
    change: &'c mut Change<'x>,
    dependencies: Lower,
    /// What the disk could not say before the command.
    before: Properties,
    /// The upper folder, below `change/new/`.
    upper: Vec<u8>,
    /// A folder that was placed with all that is in it.
    whole: Option<Vec<u8>>,
    /// Folders of dependencies, one in the other, in which the command may have changed something.
    unchanged: Vec<Present>,
    /// How much of dependencies is hidden now.
    removed: u64,
    host: &'c Host,
    /// Whether all files belonged to root for the command, whosever they are.
    is_alone: bool,
}

impl Taken<'_, '_> {
    fn remove(&mut self, below: &[u8]) -> Result<(), ContextError> {
        if self.change.lstat(below)?.is_some() {
            self.change.discard(below);
        }
        if self.dependencies.kind(below)?.is_some() {
            self.hide(below);
        }
        Ok(())
    }

    /// Hides what dependencies have at a path.
    fn hide(&mut self, below: &[u8]) {
        if !self.change.properties.is_hidden(below) {
            self.change.properties.hide(below);
            self.removed += 1;
        }
    }

    fn take(&mut self, present: Box<Present>) -> Result<(), ContextError> {
        let below = present.path.as_slice();
        let is_folder = matches!(present.kind, Kind::Folder { .. });
        if present.prepared {
            // Only what a command did to it makes a folder of a dependency one of the image.
            if is_folder && self.change.lstat(below)?.is_none() {
                self.unchanged.retain(|one| is_below(below, one.path.as_slice()));
                self.unchanged.push(*present);
            }
            return Ok(());
        }
        let above = std::mem::take(&mut self.unchanged);
        for folder in above.iter().filter(|one| is_below(below, one.path.as_slice())) {
            self.one(folder)?;
        }
        self.one(&present)
    }

    fn one(&mut self, present: &Present) -> Result<(), ContextError> {
        let below = present.path.as_slice();
        let place = Place { below: below.to_vec(), kind: None };
        if present.kind == Kind::Socket {
            return Err(ContextError::Socket(place.shown()));
        }
        if self.whole.as_ref().is_some_and(|whole| is_below(below, whole)) {
            self.property(below, present, None);
            return Ok(());
        }
        let there = self.change.lstat(below)?.map(|stat| FileType::from_raw_mode(stat.st_mode));
        let is_folder = matches!(present.kind, Kind::Folder { .. });
        let replaces = matches!(present.kind, Kind::Folder { replaces: true });
        let before = self.before.of(below).map(|old| (old.uid, old.gid));
        let before = before.filter(|&old| !replaces && !self.saw(old, present));
        match (is_folder, there) {
            (true, Some(FileType::Directory)) if !replaces => self.folder(below, present)?,
            (true, None) if !replaces => {
                self.parents(below)?;
                self.change.new_folder(below);
                self.folder(below, present)?;
            }
            (_, there) => {
                if is_folder && there.is_some() || there == Some(FileType::Directory) {
                    self.change.discard(below);
                }
                // It stands in the place of all that dependencies have there.
                if self.dependencies.kind(below)? == Some(FileType::Directory) {
                    self.hide(below);
                }
                self.change.properties.forget(below);
                self.change.place(&join(&self.upper, below), &place);
                self.whole = is_folder.then(|| below.to_vec());
            }
        }
        self.property(below, present, before);
        Ok(())
    }

    /// Whether the command could see that a file belonged to these, and what it left says to whom it
    /// belongs now.
    fn saw(&self, (uid, gid): (u32, u32), present: &Present) -> bool {
        let stands_in = (present.uid, present.gid) == (0, 0) && !self.host.has_ids(uid, gid);
        !(self.is_alone || stands_in)
    }

    /// Folders of a dependency, which the command did not change, above something it made.
    fn parents(&mut self, below: &[u8]) -> Result<(), ContextError> {
        let (parent, _) = split(below);
        if parent.is_empty() { Ok(()) } else { self.change.make_folder(parent, 0) }
    }

    /// A folder that is there, or that is made, becomes what the command left.
    fn folder(&mut self, below: &[u8], present: &Present) -> Result<(), ContextError> {
        self.change.set_time(below, present.seconds);
        let (mode, owner) = match self.host.is_root() {
            true => (present.mode, Some((present.uid, present.gid))),
            false => ((present.mode & 0o1777) | 0o700, None),
        };
        let mut attributes = Vec::new();
        if self.host.is_root() {
            let path = self.change.rootfs().join(path_of(below));
            let before = crate::attributes::read(&crate::attributes::From::Path(&path));
            let is_kept = |name: &Vec<u8>| {
                present.attributes.iter().any(|(other, _)| other.as_slice() == name.as_slice())
            };
            let gone = before.unwrap_or_default().into_iter().filter(|(name, _)| !is_kept(name));
            attributes.extend(gone.map(|(name, _)| (name.into(), None)));
            let set = present.attributes.iter().cloned();
            attributes.extend(set.map(|(name, value)| (name, Some(value))));
        }
        self.change.set(below, Set { owner, mode: Some(mode), mtime: None, attributes });
        Ok(())
    }

    /// What the disk of an ordinary user cannot say; whose it was `before` counts where a command
    /// could not see that.
    fn property(&mut self, below: &[u8], present: &Present, before: Option<(u32, u32)>) {
        if self.host.is_root() {
            return;
        }
        let needed = if matches!(present.kind, Kind::Folder { .. }) { 0o700 } else { 0o600 };
        let on_disk = (present.mode & 0o777) | needed;
        let is_link = matches!(present.kind, Kind::Symlink { .. });
        let device = |block, major, minor| Some(Device { block, major, minor });
        let (uid, gid) = before.unwrap_or((present.uid, present.gid));
        let property = Property {
            uid,
            gid,
            mode: (!is_link && on_disk != present.mode).then_some(present.mode),
            attributes: present.attributes.iter().cloned().collect(),
            device: match present.kind {
                Kind::CharacterDevice { major, minor } => device(false, major, minor),
                Kind::BlockDevice { major, minor } => device(true, major, minor),
                _ => None,
            },
        };
        self.change.properties.set(below, property);
    }
}
