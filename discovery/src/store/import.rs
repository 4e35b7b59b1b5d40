//! The way into the store.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::path::PathBuf;
use std::time::SystemTime;

use aci::Limits;
use aci::archive::{IndexSeal, inspect_indexed};
use aci::stage::{self, Existing, Hold, StagedFolder, WriteBack};
use jiff::Timestamp;
use keys::{Keyring, Policy, ReceiveError, VerifiedImage};

use super::objects::Arriving;
use super::partial::Partial;
use super::{IMAGE_FILE, INDEX_FILE, MANIFEST_FILE, RECORD_FILE, SIGNATURE_FILE};
use super::{Origin, Record, Store, StoreError};

/// An image file on its way into the store: written to while it is verified, then
/// committed. Dropped, it never was.
#[derive(Debug)]
pub struct Incoming {
    store: Store,
    folder: StagedFolder,
    file: File,
    /// Where the bytes are written while they are downloaded, so that a process that dies
    /// leaves them behind; else they are in the folder.
    partial: Option<Partial>,
    /// Bytes that are in the file already and will be written again.
    already: u64,
    write_back: WriteBack,
    /// What is to be objects, once the image is in the store.
    arriving: Arriving,
}

/// What an import did.
#[derive(Debug)]
pub struct Imported {
    /// The image as it now stands in the store.
    pub record: Record,
    /// Whether this import brought it; `false` where it was there already.
    pub new: bool,
}

impl Store {
    /// Begins an import.
    pub fn stage(&self) -> Result<Incoming, StoreError> {
        let folder = self.staged_folder()?;
        let path = folder.path().join(IMAGE_FILE);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(StoreError::io("create", &path))?;
        Ok(Incoming::new(self, folder, file, None, 0))
    }

    /// Begins an import whose bytes are written to an unfinished download. Its first `from`
    /// bytes are there: they are to be written all the same, so that whoever follows what is
    /// written sees the whole file.
    pub(crate) fn stage_partial(
        &self,
        partial: Partial,
        from: u64,
    ) -> Result<Incoming, StoreError> {
        let (folder, file) = (self.staged_folder()?, partial.open(from)?);
        Ok(Incoming::new(self, folder, file, Some(partial), from))
    }
}

impl Write for Incoming {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.already > 0 {
            let length = bytes.len().min(usize::try_from(self.already).unwrap_or(usize::MAX));
            self.already -= length as u64;
            return Ok(length);
        }
        let written = self.file.write(bytes)?;
        self.write_back.advance(&self.file, written)?;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Incoming {
    fn new(
        store: &Store,
        folder: StagedFolder,
        file: File,
        partial: Option<Partial>,
        already: u64,
    ) -> Self {
        let (write_back, arriving) = (WriteBack::default(), Arriving::default());
        Self { store: store.clone(), folder, file, partial, already, write_back, arriving }
    }

    /// The file that is written.
    pub(crate) fn path(&self) -> PathBuf {
        match &self.partial {
            Some(partial) => partial.path().to_owned(),
            None => self.folder.path().join(IMAGE_FILE),
        }
    }

    /// So many bytes that were written will be written again.
    pub(crate) fn rewind(&mut self, bytes: u64) {
        self.already = bytes;
    }

    /// Receives an image as [`keys::receive()`] does, writes it here, and its index beside it:
    /// all in one pass. Where the image evidently shares most of its files with what was rendered
    /// already, the others are written as objects too, so that rendering it need not read its
    /// archive again. They are a convenience: no failure to write them is one of the image.
    pub fn receive(
        &mut self,
        file: impl Read,
        signature: &[u8],
        keyring: &Keyring,
        policy: &Policy,
        limits: &Limits,
    ) -> Result<VerifiedImage, ReceiveError> {
        // What an earlier attempt has left goes before this one needs the room.
        self.arriving = Arriving::default();
        let mut arriving = Arriving::begin(&self.store);
        let index = self.new_file(INDEX_FILE).map_err(ReceiveError::Write)?;
        let mut index = BufWriter::new(index);
        let verified = keys::receive_indexed(
            file,
            &mut *self,
            &mut index,
            &mut arriving,
            signature,
            keyring,
            policy,
            limits,
        )?;
        let index = index.into_inner().map_err(|error| ReceiveError::Write(error.into_error()))?;
        index.sync_all().map_err(ReceiveError::Write)?;
        self.arriving = arriving;
        Ok(verified)
    }

    /// Puts the image that was written here into the store, whole or not at all.
    /// `verified` must come from the very bytes that were written. An image that
    /// is there already stays as it is. Objects that [`receive`](Self::receive) has written get
    /// their names after the image has its own; where that fails, they are dropped.
    pub fn commit(
        mut self,
        verified: &VerifiedImage,
        signature: &[u8],
        origin: Origin,
        now: SystemTime,
    ) -> Result<Imported, StoreError> {
        // As long as it takes, nobody has to wait for a lock.
        self.arriving.sync();
        let synced = self.write_back.finish().and_then(|()| self.file.sync_all());
        synced.map_err(StoreError::io("sync", self.folder.path()))?;
        if let Some(partial) = self.partial.take() {
            partial.finish(&self.folder.path().join(IMAGE_FILE))?;
        }
        let index = match verified.index() {
            Some(seal) => *seal,
            None => self.make_index(verified)?,
        };
        let record = record_of(verified, index, origin, now)?;
        self.write(SIGNATURE_FILE, signature)?;
        self.write(MANIFEST_FILE, verified.inspected().manifest_bytes())?;
        let mut text = serde_json::to_vec_pretty(&record)
            .map_err(io::Error::from)
            .map_err(StoreError::io("write", self.folder.path().join(RECORD_FILE)))?;
        text.push(b'\n');
        self.write(RECORD_FILE, &text)?;

        let _lock = self.store.lock(&record.image_id, Hold::Exclusive)?;
        if let Some(there) = self.store.record(&record.image_id)? {
            return Ok(Imported { record: there, new: false });
        }
        let target = self.store.image_folder(&record.image_id);
        if let Some(parent) = target.parent() {
            stage::create_folders(parent).map_err(StoreError::io("create", parent))?;
        }
        self.folder.commit(&target).map_err(StoreError::io("create", &target))?;
        // The image's lock is held: it cannot be removed before its objects are there.
        self.arriving.commit();
        Ok(Imported { record, new: true })
    }

    fn new_file(&self, name: &str) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).open(self.folder.path().join(name))
    }

    /// Reads what was written here once more, for whoever received it without an index.
    fn make_index(&self, verified: &VerifiedImage) -> Result<IndexSeal, StoreError> {
        let path = self.folder.path().join(INDEX_FILE);
        let fault = || StoreError::io("write", &path);
        let file = File::open(self.folder.path().join(IMAGE_FILE)).map_err(fault())?;
        let mut index = BufWriter::new(self.new_file(INDEX_FILE).map_err(fault())?);
        let (found, seal) = inspect_indexed(file, &judged(), &mut index)
            .map_err(io::Error::other)
            .map_err(fault())?;
        if found.image_id() != verified.inspected().image_id() {
            return Err(fault()(io::Error::other("what was written is another image")));
        }
        let index = index.into_inner().map_err(|error| fault()(error.into_error()))?;
        index.sync_all().map_err(fault())?;
        Ok(seal)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.folder.path().join(name);
        stage::write(&path, bytes, 0o644, Existing::Refuse).map_err(StoreError::io("write", &path))
    }
}

/// For an image whose limits were judged when it came in.
pub(crate) fn judged() -> Limits {
    Limits {
        file_bytes: u64::MAX,
        tar_bytes: u64::MAX,
        ratio_floor: u64::MAX,
        entries: u64::MAX,
        manifest_bytes: u64::MAX,
        header_bytes: u64::from(u32::MAX),
        path_bytes: usize::MAX,
        path_depth: usize::MAX,
        name_bytes: usize::MAX,
        xattr_bytes: usize::MAX,
        ..Limits::default()
    }
}

pub(super) fn record_of(
    verified: &VerifiedImage,
    index: IndexSeal,
    origin: Origin,
    now: SystemTime,
) -> Result<Record, StoreError> {
    let image = verified.inspected();
    let signature = verified.signature();
    let time = |time: SystemTime| {
        Timestamp::try_from(time)
            .map_err(io::Error::other)
            .map_err(StoreError::io("write the time into", RECORD_FILE))
    };
    Ok(Record {
        image_id: image.image_id().clone(),
        name: image.manifest().name.clone(),
        labels: image.manifest().labels.clone(),
        compression: image.compression(),
        file_digest: image.file_digest().clone(),
        file_bytes: image.file_bytes(),
        tar_bytes: image.tar_bytes(),
        signer: *signature.signer(),
        signed_at: time(signature.created())?,
        imported_at: time(now)?,
        origin,
        index: Some(index),
    })
}
