//! The canonical writer, "profile v1": the same entries give the same bytes.
//!
//! One pass makes everything: entries become a tar stream, cut into blocks that
//! are hashed on one thread, compressed on others, and written in order on a last
//! one. Each compressed block is a member of its own (a gzip member, a bzip2 or
//! xz stream, a zstd frame), so the bytes do not depend on how many threads ran.

use std::io::{self, Read, Write};
use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

use sha2::{Digest, Sha256};

use super::compress::{BlockCompressor, block_bytes};
use super::entry::{Entry, EntryKind};
use super::header::{self, BLOCK};
use super::{Compression, PathBytes};
use crate::digest::{FileDigest, ImageId};
use crate::limits::Limits;
use crate::sha512::Sha512;

/// How an image is written.
#[derive(Debug, Clone)]
pub struct WriteOptions {
    /// The compression.
    pub compression: Compression,
    /// Compressing threads; the bytes do not depend on it.
    pub threads: NonZeroUsize,
}

/// Compressed blocks of earlier archives: most of an image that is built again is what it was.
///
/// They are named by the digest of the format and of what was compressed.
pub trait KeptBlocks: Sync {
    /// What was kept under a name. It is put into the image as it is: whoever keeps blocks sees to
    /// it that they are what was kept.
    fn find(&self, name: &[u8; 32]) -> Option<Vec<u8>>;
    /// Keeps a block. Where that fails, it is compressed again next time.
    fn keep(&self, name: &[u8; 32], packed: &[u8]);
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// SHA-512 of the uncompressed archive.
    pub image_id: ImageId,
    /// SHA-512 of the file, where it is wanted.
    pub file_digest: Option<FileDigest>,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Bytes of the uncompressed archive.
    pub tar_bytes: u64,
    /// Whether it unpacks to so much more than it is, at some place, that a reader with the limits
    /// by default takes it for a compression bomb.
    pub looks_like_a_bomb: bool,
}

/// Compressing threads beyond this many have nothing to do.
const MOST_THREADS: usize = 256;

/// Takes the entries of one archive. Made by [`write()`] alone, which ends it properly.
pub struct ArchiveWriter {
    blocks: Blocks,
    number: u64,
    header: Vec<u8>,
}

impl ArchiveWriter {
    /// The image manifest, the first entry: these very bytes, mode 0644, owner 0:0.
    pub fn manifest(&mut self, bytes: &[u8], mtime: i64) -> io::Result<()> {
        let entry = Entry {
            path: "manifest".into(),
            kind: EntryKind::File { size: bytes.len() as u64 },
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime,
            xattrs: Vec::new(),
        };
        self.file(&entry, &mut &*bytes)
    }

    /// An entry without content.
    pub fn entry(&mut self, entry: &Entry) -> io::Result<()> {
        self.file(entry, &mut io::empty())
    }

    /// An entry with content: exactly as many bytes as its size says, or an error
    /// of kind `InvalidData` (nothing is ever padded or cut).
    pub fn file(&mut self, entry: &Entry, content: &mut dyn Read) -> io::Result<()> {
        self.number += 1;
        self.header.clear();
        header::encode(entry, self.number, &mut self.header);
        // Readers have a limit, the reference tool's among them.
        if self.header.len() as u64 > Limits::default().header_bytes {
            let text = format!("the attributes of {} are more than 1 MiB", entry.path);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        self.blocks.write_all(&self.header)?;
        let EntryKind::File { size } = entry.kind else { return Ok(()) };
        self.blocks.copy_exactly(content, size, &entry.path)?;
        let padding = size.next_multiple_of(BLOCK as u64) - size;
        self.blocks.write_all(&[0; BLOCK][..padding as usize])
    }

    /// A piece of an archive as it is.
    pub(super) fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.blocks.write_all(bytes)
    }
}

/// Writes one image to `out`: `fill` gives the entries in canonical order.
///
/// On an error nothing that reached `out` is of any use; stage it.
pub fn write<W, E>(
    out: &mut W,
    options: &WriteOptions,
    fill: impl FnOnce(&mut ArchiveWriter) -> Result<(), E>,
) -> Result<Written, E>
where
    W: Write + Send,
    E: From<io::Error>,
{
    write_with(out, options, Besides { kept: None, file_digest: true }, fill)
}

/// What else there is to writing an image.
#[derive(Clone, Copy)]
pub struct Besides<'k> {
    /// Compressed blocks of earlier archives.
    pub kept: Option<&'k dyn KeptBlocks>,
    /// Whether the digest of the file is wanted, which takes its time.
    pub file_digest: bool,
}

/// As [`write()`], with all there is to it.
pub fn write_with<W, E>(
    out: &mut W,
    options: &WriteOptions,
    besides: Besides<'_>,
    fill: impl FnOnce(&mut ArchiveWriter) -> Result<(), E>,
) -> Result<Written, E>
where
    W: Write + Send,
    E: From<io::Error>,
{
    let packing = Packing { compression: options.compression, level: None, besides };
    write_blocks(out, options, packing, |archive| {
        fill(archive)?;
        Ok(archive.raw(&[0; 2 * BLOCK])?)
    })
}

/// Compresses an archive as [`write()`] would have, if it had written these entries: where it
/// has, this gives the very same file.
pub fn compress_archive<W: Write + Send>(
    mut archive: impl Read,
    out: &mut W,
    options: &WriteOptions,
) -> io::Result<Written> {
    write_stream(out, options, None, |writer| {
        let mut buffer = vec![0; 256 << 10];
        loop {
            match archive.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(got) => writer.raw(&buffer[..got])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    })
}

/// The same for whoever gives the end of the archive too, and chooses how hard to compress.
pub(super) fn write_stream<W, E>(
    out: &mut W,
    options: &WriteOptions,
    level: Option<u8>,
    fill: impl FnOnce(&mut ArchiveWriter) -> Result<(), E>,
) -> Result<Written, E>
where
    W: Write + Send,
    E: From<io::Error>,
{
    let besides = Besides { kept: None, file_digest: true };
    let packing = Packing { compression: options.compression, level, besides };
    write_blocks(out, options, packing, fill)
}

/// How blocks are compressed.
#[derive(Clone, Copy)]
struct Packing<'k> {
    compression: Compression,
    level: Option<u8>,
    besides: Besides<'k>,
}

fn write_blocks<W, E>(
    out: &mut W,
    options: &WriteOptions,
    packing: Packing<'_>,
    fill: impl FnOnce(&mut ArchiveWriter) -> Result<(), E>,
) -> Result<Written, E>
where
    W: Write + Send,
    E: From<io::Error>,
{
    thread::scope(|scope| {
        let threads = options.threads.get().min(MOST_THREADS);
        let depth = threads + 2;
        let (hash_in, hash_out) = sync_channel::<Arc<Block>>(depth);
        let (order_in, order_out) = sync_channel::<Receiver<Compressed>>(depth);
        let (job_in, job_out) = sync_channel::<Job>(depth);
        let size = block_bytes(options.compression);
        let named = |name: &str| thread::Builder::new().name(name.to_owned());
        let hasher = named("sha512").spawn_scoped(scope, move || hash_all(&hash_out))?;
        let writer = named("write")
            .spawn_scoped(scope, move || write_all(out, packing, &order_out, size))?;
        let mut compressors = Vec::new();
        if options.compression != Compression::None {
            let job_out = Arc::new(Mutex::new(job_out));
            for _ in 0..threads {
                let jobs = job_out.clone();
                let work = move || compress_all(packing, &jobs);
                compressors.push(named("compress").spawn_scoped(scope, work)?);
            }
        }
        let blocks = Blocks {
            current: vec![0; size],
            filled: 0,
            size,
            pool: Arc::default(),
            hash: hash_in,
            order: order_in,
            jobs: (options.compression != Compression::None).then_some(job_in),
        };
        let mut archive = ArchiveWriter { blocks, number: 0, header: Vec::new() };
        let filled = fill(&mut archive).and_then(|()| Ok(archive.blocks.send()?));
        // The channels close here, and with them the threads end.
        drop(archive);
        let (archive_hash, tar_bytes) = hasher.join().map_err(|_| thread_died())?;
        let file = writer.join().map_err(|_| thread_died())?;
        for compressor in compressors {
            compressor.join().map_err(|_| thread_died())?;
        }
        // If writing failed, `filled` only says that a channel closed: the cause comes first.
        let WrittenFile { hash: file_hash, bytes: file_bytes, looks_like_a_bomb } = file?;
        filled?;
        Ok(Written {
            image_id: ImageId::of(archive_hash),
            file_digest: match options.compression {
                Compression::None => Some(FileDigest::of(archive_hash)),
                _ => file_hash.map(FileDigest::of),
            },
            file_bytes,
            tar_bytes,
            looks_like_a_bomb,
        })
    })
}

fn thread_died() -> io::Error {
    io::Error::other("a thread of the image writer died")
}

type Compressed = io::Result<Output>;

enum Output {
    Plain(Arc<Block>),
    Packed(Vec<u8>),
}

struct Job {
    block: Arc<Block>,
    done: SyncSender<Compressed>,
}

/// A run of archive bytes. Its memory goes back to the pool when the last thread is done with it.
struct Block {
    bytes: Vec<u8>,
    pool: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Drop for Block {
    fn drop(&mut self) {
        if let Ok(mut pool) = self.pool.lock() {
            pool.push(std::mem::take(&mut self.bytes));
        }
    }
}

/// The stream of archive bytes, cut into blocks.
struct Blocks {
    /// Always `size` bytes long, so that reading into it need not clear it first.
    current: Vec<u8>,
    filled: usize,
    size: usize,
    pool: Arc<Mutex<Vec<Vec<u8>>>>,
    hash: SyncSender<Arc<Block>>,
    order: SyncSender<Receiver<Compressed>>,
    jobs: Option<SyncSender<Job>>,
}

impl Blocks {
    fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = &mut self.current[self.filled..];
            let (now, later) = bytes.split_at(room.len().min(bytes.len()));
            room[..now.len()].copy_from_slice(now);
            self.filled += now.len();
            bytes = later;
            self.send_if_full()?;
        }
        Ok(())
    }

    /// Reads straight into the block, so file contents are copied once.
    fn copy_exactly(
        &mut self,
        content: &mut dyn Read,
        size: u64,
        path: &PathBytes,
    ) -> io::Result<()> {
        let mut left = size;
        while left > 0 {
            let room = &mut self.current[self.filled..];
            let want = room.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let got = read_some(content, &mut room[..want])?;
            if got == 0 {
                return Err(size_changed(path, format!("{} of {size} bytes", size - left)));
            }
            self.filled += got;
            left -= got as u64;
            self.send_if_full()?;
        }
        match read_some(content, &mut [0])? {
            0 => Ok(()),
            _ => Err(size_changed(path, format!("more than {size} bytes"))),
        }
    }

    fn send_if_full(&mut self) -> io::Result<()> {
        if self.filled == self.size { self.send() } else { Ok(()) }
    }

    fn send(&mut self) -> io::Result<()> {
        if self.filled == 0 {
            return Ok(());
        }
        let fresh = self.pool.lock().ok().and_then(|mut pool| pool.pop());
        let mut fresh = fresh.unwrap_or_default();
        // Only the last block of an archive is ever shorter, so this grows new memory alone.
        fresh.resize(self.size, 0);
        let mut bytes = std::mem::replace(&mut self.current, fresh);
        bytes.truncate(std::mem::take(&mut self.filled));
        let block = Arc::new(Block { bytes, pool: self.pool.clone() });
        let (done, ordered) = sync_channel(1);
        let closed = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        self.order.send(ordered).map_err(|_| closed(()))?;
        self.hash.send(block.clone()).map_err(|_| closed(()))?;
        match &self.jobs {
            Some(jobs) => jobs.send(Job { block, done }).map_err(|_| closed(())),
            None => done.send(Ok(Output::Plain(block))).map_err(|_| closed(())),
        }
    }
}

fn read_some(content: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match content.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

fn size_changed(path: &PathBytes, found: String) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("{path} changed while it was read: {found} were there"),
    )
}

type Hash = [u8; 64];

fn hash_all(blocks: &Receiver<Arc<Block>>) -> (Hash, u64) {
    let mut hash = Sha512::new();
    let mut total = 0;
    for block in blocks {
        hash.update(&block.bytes);
        total += block.bytes.len() as u64;
    }
    (hash.finish(), total)
}

fn compress_all(packing: Packing<'_>, jobs: &Mutex<Receiver<Job>>) {
    let mut compressor = BlockCompressor::new(packing.compression, packing.level);
    loop {
        let job = match jobs.lock() {
            Ok(jobs) => jobs.recv(),
            Err(_) => return,
        };
        let Ok(Job { block, done }) = job else { return };
        let packed = match &mut compressor {
            Ok(compressor) => packing.pack(compressor, &block.bytes).map(Output::Packed),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        };
        drop(block);
        if done.send(packed).is_err() {
            return;
        }
    }
}

impl Packing<'_> {
    fn pack(&self, compressor: &mut BlockCompressor, block: &[u8]) -> io::Result<Vec<u8>> {
        let Some(kept) = self.besides.kept else { return compressor.compress(block) };
        let mut name = Sha256::new();
        name.update(format!("{} {:?} profile v1\n", self.compression, self.level));
        name.update(block);
        let name = name.finalize().into();
        if let Some(packed) = kept.find(&name) {
            return Ok(packed);
        }
        let packed = compressor.compress(block)?;
        kept.keep(&name, &packed);
        Ok(packed)
    }
}

/// Writes the blocks in order. The hash is absent where the file is the archive itself, and where it
/// is not wanted.
fn write_all<W: Write>(
    out: &mut W,
    packing: Packing<'_>,
    ordered: &Receiver<Receiver<Compressed>>,
    block_bytes: usize,
) -> io::Result<WrittenFile> {
    let limits = Limits::default();
    let mut hash = None;
    let (mut total, mut unpacked, mut looks_like_a_bomb) = (0, 0, false);
    for next in ordered {
        let output = next.recv().map_err(|_| thread_died())??;
        let bytes = match &output {
            Output::Plain(block) => &block.bytes,
            Output::Packed(bytes) => {
                if packing.besides.file_digest {
                    hash.get_or_insert_with(Sha512::new).update(bytes);
                }
                bytes
            }
        };
        out.write_all(bytes)?;
        total += bytes.len() as u64;
        // The last block may be shorter: that is one block too many.
        looks_like_a_bomb |= unpacked > limits.ratio_floor && unpacked / limits.ratio > total;
        unpacked += block_bytes as u64;
    }
    out.flush()?;
    let hash = hash.map(Sha512::finish);
    Ok(WrittenFile { hash, bytes: total, looks_like_a_bomb })
}

/// What became of the file.
struct WrittenFile {
    hash: Option<Hash>,
    bytes: u64,
    looks_like_a_bomb: bool,
}
