//! An image that is built step by step, in a folder one can look into.
//!
//! ```text
//! .acbuild/
//!   lock                  flocked while a command reads and writes; removed with the whole alone
//!   buildMode             "appc", as acbuild has it
//!   began                 what it began with
//!   currentaci/manifest   the manifest, edited in its own text
//!   currentaci/rootfs/    the files
//!   properties.jsonl      what the disk cannot say of them (`properties.rs`)
//!   linked                there where files are other names of kept ones (`freeze.rs`)
//!   change/               a change that is being made (`journal.rs`)
//! ```
//!
//! Whoever changes a context holds its lock from reading to writing, so of many commands at once
//! none is lost. A change is staged, written down in one step, and then made: a kill leaves the
//! old context or the new one.

mod begin;
mod change;
mod copy;
mod error;
mod fill;
mod freeze;
mod intake;
mod journal;
mod lower;
mod paths;
mod properties;
mod run;
mod set;
mod squash;
mod whitelist;
mod write;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use aci::Limits;
use aci::root::Root;
use aci::stage::{self, Existing};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

pub use begin::{Began, Begin, BeginOptions};
pub use change::Change;
pub use copy::{Copied, CopyOptions, Modes, content_id};
pub use error::ContextError;
pub use lower::record;
pub use properties::Properties;
pub(crate) use properties::{Device, Property};
pub use run::{Ran, RunStep};
pub use set::{Attribute, Whose};
pub use write::WriteOptions;

use crate::step::StepError;
use journal::Journal;

/// The folder of a context, in the folder of the work.
const FOLDER: &str = ".acbuild";
const BEGAN: &str = "began";
const LOCK: &str = "lock";
const MODE: &str = "buildMode";
const CURRENT: &str = "currentaci";
const MANIFEST: &str = "manifest";
const ROOTFS: &str = "currentaci/rootfs";
const PROPERTIES: &str = "properties.jsonl";
const CHANGE: &str = "change";
/// There where files are other names of kept ones.
const LINKED: &str = "linked";
const JOURNAL: &str = "change/journal";

/// A context, locked.
#[derive(Debug)]
pub struct Context {
    folder: PathBuf,
    lock: File,
}

/// What whoever opens a context is asked for.
pub struct Attend<'a> {
    /// Is told, once, that somebody else works on the context and is waited for.
    pub waiting: &'a dyn Fn(),
    /// Removes what a killed step has left in a folder: [`crate::step::remove_scratch`].
    pub clear: &'a dyn Fn(&Path) -> Result<(), StepError>,
}

impl Context {
    /// Opens the context in a folder, waits until nobody else works on it, and finishes the change
    /// of a command that was killed.
    pub fn open(work: &Path, attend: &Attend<'_>) -> Result<Self, ContextError> {
        let folder = work.join(FOLDER);
        let Some(lock) =
            lock(&folder, attend.waiting).map_err(ContextError::io("lock", &folder))?
        else {
            return Err(ContextError::None(work.to_owned()));
        };
        let context = Self { folder, lock };
        context.check_mode()?;
        context.check_owner()?;
        context.clear_steps(attend)?;
        context
            .recover()
            .map_err(ContextError::io("finish the last change of", &context.folder))?;
        Ok(context)
    }

    fn check_mode(&self) -> Result<(), ContextError> {
        let mode = fs::read(self.folder.join(MODE)).unwrap_or_default();
        match mode.trim_ascii() {
            b"oci" => Err(ContextError::Oci(self.folder.clone())),
            _ => Ok(()),
        }
    }

    /// To root, files belong to whom the disk says; to a user, all are root's in the image, but for
    /// what is in the list.
    fn check_owner(&self) -> Result<(), ContextError> {
        let owner =
            fs::metadata(&self.folder).map_err(ContextError::io("look at", &self.folder))?;
        match rustix::process::geteuid().is_root() && owner.uid() != 0 {
            true => Err(ContextError::OfUser { folder: self.folder.clone(), uid: owner.uid() }),
            false => Ok(()),
        }
    }

    /// Files of a killed step belong to IDs of a user namespace, which alone can remove them.
    fn clear_steps(&self, attend: &Attend<'_>) -> Result<(), ContextError> {
        if rustix::process::geteuid().is_root() || journal::exists(&self.folder.join(JOURNAL)) {
            return Ok(());
        }
        killed_steps(&self.folder).iter().try_for_each(|slot| Ok((attend.clear)(slot)?))
    }

    /// Finishes what counts, and throws away what does not.
    fn recover(&self) -> io::Result<()> {
        stage::clean(&self.folder)?;
        stage::clean(&self.folder.join(CURRENT))?;
        let change = self.folder.join(CHANGE);
        if !journal::exists(&change) {
            return Ok(());
        }
        match fs::read(self.folder.join(JOURNAL)) {
            Ok(text) => serde_json::from_slice::<Journal>(&text)?.apply(&self.folder)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        journal::clear(&change)
    }

    /// The manifest as it is.
    pub fn manifest(&self) -> Result<Vec<u8>, ContextError> {
        let path = self.folder.join(CURRENT).join(MANIFEST);
        let read = || {
            // acbuild opened the file of the host that a link here named.
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let file = File::from(rustix::fs::open(&path, flags, Mode::empty())?);
            let mut text = Vec::new();
            let most = Limits::default().manifest_bytes;
            io::Read::read_to_end(&mut io::Read::take(file, most), &mut text)?;
            Ok(text)
        };
        read().map_err(ContextError::io("read", &path))
    }

    /// What the context began with; `None` where another program made it.
    pub fn began(&self) -> Option<Began> {
        serde_json::from_slice(&fs::read(self.folder.join(BEGAN)).ok()?).ok()
    }

    /// The folder of the files. What is changed in it by hand is in the image, too.
    pub fn rootfs(&self) -> PathBuf {
        self.folder.join(ROOTFS)
    }

    fn root(&self) -> Result<Root, ContextError> {
        let rootfs = self.rootfs();
        Root::open(&rootfs).map_err(ContextError::io("open", rootfs))
    }

    fn properties(&self) -> Result<Properties, ContextError> {
        let path = self.folder.join(PROPERTIES);
        Properties::read(&path).map_err(ContextError::io("read", path))
    }

    /// Puts another manifest in the place of this one, in one step.
    fn put_manifest(&self, manifest: &[u8]) -> Result<(), ContextError> {
        let path = self.folder.join(CURRENT).join(MANIFEST);
        stage::put(&path, manifest, 0o644, Existing::Replace)
            .map_err(ContextError::io("write", path))
    }

    /// Removes the context.
    pub fn end(self) -> Result<(), ContextError> {
        // Its name goes first, with the lock held: whoever waits then finds no context.
        let removed = stage::remove_folder(&self.folder);
        drop(self.lock);
        removed.map_err(ContextError::io("remove", &self.folder))
    }
}

/// The folders of killed steps in the folder of a context that nobody works on. For an ordinary user,
/// [`crate::step::remove_scratch`] alone can remove them.
fn killed_steps(folder: &Path) -> Vec<PathBuf> {
    let slots = fs::read_dir(folder.join(CHANGE).join("new")).into_iter().flatten().flatten();
    slots.map(|slot| slot.path()).filter(|slot| slot.join("upper").is_dir()).collect()
}

/// The same for a folder that a context is in.
pub fn killed_steps_in(work: &Path) -> Vec<PathBuf> {
    killed_steps(&work.join(FOLDER))
}

/// Locks a context; `None` where there is none.
fn lock(folder: &Path, waiting: &dyn Fn()) -> io::Result<Option<File>> {
    let path = folder.join(LOCK);
    loop {
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match rustix::fs::open(&path, flags, Mode::from_raw_mode(0o644)) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            other => File::from(other?),
        };
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => {
                waiting();
                rustix::fs::flock(&file, FlockOperation::LockExclusive)?;
            }
            other => other?,
        }
        // Whoever had it may have ended the build, and somebody begun another one.
        let here = file.metadata()?;
        match fs::symlink_metadata(&path) {
            Ok(named) if (named.dev(), named.ino()) == (here.dev(), here.ino()) => {
                return Ok(Some(file));
            }
            _ => continue,
        }
    }
}

#[cfg(test)]
mod tests;
