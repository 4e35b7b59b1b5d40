//! A folder that is filled with the entries of images, and nothing else that is outside of it.
//!
//! Paths were checked by the layout rules as they came. As a second wall, every
//! path is resolved by the kernel below the target folder without following any
//! symlink (`openat2` with `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS`, or one
//! directory after another with `O_NOFOLLOW` where the kernel lacks it).

use std::fs::File;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Uid, XattrFlags};
use rustix::io::Errno;

use super::ArchiveError;
use super::directories::{DeepestFirst, Directories};
pub use super::dress::Undone;
use super::dress::{Dresser, no_owner, times};
use super::entry::{Entry, EntryKind, PathBytes};
use super::owner::Ownership;
use super::record::Record;
use super::unpack::{LeftOut, UnpackOptions};

/// So many folders are done on several threads: fewer take less time than starting those.
const MANY_FOLDERS: usize = 64;
/// The most threads that work on one tree: one file system is not faster with more.
const THREADS: usize = 8;

/// How many threads work on one tree here.
pub fn tree_threads() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get).min(THREADS)
}

/// Gives the content of a file piece by piece; 0 at its end.
pub type FileContent<'a> = &'a mut dyn FnMut(&mut [u8]) -> Result<usize, ArchiveError>;

/// What became of a file that was to be linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Linked {
    /// It is there.
    Placed,
    /// There is no such file to link to. Nothing was placed.
    Absent,
    /// The file cannot have another name here. Nothing was placed.
    Impossible,
}

/// What lies in a folder already is not the image's, and could lead elsewhere.
fn refuse_full(folder: &OwnedFd) -> io::Result<()> {
    for entry in rustix::fs::Dir::read_from(folder)? {
        if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
    }
    Ok(())
}

/// Fills an empty folder: `rootfs/…` entry by entry, `manifest` at the end.
///
/// Entries may come in any order, but a hard link after its target. Folders get their mode,
/// owner and time at the end. On an error the folder holds a part of the whole; stage it.
/// Nothing is synced.
pub struct TreeBuilder<'a> {
    root: OwnedFd,
    /// The folder the last entry was put in: most entries share it with their neighbour.
    parent: (Vec<u8>, Arc<OwnedFd>),
    options: &'a UnpackOptions<'a>,
    dresser: Dresser<'a>,
    directories: Directories,
    record: Option<Record>,
    left_out: LeftOut,
    buffer: Vec<u8>,
}

impl<'a> TreeBuilder<'a> {
    /// Fills `target`, an existing empty folder.
    pub fn new(target: &Path, options: &'a UnpackOptions<'a>) -> Result<Self, ArchiveError> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = rustix::fs::open(target, flags, Mode::empty()).map_err(io::Error::from)?;
        refuse_full(&root)?;
        Ok(Self {
            parent: (Vec::new(), Arc::new(root.try_clone()?)),
            directories: Directories::new(&root)?,
            record: (options.ownership == Ownership::Record)
                .then(|| Record::new(&root))
                .transpose()?,
            root,
            options,
            dresser: Dresser::new(&options.ownership),
            left_out: LeftOut::default(),
            buffer: vec![0; 256 << 10],
        })
    }

    /// Places an entry, whose content is asked for where it is a regular file.
    pub fn place(&mut self, entry: &Entry, content: FileContent<'_>) -> Result<(), ArchiveError> {
        if self.excluded(&entry.path, entry.kind == EntryKind::Directory) {
            self.left_out.excluded += 1;
            return Ok(());
        }
        let name = self.enter_parent(&entry.path).map_err(|e| at(&entry.path, e))?.to_vec();
        let placed = match &entry.kind {
            EntryKind::File { .. } => return self.file(entry, &name, content),
            EntryKind::HardLink { target } if self.excluded(target, false) => {
                let (path, target) = (entry.path.clone(), target.clone());
                return Err(ArchiveError::ExcludedTarget { path, target });
            }
            EntryKind::Directory => {
                self.directory(entry, &name).and_then(|()| self.directories.push(entry))
            }
            EntryKind::Symlink { target } => self.symlink(entry, &name, target),
            EntryKind::HardLink { target } => self.hard_link(entry, &name, target),
            EntryKind::Fifo => self.node(entry, &name, FileType::Fifo, (0, 0)),
            EntryKind::Character { device } => {
                self.node(entry, &name, FileType::CharacterDevice, *device)
            }
            EntryKind::Block { device } => self.node(entry, &name, FileType::BlockDevice, *device),
        };
        placed.map_err(|error| at(&entry.path, error))
    }

    /// Places a regular file that shares its blocks with `source`. `false`, and nothing is
    /// placed, where the file system cannot do that.
    pub fn place_clone(&mut self, entry: &Entry, source: &File) -> Result<bool, ArchiveError> {
        let fault = |error| at(&entry.path, error);
        let name = self.enter_parent(&entry.path).map_err(fault)?.to_vec();
        let file = self.make_file(entry, &name)?;
        match rustix::fs::ioctl_ficlone(&file, source) {
            Ok(()) => {}
            Err(Errno::OPNOTSUPP | Errno::XDEV | Errno::INVAL | Errno::NOTTY | Errno::NOSYS) => {
                rustix::fs::unlinkat(&self.parent.1, name.as_slice(), AtFlags::empty())
                    .map_err(|error| fault(error.into()))?;
                return Ok(false);
            }
            Err(error) => return Err(fault(error.into())),
        }
        self.properties(&file, entry).map_err(fault)?;
        Ok(true)
    }

    /// Places a regular file as another name of the file `source` in `folder`, which has to be
    /// [dressed] as the entry says.
    ///
    /// [dressed]: Self::dress
    pub fn place_link(
        &mut self,
        entry: &Entry,
        folder: impl AsFd,
        source: &Path,
    ) -> Result<Linked, ArchiveError> {
        let fault = |error| at(&entry.path, error);
        let name = self.enter_parent(&entry.path).map_err(fault)?;
        match rustix::fs::linkat(folder, source, &self.parent.1, name, AtFlags::empty()) {
            Ok(()) => Ok(Linked::Placed),
            Err(Errno::NOENT) => Ok(Linked::Absent),
            Err(Errno::MLINK | Errno::XDEV | Errno::PERM | Errno::OPNOTSUPP) => {
                Ok(Linked::Impossible)
            }
            Err(error) => Err(fault(error.into())),
        }
    }

    /// Places what hides a path of a tree below, where this one is a layer of an overlay.
    pub fn place_whiteout(&mut self, path: &PathBytes) -> Result<(), ArchiveError> {
        let fault = |error| at(path, error);
        let name = self.enter_parent(path).map_err(fault)?.to_vec();
        let (kind, mode) = (FileType::CharacterDevice, Mode::empty());
        let made = rustix::fs::mknodat(&self.parent.1, name.as_slice(), kind, mode, 0);
        made.map_err(|error| fault(error.into()))
    }

    /// A regular file that anybody can make and fill afterwards, on any thread. What is undone of it
    /// is told [`Self::account`]. What is to be excluded is for whoever calls this to leave out.
    pub fn new_file(&mut self, entry: Entry) -> Result<NewFile<'a>, ArchiveError> {
        let name = self.enter_parent(&entry.path).map_err(|error| at(&entry.path, error))?.to_vec();
        let folder = Arc::clone(&self.parent.1);
        Ok(NewFile { folder, name, made: None, entry, dresser: self.dresser })
    }

    /// Gives an open file the owner, mode, attributes and time of an entry.
    pub fn dress(&mut self, file: &File, entry: &Entry) -> Result<(), ArchiveError> {
        self.properties(file, entry).map_err(|error| at(&entry.path, error))
    }

    /// Whether an entry's file will have all that the entry says, so that it may share an inode
    /// with others of which the same is said.
    pub fn is_exact(&self, entry: &Entry) -> bool {
        let restore = self.dresser.restore;
        let readable = restore || entry.mode & 0o400 != 0;
        entry.xattrs.is_empty() && readable && (restore || entry.mode & 0o6000 == 0)
    }

    fn excluded(&self, path: &PathBytes, directory: bool) -> bool {
        let inside = path.0.strip_prefix(b"rootfs/");
        inside.is_some_and(|path| self.options.exclude.is_some_and(|out| out(path, directory)))
    }

    /// Opens the folder an entry belongs in, making it where the image has no entry
    /// for it, and gives the entry's own name.
    fn enter_parent<'p>(&mut self, path: &'p PathBytes) -> io::Result<&'p [u8]> {
        let (parent, name) = match path.0.iter().rposition(|&b| b == b'/') {
            Some(slash) => (&path.0[..slash], &path.0[slash + 1..]),
            None => (&[][..], path.0.as_slice()),
        };
        if parent != self.parent.0 {
            let missing = Missing::Make { owner: self.root_owner() };
            self.parent = (parent.to_vec(), Arc::new(open_folder(&self.root, parent, missing)?));
        }
        Ok(name)
    }

    fn make_file(&self, entry: &Entry, name: &[u8]) -> Result<File, ArchiveError> {
        make_file(&self.parent.1, name, &self.dresser, entry)
    }

    fn file(
        &mut self,
        entry: &Entry,
        name: &[u8],
        content: FileContent<'_>,
    ) -> Result<(), ArchiveError> {
        let mut file = self.make_file(entry, name)?;
        write_content(&mut file, &entry.path, content, &mut self.buffer)?;
        self.properties(&file, entry).map_err(|error| at(&entry.path, error))
    }

    fn directory(&mut self, entry: &Entry, name: &[u8]) -> io::Result<()> {
        let mode = self.dresser.first_mode(entry, Mode::RWXU);
        match rustix::fs::mkdirat(&self.parent.1, name, mode) {
            // A path below it came first; the layout rules have seen to it that it is a folder.
            Err(Errno::EXIST) => Ok(()),
            other => Ok(other?),
        }
    }

    fn symlink(&mut self, entry: &Entry, name: &[u8], target: &PathBytes) -> io::Result<()> {
        rustix::fs::symlinkat(target.0.as_slice(), &self.parent.1, name)?;
        self.properties_by_name(entry, name)
    }

    fn hard_link(&mut self, entry: &Entry, name: &[u8], target: &PathBytes) -> io::Result<()> {
        let (folder, file) = match target.0.iter().rposition(|&b| b == b'/') {
            Some(slash) => (&target.0[..slash], &target.0[slash + 1..]),
            None => (&[][..], target.0.as_slice()),
        };
        let folder = open_folder(&self.root, folder, Missing::Refuse)?;
        match rustix::fs::linkat(&folder, file, &self.parent.1, name, AtFlags::empty()) {
            // The target is a device file that was left out: so is its other name.
            Err(Errno::NOENT) if !self.dresser.restore => {
                self.left_out.devices += 1;
                self.note(entry, &[])
            }
            other => Ok(other?),
        }
    }

    fn node(
        &mut self,
        entry: &Entry,
        name: &[u8],
        kind: FileType,
        device: (u32, u32),
    ) -> io::Result<()> {
        let restore = self.dresser.restore;
        if kind != FileType::Fifo && !restore {
            self.left_out.devices += 1;
            let xattrs: Vec<_> = entry.xattrs.iter().collect();
            return self.note(entry, &xattrs);
        }
        let device = rustix::fs::makedev(device.0, device.1);
        let allowed = if restore { 0o7777 } else { 0o1777 };
        let mode = Mode::from_raw_mode(entry.mode & allowed);
        if entry.mode & 0o6000 != 0 && !restore {
            self.left_out.set_id += 1;
        }
        rustix::fs::mknodat(&self.parent.1, name, kind, Mode::RUSR | Mode::WUSR, device)?;
        self.properties_by_name(entry, name)?;
        // The umask takes from a mode, and another owner. Nothing else can be in its place: only
        // the caller may write in this folder until all is unpacked.
        Ok(rustix::fs::chmodat(&self.parent.1, name, mode, AtFlags::empty())?)
    }

    /// Owner, attributes and time of what cannot be opened: links, pipes and devices.
    fn properties_by_name(&mut self, entry: &Entry, name: &[u8]) -> io::Result<()> {
        let nofollow = AtFlags::SYMLINK_NOFOLLOW;
        if let Some((uid, gid)) = self.dresser.owner(entry)? {
            rustix::fs::chownat(&self.parent.1, name, Some(uid), Some(gid), nofollow)
                .map_err(|error| no_owner(error, uid, gid))?;
        }
        let mut path = format!("/proc/self/fd/{}/", self.parent.1.as_raw_fd()).into_bytes();
        path.extend_from_slice(name);
        let undone =
            self.dresser.attributes(&self.parent.1, entry, entry.mode, |name, value| {
                rustix::fs::lsetxattr(path.as_slice(), name, value, XattrFlags::empty())
            })?;
        undone.map_or(Ok(()), |undone| self.note_undone(entry, &undone))?;
        Ok(rustix::fs::utimensat(&self.parent.1, name, &times(entry), nofollow)?)
    }

    fn properties(&mut self, file: impl AsFd, entry: &Entry) -> io::Result<()> {
        let undone = self.dresser.dress(file, entry)?;
        undone.map_or(Ok(()), |undone| self.note_undone(entry, &undone))
    }

    /// Takes what is undone of a file into account.
    pub fn account(&mut self, entry: &Entry, undone: &Undone) -> Result<(), ArchiveError> {
        self.note_undone(entry, undone).map_err(|error| at(&entry.path, error))
    }

    fn note_undone(&mut self, entry: &Entry, undone: &Undone) -> io::Result<()> {
        self.left_out.set_id += u64::from(undone.set_id);
        self.left_out.xattrs += undone.lost.len() as u64;
        self.note(entry, &undone.lost.iter().collect::<Vec<_>>())
    }

    /// Whose the folders are that no entry is about: the image's root's.
    fn root_owner(&self) -> FolderOwner {
        match &self.options.ownership {
            Ownership::Caller | Ownership::Record => FolderOwner::Caller,
            Ownership::Restore => FolderOwner::Is(Uid::ROOT, Gid::ROOT),
            Ownership::Mapped(map) => match (map.uid(0), map.gid(0)) {
                (Some(uid), Some(gid)) => FolderOwner::Is(Uid::from_raw(uid), Gid::from_raw(gid)),
                _ => FolderOwner::InNoRange,
            },
        }
    }

    fn note(&mut self, entry: &Entry, xattrs: &[&(Vec<u8>, Vec<u8>)]) -> io::Result<()> {
        self.record.as_mut().map_or(Ok(()), |record| record.note(entry, xattrs))
    }

    /// Gives folders, of which none is in another, what they wait for, and says what is undone of
    /// it. Many of them are done on several threads.
    fn dress_folders(
        &self,
        folders: &DeepestFirst,
        lot: &[u64],
    ) -> Result<Vec<(Entry, Undone)>, ArchiveError> {
        let (root, dresser) = (&self.root, self.dresser);
        let dress = |lot: &[u64]| -> Result<Vec<(Entry, Undone)>, ArchiveError> {
            let mut all = Vec::new();
            for &place in lot {
                let entry = folders.entry(place)?;
                let undone = open_folder(root, &entry.path.0, Missing::Refuse)
                    .and_then(|folder| dresser.dress(folder, &entry))
                    .map_err(|error| at(&entry.path, error))?;
                all.extend(undone.map(|undone| (entry, undone)));
            }
            Ok(all)
        };
        if lot.len() < MANY_FOLDERS {
            return dress(lot);
        }
        thread::scope(|scope| {
            let (mut workers, mut all) = (Vec::new(), Vec::new());
            for part in lot.chunks(lot.len().div_ceil(tree_threads())) {
                match thread::Builder::new().spawn_scoped(scope, move || dress(part)) {
                    Ok(worker) => workers.push(worker),
                    // There are no more threads to be had.
                    Err(_) => all.extend(dress(part)?),
                }
            }
            for worker in workers {
                all.extend(worker.join().unwrap_or_else(|panic| resume_unwind(panic))?);
            }
            Ok(all)
        })
    }

    /// Gives the folders what they wait for, adds `manifest`, and says what is not as the
    /// entries have it.
    pub fn finish(mut self, manifest: &[u8]) -> Result<LeftOut, ArchiveError> {
        // What is below a folder first: its mode may shut it off, and its owner may be somebody
        // who would change what is not done yet.
        let folders = self.directories.deepest_first()?;
        for lot in folders.lots() {
            for (entry, undone) in self.dress_folders(&folders, lot)? {
                self.account(&entry, &undone)?;
            }
        }
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o644);
        let file = rustix::fs::openat(&self.root, "manifest", flags, mode);
        let mut file = File::from(file.map_err(io::Error::from)?);
        file.write_all(manifest)?;
        rustix::fs::fchmod(&file, mode).map_err(io::Error::from)?;
        self.record.map_or(Ok(()), Record::finish)?;
        Ok(self.left_out)
    }
}

fn write_content(
    file: &mut File,
    path: &PathBytes,
    content: FileContent<'_>,
    buffer: &mut [u8],
) -> Result<(), ArchiveError> {
    loop {
        match content(buffer)? {
            0 => return Ok(()),
            got => file.write_all(&buffer[..got]).map_err(|error| at(path, error))?,
        }
    }
}

fn make_file(
    folder: &OwnedFd,
    name: &[u8],
    dresser: &Dresser<'_>,
    entry: &Entry,
) -> Result<File, ArchiveError> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = dresser.first_mode(entry, Mode::RUSR | Mode::WUSR);
    let open = rustix::fs::openat(folder, name, flags, mode);
    Ok(File::from(open.map_err(|error| at(&entry.path, error.into()))?))
}

/// A regular file that is to be made.
pub struct NewFile<'a> {
    folder: Arc<OwnedFd>,
    name: Vec<u8>,
    made: Option<File>,
    entry: Entry,
    dresser: Dresser<'a>,
}

impl NewFile<'_> {
    /// Makes it now: a hard link to it may come before it is filled.
    pub fn make(&mut self) -> Result<(), ArchiveError> {
        let made = make_file(&self.folder, &self.name, &self.dresser, &self.entry)?;
        self.made = Some(made);
        Ok(())
    }

    /// Makes it, where it is not made, writes the content, and gives it what the entry says. Gives
    /// what is undone of that, with the entry.
    pub fn fill(
        mut self,
        content: FileContent<'_>,
        buffer: &mut [u8],
    ) -> Result<Option<(Entry, Undone)>, ArchiveError> {
        let mut file = match self.made.take() {
            Some(file) => file,
            None => make_file(&self.folder, &self.name, &self.dresser, &self.entry)?,
        };
        write_content(&mut file, &self.entry.path, content, buffer)?;
        let undone = self.dresser.dress(&file, &self.entry);
        let undone = undone.map_err(|error| at(&self.entry.path, error))?;
        Ok(undone.map(|undone| (self.entry, undone)))
    }
}

fn at(path: &PathBytes, error: io::Error) -> ArchiveError {
    ArchiveError::Io(io::Error::new(error.kind(), format!("unpacking {path}: {error}")))
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// It is made, and given to this owner.
    Make {
        owner: FolderOwner,
    },
    Refuse,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum FolderOwner {
    Caller,
    Is(Uid, Gid),
    InNoRange,
}

/// Opens a folder below `root` without following any symlink on the way.
pub(crate) fn open_folder(root: &OwnedFd, path: &[u8], missing: Missing) -> io::Result<OwnedFd> {
    if path.is_empty() {
        return root.try_clone();
    }
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(root, path, flags, Mode::empty(), resolve) {
        Ok(folder) => Ok(folder),
        Err(Errno::NOSYS | Errno::PERM) => walk(root, path, missing),
        Err(Errno::NOENT) if missing != Missing::Refuse => walk(root, path, missing),
        Err(error) => Err(error.into()),
    }
}

/// The same, one segment after another.
fn walk(root: &OwnedFd, path: &[u8], missing: Missing) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut folder = root.try_clone()?;
    for segment in path.split(|&b| b == b'/') {
        if segment == b".." || segment == b"." || segment.is_empty() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let made = match missing {
            Missing::Refuse => None,
            Missing::Make { owner } => match rustix::fs::mkdirat(&folder, segment, Mode::RWXU) {
                Ok(()) => Some(owner),
                Err(Errno::EXIST) => None,
                Err(error) => return Err(error.into()),
            },
        };
        folder = rustix::fs::openat(&folder, segment, flags, Mode::empty())?;
        if let Some(owner) = made {
            match owner {
                FolderOwner::Caller => {}
                FolderOwner::Is(uid, gid) => rustix::fs::fchown(&folder, Some(uid), Some(gid))
                    .map_err(|error| no_owner(error, uid, gid))?,
                FolderOwner::InNoRange => {
                    let text = "no range of the owner map holds 0:0, whose its folder is";
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
                }
            }
            // Neither the umask nor a set-group-ID bit of the folder above may decide it.
            rustix::fs::fchmod(&folder, Mode::from_raw_mode(0o755))?;
        }
    }
    Ok(folder)
}
