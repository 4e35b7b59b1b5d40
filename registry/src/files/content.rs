//! The bytes of a stored file, as a body.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use axum::body::Body;
use futures_util::stream::try_unfold;

use super::multipart::Piece;
use crate::blobs::{Blob, READ_BYTES};

/// A body of these pieces of a file, read as they are asked for.
pub(super) fn body(blob: Arc<dyn Blob>, pieces: VecDeque<Piece>) -> Body {
    Body::from_stream(try_unfold((blob, pieces), async |(blob, mut pieces)| {
        let Some(piece) = pieces.pop_front() else { return Ok(None) };
        let bytes = match piece {
            Piece::Text(text) => text,
            Piece::File(range) => {
                let end = range.end.min(range.start + READ_BYTES as u64);
                if end < range.end {
                    pieces.push_front(Piece::File(end..range.end));
                }
                let wanted = usize::try_from(end - range.start).map_err(io::Error::other)?;
                let bytes = blob.read(range.start, wanted).await?;
                if bytes.len() < wanted {
                    // The file is shorter than its row says: the client sees a broken answer.
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                bytes
            }
        };
        Ok::<_, io::Error>(Some((bytes, (blob, pieces))))
    }))
}
