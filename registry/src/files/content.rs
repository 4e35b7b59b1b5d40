//! The bytes of a stored file, as a body.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use futures_util::stream::{iter, try_unfold};

use super::multipart::Piece;
use crate::blobs::{Blob, READ_BYTES};

/// A stored file. It stays the same file whatever becomes of its key.
pub(crate) enum Content {
    /// All of it.
    Memory(Bytes),
    /// Open.
    Blob(Arc<dyn Blob>),
}

impl Content {
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
            (Self::Blob(blob), _) => {
                Body::from_stream(try_unfold((blob, pieces), async |(blob, mut pieces)| {
                    let bytes = match pieces.pop_front() {
                        None => return Ok(None),
                        Some(Piece::Text(text)) => text,
                        Some(Piece::File(range)) => {
                            let end = range.end.min(range.start + READ_BYTES as u64);
                            if end < range.end {
                                pieces.push_front(Piece::File(end..range.end));
                            }
                            read(&*blob, range.start, end - range.start).await?
                        }
                    };
                    Ok::<_, io::Error>(Some((bytes, (blob, pieces))))
                }))
            }
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

/// Exactly so many bytes of a blob.
pub(super) async fn read(blob: &dyn Blob, first: u64, bytes: u64) -> io::Result<Bytes> {
    let wanted = usize::try_from(bytes).map_err(io::Error::other)?;
    let found = blob.read(first, wanted).await?;
    // The file is shorter than its row says: the client sees a broken answer.
    if found.len() < wanted { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(found) }
}
