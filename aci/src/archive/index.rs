//! The index of an archive: all its entries without their content, and where that is.
//!
//! It is written while an image is read for the first time, so that later one file of it can be
//! found and checked without reading all. It says nothing that the archive does not say, and can
//! be made from it again at any time.
//!
//! ```text
//! gantry index 1⏎                           the version: another one is another format
//! length (4 bytes)  record                  numbers are little-endian
//! length (4 bytes)  record
//! …
//! record: 'e' kind (1) mode (4) owner (4) group (4) time (8) path
//!             file: size (8) offset in the archive (8) SHA-256 of the content (32)
//!             link: target      device: major (4) minor (4)
//!             then the extended attributes, name and value, to the end
//!         'p' bytes of the file (8) bytes of the archive (8): reading can begin here
//!         'z' entries (8) bytes of the archive (8): the end
//! path, target, name, value: length (4), bytes
//! ```

use std::io::{self, Read, Write};
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use super::ArchiveError;
use super::entry::{Entry, EntryKind, PathBytes};
use super::gzip::AccessPoint;
use super::inspect::{ImageReader, InspectedImage};
use crate::content::{ContentDigest, ContentHash};
use crate::digest::FileDigest;
use crate::limits::Limits;

const VERSION: &[u8] = b"gantry index 1\n";

/// Bytes of one record at most: path, target and 1024 attributes of 64 KiB are more than a
/// header of an archive may have.
const MAX_RECORD: usize = 4 << 20;

/// Size and digest of an index: whoever keeps them beside the image knows a changed index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexSeal {
    /// SHA-256 of the index.
    pub digest: ContentDigest,
    /// Its bytes.
    pub bytes: u64,
    /// Entries of the rootfs.
    pub entries: u64,
}

/// One record of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexRecord {
    /// An entry of the rootfs.
    Entry(IndexEntry),
    /// A place where reading can begin.
    Point(AccessPoint),
    /// The end.
    End {
        /// Entries of the rootfs.
        entries: u64,
        /// Bytes of the uncompressed archive.
        tar_bytes: u64,
    },
}

/// An entry of the rootfs, without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexEntry {
    /// What the archive says of it.
    pub entry: Entry,
    /// Of a regular file: where its content is.
    pub content: Option<ContentAt>,
}

/// Where the content of a file is, and what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentAt {
    /// Bytes of the uncompressed archive before it.
    pub offset: u64,
    /// Its bytes.
    pub size: u64,
    /// Its digest.
    pub digest: ContentDigest,
}

/// Sees the contents of an image's files while the image is read, one file after the other. What
/// it makes of them counts only when all of the image was read, and no fault of its own is one of
/// the image: so it has none to tell here. `()` takes nothing.
pub trait ContentSink {
    /// The next bytes of a file.
    fn piece(&mut self, bytes: &[u8]);

    /// The file has ended, and this is what it was.
    fn end(&mut self, content: &ContentAt);
}

impl ContentSink for () {
    fn piece(&mut self, _: &[u8]) {}

    fn end(&mut self, _: &ContentAt) {}
}

/// Reads an image as [`inspect`](super::inspect()) does, and writes its index on the way. What
/// was written counts only when this has returned.
pub fn inspect_indexed(
    file: impl Read,
    limits: &Limits,
    index: impl Write,
) -> Result<(InspectedImage, IndexSeal), ArchiveError> {
    write_index(ImageReader::new(file, limits)?, index, &mut ())
}

/// The same for who hashes the file anyway, as [`inspect_hashed`](super::inspect_hashed) is, and
/// with somebody who sees the contents.
pub fn inspect_hashed_indexed(
    file: impl Read,
    file_digest: &OnceLock<FileDigest>,
    limits: &Limits,
    index: impl Write,
    contents: &mut impl ContentSink,
) -> Result<(InspectedImage, IndexSeal), ArchiveError> {
    write_index(ImageReader::hashed(file, file_digest, limits)?, index, contents)
}

fn write_index(
    mut image: ImageReader<'_, impl Read>,
    index: impl Write,
    contents: &mut impl ContentSink,
) -> Result<(InspectedImage, IndexSeal), ArchiveError> {
    let mut index = Indexer { out: index, hash: ContentHash::default(), bytes: 0, entries: 0 };
    index.put(VERSION)?;
    let mut buffer = vec![0; 64 << 10];
    while let Some(entry) = image.next()? {
        for point in image.take_points() {
            index.record(&encode_point(point))?;
        }
        let content = match entry.kind {
            EntryKind::File { size } => {
                let offset = image.offset();
                let mut hash = ContentHash::default();
                loop {
                    let got = image.read_content(&mut buffer)?;
                    if got == 0 {
                        break;
                    }
                    hash.update(&buffer[..got]);
                    contents.piece(&buffer[..got]);
                }
                let content = ContentAt { offset, size, digest: hash.finish() };
                contents.end(&content);
                Some(content)
            }
            _ => None,
        };
        index.entries += 1;
        index.record(&encode_entry(&entry, content.as_ref()))?;
    }
    let points = image.take_points();
    let inspected = image.finish()?;
    for point in points {
        index.record(&encode_point(point))?;
    }
    let mut end = vec![b'z'];
    end.extend_from_slice(&index.entries.to_le_bytes());
    end.extend_from_slice(&inspected.tar_bytes().to_le_bytes());
    index.record(&end)?;
    index.out.flush()?;
    let Indexer { hash, bytes, entries, .. } = index;
    Ok((inspected, IndexSeal { digest: hash.finish(), bytes, entries }))
}

struct Indexer<W> {
    out: W,
    hash: ContentHash,
    bytes: u64,
    entries: u64,
}

impl<W: Write> Indexer<W> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    fn record(&mut self, record: &[u8]) -> io::Result<()> {
        // A record is far smaller: path, link target and header have limits.
        self.put(&(record.len() as u32).to_le_bytes())?;
        self.put(record)
    }
}

fn encode_point(point: AccessPoint) -> Vec<u8> {
    let mut out = vec![b'p'];
    out.extend_from_slice(&point.packed.to_le_bytes());
    out.extend_from_slice(&point.unpacked.to_le_bytes());
    out
}

fn encode_entry(entry: &Entry, content: Option<&ContentAt>) -> Vec<u8> {
    let kind = match &entry.kind {
        EntryKind::File { .. } => b'0',
        EntryKind::HardLink { .. } => b'1',
        EntryKind::Symlink { .. } => b'2',
        EntryKind::Character { .. } => b'3',
        EntryKind::Block { .. } => b'4',
        EntryKind::Directory => b'5',
        EntryKind::Fifo => b'6',
    };
    let mut out = vec![b'e', kind];
    for number in [entry.mode, entry.uid, entry.gid] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&entry.mtime.to_le_bytes());
    put_text(&mut out, &entry.path.0);
    match &entry.kind {
        EntryKind::HardLink { target } | EntryKind::Symlink { target } => {
            put_text(&mut out, &target.0);
        }
        EntryKind::Character { device } | EntryKind::Block { device } => {
            out.extend_from_slice(&device.0.to_le_bytes());
            out.extend_from_slice(&device.1.to_le_bytes());
        }
        _ => {}
    }
    if let Some(content) = content {
        out.extend_from_slice(&content.size.to_le_bytes());
        out.extend_from_slice(&content.offset.to_le_bytes());
        out.extend_from_slice(content.digest.bytes());
    }
    for (name, value) in &entry.xattrs {
        put_text(&mut out, name);
        put_text(&mut out, value);
    }
    out
}

fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text);
}

/// Reads an index, record after record.
///
/// It does not trust what it reads, and whoever uses the records must: compare the index with its
/// [`IndexSeal`] first.
pub struct IndexReader<R> {
    index: R,
    at: u64,
    ended: bool,
}

impl<R: Read> IndexReader<R> {
    /// A reader at the beginning of an index.
    pub fn new(mut index: R) -> io::Result<Self> {
        let mut version = [0; VERSION.len()];
        index.read_exact(&mut version)?;
        if version != VERSION {
            return Err(broken("it is of another version"));
        }
        Ok(Self { index, at: VERSION.len() as u64, ended: false })
    }

    /// A reader at a record, whose place an earlier reader has told.
    pub fn at(index: R, place: u64) -> Self {
        Self { index, at: place, ended: false }
    }

    /// The next record and its place in the index; `None` after the end.
    pub fn next_record(&mut self) -> io::Result<Option<(u64, IndexRecord)>> {
        if self.ended {
            return Ok(None);
        }
        let place = self.at;
        let mut length = [0; 4];
        self.index.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length) as usize;
        if length > MAX_RECORD {
            return Err(broken("a record is too long"));
        }
        let mut record = vec![0; length];
        self.index.read_exact(&mut record)?;
        self.at += 4 + length as u64;
        let record = decode(&record).ok_or_else(|| broken("a record makes no sense"))?;
        self.ended = matches!(record, IndexRecord::End { .. });
        Ok(Some((place, record)))
    }
}

fn broken(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the index cannot be used: {why}"))
}

fn decode(record: &[u8]) -> Option<IndexRecord> {
    let (tag, rest) = record.split_first()?;
    let mut rest = Rest(rest);
    let record = match tag {
        b'p' => IndexRecord::Point(AccessPoint { packed: rest.u64()?, unpacked: rest.u64()? }),
        b'z' => IndexRecord::End { entries: rest.u64()?, tar_bytes: rest.u64()? },
        b'e' => IndexRecord::Entry(decode_entry(&mut rest)?),
        _ => return None,
    };
    rest.0.is_empty().then_some(record)
}

fn decode_entry(rest: &mut Rest<'_>) -> Option<IndexEntry> {
    let [kind] = rest.take()?;
    let (mode, uid, gid) = (rest.u32()?, rest.u32()?, rest.u32()?);
    let mtime = i64::from_le_bytes(rest.take()?);
    let path = PathBytes(rest.text()?);
    let mut content = None;
    let kind = match kind {
        b'0' => {
            let (size, offset) = (rest.u64()?, rest.u64()?);
            let digest = ContentDigest::of(rest.take()?);
            content = Some(ContentAt { offset, size, digest });
            EntryKind::File { size }
        }
        b'1' => EntryKind::HardLink { target: PathBytes(rest.text()?) },
        b'2' => EntryKind::Symlink { target: PathBytes(rest.text()?) },
        b'3' => EntryKind::Character { device: (rest.u32()?, rest.u32()?) },
        b'4' => EntryKind::Block { device: (rest.u32()?, rest.u32()?) },
        b'5' => EntryKind::Directory,
        b'6' => EntryKind::Fifo,
        _ => return None,
    };
    let mut xattrs = Vec::new();
    while !rest.0.is_empty() {
        xattrs.push((rest.text()?, rest.text()?));
    }
    Some(IndexEntry { entry: Entry { path, kind, mode, uid, gid, mtime, xattrs }, content })
}

struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Option<Vec<u8>> {
        let length = self.u32()? as usize;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(text.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::sync::Arc;

    use super::*;
    use crate::archive::{ArchiveParts, Compression, WriteOptions, write};

    fn entry(path: &str, kind: EntryKind) -> Entry {
        let xattrs = vec![(b"user.a".to_vec(), vec![0, 255])];
        Entry { path: path.into(), kind, mode: 0o4755, uid: 7, gid: 8, mtime: -9, xattrs }
    }

    /// Every kind of entry, and files of more than one block of every compression.
    fn image(compression: Compression) -> (Vec<u8>, Vec<(Entry, Vec<u8>)>) {
        let noise = |seed: u32, size: usize| -> Vec<u8> {
            let mut state = seed;
            let step = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            };
            std::iter::repeat_with(step).take(size).collect()
        };
        let file = |path: &str, content: Vec<u8>| {
            (entry(path, EntryKind::File { size: content.len() as u64 }), content)
        };
        let plain = |path: &str, kind| (entry(path, kind), Vec::new());
        let all = vec![
            plain("rootfs", EntryKind::Directory),
            file("rootfs/a", noise(1, 1_500_000)),
            plain("rootfs/b", EntryKind::Symlink { target: "/x".into() }),
            file("rootfs/c", noise(2, 1_700_001)),
            plain("rootfs/d", EntryKind::HardLink { target: "rootfs/a".into() }),
            plain("rootfs/e", EntryKind::Character { device: (1, 3) }),
            plain("rootfs/f", EntryKind::Fifo),
            file("rootfs/g", Vec::new()),
            file("rootfs/h", noise(3, 10)),
        ];
        let options = WriteOptions { compression, threads: NonZeroUsize::MIN };
        let mut out = Vec::new();
        write(&mut out, &options, |archive| {
            let text = br#"{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/a"}"#;
            archive.manifest(text, 0)?;
            all.iter().try_for_each(|(entry, content)| archive.file(entry, &mut &content[..]))
        })
        .map_err(|error: io::Error| error)
        .unwrap();
        (out, all)
    }

    fn records(index: &[u8]) -> io::Result<Vec<(u64, IndexRecord)>> {
        let mut reader = IndexReader::new(index)?;
        std::iter::from_fn(|| reader.next_record().transpose()).collect()
    }

    #[test]
    fn index_says_what_is_in_the_archive_and_where() {
        for compression in ["none", "gzip", "bzip2", "xz", "zstd"] {
            let compression: Compression = compression.parse().unwrap();
            let (image, all) = image(compression);
            let mut index = Vec::new();
            let limits = Limits::default();
            let (inspected, seal) = inspect_indexed(&image[..], &limits, &mut index).unwrap();
            assert_eq!(
                inspected.image_id(),
                crate::archive::inspect(&image[..], &limits).unwrap().image_id()
            );
            assert_eq!((seal.bytes, seal.entries), (index.len() as u64, all.len() as u64));
            let mut hash = ContentHash::default();
            hash.update(&index);
            assert_eq!(hash.finish(), seal.digest);

            let records = records(&index).unwrap();
            let points: Vec<AccessPoint> = records
                .iter()
                .filter_map(|(_, record)| match record {
                    IndexRecord::Point(point) => Some(*point),
                    _ => None,
                })
                .collect();
            assert_eq!(points.len(), if compression == Compression::Gzip { 6 } else { 0 });
            let entries: Vec<&IndexEntry> = records
                .iter()
                .filter_map(|(_, record)| match record {
                    IndexRecord::Entry(entry) => Some(entry),
                    _ => None,
                })
                .collect();
            assert!(
                entries.iter().map(|found| &found.entry).eq(all.iter().map(|(entry, _)| entry))
            );
            let end = IndexRecord::End { entries: 9, tar_bytes: inspected.tar_bytes() };
            assert_eq!(records.last().unwrap().1, end);

            // Each file alone, in an order that goes back and forth.
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("image");
            std::fs::write(&path, &image).unwrap();
            let file = Arc::new(std::fs::File::open(path).unwrap());
            let mut parts = ArchiveParts::new(file, compression, points, &limits);
            for at in [8, 3, 1, 3, 7] {
                let content = entries[at].content.unwrap();
                parts.seek(content.offset).unwrap();
                let mut got = vec![0; content.size as usize];
                let mut done = 0;
                while done < got.len() {
                    done += parts.read(&mut got[done..]).unwrap();
                }
                assert!(got == all[at].1, "{compression} {at}");
            }
        }
    }

    /// Keeps everything, so that it can be compared.
    #[derive(Default)]
    struct Kept {
        now: Vec<u8>,
        ended: Vec<(ContentAt, Vec<u8>)>,
    }

    impl ContentSink for Kept {
        fn piece(&mut self, bytes: &[u8]) {
            assert!(!bytes.is_empty());
            self.now.extend_from_slice(bytes);
        }

        fn end(&mut self, content: &ContentAt) {
            self.ended.push((*content, std::mem::take(&mut self.now)));
        }
    }

    #[test]
    fn content_sink_sees_every_file_whole_and_in_order() {
        let (image, all) = image(Compression::Gzip);
        let limits = Limits::default();
        let file_digest =
            crate::archive::inspect(&image[..], &limits).unwrap().file_digest().clone();
        let (mut index, mut kept) = (Vec::new(), Kept::default());
        let known = OnceLock::from(file_digest.clone());
        inspect_hashed_indexed(&image[..], &known, &limits, &mut index, &mut kept).unwrap();
        let contents =
            records(&index).unwrap().into_iter().filter_map(|(_, record)| match record {
                IndexRecord::Entry(entry) => entry.content,
                _ => None,
            });
        assert!(contents.eq(kept.ended.iter().map(|(content, _)| *content)));
        let files = all.iter().filter(|(entry, _)| matches!(entry.kind, EntryKind::File { .. }));
        assert!(files.map(|(_, bytes)| bytes).eq(kept.ended.iter().map(|(_, bytes)| bytes)));

        // Of an image that breaks off it sees no file that did.
        let mut cut = Kept::default();
        let known = OnceLock::from(file_digest);
        let half = &image[..image.len() / 2];
        inspect_hashed_indexed(half, &known, &limits, io::sink(), &mut cut).unwrap_err();
        assert!(cut.ended.len() == 1 && !cut.now.is_empty());
    }

    #[test]
    fn index_reader_refuses_what_is_no_index() {
        let (image, _) = image(Compression::None);
        let mut index = Vec::new();
        inspect_indexed(&image[..], &Limits::default(), &mut index).unwrap();
        assert!(records(&index).is_ok());
        for cut in 0..index.len() {
            assert!(records(&index[..cut]).is_err(), "cut at {cut}");
        }
        for (at, byte) in [(0, b'G'), (13, b'2'), (18, 255), (19, b'x'), (20, b'9')] {
            let mut other = index.clone();
            other[at] = byte;
            assert!(records(&other).is_err(), "{at}");
        }
        let places: Vec<u64> = records(&index).unwrap().iter().map(|(place, _)| *place).collect();
        let (at, (_, wanted)) = (places[2], records(&index).unwrap().swap_remove(2));
        let found = IndexReader::at(&index[at as usize..], at).next_record().unwrap().unwrap();
        assert_eq!(found, (at, wanted));
    }
}
