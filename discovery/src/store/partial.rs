//! Downloads that have not come to their end.
//!
//! ```text
//! STORE/
//!   partial/
//!     3f0a…            the first part of the file at one URL, by the URL's SHA-256; flocked
//!                      by whoever downloads it
//!     3f0a….json       the URL, the file's length, and by what it is known again
//! ```
//!
//! What is here is a stranger's bytes that nobody has checked. The next fetch reads them
//! through the whole verification before it asks for the rest, so they are trusted no more
//! than what comes over the network. Some tens are kept, for a week.
//!
//! The lock is on the file itself, which goes away in the end: a lock counts only while the
//! file that is locked is still the one of that name.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use aci::stage::{self, Existing};
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use url::Url;

use super::remote::key;
use super::{Store, StoreError};
use crate::http::cache::Validators;

/// How many unfinished downloads are kept.
const KEPT: usize = 32;

/// How long one is kept.
const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// By what the rest of a file can be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Facts {
    pub(crate) url: String,
    #[serde(flatten)]
    pub(crate) validators: Validators,
    /// Bytes of the whole file.
    pub(crate) total: Option<u64>,
}

/// The place of one unfinished download. While a file is there, this process alone has it.
#[derive(Debug)]
pub(crate) struct Partial {
    path: PathBuf,
    /// The file, locked, and what it is the beginning of.
    held: Option<(File, Facts)>,
}

/// What came of a wish for a lock.
enum Locked {
    Mine(File),
    Absent,
    Busy,
}

impl Store {
    /// The place of the download of `url`, or `None` where another process has it.
    pub(crate) fn partial(
        &self,
        url: &Url,
        now: SystemTime,
    ) -> Result<Option<Partial>, StoreError> {
        let (folder, key) = (self.root().join("partial"), key(url));
        sweep(&folder, &key, now);
        let path = folder.join(key);
        let file = match lock(&path, false).map_err(StoreError::io("lock", &path))? {
            Locked::Busy => return Ok(None),
            Locked::Absent => return Ok(Some(Partial { path, held: None })),
            Locked::Mine(file) => file,
        };
        let facts = fs::read(facts_path(&path)).ok();
        let facts = facts.and_then(|bytes| serde_json::from_slice::<Facts>(&bytes).ok());
        let held = facts.filter(|facts| facts.url == url.as_str()).map(|facts| (file, facts));
        Ok(Some(Partial { path, held }))
    }
}

/// Removes what is old or too much and nobody works on. That it fails is no reason not to
/// download.
fn sweep(folder: &Path, own: &str, now: SystemTime) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut found: Vec<(SystemTime, String)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let changed = entry.metadata().ok()?.modified().ok()?;
            (!name.contains('.') && name != own).then_some((changed, name))
        })
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    for (at, (changed, name)) in found.into_iter().enumerate() {
        let old = now.duration_since(changed).is_ok_and(|age| age > KEPT_FOR);
        let path = folder.join(name);
        if (old || at + 1 >= KEPT) && matches!(lock(&path, false), Ok(Locked::Mine(_))) {
            remove(&path);
        }
    }
}

/// Opens and locks the file of this name, without waiting.
fn lock(path: &Path, create: bool) -> io::Result<Locked> {
    let open = OpenOptions::new().read(true).write(true).create(create).truncate(false).open(path);
    let file = match open {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Locked::Absent),
        other => other?,
    };
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(Locked::Busy),
        other => other?,
    }
    // It may have gone, and another come, between the opening and the locking.
    let same = |there: fs::Metadata, mine: &fs::Metadata| {
        (there.dev(), there.ino()) == (mine.dev(), mine.ino())
    };
    let mine = file.metadata()?;
    if fs::metadata(path).is_ok_and(|there| same(there, &mine)) {
        Ok(Locked::Mine(file))
    } else {
        Ok(Locked::Busy)
    }
}

impl Partial {
    /// What an earlier process has left: how many bytes, and of which file. Of a file that is
    /// there to its last byte one is asked for again: that shows that it is still the same.
    pub(crate) fn left(&self) -> Option<(u64, &Facts)> {
        let (file, facts) = self.held.as_ref()?;
        facts.validators.for_range()?;
        let length = file.metadata().ok()?.len();
        let usable = facts.total.map_or(length, |total| length.min(total.saturating_sub(1)));
        (usable > 0).then_some((usable, facts))
    }

    /// The file, to go on after `from` bytes of it. What came after them is dropped.
    pub(super) fn open(&self, from: u64) -> Result<File, StoreError> {
        let fail = || StoreError::io("write", &self.path);
        let Some((file, _)) = &self.held else {
            return Err(fail()(io::ErrorKind::NotFound.into()));
        };
        let mut file = file.try_clone().map_err(fail())?;
        file.set_len(from).and_then(|()| file.seek(SeekFrom::Start(from))).map_err(fail())?;
        Ok(file)
    }

    /// Begins with nothing, for a file of these facts. `false` where another process has
    /// begun meanwhile.
    pub(crate) fn begin(&mut self, facts: Facts) -> Result<bool, StoreError> {
        let folder = stage::folder_of(&self.path);
        stage::create_folders(folder).map_err(StoreError::io("create", folder))?;
        let file = match self.held.take() {
            Some((file, _)) => file,
            None => match lock(&self.path, true).map_err(StoreError::io("create", &self.path))? {
                Locked::Mine(file) => file,
                Locked::Absent | Locked::Busy => return Ok(false),
            },
        };
        file.set_len(0).map_err(StoreError::io("write", &self.path))?;
        let path = facts_path(&self.path);
        let bytes = serde_json::to_vec(&facts)
            .map_err(io::Error::from)
            .map_err(StoreError::io("write", &path))?;
        stage::write(&path, &bytes, 0o600, Existing::Replace)
            .map_err(StoreError::io("write", &path))?;
        self.held = Some((file, facts));
        Ok(true)
    }

    /// Forgets what there is.
    pub(crate) fn discard(&mut self) {
        if self.held.is_some() {
            remove(&self.path);
        }
        self.held = None;
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file is whole and verified: it moves to `target`, on the same file system.
    pub(super) fn finish(self, target: &Path) -> Result<(), StoreError> {
        // Before the file, while its lock still speaks for the name.
        let _ = fs::remove_file(facts_path(&self.path));
        #[expect(
            clippy::disallowed_methods,
            reason = "into a staged folder of ours, which is synced when it is committed"
        )]
        fs::rename(&self.path, target).map_err(StoreError::io("move", &self.path))
    }
}

fn facts_path(path: &Path) -> PathBuf {
    path.with_extension("json")
}

/// By whoever holds the lock. The file goes last: until then the lock speaks for the name.
fn remove(path: &Path) {
    // What cannot be removed now is swept away later, or is no file at all.
    let _ = fs::remove_file(facts_path(path));
    let _ = fs::remove_file(path);
}
