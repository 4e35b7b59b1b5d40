//! The index beside a stored image: which entries it has, without reading the archive.

use std::borrow::Borrow;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use aci::archive::{AccessPoint, IndexEntry, IndexReader, IndexRecord, IndexSeal, inspect_indexed};
use aci::plan::PlanEntry;
use aci::stage::{self, StagedFile};
use aci::{ContentDigest, ContentHash};

use super::{INDEX_FILE, StoreError, StoredImage, judged};

/// An index that is the one its image's record names.
pub(crate) struct ImageIndex {
    /// For one entry after the other, which mostly are neighbours.
    reader: Mutex<BufReader<At<File>>>,
    path: PathBuf,
    /// The entries, in the archive's order, as a plan takes them.
    pub(crate) entries: Vec<PlanEntry>,
    /// The place of each in the index.
    places: Vec<u64>,
    /// Where reading the archive can begin.
    pub(crate) points: Vec<AccessPoint>,
}

impl StoredImage {
    /// The image's index. One that is not what the record says is refused; of an image that an
    /// older release imported, it is made from the archive.
    pub(crate) fn index(&self) -> Result<ImageIndex, StoreError> {
        let id = &self.record().image_id;
        let path = self.store().image_folder(id).join(INDEX_FILE);
        let damaged =
            |what: String| StoreError::Damaged { id: id.clone(), path: path.clone(), what };
        let (file, seal) = match self.record().index {
            Some(seal) => (File::open(&path).map_err(|error| damaged(error.to_string()))?, seal),
            None => self.make_index()?,
        };
        let mut index = ImageIndex {
            reader: Mutex::new(BufReader::with_capacity(
                64 << 10,
                At { file: file.try_clone().map_err(StoreError::io("open", &path))?, at: 0 },
            )),
            path: path.clone(),
            entries: Vec::new(),
            places: Vec::new(),
            points: Vec::new(),
        };
        let found = each_record(&file, |place, record| match record {
            IndexRecord::Entry(IndexEntry { entry, .. }) => {
                index.entries.push(PlanEntry { path: entry.path, kind: entry.kind });
                index.places.push(place);
            }
            IndexRecord::Point(point) => index.points.push(point),
            IndexRecord::End { .. } => {}
        })
        .map_err(|error| damaged(error.to_string()))?;
        // What is in it counts only now.
        if found != (seal.digest, seal.bytes) {
            return Err(damaged(format!("its digest is {}, not {}", found.0, seal.digest)));
        }
        Ok(index)
    }

    /// The index in a file without a name.
    fn make_index(&self) -> Result<(File, IndexSeal), StoreError> {
        let staging = self.store().staging();
        let fault = || StoreError::io("write an index in", &staging);
        stage::create_folders(&staging).map_err(fault())?;
        let mut staged = StagedFile::new_in(&staging, 0o600).map_err(fault())?;
        let id = &self.record().image_id;
        let damaged = |what: String| {
            let path = self.store().image_folder(id).join(super::IMAGE_FILE);
            StoreError::Damaged { id: id.clone(), path, what }
        };
        let (found, seal) = inspect_indexed(self.file()?, &judged(), &mut staged)
            .map_err(|error| damaged(error.to_string()))?;
        if found.image_id() != id {
            return Err(damaged(format!("it is the image {}", found.image_id())));
        }
        Ok((staged.file().try_clone().map_err(fault())?, seal))
    }
}

impl ImageIndex {
    /// An entry by its number.
    pub(crate) fn entry(&self, number: usize) -> Result<IndexEntry, StoreError> {
        let at = self.places[number];
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let record = reader
            .stream_position()
            .and_then(|here| reader.seek_relative(at as i64 - here as i64))
            .and_then(|()| IndexReader::at(&mut *reader, at).next_record());
        match record.map_err(StoreError::io("read", &self.path))? {
            Some((_, IndexRecord::Entry(entry))) => Ok(entry),
            _ => {
                let changed = io::Error::other("it was changed while it was read");
                Err(StoreError::io("read", &self.path)(changed))
            }
        }
    }
}

/// Reads an index to its end; gives the digest and the bytes of the whole file.
pub(crate) fn each_record(
    file: &File,
    mut visit: impl FnMut(u64, IndexRecord),
) -> io::Result<(ContentDigest, u64)> {
    let hashed = Hashed { inner: At { file, at: 0 }, hash: ContentHash::default(), bytes: 0 };
    let mut buffered = BufReader::with_capacity(64 << 10, hashed);
    let mut reader = IndexReader::new(&mut buffered)?;
    while let Some((place, record)) = reader.next_record()? {
        visit(place, record);
    }
    io::copy(&mut buffered, &mut io::sink())?;
    let Hashed { hash, bytes, .. } = buffered.into_inner();
    Ok((hash.finish(), bytes))
}

/// A file read from a place on, whoever else reads it.
struct At<F> {
    file: F,
    at: u64,
}

impl<F: Borrow<File>> Read for At<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.file.borrow().read_at(buffer, self.at)?;
        self.at += got as u64;
        Ok(got)
    }
}

impl<F> Seek for At<F> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(_) => None,
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

struct Hashed<R> {
    inner: R,
    hash: ContentHash,
    bytes: u64,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buffer)?;
        self.hash.update(&buffer[..got]);
        self.bytes += got as u64;
        Ok(got)
    }
}
