//! Reading from the store.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aci::stage::{Hold, Lock};
use aci::{ImageId, ImageManifest};
use jiff::Timestamp;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, Timespec, Timestamps, UTIME_NOW};

use super::fold::{ImageFile, is_folded};
use super::{IMAGE_FILE, MANIFEST_FILE, RECORD_FILE, SIGNATURE_FILE, USED_FILE};
use super::{Record, Store, StoreError};

/// A stored image, open for reading. While it lives, nobody can remove it.
#[derive(Debug)]
pub struct StoredImage {
    record: Record,
    manifest: ImageManifest,
    manifest_bytes: Vec<u8>,
    signature: Vec<u8>,
    store: Store,
    _lock: Lock,
}

impl StoredImage {
    /// What the import has checked.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The image's manifest.
    pub fn manifest(&self) -> &ImageManifest {
        &self.manifest
    }

    /// The manifest's bytes as they stand in the image.
    pub fn manifest_bytes(&self) -> &[u8] {
        &self.manifest_bytes
    }

    /// The author's signature over the file.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// The image file as its author made it, from its beginning. Of a folded image, what was
    /// read counts only when the end was reached: see [`ImageFile`].
    pub fn file(&self) -> Result<ImageFile, StoreError> {
        ImageFile::open(&self.store, &self.record)
            .map_err(|error| damaged(&self.record.image_id, &self.path(), &error))
    }

    /// The image file to read parts of; an error where the image is folded.
    pub(crate) fn parts(&self) -> Result<Arc<File>, StoreError> {
        let file = File::open(self.path());
        file.map(Arc::new).map_err(|error| damaged(&self.record.image_id, &self.path(), &error))
    }

    fn path(&self) -> PathBuf {
        self.store.image_folder(&self.record.image_id).join(IMAGE_FILE)
    }

    /// The store it is in.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Remembers that the image is used now, where the caller may write in the store.
    pub fn mark_used(&self) {
        let path = self.store.image_folder(&self.record.image_id).join(USED_FILE);
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let times = Timestamps { last_access: now, last_modification: now };
        // A store of somebody else's is read without leaving a trace.
        let _ = rustix::fs::open(&path, flags, Mode::from_raw_mode(0o644))
            .and_then(|_| rustix::fs::utimensat(CWD, &path, &times, AtFlags::SYMLINK_NOFOLLOW));
    }
}

/// The images of a store.
#[derive(Debug, Default)]
pub struct Listing {
    /// By name, then labels, then image ID.
    pub images: Vec<Record>,
    /// Images whose record cannot be read.
    pub damaged: Vec<StoreError>,
}

impl Store {
    /// All images.
    pub fn list(&self) -> Result<Listing, StoreError> {
        let mut listing = Listing::default();
        for id in self.ids()? {
            match self.record(&id) {
                Ok(Some(record)) => listing.images.push(record),
                // Removed since.
                Ok(None) => {}
                Err(error @ StoreError::Damaged { .. }) => listing.damaged.push(error),
                Err(error) => return Err(error),
            }
        }
        listing.images.sort_by_cached_key(|record| {
            (record.name.clone(), record.labels.canonical(), record.image_id.clone())
        });
        Ok(listing)
    }

    /// The image IDs of the store, those of damaged images too, in order.
    pub fn ids(&self) -> Result<Vec<ImageId>, StoreError> {
        let mut ids = Vec::new();
        for shard in entries(&self.images())? {
            for name in entries(&self.images().join(shard))? {
                // What is no image ID is not ours.
                ids.extend(format!("sha512-{name}").parse::<ImageId>());
            }
        }
        ids.sort();
        Ok(ids)
    }

    /// The record of an image, or `None` where the store does not have it.
    pub fn record(&self, id: &ImageId) -> Result<Option<Record>, StoreError> {
        let folder = self.image_folder(id);
        if !folder.is_dir() {
            return Ok(None);
        }
        let path = folder.join(RECORD_FILE);
        let bytes = match fs::read(&path) {
            // Removed this moment: the folder goes as one.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !folder.is_dir() => {
                return Ok(None);
            }
            other => other.map_err(|error| damaged(id, &path, &error))?,
        };
        let record: Record =
            serde_json::from_slice(&bytes).map_err(|error| damaged(id, &path, &error))?;
        if record.image_id != *id {
            let what = format!("it is the record of {}", record.image_id);
            return Err(StoreError::Damaged { id: id.clone(), path, what });
        }
        Ok(Some(record))
    }

    /// Opens an image for reading, or `None` where the store does not have it.
    /// Waits while it is being imported or removed.
    pub fn open_image(&self, id: &ImageId) -> Result<Option<StoredImage>, StoreError> {
        let folder = self.image_folder(id);
        if !folder.is_dir() {
            return Ok(None);
        }
        let lock = self.lock(id, Hold::Shared)?;
        let Some(record) = self.record(id)? else { return Ok(None) };
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read(&path).map_err(|error| damaged(id, &path, &error))
        };
        let manifest_bytes = read(MANIFEST_FILE)?;
        let manifest = ImageManifest::from_json(&manifest_bytes)
            .map_err(|error| damaged(id, &folder.join(MANIFEST_FILE), &error))?;
        let signature = read(SIGNATURE_FILE)?;
        if !folder.join(IMAGE_FILE).is_file() && !is_folded(self, id) {
            let absent = io::Error::from(io::ErrorKind::NotFound);
            return Err(damaged(id, &folder.join(IMAGE_FILE), &absent));
        }
        let store = self.clone();
        let stored =
            StoredImage { record, manifest, manifest_bytes, signature, store, _lock: lock };
        Ok(Some(stored))
    }

    /// When an image was last used: rendered, run, or exported; else when it was imported.
    pub fn last_used(&self, record: &Record) -> Timestamp {
        let used = fs::metadata(self.image_folder(&record.image_id).join(USED_FILE))
            .and_then(|metadata| metadata.modified())
            .ok()
            .and_then(|time| Timestamp::try_from(time).ok());
        used.map_or(record.imported_at, |used| used.max(record.imported_at))
    }
}

pub(super) fn damaged(id: &ImageId, path: &Path, error: &dyn std::error::Error) -> StoreError {
    StoreError::Damaged { id: id.clone(), path: path.to_owned(), what: error.to_string() }
}

/// The names in a folder that are text; none where there is no folder.
pub(super) fn entries(folder: &Path) -> Result<Vec<String>, StoreError> {
    let read = match fs::read_dir(folder) {
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(Vec::new());
        }
        other => other.map_err(StoreError::io("read", folder))?,
    };
    let mut names = Vec::new();
    for entry in read {
        let entry = entry.map_err(StoreError::io("read", folder))?;
        names.extend(entry.file_name().into_string());
    }
    Ok(names)
}
