//! Bytes as they flow: taken in chunks, hashed on a thread of their own, read in place.
//!
//! ```text
//!   source ──▶ chunk ──▶ whoever reads (tar headers, the decompressor)
//!                └─────▶ SHA-512 (its own thread, once there is more than one chunk)
//! ```

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use crate::sha512::Sha512;

const CHUNK: usize = 256 << 10;
/// Chunks that may wait for their hash.
const WAITING: usize = 4;

/// A reader whose every byte goes into a hash, where one is wanted.
pub(super) struct HashedReader<R> {
    source: R,
    chunk: Arc<Vec<u8>>,
    /// The bytes of the chunk not read yet: `at..filled`.
    at: usize,
    filled: usize,
    /// Chunks that were handed to the hash; free again once it has dropped them.
    lent: Vec<Arc<Vec<u8>>>,
    hash: Option<Hash>,
}

impl<R: Read> HashedReader<R> {
    /// A reader that hashes all of `source`.
    pub(super) fn new(source: R) -> Self {
        Self { hash: Some(Hash::default()), ..Self::unhashed(source) }
    }

    fn unhashed(source: R) -> Self {
        Self { source, chunk: Arc::default(), at: 0, filled: 0, lent: Vec::new(), hash: None }
    }

    /// A reader that has its first `wanted` bytes ready, or all where there are fewer, and
    /// does not hash yet: they may tell that no hash is needed.
    pub(super) fn begin(source: R, wanted: usize) -> io::Result<Self> {
        let mut this = Self::unhashed(source);
        while this.filled < wanted {
            let chunk = writable(&mut this.chunk);
            match this.source.read(&mut chunk[this.filled..]) {
                Ok(0) => break,
                Ok(got) => this.filled += got,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(this)
    }

    /// Hashes from here on, what is ready included.
    pub(super) fn hash(&mut self) -> io::Result<()> {
        let mut hash = Hash::default();
        hash.update(&self.chunk, self.at..self.filled)?;
        self.hash = Some(hash);
        Ok(())
    }

    /// Where the bytes come from.
    pub(super) fn source(&self) -> &R {
        &self.source
    }

    /// The same, to be told something.
    pub(super) fn source_mut(&mut self) -> &mut R {
        &mut self.source
    }

    /// What was taken from the source and not read.
    pub(super) fn ready(&self) -> &[u8] {
        &self.chunk[self.at..self.filled]
    }

    /// The source, and the hash of all that was taken from it where one was wanted.
    pub(super) fn finish(self) -> io::Result<(R, Option<[u8; 64]>)> {
        Ok((self.source, self.hash.map(Hash::finish).transpose()?))
    }

    /// A chunk that nobody else looks at.
    fn next_chunk(&mut self) -> Arc<Vec<u8>> {
        let free = self.lent.iter().position(|chunk| Arc::strong_count(chunk) == 1);
        free.map(|free| self.lent.swap_remove(free)).unwrap_or_default()
    }
}

/// The bytes of a chunk, to be written; another chunk's where somebody still reads these.
fn writable(chunk: &mut Arc<Vec<u8>>) -> &mut Vec<u8> {
    let bytes = Arc::make_mut(chunk);
    if bytes.is_empty() {
        *bytes = vec![0; CHUNK];
    }
    bytes
}

impl<R: Read> BufRead for HashedReader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.filled {
            let mut chunk = self.next_chunk();
            let filled = self.source.read(writable(&mut chunk))?;
            if let Some(hash) = &mut self.hash
                && filled > 0
            {
                hash.update(&chunk, 0..filled)?;
            }
            self.lent.push(std::mem::replace(&mut self.chunk, chunk));
            (self.at, self.filled) = (0, filled);
        }
        Ok(self.ready())
    }

    fn consume(&mut self, amount: usize) {
        self.at = (self.at + amount).min(self.filled);
    }
}

impl<R: Read> Read for HashedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.fill_buf()?.read(buffer)?;
        self.consume(got);
        Ok(got)
    }
}

type Piece = (Arc<Vec<u8>>, std::ops::Range<usize>);

/// SHA-512: of one chunk on the spot, of more on a thread.
enum Hash {
    Here { state: Sha512, pieces: u32 },
    Thread(HashThread),
}

impl Default for Hash {
    fn default() -> Self {
        Self::Here { state: Sha512::new(), pieces: 0 }
    }
}

impl Hash {
    fn update(&mut self, chunk: &Arc<Vec<u8>>, range: std::ops::Range<usize>) -> io::Result<()> {
        match self {
            Self::Here { state, pieces: pieces @ 0 } => {
                state.update(&chunk[range]);
                *pieces = 1;
                Ok(())
            }
            Self::Here { state, .. } => {
                *self = Self::Thread(HashThread::start(std::mem::take(state))?);
                self.update(chunk, range)
            }
            Self::Thread(thread) => thread.send((chunk.clone(), range)),
        }
    }

    fn finish(self) -> io::Result<[u8; 64]> {
        let state = match self {
            Self::Here { state, .. } => state,
            Self::Thread(mut thread) => thread.end().ok_or_else(thread_died)?,
        };
        Ok(state.finish())
    }
}

/// The thread that hashes. It does not outlive this, whatever becomes of the reading.
struct HashThread {
    pieces: Option<SyncSender<Piece>>,
    thread: Option<JoinHandle<Sha512>>,
}

impl HashThread {
    fn start(mut state: Sha512) -> io::Result<Self> {
        let (pieces, waiting) = sync_channel::<Piece>(WAITING);
        let thread = thread::Builder::new().name("sha512".to_owned()).spawn(move || {
            for (chunk, range) in waiting {
                state.update(&chunk[range]);
            }
            state
        })?;
        Ok(Self { pieces: Some(pieces), thread: Some(thread) })
    }

    fn send(&self, piece: Piece) -> io::Result<()> {
        let sent = self.pieces.as_ref().is_some_and(|pieces| pieces.send(piece).is_ok());
        if sent { Ok(()) } else { Err(thread_died()) }
    }

    fn end(&mut self) -> Option<Sha512> {
        drop(self.pieces.take());
        self.thread.take()?.join().ok()
    }
}

impl Drop for HashThread {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

fn thread_died() -> io::Error {
    io::Error::other("the thread that hashes died")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The target `archive` found the thread still at work after the reading had failed.
    #[test]
    fn hash_thread_ends_with_its_reader() {
        for _ in 0..20 {
            let mut reader = HashedReader::new(io::repeat(7));
            for _ in 0..WAITING + 2 {
                let ready = reader.fill_buf().unwrap().len();
                reader.consume(ready);
            }
            let lent: Vec<_> = reader.lent.iter().map(Arc::downgrade).collect();
            assert!(!lent.is_empty());
            drop(reader);
            assert!(lent.iter().all(|chunk| chunk.strong_count() == 0));
        }
    }
}
