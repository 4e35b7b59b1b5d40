//! The way from the network, which is asynchronous, to the verification, which is not.

use std::io::{self, Read};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use tokio::sync::mpsc;

use crate::observer::{Event, Observer};

/// Chunks on the way at most: enough to hide the disk's pauses, little memory.
const DEPTH: usize = 32;

pub(super) type Sender = mpsc::Sender<io::Result<Bytes>>;

/// The reading end, for a thread that may block.
pub(super) struct Reader {
    chunks: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
}

pub(super) fn pipe() -> (Sender, Reader) {
    let (sender, chunks) = mpsc::channel(DEPTH);
    (sender, Reader { chunks, current: Bytes::new() })
}

/// Ends the pipe with an error, so that what came is never taken for the whole.
pub(super) async fn break_off(sender: Sender) {
    // Where the reader is gone already there is nobody to tell.
    let _ = sender.send(Err(io::ErrorKind::UnexpectedEof.into())).await;
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.chunks.blocking_recv() {
                None => return Ok(0),
                Some(chunk) => self.current = chunk?,
            }
        }
        let length = self.current.len().min(buffer.len());
        self.current.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

/// A file that tells how far it was read.
pub(crate) struct Watched<R> {
    inner: R,
    observer: Arc<dyn Observer>,
}

impl<R> Watched<R> {
    pub(crate) fn new(inner: R, observer: Arc<dyn Observer>) -> Self {
        Self { inner, observer }
    }
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.observer.event(Event::Advanced(length as u64));
        Ok(length)
    }
}
