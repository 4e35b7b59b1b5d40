//! Folding: an image whose files are objects need not keep them in its archive as well.
//!
//! ```text
//! image.aci  ──▶  skeleton (headers, padding, the manifest: all that is no content of a file)
//!            ──▶  objects  (the contents)
//! skeleton + index + objects ──▶ the archive ──▶ compressed again ──▶ image.aci, byte for byte
//! ```
//!
//! The archive can always be put together again. Its file can where it is not compressed, or
//! was compressed as Gantry does. So a file is only given up after what was put together had its
//! digest; one of another kind is marked `unfoldable` and stays as it is. Reading a folded image
//! compares the digest again: the end of a stream with another one is an error.

use std::fs::{self, File};
use std::io::{self, BufReader, PipeReader, Read, Write};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use aci::archive::{
    ArchiveParts, Compression, ContentAt, IndexReader, IndexRecord, WriteOptions, Written,
    compress_archive,
};
use aci::stage::{self, Existing, Hold, StagedFile};
use aci::{ContentHash, FileDigest, ImageId};
use serde::Serialize;

use super::index::each_record;
use super::read::damaged;
use super::{IMAGE_FILE, INDEX_FILE, Objects, Record, SKELETON_FILE, Store, StoreError, judged};

/// The mark of an image that cannot be folded.
pub(crate) const UNFOLDABLE_FILE: &str = "unfoldable";

/// What became of an image that was to be folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Folded {
    /// It was folded.
    Done {
        /// Bytes that are free again.
        freed: u64,
    },
    /// It was before.
    Already,
    /// Its file is none that Gantry would write.
    NotExact,
    /// It would take more room: its files are no objects yet.
    NoGain,
    /// Somebody uses it.
    InUse,
    /// The store does not have it, or its index is damaged.
    Absent,
}

/// Folds an image where that gives back room.
pub fn fold(store: &Store, id: &ImageId) -> Result<Folded, StoreError> {
    let folder = store.image_folder(id);
    if !folder.is_dir() {
        return Ok(Folded::Absent);
    }
    let Some(_lock) = store.attempt_lock(id.as_str(), Hold::Exclusive)? else {
        return Ok(Folded::InUse);
    };
    let Some(record) = store.record(id)? else { return Ok(Folded::Absent) };
    let (image, skeleton) = (folder.join(IMAGE_FILE), folder.join(SKELETON_FILE));
    if !image.exists() {
        return Ok(if skeleton.exists() { Folded::Already } else { Folded::Absent });
    }
    if folder.join(UNFOLDABLE_FILE).exists() {
        return Ok(Folded::NotExact);
    }
    let Some(mut objects) = Objects::begin(store)? else { return Ok(Folded::InUse) };
    if !is_gain(store, &record, &objects)? {
        return Ok(Folded::NoGain);
    }
    let mut staged =
        StagedFile::new_in(&folder, 0o644).map_err(StoreError::io("create a file in", &folder))?;
    split(store, &record, &mut objects, &mut staged)?;
    objects.commit()?;
    let bytes = staged.file().metadata().map_err(StoreError::io("look at", &skeleton))?.len();
    // What is there was left by a process that was killed.
    stage::remove(&skeleton).map_err(StoreError::io("remove", &skeleton))?;
    staged.commit(&skeleton, Existing::Refuse).map_err(StoreError::io("write", &skeleton))?;

    let joined = Stream::start(store, &record)
        .and_then(|mut stream| io::copy(&mut stream, &mut io::sink()).map(drop));
    if joined.is_err() {
        let mark = folder.join(UNFOLDABLE_FILE);
        stage::write(&mark, b"", 0o644, Existing::Refuse)
            .map_err(StoreError::io("write", &mark))?;
        stage::remove(&skeleton).map_err(StoreError::io("remove", &skeleton))?;
        return Ok(Folded::NotExact);
    }
    stage::remove(&image).map_err(StoreError::io("remove", &image))?;
    Ok(Folded::Done { freed: record.file_bytes.saturating_sub(bytes) })
}

/// Whether the objects that would be added are smaller than the file that would go.
fn is_gain(store: &Store, record: &Record, objects: &Objects) -> Result<bool, StoreError> {
    let path = store.image_folder(&record.image_id).join(INDEX_FILE);
    let file = File::open(&path).map_err(|error| damaged(&record.image_id, &path, &error))?;
    let (mut missing, mut seen) = (0, std::collections::HashSet::new());
    let read = each_record(&file, |_, record| {
        if let IndexRecord::Entry(entry) = record
            && let Some(content) = entry.content
            && content.size > 0
            && seen.insert(content.digest)
            && !objects.has(&content.digest.digits())
        {
            missing += content.size;
        }
    });
    let (digest, bytes) = read.map_err(|error| damaged(&record.image_id, &path, &error))?;
    let is_its_own = record.index.is_some_and(|seal| (seal.digest, seal.bytes) == (digest, bytes));
    Ok(is_its_own && missing < record.file_bytes)
}

/// Writes the skeleton of an archive, and its contents as objects.
fn split(
    store: &Store,
    record: &Record,
    objects: &mut Objects,
    out: &mut StagedFile,
) -> Result<(), StoreError> {
    let folder = store.image_folder(&record.image_id);
    let path = folder.join(IMAGE_FILE);
    let fault = || StoreError::io("fold", &path);
    let image = Arc::new(File::open(&path).map_err(fault())?);
    let archive = ArchiveParts::new(image, record.compression, Vec::new(), &judged());
    let contents = Contents::open(store, record).map_err(fault())?;
    let mut gaps = Gaps { archive, contents, objects, at: 0, end: record.tar_bytes };
    gaps.archive.seek(0).map_err(io::Error::other).map_err(fault())?;
    let options = WriteOptions { compression: Compression::Gzip, threads: NonZeroUsize::MIN };
    compress_archive(&mut gaps, out, &options).map_err(fault())?;
    Ok(())
}

/// The contents of an archive, in its order.
struct Contents {
    index: IndexReader<BufReader<File>>,
    next: Option<ContentAt>,
}

impl Contents {
    fn open(store: &Store, record: &Record) -> io::Result<Self> {
        let index = File::open(store.image_folder(&record.image_id).join(INDEX_FILE))?;
        let mut contents = Self { index: IndexReader::new(BufReader::new(index))?, next: None };
        contents.advance()?;
        Ok(contents)
    }

    /// Goes on to the next one.
    fn advance(&mut self) -> io::Result<()> {
        self.next = None;
        while let Some((_, record)) = self.index.next_record()? {
            if let IndexRecord::Entry(entry) = record
                && let Some(content) = entry.content.filter(|content| content.size > 0)
            {
                self.next = Some(content);
                break;
            }
        }
        Ok(())
    }
}

/// An archive without its contents, which become objects on the way.
struct Gaps<'a> {
    archive: ArchiveParts<Arc<File>>,
    contents: Contents,
    objects: &'a mut Objects,
    at: u64,
    end: u64,
}

impl Gaps<'_> {
    /// Passes over a content.
    fn take(&mut self, content: &ContentAt) -> io::Result<()> {
        let name = content.digest.digits();
        let mut object = match self.objects.has(&name) {
            true => None,
            false => {
                let creator = self.objects.creator().map_err(io::Error::other)?;
                Some(creator.create(&name).map_err(io::Error::other)?)
            }
        };
        let (mut left, mut hash) = (content.size, ContentHash::default());
        let mut buffer = vec![0; 64 << 10];
        while left > 0 {
            let want = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let got = self.archive.read(&mut buffer[..want]).map_err(io::Error::other)?;
            if got == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left -= got as u64;
            if let Some(object) = &mut object {
                hash.update(&buffer[..got]);
                object.write_all(&buffer[..got])?;
            }
        }
        if object.is_some() {
            if hash.finish() != content.digest {
                return Err(io::Error::other("the archive is not what its index says"));
            }
            self.objects.keep(&name);
        }
        Ok(())
    }
}

impl Read for Gaps<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let next = self.contents.next;
            let stop = next.map_or(self.end, |content| content.offset);
            if self.at < stop && !buffer.is_empty() {
                let left = usize::try_from(stop - self.at).unwrap_or(usize::MAX);
                let want = buffer.len().min(left);
                let got = self.archive.read(&mut buffer[..want]).map_err(io::Error::other)?;
                self.at += got as u64;
                return if got == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(got) };
            }
            let Some(content) = next.filter(|_| self.at == stop) else { return Ok(0) };
            self.take(&content)?;
            self.at += content.size;
            self.contents.advance()?;
        }
    }
}

/// The archive of a folded image, put together again.
struct Joined {
    store: Store,
    skeleton: ArchiveParts<Arc<File>>,
    contents: Contents,
    /// The object that is read, and the bytes of it that are to come.
    object: Option<(File, u64)>,
    at: u64,
    end: u64,
}

impl Joined {
    fn open(store: &Store, record: &Record) -> io::Result<Self> {
        let skeleton = store.image_folder(&record.image_id).join(SKELETON_FILE);
        let skeleton = Arc::new(File::open(skeleton)?);
        let mut skeleton = ArchiveParts::new(skeleton, Compression::Gzip, Vec::new(), &judged());
        skeleton.seek(0).map_err(io::Error::other)?;
        let contents = Contents::open(store, record)?;
        let (store, end) = (store.clone(), record.tar_bytes);
        Ok(Self { store, skeleton, contents, object: None, at: 0, end })
    }
}

impl Read for Joined {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if let Some(content) = self.contents.next.filter(|content| content.offset == self.at) {
            let object = File::open(self.store.object(&content.digest.digits()))?;
            self.object = Some((object, content.size));
            self.contents.advance()?;
        }
        let whole = self.contents.next.map_or(self.end, |content| content.offset);
        let (got, left) = match &mut self.object {
            Some((object, left)) => {
                let want = buffer.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                let got = object.read(&mut buffer[..want])?;
                *left -= got as u64;
                (got, *left)
            }
            None if self.at >= whole => return Ok(0),
            None => {
                let left = usize::try_from(whole - self.at).unwrap_or(usize::MAX);
                let want = buffer.len().min(left);
                (self.skeleton.read(&mut buffer[..want]).map_err(io::Error::other)?, 0)
            }
        };
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if left == 0 {
            self.object = None;
        }
        self.at += got as u64;
        Ok(got)
    }
}

/// The file of a stored image, as its author made it.
///
/// Of a folded image it is put together again as it is read. The last read of one that is not
/// what was signed is an error, so what was read counts only when it has ended.
#[derive(Debug)]
pub struct ImageFile(Inner);

#[derive(Debug)]
enum Inner {
    Whole(File),
    Folded(Stream),
}

impl ImageFile {
    pub(super) fn open(store: &Store, record: &Record) -> io::Result<Self> {
        match File::open(store.image_folder(&record.image_id).join(IMAGE_FILE)) {
            Ok(file) => Ok(Self(Inner::Whole(file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(Self(Inner::Folded(Stream::start(store, record)?)))
            }
            Err(error) => Err(error),
        }
    }
}

impl ImageFile {
    pub(super) fn open_whole(path: &Path) -> io::Result<Self> {
        Ok(Self(Inner::Whole(File::open(path)?)))
    }
}

impl Read for ImageFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Inner::Whole(file) => file.read(buffer),
            Inner::Folded(stream) => stream.read(buffer),
        }
    }
}

/// A file that is put together on a thread of its own, and compared at its end.
#[derive(Debug)]
struct Stream {
    pipe: PipeReader,
    thread: Option<JoinHandle<io::Result<Written>>>,
    image_id: ImageId,
    file_digest: FileDigest,
}

impl Stream {
    fn start(store: &Store, record: &Record) -> io::Result<Self> {
        let (pipe, mut out) = io::pipe()?;
        let (store, of) = (store.clone(), record.clone());
        let threads = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let thread = thread::Builder::new().name("unfold".to_owned()).spawn(move || {
            let archive = Joined::open(&store, &of)?;
            let options = WriteOptions { compression: of.compression, threads };
            compress_archive(archive, &mut out, &options)
        })?;
        let (image_id, file_digest) = (record.image_id.clone(), record.file_digest.clone());
        Ok(Self { pipe, thread: Some(thread), image_id, file_digest })
    }

    /// What the thread has to say at the end.
    fn check(&self, ended: thread::Result<io::Result<Written>>) -> io::Result<()> {
        let written = ended.unwrap_or_else(|_| Err(io::Error::other("a thread died")));
        let written = written.map_err(|error| {
            let what = format!("the folded image {} is damaged: {error}", self.image_id);
            io::Error::new(io::ErrorKind::InvalidData, what)
        })?;
        let is_same = written.file_digest.as_ref() == Some(&self.file_digest);
        if is_same && written.image_id == self.image_id {
            return Ok(());
        }
        let id = &self.image_id;
        let what = format!("the folded image {id} is damaged: put together, it is another file");
        Err(io::Error::new(io::ErrorKind::InvalidData, what))
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.pipe.read(buffer)?;
        if got == 0
            && !buffer.is_empty()
            && let Some(thread) = self.thread.take()
        {
            let ended = thread.join();
            self.check(ended)?;
        }
        Ok(got)
    }
}

/// Whether an image is folded: it has a skeleton in the place of its file.
pub(crate) fn is_folded(store: &Store, id: &ImageId) -> bool {
    let folder = store.image_folder(id);
    !folder.join(IMAGE_FILE).exists() && fs::exists(folder.join(SKELETON_FILE)).unwrap_or(false)
}
