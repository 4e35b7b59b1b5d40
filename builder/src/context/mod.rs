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
mod matching;
mod paths;
mod properties;
mod run;
mod set;
mod squash;
mod whitelist;
mod write;

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
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

use crate::step::{StepError, mounted_below};
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
        let context = Self::locked(work, attend)?;
        context.check_mode()?;
        context.check_owner()?;
        context.check_whole()?;
        context.clear_steps(attend)?;
        context
            .recover()
            .map_err(ContextError::io("finish the last change of", &context.folder))?;
        Ok(context)
    }

    /// The same of a context that is only to be ended: it may be another program's, or not be whole.
    pub fn open_to_end(work: &Path, attend: &Attend<'_>) -> Result<Self, ContextError> {
        let context = Self::locked(work, attend)?;
        context.clear_steps(attend)?;
        Ok(context)
    }

    fn locked(work: &Path, attend: &Attend<'_>) -> Result<Self, ContextError> {
        let folder = work.join(FOLDER);
        match lock(&folder, attend.waiting).map_err(ContextError::io("lock", &folder))? {
            Some(lock) => Ok(Self { folder, lock }),
            None => Err(ContextError::None(work.to_owned())),
        }
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

    /// A link in the place of a folder would lead out of the context.
    fn check_whole(&self) -> Result<(), ContextError> {
        for name in [CURRENT, ROOTFS] {
            let path = self.folder.join(name);
            match fs::symlink_metadata(&path) {
                Ok(metadata) if metadata.is_dir() => {}
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(ContextError::io("look at", path)(error));
                }
                _ => return Err(ContextError::NotWhole(path)),
            }
        }
        Ok(())
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
            io::Read::read_to_end(&mut io::Read::take(file, most + 1), &mut text)?;
            Ok(text)
        };
        let text = read().map_err(ContextError::io("read", &path))?;
        check_bytes("the manifest of the build has at least", &text)?;
        Ok(text)
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
        refuse_mounted(&self.folder, |_| true)?;
        // Its name goes first, with the lock held: whoever waits then finds no context.
        let removed = stage::remove_folder(&self.folder);
        drop(self.lock);
        removed.map_err(ContextError::io("remove", &self.folder))
    }
}

/// Refuses what would reach into a file system of the host that is mounted in a folder: `is_touched`
/// says it of the mount point's path below the folder.
fn refuse_mounted(folder: &Path, is_touched: impl Fn(&[u8]) -> bool) -> Result<(), ContextError> {
    let folder = fs::canonicalize(folder).map_err(ContextError::io("look at", folder))?;
    let table = fs::read("/proc/self/mountinfo").unwrap_or_default();
    let is_touched = |path: &PathBuf| {
        path.strip_prefix(&folder).is_ok_and(|below| is_touched(below.as_os_str().as_bytes()))
    };
    match mounted_below(&table, &folder).into_iter().find(is_touched) {
        Some(path) => Err(ContextError::Mounted(path)),
        None => Ok(()),
    }
}

/// Refuses a manifest that no reader of images takes.
fn check_bytes(what: &'static str, manifest: &[u8]) -> Result<(), ContextError> {
    let (bytes, most) = (manifest.len() as u64, Limits::default().manifest_bytes);
    match bytes > most {
        true => Err(ContextError::ManifestBytes { what, bytes, most }),
        false => Ok(()),
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
    // Nothing is made behind a link.
    if fs::symlink_metadata(folder).is_ok_and(|found| !found.is_dir()) {
        return Err(io::Error::other("it is no folder: remove it, and begin again"));
    }
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
