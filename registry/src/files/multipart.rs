//! Several parts of a file in one answer: `multipart/byteranges` (RFC 9110, 14.6).
//!
//! ```text
//! --8f41…
//! Content-Type: application/octet-stream
//! Content-Range: bytes 0-9/1000
//!
//! ten bytes
//! --8f41…
//! ⋮
//! --8f41…--
//! ```

use std::collections::VecDeque;
use std::ops::Range;

use axum::body::Bytes;

/// A piece of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// These bytes.
    Text(Bytes),
    /// Those of the file.
    File(Range<u64>),
}

impl Piece {
    fn bytes(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::File(range) => range.end - range.start,
        }
    }
}

/// The body of such an answer.
#[derive(Debug)]
pub(crate) struct Multipart {
    pub(crate) content_type: String,
    pub(crate) pieces: VecDeque<Piece>,
    /// The length of it all.
    pub(crate) bytes: u64,
}

impl Multipart {
    /// These parts of a file of this type and so many bytes. The boundary must be one
    /// that nobody who made the file could know.
    pub(crate) fn new(
        parts: &[Range<u64>],
        content_type: &str,
        total: u64,
        boundary: &str,
    ) -> Self {
        let mut pieces = VecDeque::new();
        for (at, part) in parts.iter().enumerate() {
            let line = if at == 0 { "" } else { "\r\n" };
            pieces.push_back(Piece::Text(
                format!(
                    "{line}--{boundary}\r\nContent-Type: {content_type}\r\n\
                     Content-Range: bytes {}-{}/{total}\r\n\r\n",
                    part.start,
                    part.end - 1
                )
                .into(),
            ));
            pieces.push_back(Piece::File(part.clone()));
        }
        pieces.push_back(Piece::Text(format!("\r\n--{boundary}--\r\n").into()));
        let bytes = pieces.iter().map(Piece::bytes).sum();
        let content_type = format!("multipart/byteranges; boundary={boundary}");
        Self { content_type, pieces, bytes }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use aci::stage::StagedFile;
    use proptest::prelude::*;

    use super::super::content::Content;
    use super::super::range::{Asked, asked};
    use super::*;
    use crate::blobs::{BlobStore as _, Memory};

    /// The parts of a body: first byte, and the bytes.
    fn read(body: &[u8], boundary: &str) -> Vec<(u64, Vec<u8>)> {
        let find = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).position(|w| w == what);
        let mut rest = body.strip_prefix(format!("--{boundary}\r\n").as_bytes()).unwrap();
        let mut parts = Vec::new();
        loop {
            let head = find(rest, b"\r\n\r\n").unwrap();
            let text = std::str::from_utf8(&rest[..head]).unwrap();
            let range = text.split("Content-Range: bytes ").nth(1).unwrap();
            let first: u64 = range.split('-').next().unwrap().parse().unwrap();
            rest = &rest[head + 4..];
            let end = find(rest, format!("\r\n--{boundary}").as_bytes()).unwrap();
            parts.push((first, rest[..end].to_vec()));
            rest = &rest[end + 4 + boundary.len()..];
            match rest.strip_prefix(b"\r\n") {
                Some(next) => rest = next,
                None => return parts,
            }
        }
    }

    proptest! {
        #[test]
        fn parts_make_up_the_bytes_that_were_asked_for(
            seed in any::<u8>(),
            ranges in proptest::collection::vec((0..2_000_u64, 1..700_u64), 1..16),
        ) {
            let content: Vec<u8> = (0..1_500_u32).map(|at| (at % 251) as u8 ^ seed).collect();
            let total = content.len() as u64;
            let specs = ranges.iter().map(|(first, bytes)| format!("{first}-{}", first + bytes - 1));
            let value = format!("bytes={}", specs.collect::<Vec<_>>().join(", "));
            let wanted: BTreeSet<u64> =
                ranges.iter().flat_map(|(first, bytes)| *first..first + bytes).filter(|at| *at < total).collect();
            let parts = match asked(&value, total) {
                Asked::Parts(parts) => parts,
                Asked::Unsatisfiable => { prop_assert!(wanted.is_empty()); return Ok(()) }
                Asked::Whole => panic!("{value} is well formed"),
            };
            let multipart = Multipart::new(&parts, "text/plain", total, "b0undary");
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let body = runtime.block_on(async {
                let (store, folder) = (Memory::default(), tempfile::tempdir().unwrap());
                let mut staged = StagedFile::new_in(folder.path(), 0o600).unwrap();
                std::io::Write::write_all(&mut staged, &content).unwrap();
                let key = "test-00x".parse().unwrap();
                store.put(&key, staged).await.unwrap();
                let blob = Content::Blob(store.blob(&key).await.unwrap());
                let body = blob.body(multipart.pieces);
                axum::body::to_bytes(body, usize::MAX).await.unwrap()
            });
            prop_assert_eq!(body.len() as u64, multipart.bytes);
            let mut found = BTreeSet::new();
            for (first, bytes) in read(&body, "b0undary") {
                for (at, byte) in (first..).zip(bytes) {
                    prop_assert_eq!(byte, content[at as usize]);
                    prop_assert!(found.insert(at), "byte {} was sent twice", at);
                }
            }
            prop_assert_eq!(found, wanted);
        }
    }
}
