//! The bytes of a stored file, as a body.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use futures_util::stream::{iter, try_unfold};

use super::multipart::Piece;

/// Larger and smaller reads were both measured slower.
const READ_BYTES: u64 = 256 << 10;

/// A stored file. It stays the same file whatever becomes of its name.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// All of it.
    Memory(Bytes),
    /// Open.
    File(Arc<File>),
}

impl Content {
    pub(crate) async fn open(path: PathBuf) -> io::Result<Self> {
        let open = move || File::open(path).map(|file| Self::File(Arc::new(file)));
        tokio::task::spawn_blocking(open).await?
    }

    /// All of a file that has so many bytes.
    pub(crate) async fn read_small(path: PathBuf, bytes: u64) -> io::Result<Bytes> {
        let read = move || read(&File::open(path)?, &(0..bytes));
        tokio::task::spawn_blocking(read).await?
    }

    /// A body of these pieces, read as they are asked for.
    pub(crate) fn body(self, mut pieces: VecDeque<Piece>) -> Body {
        match (self, pieces.len()) {
            (Self::Memory(content), 1) => {
                pieces.pop_front().map_or_else(Body::empty, |piece| slice(&content, piece).into())
            }
            (Self::Memory(content), _) => {
                let slices = pieces.into_iter().map(move |piece| slice(&content, piece));
                Body::from_stream(iter(slices.map(Ok::<_, io::Error>)))
            }
            (Self::File(file), _) => Body::from_stream(try_unfold(pieces, move |mut pieces| {
                let file = Arc::clone(&file);
                async move {
                    let bytes = match pieces.pop_front() {
                        None => return Ok(None),
                        Some(Piece::Text(text)) => text,
                        Some(Piece::File(range)) => {
                            let end = range.end.min(range.start + READ_BYTES);
                            if end < range.end {
                                pieces.push_front(Piece::File(end..range.end));
                            }
                            let part = range.start..end;
                            tokio::task::spawn_blocking(move || read(&file, &part)).await??
                        }
                    };
                    Ok::<_, io::Error>(Some((bytes, pieces)))
                }
            })),
        }
    }
}

fn slice(content: &Bytes, piece: Piece) -> Bytes {
    match piece {
        Piece::Text(text) => text,
        Piece::File(range) => {
            // Ranges lie in the file, and what is in memory is small.
            let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(content.len());
            content.slice(index(range.start)..index(range.end))
        }
    }
}

fn read(file: &File, range: &Range<u64>) -> io::Result<Bytes> {
    let length = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
    let mut buffer = Vec::with_capacity(length);
    while buffer.len() < length {
        let at = range.start + buffer.len() as u64;
        match rustix::io::pread(file, rustix::buffer::spare_capacity(&mut buffer), at) {
            // The file is shorter than its row says: the client sees a broken answer.
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    buffer.truncate(length);
    Ok(Bytes::from(buffer))
}
