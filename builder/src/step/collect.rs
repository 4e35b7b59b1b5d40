//! Lists what is in the upper folder when a command has ended, and makes it the caller's.

use std::collections::HashMap;
use std::fs::{self, Metadata, OpenOptions, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Gid, Timespec, Timestamps, Uid};

use super::changes::{Change, Kind, Present};
use super::error::Fault;
use super::order::{Bytes, Run};
use super::owners::{attributes, state};

/// The states of files that were only prepared for the command.
#[derive(Debug, Default)]
pub(super) struct Prepared(HashMap<PathBuf, String>);

impl From<Vec<(Bytes, String)>> for Prepared {
    fn from(list: Vec<(Bytes, String)>) -> Self {
        Self(list.into_iter().map(|(path, state)| (path.path(), state)).collect())
    }
}

/// Writes the list, and removes everything from the scratch folder but the upper folder and it.
pub(super) fn collect(run: &Run, prepared: &Prepared) -> Result<(), Fault> {
    let file = run.scratch("changes");
    let upper = run.scratch("upper");
    let failed = |error: io::Error| Fault::changes(&file, error);
    let list = OpenOptions::new().write(true).create_new(true).open(&file).map_err(failed)?;
    // Names below it are as long as the command could make them; this prefix is not added.
    rustix::process::chdir(&upper).map_err(|errno| failed(errno.into()))?;
    let mut collector =
        Collector { list: BufWriter::new(list), run, links: HashMap::new(), prepared };
    collector.visit(Path::new(""))?;
    collector.list.flush().map_err(failed)?;
    for name in ["points", "hidden", "work", "merged", "devices", "bundle"] {
        match fs::remove_dir_all(run.scratch(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
    }
    Ok(())
}

struct Collector<'a> {
    list: BufWriter<fs::File>,
    run: &'a Run,
    /// What files with several names were before they were made the caller's.
    links: HashMap<u64, Present>,
    prepared: &'a Prepared,
}

impl Collector<'_> {
    /// Lists what is at `path`, relative to the upper folder, and what is below it.
    fn visit(&mut self, path: &Path) -> Result<(), Fault> {
        let failed = |error| Fault::changes(&Path::new("/").join(path), error);
        // The root folder is the working directory.
        let place = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let found = fs::symlink_metadata(place).map_err(failed)?;
        let change = self.change(path, place, &found).map_err(failed)?;
        let line = serde_json::to_vec(&change).map_err(|error| failed(error.into()))?;
        self.list.write_all(&line).and_then(|()| self.list.write_all(b"\n")).map_err(failed)?;
        let Change::Present(present) = change else { return Ok(()) };
        self.release(place, &found).map_err(failed)?;
        if !matches!(present.kind, Kind::Folder { .. }) {
            return Ok(());
        }
        let entries = fs::read_dir(place).map_err(failed)?;
        let mut names = entries
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<io::Result<Vec<_>>>()
            .map_err(failed)?;
        names.sort();
        names.iter().try_for_each(|name| self.visit(&path.join(name)))
    }

    fn change(&mut self, path: &Path, place: &Path, found: &Metadata) -> io::Result<Change> {
        if found.file_type().is_char_device() && found.rdev() == 0 {
            return Ok(Change::Removed { path: path.into() });
        }
        let link = (!found.is_dir() && found.nlink() > 1).then(|| found.ino());
        if let Some(first) = link.and_then(|link| self.links.get(&link)) {
            return Ok(Change::Present(Box::new(Present { path: path.into(), ..first.clone() })));
        }
        let mut attributes = attributes(place)?;
        let is = |name: &[u8], value: Option<&[u8]>| {
            let full = [self.run.overlay_attributes(), name].concat();
            attributes.iter().any(|(name, it)| {
                name.as_slice() == full && value.is_none_or(|value| it.as_slice() == value)
            })
        };
        if found.is_file() && found.len() == 0 && is(b"whiteout", None) {
            return Ok(Change::Removed { path: path.into() });
        }
        let kind = kind(place, found, is(b"opaque", Some(b"y")))?;
        attributes.retain(|(name, _)| !name.as_slice().starts_with(self.run.overlay_attributes()));
        let before = self.prepared.0.get(path);
        let prepared = before.is_some_and(|it| *it == state(self.run, found, &attributes));
        let time = self.time(found);
        let present = Present {
            path: path.into(),
            kind,
            uid: found.uid(),
            gid: found.gid(),
            mode: found.mode() & 0o7777,
            seconds: time.tv_sec,
            nanoseconds: u32::try_from(time.tv_nsec).unwrap_or(0),
            attributes,
            link,
            prepared,
        };
        if let Some(link) = link {
            self.links.insert(link, present.clone());
        }
        Ok(Change::Present(Box::new(present)))
    }

    /// When a file was modified, as far as that is to be told.
    fn time(&self, found: &Metadata) -> Timespec {
        let (seconds, nanoseconds) = (found.mtime(), found.mtime_nsec());
        match self.run.latest.filter(|latest| (*latest, 0) < (seconds, nanoseconds)) {
            Some(latest) => Timespec { tv_sec: latest, tv_nsec: 0 },
            None => Timespec { tv_sec: seconds, tv_nsec: nanoseconds },
        }
    }

    /// Takes the overlay's attributes away, which would mean something to another overlay; and makes
    /// a user's files theirs to read, move and remove outside of any namespace. A file that
    /// belongs to an ID of the namespace, with its set-user-ID bit, is not left on disk. Nor is a
    /// time later than is wanted.
    fn release(&self, place: &Path, found: &Metadata) -> io::Result<()> {
        for (name, _) in attributes(place)? {
            let own = name.as_slice().starts_with(self.run.overlay_attributes());
            let privileged = !name.as_slice().starts_with(b"user.");
            if own || (self.run.user && privileged) {
                match rustix::fs::lremovexattr(place, name.as_slice()) {
                    // Labels of the machine's policy are not ours to remove.
                    Err(rustix::io::Errno::PERM | rustix::io::Errno::ACCESS) if !own => {}
                    other => other?,
                }
            }
        }
        let time = self.time(found);
        if (time.tv_sec, time.tv_nsec) != (found.mtime(), found.mtime_nsec()) {
            let times = Timestamps { last_access: time, last_modification: time };
            rustix::fs::utimensat(CWD, place, &times, AtFlags::SYMLINK_NOFOLLOW)?;
        }
        if !self.run.user {
            return Ok(());
        }
        let (uid, gid) = (Some(Uid::ROOT), Some(Gid::ROOT));
        rustix::fs::chownat(CWD, place, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
        if found.is_symlink() {
            return Ok(());
        }
        let needed = if found.is_dir() { 0o700 } else { 0o600 };
        fs::set_permissions(place, Permissions::from_mode(found.mode() & 0o777 | needed))
    }
}

fn kind(place: &Path, found: &Metadata, opaque: bool) -> io::Result<Kind> {
    let device = found.rdev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let kind = found.file_type();
    Ok(match kind {
        _ if kind.is_dir() => Kind::Folder { replaces: opaque },
        _ if kind.is_file() => Kind::File { size: found.len() },
        _ if kind.is_symlink() => Kind::Symlink { target: fs::read_link(place)?.into() },
        _ if kind.is_fifo() => Kind::Fifo,
        _ if kind.is_socket() => Kind::Socket,
        _ if kind.is_char_device() => Kind::CharacterDevice { major, minor },
        _ => Kind::BlockDevice { major, minor },
    })
}
