//! The contents of files, each once however many images have it.
//!
//! An object is named by the SHA-256 of its content. Beside it there may be names with the
//! properties of an inode, `DIGITS.MODE.UID.GID.MTIME`: such a file can be hard-linked into a
//! tree. The first of them is the object itself under another name; further ones are copies.
//!
//! New objects are written under `staging/`, synced together, and renamed into place. The folder
//! is for the caller alone, since what an image has may have set-user-ID bits. Whoever uses
//! objects holds the lock `objects` shared; whoever removes some holds it alone.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use aci::archive::{ContentAt, Entry, TreeBuilder};
use aci::stage::{self, Hold, Lock, StagedFolder};
use aci::{ContentDigest, ContentHash};
use rustix::fs::{CWD, FlockOperation, Mode, OFlags, RenameFlags};

use super::{Store, StoreError};

mod arriving;

pub(super) use arriving::Arriving;

/// The lock of all objects and trees.
pub(crate) const OBJECTS_LOCK: &str = "objects";

/// Bytes that are hashed at a time: most files are small, and a large buffer costs each of them.
const CHUNK: usize = 16 << 10;

impl Store {
    pub(crate) fn objects(&self) -> PathBuf {
        self.root().join("objects")
    }

    /// Where an object of this name is, or would be.
    pub(crate) fn object(&self, name: &str) -> PathBuf {
        self.objects().join(&name[..2]).join(name)
    }
}

/// The object store while it is used: what is there, and what is added.
pub(crate) struct Objects {
    store: Store,
    folder: OwnedFd,
    /// Owner and group that an unprivileged caller's files have, whatever an image says.
    caller: Option<(u32, u32)>,
    added: Added,
    _lock: Lock,
}

impl Objects {
    /// Begins to use the objects of a store. `None` where the caller may not write to it.
    pub(crate) fn begin(store: &Store) -> Result<Option<Self>, StoreError> {
        let folder = store.objects();
        match stage::create_private_folder(&folder) {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
                ) =>
            {
                return Ok(None);
            }
            other => other.map_err(StoreError::io("create", &folder))?,
        }
        if !may_write(&folder) {
            return Ok(None);
        }
        let lock = store.named_lock(OBJECTS_LOCK, Hold::Shared)?;
        let open = File::open(&folder).map_err(StoreError::io("open", &folder))?;
        let user = rustix::process::geteuid();
        Ok(Some(Self {
            store: store.clone(),
            folder: open.into(),
            caller: (!user.is_root()).then(|| (user.as_raw(), rustix::process::getegid().as_raw())),
            added: Added::new(store),
            _lock: lock,
        }))
    }

    /// Whether there is an object of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.added.names.contains(name) || self.store.object(name).exists()
    }

    /// Where the object of this name is.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.store.objects().join(self.place(name))
    }

    /// The same, seen from the [folder](Self::folder) of objects: the kernel goes a shorter way.
    pub(crate) fn place(&self, name: &str) -> PathBuf {
        match &self.added.staged {
            Some(staged) if self.added.names.contains(name) => staged.path().join(name),
            _ => [&name[..2], name].iter().collect(),
        }
    }

    /// The folder of objects.
    pub(crate) fn folder(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }

    /// The name of an object with an entry's properties.
    pub(crate) fn dressed_name(&self, digest: &ContentDigest, entry: &Entry) -> String {
        let (uid, gid) = self.caller.unwrap_or((entry.uid, entry.gid));
        let (digits, mode) = (digest.digits(), entry.mode & 0o7777);
        format!("{digits}.{mode:04o}.{uid}.{gid}.{}", entry.mtime)
    }

    /// What makes new objects to write to. They count when they are [`keep`](Self::keep)ed.
    pub(crate) fn creator(&mut self) -> Result<Creator, StoreError> {
        self.added.creator()
    }

    /// Takes a created object in: whoever wrote it has compared its digest.
    pub(crate) fn keep(&mut self, name: &str) {
        self.added.names.insert(name.to_owned());
    }

    /// The place of an object with the properties of an entry, to be linked to.
    pub(crate) fn dressed(
        &mut self,
        digest: &ContentDigest,
        entry: &Entry,
        tree: &mut TreeBuilder<'_>,
    ) -> Result<PathBuf, StoreError> {
        let plain = digest.digits();
        let name = self.dressed_name(digest, entry);
        if self.has(&name) {
            return Ok(self.place(&name));
        }
        let source = self.path(&plain);
        let creator = self.creator()?;
        let target = creator.path(&name);
        let fault = || StoreError::io("make", &target);
        let file = File::open(&source).map_err(StoreError::io("open", &source))?;
        // Of two processes that dress it one comes second, and finds two names.
        rustix::fs::flock(&file, FlockOperation::LockExclusive)
            .map_err(io::Error::from)
            .map_err(StoreError::io("lock", &source))?;
        let undressed = file.metadata().map_err(StoreError::io("look at", &source))?.nlink() == 1;
        let dress = |tree: &mut TreeBuilder<'_>, file: &File| {
            tree.dress(file, entry).map_err(io::Error::other).map_err(fault())
        };
        if undressed {
            dress(tree, &file)?;
            fs::hard_link(&source, &target).map_err(fault())?;
        } else {
            let mut copy = creator.create(&name)?;
            io::copy(&mut &file, &mut copy).map_err(fault())?;
            dress(tree, &copy)?;
        }
        self.keep(&name);
        Ok(self.place(&name))
    }

    /// Syncs what was added and gives it its names. What another process was faster with stays.
    pub(crate) fn commit(self) -> Result<u64, StoreError> {
        self.added.sync()?;
        self.added.put_in_place()?;
        Ok(self.added.names.len() as u64)
    }
}

/// Whether the caller may add objects to this folder.
fn may_write(folder: &Path) -> bool {
    rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_ok()
}

/// New objects, which have no names in the store yet. Dropped, they never were.
#[derive(Debug)]
struct Added {
    store: Store,
    /// Where they are; made for the first of them.
    staged: Option<StagedFolder>,
    names: HashSet<String>,
}

impl Added {
    fn new(store: &Store) -> Self {
        Self { store: store.clone(), staged: None, names: HashSet::new() }
    }

    fn creator(&mut self) -> Result<Creator, StoreError> {
        let staged = match &self.staged {
            Some(staged) => staged,
            None => self.staged.insert(self.store.staged_folder()?),
        };
        Ok(Creator(staged.path().to_owned()))
    }

    /// Brings them to the disk.
    fn sync(&self) -> Result<(), StoreError> {
        let Some(staged) = &self.staged else { return Ok(()) };
        staged.sync_tree().map_err(StoreError::io("sync", self.store.objects()))
    }

    /// Gives them their names once they are synced, for who holds the lock of the objects.
    fn put_in_place(&self) -> Result<(), StoreError> {
        let Some(staged) = &self.staged else { return Ok(()) };
        let mut folders = HashSet::new();
        let mut names: Vec<&String> = self.names.iter().collect();
        names.sort();
        for name in names {
            let target = self.store.object(name);
            let folder = stage::folder_of(&target).to_owned();
            let fault = StoreError::io("create", &target);
            if !folders.contains(&folder) {
                match DirBuilder::new().mode(0o700).create(&folder) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                        return Err(StoreError::io("create", &folder)(error));
                    }
                    _ => folders.insert(folder),
                };
            }
            let source = staged.path().join(name.as_str());
            match rustix::fs::renameat_with(CWD, &source, CWD, &target, RenameFlags::NOREPLACE) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(fault(error.into())),
            }
        }
        Ok(())
    }
}

/// The folder of new objects.
pub(crate) struct Creator(PathBuf);

impl Creator {
    pub(crate) fn create(&self, name: &str) -> Result<File, StoreError> {
        let path = self.path(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        options.open(&path).map_err(StoreError::io("create", &path))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

/// Comparing objects with their names, on a thread of its own.
#[derive(Default)]
pub(crate) struct Checks {
    /// What is to be handed over next: one at a time, each would wake the thread.
    next: Vec<Check>,
    running: Option<Checking>,
}

type Checking = (SyncSender<Vec<Check>>, JoinHandle<Result<(), StoreError>>);

/// The [place](Objects::place) of an object, and what it should have in it.
struct Check {
    place: PathBuf,
    content: ContentAt,
}

impl Checks {
    /// Objects that are handed over together.
    const TOGETHER: usize = 64;
    /// Such bundles that may wait.
    const WAITING: usize = 16;

    /// Has one more object compared.
    pub(crate) fn add(
        &mut self,
        objects: &Objects,
        place: PathBuf,
        content: ContentAt,
    ) -> Result<(), StoreError> {
        if self.running.is_none() {
            let started = Self::start(objects);
            let fault = StoreError::io("check the objects in", objects.store.objects());
            self.running = Some(started.map_err(fault)?);
        }
        self.next.push(Check { place, content });
        if self.next.len() == Self::TOGETHER {
            self.hand_over();
        }
        Ok(())
    }

    fn start(objects: &Objects) -> io::Result<Checking> {
        let (open, folder) = (objects.folder.try_clone()?, objects.store.objects());
        let (checks, waiting) = sync_channel::<Vec<Check>>(Self::WAITING);
        let thread = thread::Builder::new().name("objects".to_owned()).spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            waiting.iter().flatten().try_for_each(|Check { place, content }| {
                let flags = OFlags::RDONLY | OFlags::CLOEXEC;
                let object = rustix::fs::openat(&open, &place, flags, Mode::empty());
                let found = object
                    .map_err(io::Error::from)
                    .and_then(|object| digest_of_size(object.into(), content.size, &mut buffer));
                match found {
                    Ok(found) if found == content.digest => Ok(()),
                    Ok(found) => Err(StoreError::altered(folder.join(place), &found)),
                    Err(error) => Err(StoreError::io("read", folder.join(place))(error)),
                }
            })
        })?;
        Ok((checks, thread))
    }

    fn hand_over(&mut self) {
        let next = std::mem::replace(&mut self.next, Vec::with_capacity(Self::TOGETHER));
        if let Some((checks, _)) = &self.running {
            // Where the thread has ended, `finish` says why.
            let _ = checks.send(next);
        }
    }

    /// Waits for what is not compared yet.
    pub(crate) fn finish(mut self) -> Result<(), StoreError> {
        self.hand_over();
        let Some((checks, thread)) = self.running else { return Ok(()) };
        drop(checks);
        thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    }
}

/// What the name of an object says of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ObjectName {
    pub(crate) digest: ContentDigest,
    /// Mode, owner, group and time, where they are a part of the name.
    pub(crate) properties: Option<(u32, u32, u32, i64)>,
}

impl ObjectName {
    /// Reads a name; `None` where it is none of ours.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let mut parts = name.split('.');
        let digest = ContentDigest::from_digits(parts.next()?).ok()?;
        let parts: Vec<&str> = parts.collect();
        let properties = match parts[..] {
            [] => None,
            [mode, uid, gid, mtime] => Some((
                u32::from_str_radix(mode, 8).ok()?,
                uid.parse().ok()?,
                gid.parse().ok()?,
                mtime.parse().ok()?,
            )),
            _ => return None,
        };
        Some(Self { digest, properties })
    }

    /// What is wrong with the file of this name.
    pub(crate) fn fault(&self, path: &Path) -> io::Result<Option<String>> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Ok(Some("it is no regular file".to_owned()));
        }
        let found = digest_of(&file)?;
        if found != self.digest {
            return Ok(Some(format!("its digest is {found}")));
        }
        let is = (metadata.mode() & 0o7777, metadata.uid(), metadata.gid(), metadata.mtime());
        match self.properties {
            Some(said) if said != is => Ok(Some("its mode, owner or time was changed".to_owned())),
            _ => Ok(None),
        }
    }
}

/// The digest of a file that should have so many bytes: where it has, its end need not be asked for.
fn digest_of_size(mut file: File, size: u64, buffer: &mut [u8]) -> io::Result<ContentDigest> {
    let (mut hash, mut bytes) = (ContentHash::default(), 0);
    loop {
        match file.read(buffer) {
            Ok(got) => {
                hash.update(&buffer[..got]);
                bytes += got as u64;
                if got == 0 || got < buffer.len() && bytes == size {
                    return Ok(hash.finish());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The digest of a file's content, from where it stands to its end.
pub(crate) fn digest_of(mut file: impl Read) -> io::Result<ContentDigest> {
    let mut hash = ContentHash::default();
    let mut buffer = [0; CHUNK];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hash.finish()),
            Ok(got) => hash.update(&buffer[..got]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_names_read_back_and_nothing_else_does() {
        let digits = "a1".repeat(32);
        let plain = ObjectName::parse(&digits).unwrap();
        assert_eq!((plain.digest.digits(), plain.properties), (digits.clone(), None));
        let dressed = ObjectName::parse(&format!("{digits}.4755.0.7.-3")).unwrap();
        assert_eq!(dressed.properties, Some((0o4755, 0, 7, -3)));
        for bad in ["", "a1", &format!("{digits}."), &format!("{digits}.1.2.3"), &digits[..63]] {
            assert_eq!(ObjectName::parse(bad), None, "{bad}");
        }
    }
}
