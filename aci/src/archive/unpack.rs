//! Unpacking an image into an empty folder, and never anywhere else.
//!
//! Paths were checked by the layout rules as they came. As a second wall, every
//! path is resolved by the kernel below the target folder without following any
//! symlink (`openat2` with `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS`, or one
//! directory after another with `O_NOFOLLOW` where the kernel lacks it).

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;

use super::ArchiveError;
use super::entry::{Entry, EntryKind, PathBytes};
use super::inspect::{ImageReader, InspectedImage};
use crate::limits::Limits;

/// Whose the unpacked files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// Owners, device files and privileged attributes as the image says. Needs root.
    Restore,
    /// All belongs to the caller. Owners, devices, set-user-ID bits and privileged
    /// attributes are left out, and counted.
    Caller,
}

/// How an image is unpacked.
#[derive(Debug, Clone)]
pub struct UnpackOptions {
    /// Whose the files are.
    pub ownership: Ownership,
}

/// What was unpacked, and what was left out.
#[derive(Debug, Clone)]
pub struct Unpacked {
    /// The image, as reading it to its end has shown it.
    pub image: InspectedImage,
    /// Device files left out.
    pub devices_left_out: u64,
    /// Extended attributes left out, as the file system or the caller's rights do not allow them.
    pub xattrs_left_out: u64,
    /// Set-user-ID and set-group-ID bits left out.
    pub set_id_left_out: u64,
}

/// Unpacks an image file into `target`, an existing empty folder: `target/manifest`
/// and `target/rootfs/…`. On an error the folder holds a part of the image; stage it.
/// Nothing is synced: [`StagedFolder::sync_tree`](crate::stage::StagedFolder::sync_tree) is for that.
pub fn unpack(
    file: impl Read,
    target: &Path,
    options: &UnpackOptions,
    limits: &Limits,
) -> Result<Unpacked, ArchiveError> {
    let root = rustix::fs::open(
        target,
        OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(io::Error::from)?;
    let mut unpacker = Unpacker {
        parent: (Vec::new(), root.try_clone()?),
        root,
        restore: options.ownership == Ownership::Restore,
        directories: Vec::new(),
        devices_left_out: 0,
        xattrs_left_out: 0,
        set_id_left_out: 0,
        buffer: vec![0; 256 << 10],
    };
    let mut image = ImageReader::new(file, limits)?;
    while let Some(entry) = image.next()? {
        unpacker.entry(entry, &mut image)?;
    }
    let image = image.finish()?;
    unpacker.finish(image)
}

struct Unpacker {
    root: OwnedFd,
    /// The folder the last entry was put in: most entries share it with their neighbour.
    parent: (Vec<u8>, OwnedFd),
    restore: bool,
    /// Folders get their mode and time last: a read-only one could not be filled.
    directories: Vec<Entry>,
    devices_left_out: u64,
    xattrs_left_out: u64,
    set_id_left_out: u64,
    buffer: Vec<u8>,
}

impl Unpacker {
    fn entry<R: Read>(
        &mut self,
        entry: Entry,
        image: &mut ImageReader<R>,
    ) -> Result<(), ArchiveError> {
        let name = self.enter_parent(&entry.path).map_err(|e| at(&entry.path, e))?.to_vec();
        let placed = match &entry.kind {
            EntryKind::File { .. } => return self.file(&entry, &name, image),
            EntryKind::Directory => self.directory(&entry, &name),
            EntryKind::Symlink { target } => self.symlink(&entry, &name, target),
            EntryKind::HardLink { target } => self.hard_link(&name, target),
            EntryKind::Fifo => self.node(&entry, &name, FileType::Fifo, (0, 0)),
            EntryKind::Character { device } => {
                self.node(&entry, &name, FileType::CharacterDevice, *device)
            }
            EntryKind::Block { device } => self.node(&entry, &name, FileType::BlockDevice, *device),
        };
        placed.map_err(|error| at(&entry.path, error))?;
        if entry.kind == EntryKind::Directory {
            self.directories.push(entry);
        }
        Ok(())
    }

    /// Opens the folder an entry belongs in, making it where the image has no entry
    /// for it, and gives the entry's own name.
    fn enter_parent<'p>(&mut self, path: &'p PathBytes) -> io::Result<&'p [u8]> {
        let (parent, name) = match path.0.iter().rposition(|&b| b == b'/') {
            Some(slash) => (&path.0[..slash], &path.0[slash + 1..]),
            None => (&[][..], path.0.as_slice()),
        };
        if parent != self.parent.0 {
            self.parent = (parent.to_vec(), open_folder(&self.root, parent, Missing::Make)?);
        }
        Ok(name)
    }

    fn file<R: Read>(
        &mut self,
        entry: &Entry,
        name: &[u8],
        image: &mut ImageReader<R>,
    ) -> Result<(), ArchiveError> {
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = rustix::fs::openat(&self.parent.1, name, flags, Mode::RUSR | Mode::WUSR);
        let mut file = File::from(open.map_err(|error| at(&entry.path, error.into()))?);
        loop {
            let got = image.read_content(&mut self.buffer)?;
            if got == 0 {
                break;
            }
            file.write_all(&self.buffer[..got]).map_err(|error| at(&entry.path, error))?;
        }
        self.properties(&file, entry).map_err(|error| at(&entry.path, error))
    }

    fn directory(&mut self, entry: &Entry, name: &[u8]) -> io::Result<()> {
        match rustix::fs::mkdirat(&self.parent.1, name, Mode::RWXU) {
            // A path below it came first; the layout rules have seen to it that it is a folder.
            Err(Errno::EXIST) if entry.kind == EntryKind::Directory => Ok(()),
            other => Ok(other?),
        }
    }

    fn symlink(&mut self, entry: &Entry, name: &[u8], target: &PathBytes) -> io::Result<()> {
        let parent = &self.parent.1;
        rustix::fs::symlinkat(target.0.as_slice(), parent, name)?;
        self.own_by_name(entry, name)?;
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        Ok(rustix::fs::utimensat(&self.parent.1, name, &times(entry), flags)?)
    }

    fn hard_link(&mut self, name: &[u8], target: &PathBytes) -> io::Result<()> {
        let (folder, file) = match target.0.iter().rposition(|&b| b == b'/') {
            Some(slash) => (&target.0[..slash], &target.0[slash + 1..]),
            None => (&[][..], target.0.as_slice()),
        };
        let folder = open_folder(&self.root, folder, Missing::Refuse)?;
        match rustix::fs::linkat(&folder, file, &self.parent.1, name, AtFlags::empty()) {
            // The target is a device file that was left out: so is its other name.
            Err(Errno::NOENT) if !self.restore => {
                self.devices_left_out += 1;
                Ok(())
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
        if kind != FileType::Fifo && !self.restore {
            self.devices_left_out += 1;
            return Ok(());
        }
        let device = rustix::fs::makedev(device.0, device.1);
        let mode = Mode::from_raw_mode(entry.mode & 0o777);
        rustix::fs::mknodat(&self.parent.1, name, kind, mode, device)?;
        self.own_by_name(entry, name)?;
        // The mode again, for the umask took from it. Nothing else can be in this
        // folder's place: it was made here, and the name with it.
        rustix::fs::chmodat(&self.parent.1, name, mode, AtFlags::empty())?;
        Ok(rustix::fs::utimensat(&self.parent.1, name, &times(entry), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    fn own_by_name(&self, entry: &Entry, name: &[u8]) -> io::Result<()> {
        if self.restore {
            let (uid, gid) = owner(entry);
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::chownat(&self.parent.1, name, uid, gid, flags)?;
        }
        Ok(())
    }

    /// Owner, then mode, then attributes, then time: each undoes a part of the one after it.
    fn properties(&mut self, file: impl AsFd, entry: &Entry) -> io::Result<()> {
        let mut mode = entry.mode & 0o7777;
        if self.restore {
            let (uid, gid) = owner(entry);
            rustix::fs::fchown(&file, uid, gid)?;
        } else if mode & 0o6000 != 0 {
            mode &= 0o1777;
            self.set_id_left_out += 1;
        }
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
        for (name, value) in &entry.xattrs {
            match rustix::fs::fsetxattr(&file, name.as_slice(), value, XattrFlags::empty()) {
                Err(Errno::OPNOTSUPP | Errno::PERM | Errno::ACCESS) => self.xattrs_left_out += 1,
                other => other?,
            }
        }
        Ok(rustix::fs::futimens(&file, &times(entry))?)
    }

    fn finish(mut self, image: InspectedImage) -> Result<Unpacked, ArchiveError> {
        // What is below a folder first: its time changes with them, and its mode may shut them off.
        let mut directories = std::mem::take(&mut self.directories);
        directories.sort_by(|one, other| other.path.cmp(&one.path));
        for entry in &directories {
            let folder = open_folder(&self.root, &entry.path.0, Missing::Refuse);
            let folder = folder.map_err(|error| at(&entry.path, error))?;
            self.properties(folder, entry).map_err(|error| at(&entry.path, error))?;
        }
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o644);
        let manifest = rustix::fs::openat(&self.root, "manifest", flags, mode);
        let mut manifest = File::from(manifest.map_err(io::Error::from)?);
        manifest.write_all(image.manifest_bytes())?;
        Ok(Unpacked {
            image,
            devices_left_out: self.devices_left_out,
            xattrs_left_out: self.xattrs_left_out,
            set_id_left_out: self.set_id_left_out,
        })
    }
}

fn at(path: &PathBytes, error: io::Error) -> ArchiveError {
    ArchiveError::Io(io::Error::new(error.kind(), format!("unpacking {path}: {error}")))
}

fn owner(entry: &Entry) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))
}

fn times(entry: &Entry) -> Timestamps {
    let time = Timespec { tv_sec: entry.mtime, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Make,
    Refuse,
}

/// Opens a folder below `root` without following any symlink on the way.
fn open_folder(root: &OwnedFd, path: &[u8], missing: Missing) -> io::Result<OwnedFd> {
    if path.is_empty() {
        return root.try_clone();
    }
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(root, path, flags, Mode::empty(), resolve) {
        Ok(folder) => Ok(folder),
        Err(Errno::NOSYS | Errno::PERM) => walk(root, path, missing),
        Err(Errno::NOENT) if missing == Missing::Make => walk(root, path, missing),
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
        if missing == Missing::Make {
            match rustix::fs::mkdirat(&folder, segment, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        folder = rustix::fs::openat(&folder, segment, flags, Mode::empty())?;
    }
    Ok(folder)
}
