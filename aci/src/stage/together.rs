//! Several files that get their names together.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::{Existing, StagedFile, clean, folder_of, hidden_name, sync_folder};

/// How often the turn of another one is waited for, and how long each time: five seconds.
const WAITS: u32 = 500;
const WAIT: Duration = Duration::from_millis(10);

/// Files that get their names one after the other when all are whole. Where one cannot have its
/// name, those before it lose theirs, and what they replaced stands there again. Dropped, they
/// never were.
///
/// - No two have the same path, whatever it is called.
/// - The paths stay what they are where the current folder changes.
#[derive(Debug, Default)]
pub struct Together {
    files: Vec<One>,
}

/// Why files were not written: nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum NotWritten {
    /// Two have this path.
    #[error("{0} is to be two files at once")]
    Twice(PathBuf),
    /// This one cannot be written.
    #[error("cannot write {path}")]
    Io {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl NotWritten {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

#[derive(Debug)]
struct One {
    /// In its real folder.
    target: PathBuf,
    existing: Existing,
    staged: StagedFile,
}

impl Together {
    /// Adds a small file.
    pub fn write(
        &mut self,
        target: &Path,
        bytes: &[u8],
        existing: Existing,
    ) -> Result<(), NotWritten> {
        // What a killed run has left behind, as far as the caller may remove it.
        let _ = clean(folder_of(target));
        let staged = StagedFile::new_for(target, existing).and_then(|mut staged| {
            staged.write_all(bytes)?;
            Ok(staged)
        });
        self.add(target, existing, staged.map_err(NotWritten::io(target))?)
    }

    /// Adds a file that is whole.
    pub fn add(
        &mut self,
        target: &Path,
        existing: Existing,
        staged: StagedFile,
    ) -> Result<(), NotWritten> {
        let real = real_path(target).map_err(NotWritten::io(target))?;
        if self.files.iter().any(|one| one.target == real) {
            return Err(NotWritten::Twice(target.to_owned()));
        }
        self.files.push(One { target: real, existing, staged });
        Ok(())
    }

    /// Adds the files of what is done after this: they take the place of those of the same path
    /// where they would replace them.
    pub fn append(&mut self, later: Self) -> Result<(), NotWritten> {
        for mut one in later.files {
            if let Some(at) = self.files.iter().position(|before| before.target == one.target) {
                if one.existing == Existing::Refuse {
                    let exists = io::ErrorKind::AlreadyExists.into();
                    return Err(NotWritten::io(&one.target)(exists));
                }
                one.existing = self.files.remove(at).existing;
            }
            self.files.push(one);
        }
        Ok(())
    }

    /// The files, by the names they will have.
    pub fn files(&self) -> impl Iterator<Item = (&Path, &File)> {
        self.files.iter().map(|one| (one.target.as_path(), one.staged.file()))
    }

    /// Brings all files to the disk, and gives them their names in the order in which they were
    /// added. Where there are several, nobody else does so in the same folders meanwhile.
    pub fn commit(mut self) -> Result<(), NotWritten> {
        for One { target, staged, .. } in &mut self.files {
            staged.sync().map_err(NotWritten::io(target))?;
        }
        let mut folders: Vec<PathBuf> =
            self.files.iter().map(|one| folder_of(&one.target).to_owned()).collect();
        folders.sort_unstable();
        folders.dedup();
        let several = folders.iter().filter(|_| self.files.len() > 1);
        let _turns: Vec<_> = several.map(|folder| turn(folder)).collect();
        for One { target, existing, .. } in &self.files {
            existing.check(target).map_err(NotWritten::io(target))?;
        }
        let mut named = Vec::new();
        for mut one in self.files {
            match one.name() {
                Ok(before) => named.push((one, before)),
                Err(error) => {
                    named.into_iter().rev().for_each(|(one, before)| take_back(&one, before));
                    return Err(NotWritten::io(&one.target)(error));
                }
            }
        }
        drop(named);
        folders.iter().try_for_each(|path| sync_folder(path).map_err(NotWritten::io(path)))
    }
}

/// Waits for the turn of naming files in a folder. Whoever has it needs no time to speak of, so that
/// a lock which is held for long is somebody's for another purpose.
fn turn(folder: &Path) -> Option<File> {
    let file = File::open(folder).ok()?;
    for _ in 0..WAITS {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => thread::sleep(WAIT),
            _ => break,
        }
    }
    Some(file)
}

impl One {
    /// Gives the file its name; gives what had it before.
    fn name(&mut self) -> io::Result<Option<Kept>> {
        if self.existing == Existing::Refuse || self.target.symlink_metadata().is_err() {
            self.staged.name(&self.target, self.existing)?;
            return Ok(None);
        }
        let file = File::open(&self.target).ok();
        if let Some(file) = &file {
            let _ = rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive);
        }
        let hidden = match self.staged.exchange(&self.target) {
            // A file system that cannot.
            Err(error)
                if matches!(Errno::from_io_error(&error), Some(Errno::INVAL | Errno::NOSYS)) =>
            {
                let hidden = folder_of(&self.target).join(hidden_name()?);
                fs::hard_link(&self.target, &hidden)?;
                let kept = Kept { hidden, _file: file };
                self.staged.name(&self.target, self.existing)?;
                return Ok(Some(kept));
            }
            other => other?,
        };
        Ok(Some(Kept { hidden, _file: file }))
    }
}

/// A file that was replaced. It has a hidden name until all is done.
struct Kept {
    hidden: PathBuf,
    /// Locked, so that nobody takes it for abandoned.
    _file: Option<File>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        // Nothing can be done about a failure here; `clean` tries again later.
        let _ = fs::remove_file(&self.hidden);
    }
}

/// Takes the name from a file again, where it still has it.
fn take_back(one: &One, before: Option<Kept>) {
    let is = |ours: &fs::Metadata| {
        let found = one.target.symlink_metadata();
        found.is_ok_and(|found| (found.dev(), found.ino()) == (ours.dev(), ours.ino()))
    };
    if !one.staged.file().metadata().is_ok_and(|ours| is(&ours)) {
        return;
    }
    // A failure here comes after the one that is told.
    let _ = match before {
        None => fs::remove_file(&one.target),
        Some(kept) => fs::rename(&kept.hidden, &one.target),
    };
}

/// The path in its real folder: the same for all that a file may be called.
pub fn real_path(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
    Ok(folder_of(path).canonicalize()?.join(name))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut all: Vec<String> =
            fs::read_dir(folder).unwrap().map(|e| name(e).into_string().unwrap()).collect();
        all.sort();
        all
    }

    #[test]
    fn together_all_files_are_named_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for fails in [true, false] {
            fs::write(path("old"), "kept").unwrap();
            let before = fs::metadata(path("old")).unwrap().ino();
            let mut all = Together::default();
            all.write(&path("old"), b"new", Existing::Replace).unwrap();
            all.write(&path("one"), b"one", Existing::Refuse).unwrap();
            all.write(&path("two"), b"two", Existing::Refuse).unwrap();
            assert_eq!(names(folder.path()), ["old"]);
            if fails {
                // Somebody was faster.
                fs::write(path("two"), "theirs").unwrap();
                let error = all.commit().unwrap_err();
                assert!(
                    matches!(&error, NotWritten::Io { path, source } if path.ends_with("two")
                        && source.kind() == io::ErrorKind::AlreadyExists),
                    "{error}"
                );
                assert_eq!(names(folder.path()), ["old", "two"]);
                assert_eq!(fs::read(path("old")).unwrap(), b"kept");
                assert_eq!(fs::metadata(path("old")).unwrap().ino(), before);
                fs::remove_file(path("two")).unwrap();
            } else {
                all.commit().unwrap();
                assert_eq!(names(folder.path()), ["old", "one", "two"]);
                assert_eq!(fs::read(path("old")).unwrap(), b"new");
            }
        }
    }

    #[test]
    fn together_no_path_is_two_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("d")).unwrap();
        std::os::unix::fs::symlink("d", path("link")).unwrap();
        let mut all = Together::default();
        all.write(&path("d/a"), b"1", Existing::Refuse).unwrap();
        for same in ["d/a", "d/./a", "link/a", "d/../link/a"] {
            let error = all.write(&path(same), b"2", Existing::Replace).unwrap_err();
            assert!(matches!(error, NotWritten::Twice(_)), "{same}: {error}");
        }
        // What comes later replaces it where it may.
        for (existing, is_taken) in [(Existing::Refuse, false), (Existing::Replace, true)] {
            let mut later = Together::default();
            later.write(&path("link/a"), b"3", existing).unwrap();
            assert_eq!(all.append(later).is_ok(), is_taken);
        }
        all.commit().unwrap();
        assert_eq!(fs::read(path("d/a")).unwrap(), b"3");
        assert_eq!(names(&path("d")), ["a"]);
    }

    #[test]
    fn together_a_file_that_cannot_be_linked_stands_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("old"), "kept").unwrap();
        // As many names as a file of most file systems can have.
        for at in 0.. {
            if at == 65_000 || fs::hard_link(path("old"), path(&format!("link-{at}"))).is_err() {
                break;
            }
        }
        let mut all = Together::default();
        all.write(&path("old"), b"new", Existing::Replace).unwrap();
        all.write(&path("two"), b"two", Existing::Refuse).unwrap();
        fs::create_dir(path("two")).unwrap();
        all.commit().unwrap_err();
        assert_eq!(fs::read(path("old")).unwrap(), b"kept");
    }

    #[test]
    fn replaced_file_keeps_its_mode_and_attributes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let flags = rustix::fs::XattrFlags::empty();
        let has_attributes = rustix::fs::setxattr(&path, "user.note", b"x", flags).is_ok();
        let is_root = rustix::process::geteuid().is_root();
        if is_root {
            std::os::unix::fs::chown(&path, Some(1234), Some(1235)).unwrap();
        }
        let mut all = Together::default();
        all.write(&path, b"new", Existing::Replace).unwrap();
        all.commit().unwrap();
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(metadata.mode() & 0o7777, 0o640);
        if is_root {
            assert_eq!((metadata.uid(), metadata.gid()), (1234, 1235));
        }
        if has_attributes {
            let mut value = [0; 4];
            let length = rustix::fs::getxattr(&path, "user.note", &mut value[..]).unwrap();
            assert_eq!(&value[..length], b"x");
        }
    }
}
