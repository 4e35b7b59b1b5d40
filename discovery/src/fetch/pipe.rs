//! The way from the network, which is asynchronous, to the verification, which is not.

use std::io::{self, Read};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use tokio::sync::mpsc;

use super::FetchError;
use crate::http::{Answer, HttpError};
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

/// Moves a body into the pipe. A body that breaks off is never taken for one that
/// ended: the reader gets an error, and so does the caller.
pub(super) async fn pump(
    mut answer: Answer,
    sender: Sender,
    limit: u64,
    observer: &Arc<dyn Observer>,
) -> Result<(), FetchError> {
    let mut moved = 0;
    loop {
        let error = match answer.chunk().await {
            Ok(None) => return Ok(()),
            Ok(Some(chunk)) => {
                let length = chunk.len() as u64;
                moved += length;
                if moved > limit {
                    HttpError::TooLarge { url: answer.url().clone().into(), limit }.into()
                } else if sender.send(Ok(chunk)).await.is_err() {
                    // The verification has seen enough; it says why.
                    return Ok(());
                } else {
                    observer.event(Event::Advanced(length));
                    continue;
                }
            }
            Err(HttpError::EndedEarly { url, why }) => {
                FetchError::Truncated { url, wanted: answer.length(), found: moved, why }
            }
            Err(error) => error.into(),
        };
        // Where the reader is gone already there is nobody to tell.
        let _ = sender.send(Err(io::ErrorKind::UnexpectedEof.into())).await;
        return Err(error);
    }
}

/// A file that tells how far it was read.
pub(super) struct Watched<R> {
    inner: R,
    observer: Arc<dyn Observer>,
}

impl<R> Watched<R> {
    pub(super) fn new(inner: R, observer: Arc<dyn Observer>) -> Self {
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
