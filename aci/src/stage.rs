//! All or nothing on disk: the one helper every file and folder is written with.
//!
//! A file is written without a name (`O_TMPFILE`), synced, given its name in one
//! step, and its folder synced. A crash, a full disk or a kill at any moment
//! leaves the old state or the new one, and nothing to clean. Where the file
//! system has no nameless files, and for folders, a hidden name
//! (`.gantry-stage-…`) under an exclusive `flock` is used: the kernel releases
//! the lock when the process dies, so [`clean`] can tell an abandoned one. So it is
//! for a file that several others replace [`Together`], until all have their names.

#![expect(
    clippy::disallowed_methods,
    reason = "this is the helper that everybody else is sent to: it renames, and names by chance"
)]

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, RenameFlags};

mod remove;
mod replacing;
mod together;
mod write_back;

use remove::remove_tree;
pub use together::{NotWritten, Together, real_path};
pub use write_back::WriteBack;

const STAGE_PREFIX: &str = ".gantry-stage-";

/// What a commit does when the target exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Fail with [`io::ErrorKind::AlreadyExists`], in one atomic step.
    Refuse,
    /// Take its place, in one atomic step. Only a file gives way: a device, a pipe or
    /// a link is more than its content, and `/dev/null` must survive a privileged
    /// `--overwrite`.
    Replace,
}

impl Existing {
    /// Whether a file may get this name: what a commit will ask, for who would rather
    /// know before the work.
    pub fn check(self, target: &Path) -> io::Result<()> {
        let Ok(metadata) = target.symlink_metadata() else { return Ok(()) };
        match self {
            Self::Refuse => Err(io::ErrorKind::AlreadyExists.into()),
            Self::Replace if metadata.is_file() => Ok(()),
            Self::Replace => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{} is no regular file, and nothing else is replaced", target.display()),
            )),
        }
    }
}

/// A file that is being written and has no name yet. Dropped, it never was.
#[derive(Debug)]
pub struct StagedFile {
    file: File,
    /// The hidden name, on file systems without nameless files.
    hidden: Option<PathBuf>,
    /// Whether it has what the file has that it replaces.
    takes_over: bool,
    write_back: WriteBack,
}

impl StagedFile {
    /// A new empty file on the file system of `folder`, with these permission bits
    /// (less the umask).
    pub fn new_in(folder: &Path, mode: u32) -> io::Result<Self> {
        let mode = Mode::from_raw_mode(mode);
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        match rustix::fs::open(folder, flags, mode) {
            Ok(fd) => Ok(Self::of(File::from(fd), None)),
            // The three ways kernels and file systems say that they cannot.
            Err(
                rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR | rustix::io::Errno::INVAL,
            ) => Self::new_hidden(folder, mode),
            Err(error) => Err(error.into()),
        }
    }

    fn of(file: File, hidden: Option<PathBuf>) -> Self {
        Self { file, hidden, takes_over: false, write_back: WriteBack::default() }
    }

    fn new_hidden(folder: &Path, mode: Mode) -> io::Result<Self> {
        loop {
            let path = folder.join(hidden_name()?);
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
            let file = File::from(rustix::fs::open(&path, flags, mode)?);
            rustix::fs::flock(&file, FlockOperation::LockExclusive)?;
            // Another process that cleans may have taken it for abandoned before it was locked.
            if file.metadata()?.nlink() > 0 {
                return Ok(Self::of(file, Some(path)));
            }
        }
    }

    /// The open file, for reading back what was written.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Syncs the file and gives it its name, on the same file system.
    pub fn commit(mut self, target: &Path, existing: Existing) -> io::Result<()> {
        self.sync()?;
        self.name(target, existing)?;
        sync_folder(folder_of(target))
    }

    fn sync(&mut self) -> io::Result<()> {
        self.write_back.finish()?;
        self.file.sync_all()
    }

    /// Gives the file its name.
    fn name(&mut self, target: &Path, existing: Existing) -> io::Result<()> {
        if existing == Existing::Refuse && self.hidden.is_none() {
            return self.link(target);
        }
        if existing == Existing::Replace {
            self.take_place(target)?;
        }
        let hidden = self.hide(folder_of(target))?;
        rename(&hidden, target, existing)?;
        self.hidden = None;
        Ok(())
    }

    /// Exchanges the file with the one of this name; gives the hidden name that that one has now.
    fn exchange(&mut self, target: &Path) -> io::Result<PathBuf> {
        self.take_place(target)?;
        let hidden = self.hide(folder_of(target))?;
        let exchange =
            || rustix::fs::renameat_with(CWD, &hidden, CWD, target, RenameFlags::EXCHANGE);
        exchange()?;
        // What has it now is not this one's to remove.
        self.hidden = None;
        if hidden.symlink_metadata()?.is_file() {
            return Ok(hidden);
        }
        // Somebody was faster, and it is nothing that gives way.
        exchange()?;
        self.hidden = Some(hidden);
        Existing::Replace.check(target)?;
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// What is looked after before it takes the place of another file.
    fn take_place(&self, target: &Path) -> io::Result<()> {
        Existing::Replace.check(target)?;
        if self.takes_over { self.take_over(target) } else { Ok(()) }
    }

    /// The hidden name of the file in this folder, which it gets where it has none.
    fn hide(&mut self, folder: &Path) -> io::Result<PathBuf> {
        if let Some(hidden) = &self.hidden {
            return Ok(hidden.clone());
        }
        let hidden = folder.join(hidden_name()?);
        // Else whoever cleans could take the name away again.
        rustix::fs::flock(&self.file, FlockOperation::LockExclusive)?;
        self.link(&hidden)?;
        Ok(self.hidden.insert(hidden).clone())
    }

    fn link(&self, target: &Path) -> io::Result<()> {
        use std::os::fd::AsRawFd;
        // AT_EMPTY_PATH needs a capability; the way through /proc does not (open(2)).
        let source = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        Ok(rustix::fs::linkat(CWD, source, CWD, target, AtFlags::SYMLINK_FOLLOW)?)
    }
}

impl Write for StagedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.write_back.advance(&self.file, written)?;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if let Some(hidden) = &self.hidden {
            // Nothing can be done about a failure here; `clean` tries again later.
            let _ = fs::remove_file(hidden);
        }
    }
}

/// A folder that is being filled under a hidden name. Dropped, it is removed.
///
/// Whoever may write in the folder it lies in can give the hidden name to another folder
/// meanwhile. So it is filled by way of its descriptor, and belongs to the caller alone.
#[derive(Debug)]
pub struct StagedFolder {
    hidden: PathBuf,
    inside: PathBuf,
    mode: Mode,
    committed: bool,
    lock: File,
}

impl StagedFolder {
    /// A new empty folder inside `parent`. It will have mode 0755, whatever the umask is, and no
    /// access list, whatever `parent` has.
    pub fn new_in(parent: &Path) -> io::Result<Self> {
        loop {
            let hidden = parent.join(hidden_name()?);
            rustix::fs::mkdir(&hidden, Mode::RWXU)?;
            let lock = match open_folder(&hidden) {
                Ok(lock) => lock,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    let _ = fs::remove_dir(&hidden);
                    return Err(error);
                }
            };
            let by_descriptor = PathBuf::from(format!(
                "/proc/self/fd/{}/.",
                std::os::fd::AsRawFd::as_raw_fd(&lock)
            ));
            // Without /proc there is only the name.
            let inside = if by_descriptor.is_dir() { by_descriptor } else { hidden.clone() };
            rustix::fs::flock(&lock, FlockOperation::LockExclusive)?;
            // Before it was locked, somebody who cleans up could take it for abandoned.
            if !hidden.is_dir() {
                continue;
            }
            // What is in it will be removed when it is dropped: it must be the one just made.
            let own = lock.metadata()?.uid() == rustix::process::geteuid().as_raw();
            if !own || fs::read_dir(&inside)?.next().is_some() {
                return Err(replaced());
            }
            let mode = Mode::from_raw_mode(0o755);
            let staged = Self { hidden, inside, mode, committed: false, lock };
            // What lies in it would have the list that new files have in `parent`.
            for list in ["system.posix_acl_default", "system.posix_acl_access"] {
                let _ = rustix::fs::fremovexattr(&staged.lock, list);
            }
            rustix::fs::fchmod(&staged.lock, Mode::RWXU)?;
            return Ok(staged);
        }
    }

    /// Where to write: a path that leads into this folder whatever becomes of its name.
    pub fn path(&self) -> &Path {
        &self.inside
    }

    /// It will belong to the caller alone when it has its name, too.
    pub fn keep_private(&mut self) {
        self.mode = Mode::RWXU;
    }

    /// Syncs the folder and gives it its name; the files inside were committed or
    /// synced by whoever wrote them.
    pub fn commit(self, target: &Path) -> io::Result<()> {
        self.lock.sync_all()?;
        self.put(target)?;
        sync_folder(folder_of(target))
    }

    /// Gives the folder its name and syncs nothing, as [`put()`] does.
    pub fn put(mut self, target: &Path) -> io::Result<()> {
        rustix::fs::fchmod(&self.lock, self.mode)?;
        rename(&self.hidden, target, Existing::Refuse)?;
        self.committed = true;
        check_same(&self.lock, target)
    }

    /// Gives a folder that lies in this one the name `target`, and drops the rest.
    pub fn commit_child(self, name: &str, target: &Path) -> io::Result<()> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let child = match rustix::fs::openat(&self.lock, name, flags, Mode::empty()) {
            // Its own mode shuts the caller off: by way of a handle, which no link can lead astray.
            Err(rustix::io::Errno::ACCESS) => {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                rustix::fs::openat(&self.lock, name, flags, Mode::empty())?
            }
            other => other?,
        };
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&child));
        let child = File::from(child);
        let mode = Mode::from_raw_mode(child.metadata()?.mode() & 0o7777);
        let chmod = |mode| rustix::fs::chmodat(CWD, &path, mode, AtFlags::empty());
        // Its own `..` changes, so who is not root must have the right to write in it meanwhile.
        if !mode.contains(Mode::RWXU) {
            chmod(mode | Mode::RWXU)?;
        }
        let moved =
            rustix::fs::renameat_with(&self.lock, name, CWD, target, RenameFlags::NOREPLACE);
        if !mode.contains(Mode::RWXU) {
            chmod(mode)?;
        }
        moved?;
        check_same(&child, target)?;
        sync_folder(folder_of(target))
    }

    /// Syncs a tree of files nobody has synced yet: one sync of the whole file system
    /// stands for one of each file.
    pub fn sync_tree(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(&self.lock)?)
    }
}

impl Drop for StagedFolder {
    fn drop(&mut self) {
        if !self.committed {
            // What is in it by way of the descriptor, and of the name what is empty alone: it may
            // be another folder's by now.
            let _ = remove_tree(&self.inside);
            let _ = fs::remove_dir(&self.hidden);
        }
    }
}

/// Writes a small file, all or nothing.
pub fn write(target: &Path, bytes: &[u8], mode: u32, existing: Existing) -> io::Result<()> {
    let mut staged = StagedFile::new_in(folder_of(target), mode)?;
    staged.write_all(bytes)?;
    staged.commit(target, existing)
}

/// The same, not synced: for work that is begun again after a power cut. A kill leaves all or
/// nothing of it as well.
pub fn put(target: &Path, bytes: &[u8], mode: u32, existing: Existing) -> io::Result<()> {
    let mut staged = StagedFile::new_in(folder_of(target), mode)?;
    staged.write_all(bytes)?;
    staged.name(target, existing)
}

/// Makes `path` a symbolic link to `target`. A link that is there gives way, in one atomic step;
/// nothing else does.
pub fn link(target: &Path, path: &Path) -> io::Result<()> {
    if path.symlink_metadata().is_ok_and(|metadata| !metadata.is_symlink()) {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let staged = StagedFolder::new_in(folder_of(path))?;
    let hidden = staged.path().join("link");
    std::os::unix::fs::symlink(target, &hidden)?;
    fs::rename(&hidden, path)?;
    sync_folder(folder_of(path))
}

/// Gives a file another name on the same file system, in one atomic step. What had it gives way.
pub fn move_file(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_folder(folder_of(to))?;
    sync_folder(folder_of(from))
}

/// Removes a file and syncs its folder. An absent file is no error.
pub fn remove(target: &Path) -> io::Result<()> {
    match fs::remove_file(target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    }
    sync_folder(folder_of(target))
}

/// Removes a folder and all below it in a way that is never seen half done:
/// it loses its name first. An absent folder is no error.
pub fn remove_folder(target: &Path) -> io::Result<()> {
    let hidden = folder_of(target).join(hidden_name()?);
    match fs::rename(target, &hidden) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    }
    sync_folder(folder_of(target))?;
    remove_tree(&hidden)
}

/// Creates a folder and its parents, each one synced into its parent.
pub fn create_folders(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    create_folders(folder_of(path))?;
    match fs::create_dir(path) {
        // Another process was faster; that is as good.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => other?,
    }
    sync_folder(folder_of(path)).inspect_err(|_| {
        // Else the next one would find it, and take it to be on the disk for good.
        let _ = fs::remove_dir(path);
    })
}

/// Creates a folder that is the caller's alone, and its parents, which are anybody's to enter.
pub fn create_private_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    create_folders(folder_of(path))?;
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Whether this is the name of a file or folder that is half written.
pub fn is_staged(name: &OsStr) -> bool {
    name.as_bytes().starts_with(STAGE_PREFIX.as_bytes())
}

/// Removes what processes that died left half written in `folder`. What a living
/// process is writing is locked, and stays.
pub fn clean(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !is_staged(&entry.file_name()) {
            continue;
        }
        // A pipe would have us wait, and a link lead elsewhere: neither is ours.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(file) = rustix::fs::open(entry.path(), flags, Mode::empty()) else { continue };
        let kind = entry.file_type()?;
        if !kind.is_file() && !kind.is_dir() {
            continue;
        }
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let removed = if kind.is_dir() {
                remove_tree(&entry.path())
            } else {
                fs::remove_file(entry.path())
            };
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

/// How a lock is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Together with other readers.
    Shared,
    /// Alone.
    Exclusive,
}

/// A `flock`ed file. Dropped, or when the process dies, it is free again. Lock
/// files are never unlinked: two processes would hold two locks of one name.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for the lock.
    pub fn wait(path: &Path, hold: Hold) -> io::Result<Self> {
        let file = Self::open(path, hold)?;
        rustix::fs::flock(
            &file,
            match hold {
                Hold::Shared => FlockOperation::LockShared,
                Hold::Exclusive => FlockOperation::LockExclusive,
            },
        )?;
        Ok(Self { _file: file })
    }

    /// Takes the lock, or returns `None` where somebody else holds it.
    pub fn attempt(path: &Path, hold: Hold) -> io::Result<Option<Self>> {
        let file = Self::open(path, hold)?;
        let operation = match hold {
            Hold::Shared => FlockOperation::NonBlockingLockShared,
            Hold::Exclusive => FlockOperation::NonBlockingLockExclusive,
        };
        match rustix::fs::flock(&file, operation) {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn open(path: &Path, hold: Hold) -> io::Result<File> {
        match fs::OpenOptions::new().create(true).truncate(false).write(true).open(path) {
            // Readers share a lock that they may read and not write: one of root's store,
            // or of a store on a file system mounted read-only.
            Err(error)
                if hold == Hold::Shared
                    && matches!(
                        error.kind(),
                        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
                    ) =>
            {
                File::open(path).map_err(|_| error)
            }
            other => other,
        }
    }
}

fn rename(from: &Path, to: &Path, existing: Existing) -> io::Result<()> {
    if existing == Existing::Replace {
        return fs::rename(from, to);
    }
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // A file system without this flag: rename(2) itself refuses a folder that
        // is not empty, and a lost race for a file replaces like with like.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            if to.symlink_metadata().is_ok() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            fs::rename(from, to)
        }
        other => Ok(other?),
    }
}

fn hidden_name() -> io::Result<OsString> {
    let mut random = [0; 8];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    Ok(format!("{STAGE_PREFIX}{:016x}", u64::from_ne_bytes(random)).into())
}

/// Whether it is the system that failed, and not a file that is absent or something else than it should
/// be: what the file says is unknown then.
pub fn is_fault(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let faults = [Errno::IO, Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOSPC, Errno::STALE];
    Errno::from_io_error(error).is_some_and(|error| faults.contains(&error))
}

/// The folder a path is in: its parent, or the current one for a bare name.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A file without a name on the file system of `folder`, to be read and written by the
/// caller alone: what does not fit in memory for a while.
pub(crate) fn nameless_in(folder: &OwnedFd) -> io::Result<File> {
    let mode = Mode::RUSR | Mode::WUSR;
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    match rustix::fs::openat(folder, ".", OFlags::TMPFILE | flags, mode) {
        Ok(file) => Ok(file.into()),
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR | rustix::io::Errno::INVAL) => {
            let name = hidden_name()?;
            let file =
                rustix::fs::openat(folder, &name, OFlags::CREATE | OFlags::EXCL | flags, mode)?;
            rustix::fs::unlinkat(folder, &name, AtFlags::empty())?;
            Ok(file.into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Opens a folder, and no link to one.
fn open_folder(path: &Path) -> io::Result<File> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

/// Whether a name leads to this folder. If not, somebody who may write beside it has put another
/// one in its place, which must not pass for what was made here.
fn check_same(folder: &File, target: &Path) -> io::Result<()> {
    let (ours, found) = (folder.metadata()?, target.symlink_metadata()?);
    if (ours.dev(), ours.ino()) == (found.dev(), found.ino()) { Ok(()) } else { Err(replaced()) }
}

fn replaced() -> io::Error {
    io::Error::other("somebody put another folder in its place while it was being filled")
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn link_takes_the_place_of_a_link_and_of_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("latest");
        for target in ["1.0.0", "1.1.0"] {
            link(Path::new(target), &path).unwrap();
            assert_eq!(fs::read_link(&path).unwrap(), Path::new(target));
        }
        fs::write(folder.path().join("file"), "kept").unwrap();
        let refused = link(Path::new("1.0.0"), &folder.path().join("file")).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(names(folder.path()), ["file", "latest"]);
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut all: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        all.sort();
        all
    }

    #[test]
    fn staged_file_appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a");
        for make in
            [StagedFile::new_in, |f: &Path, m| StagedFile::new_hidden(f, Mode::from_raw_mode(m))]
        {
            let mut staged = make(folder.path(), 0o644).unwrap();
            staged.write_all(b"half").unwrap();
            drop(staged);
            assert_eq!(names(folder.path()), Vec::<String>::new());
            let mut staged = make(folder.path(), 0o600).unwrap();
            staged.write_all(b"whole").unwrap();
            staged.commit(&target, Existing::Refuse).unwrap();
            assert_eq!(names(folder.path()), ["a"]);
            let error = make(folder.path(), 0o600).unwrap().commit(&target, Existing::Refuse);
            assert_eq!(error.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(fs::read(&target).unwrap(), b"whole");
            make(folder.path(), 0o600).unwrap().commit(&target, Existing::Replace).unwrap();
            assert_eq!(fs::read(&target).unwrap(), b"");
            remove(&target).unwrap();
            remove(&target).unwrap();
        }
    }

    #[test]
    fn staged_file_of_many_steps_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("large");
        let mut staged = StagedFile::new_in(folder.path(), 0o600).unwrap();
        let piece: Vec<u8> = (0..1_000_003_u32).map(|n| (n % 251) as u8).collect();
        for _ in 0..(3 * WriteBack::STEP / 1_000_003) {
            staged.write_all(&piece).unwrap();
        }
        assert!(staged.write_back.thread.is_some(), "the disk was kept busy");
        staged.commit(&target, Existing::Refuse).unwrap();
        let whole = fs::read(&target).unwrap();
        assert_eq!(whole.len() % piece.len(), 0);
        assert!(whole.chunks(piece.len()).all(|chunk| chunk == piece));
    }

    #[test]
    fn replace_takes_the_place_of_regular_files_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), b"kept").unwrap();
        fs::create_dir(path("folder")).unwrap();
        std::os::unix::fs::symlink("file", path("link")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        for name in ["folder", "link", "socket"] {
            let before = path(name).symlink_metadata().unwrap().file_type();
            let error = write(&path(name), b"new", 0o644, Existing::Replace).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{name}");
            assert_eq!(path(name).symlink_metadata().unwrap().file_type(), before, "{name}");
        }
        assert_eq!(fs::read(path("file")).unwrap(), b"kept");
        assert_eq!(names(folder.path()), ["file", "folder", "link", "socket"]);
        write(&path("file"), b"new", 0o644, Existing::Replace).unwrap();
    }

    #[test]
    fn staged_folder_is_filled_and_named_whatever_a_stranger_renames() {
        for child in [false, true] {
            let parent = tempfile::tempdir().unwrap();
            let path = |name: &str| parent.path().join(name);
            let victim = path("victim");
            fs::write(&victim, b"secret").unwrap();
            fs::set_permissions(&victim, fs::Permissions::from_mode(0o600)).unwrap();
            let staged = StagedFolder::new_in(parent.path()).unwrap();
            fs::create_dir(staged.path().join("rootfs")).unwrap();
            // Who may write in the parent gives the name to a folder of his own.
            fs::rename(&staged.hidden, path("moved")).unwrap();
            fs::create_dir(&staged.hidden).unwrap();
            std::os::unix::fs::symlink(&victim, staged.hidden.join("rootfs")).unwrap();
            fs::write(staged.path().join("rootfs/file"), b"ours").unwrap();
            let target = path("target");
            if child {
                staged.commit_child("rootfs", &target).unwrap();
                assert_eq!(fs::read(target.join("file")).unwrap(), b"ours");
            } else {
                let error = staged.commit(&target).unwrap_err();
                assert!(error.to_string().contains("somebody put another folder"), "{error}");
                assert_eq!(fs::read(path("moved/rootfs/file")).unwrap(), b"ours");
            }
            assert_eq!(victim.metadata().unwrap().permissions().mode() & 0o777, 0o600);
            // Nor is what the stranger has put there removed.
            let staged = StagedFolder::new_in(parent.path()).unwrap();
            fs::create_dir(staged.path().join("ours")).unwrap();
            fs::rename(&staged.hidden, path("again")).unwrap();
            fs::create_dir(path("theirs")).unwrap();
            fs::write(path("theirs/kept"), b"").unwrap();
            let hidden = staged.hidden.clone();
            fs::rename(path("theirs"), &hidden).unwrap();
            drop(staged);
            assert!(hidden.join("kept").exists());
            assert!(!path("again/ours").exists());
        }
    }

    #[test]
    fn staged_folder_has_the_mode_it_should_have() {
        let parent = tempfile::tempdir().unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
        let staged = StagedFolder::new_in(parent.path()).unwrap();
        assert_eq!(mode(staged.path()), 0o700);
        staged.commit(&parent.path().join("open")).unwrap();
        assert_eq!(mode(&parent.path().join("open")), 0o755);
        let mut staged = StagedFolder::new_in(parent.path()).unwrap();
        staged.keep_private();
        staged.commit(&parent.path().join("private")).unwrap();
        assert_eq!(mode(&parent.path().join("private")), 0o700);
    }

    #[test]
    fn clean_removes_the_abandoned_and_leaves_the_living() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".gantry-stage-dead"), b"x").unwrap();
        fs::create_dir_all(folder.path().join(".gantry-stage-deadfolder/a/b")).unwrap();
        fs::write(folder.path().join("kept"), b"x").unwrap();
        // A stranger's pipe is not waited for, and a stranger's link not followed.
        let pipe = folder.path().join(".gantry-stage-0pipe");
        rustix::fs::mknodat(CWD, &pipe, rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
        let link = folder.path().join(".gantry-stage-1link");
        std::os::unix::fs::symlink("kept", &link).unwrap();
        let living = StagedFolder::new_in(folder.path()).unwrap();
        clean(folder.path()).unwrap();
        let name = living.hidden.file_name().unwrap().to_str().unwrap().to_owned();
        let mut left = [".gantry-stage-0pipe", ".gantry-stage-1link", &name, "kept"];
        left.sort_unstable();
        assert_eq!(names(folder.path()), left);
        fs::remove_file(pipe).unwrap();
        fs::remove_file(link).unwrap();
        living.commit(&folder.path().join("b")).unwrap();
        assert_eq!(names(folder.path()), ["b", "kept"]);
    }

    #[test]
    fn lock_is_exclusive_and_freed_on_drop() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = Lock::wait(&path, Hold::Exclusive).unwrap();
        assert!(Lock::attempt(&path, Hold::Shared).unwrap().is_none());
        drop(held);
        let _first = Lock::wait(&path, Hold::Shared).unwrap();
        assert!(Lock::attempt(&path, Hold::Shared).unwrap().is_some());
    }
}
