//! The bytes of a stored file, as a body.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use futures_util::stream::try_unfold;

use super::multipart::Piece;

/// Larger and smaller reads were both measured slower.
const READ_BYTES: u64 = 256 << 10;

/// A stored file, open. It stays the same file whatever becomes of its name.
#[derive(Debug, Clone)]
pub(crate) struct Content(Arc<File>);

impl Content {
    pub(crate) async fn open(path: PathBuf) -> io::Result<Self> {
        let open = move || File::open(path).map(|file| Self(Arc::new(file)));
        tokio::task::spawn_blocking(open).await?
    }

    /// A body of these pieces, read as they are asked for.
    pub(crate) fn body(self, pieces: VecDeque<Piece>) -> Body {
        Body::from_stream(try_unfold((self, pieces), async |(content, mut pieces)| {
            let Some(piece) = pieces.pop_front() else { return Ok(None) };
            let bytes = match piece {
                Piece::Text(text) => text,
                Piece::File(range) => {
                    let end = range.end.min(range.start + READ_BYTES);
                    if end < range.end {
                        pieces.push_front(Piece::File(end..range.end));
                    }
                    content.read(range.start, end - range.start).await?
                }
            };
            Ok::<_, io::Error>(Some((bytes, (content, pieces))))
        }))
    }

    async fn read(&self, first: u64, bytes: u64) -> io::Result<Bytes> {
        let file = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || {
            let length = usize::try_from(bytes).map_err(io::Error::other)?;
            let mut buffer = Vec::with_capacity(length);
            while buffer.len() < length {
                let at = first + buffer.len() as u64;
                let spare = rustix::buffer::spare_capacity(&mut buffer);
                match rustix::io::pread(&*file, spare, at) {
                    // The file is shorter than its row says: the client sees a broken answer.
                    Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    Ok(_) | Err(rustix::io::Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            buffer.truncate(length);
            Ok(Bytes::from(buffer))
        })
        .await?
    }
}
