//! Parts of an image that is sent in ranges: each is a blob, held until its upload ends.
//!
//! A part is stored and recorded before it is answered for. From then on it is any node's to read.

use std::collections::VecDeque;
use std::io::{self, Read, Write};

use aci::push::{ByteRange, RangeOfFile};
use aci::stage::StagedFile;
use axum::body::Body;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::runtime::Handle;
use tokio_util::io::SyncIoBridge;
use tracing::Instrument;

use crate::access::Caller;
use crate::api::Open;
use crate::blobs::BlobKey;
use crate::catalog::{Added, Lease, NewPart, PartLimits, StoredPart};
use crate::commit;
use crate::error::{ApiError, UploadError};
use crate::incoming::Incoming;
use crate::keeping::{Guarded, remove_leased};
use crate::state::{Shared, State};
use crate::store::LEASE;
use crate::token::UploadId;

/// Bytes of a part at least, but for one that ends where the file does, or where another begins.
pub(crate) const SMALLEST: u64 = 64 << 10;
/// Parts of one upload at most.
const PARTS: u64 = 10_000;
/// So many of the largest images may the uploads of a caller hold.
const IMAGES_HELD: u64 = 4;
/// Bytes that are read and written at a time.
const CHUNK: usize = 256 << 10;

fn limits(state: &State) -> PartLimits {
    let bytes = state.config().limits.file_bytes;
    PartLimits { parts: PARTS, bytes, bytes_of_caller: bytes.saturating_mul(IMAGES_HELD) }
}

/// What came of a range's bytes.
struct Spooled {
    file: StagedFile,
    bytes: u64,
    /// Why it could not be read to its end, where it could not.
    broken: Option<io::Error>,
}

/// Takes a range of an image in. It is held when this is done.
pub(crate) async fn take_in(
    state: &Shared,
    open: Open,
    wanted: RangeOfFile,
    body: Body,
) -> Result<(), ApiError> {
    let (range, total) = (wanted.range(), wanted.total());
    let limit = state.config().limits.file_bytes;
    if total > limit {
        return Err(ApiError::FileTooLarge { limit, found: total });
    }
    if open.upload.published.is_some() {
        return Err(UploadError::Published.into());
    }
    if let Some(known) = open.upload.file_bytes.filter(|known| *known != total) {
        return Err(UploadError::RangeForeign { known, found: total }.into());
    }
    let held = state.catalog.parts(&open.id).await?;
    let reaches =
        |part: &StoredPart| range.first() < part.range.first() && part.range.first() <= range.end();
    if range.bytes() < SMALLEST && range.end() != total && !held.iter().any(reaches) {
        return Err(UploadError::RangeSmall { smallest: SMALLEST, found: range.bytes() }.into());
    }
    let (state, intakes) = (Shared::clone(state), state.serving.intakes.clone());
    // A task of its own: what came of it is held though the client is gone.
    let taken = async move {
        let kept = spool_and_keep(&state, &open, wanted, body).await;
        if let Err(error @ ApiError::StorageFull(_)) = &kept {
            commit::conclude(&state, &open.id, Some(error)).await;
        }
        kept
    };
    intakes.spawn(taken.in_current_span()).await?
}

async fn spool_and_keep(
    state: &Shared,
    open: &Open,
    wanted: RangeOfFile,
    body: Body,
) -> Result<(), ApiError> {
    let (range, total) = (wanted.range(), wanted.total());
    let place = state.serving.pushes.take(open.caller.id()).await?;
    let Spooled { file, bytes, broken } = spool(state, body, range).await?;
    drop(place);
    if let Some(error) = broken {
        let range = ByteRange::new(range.first(), range.first() + bytes);
        if let Some(range) = range.and_then(|range| RangeOfFile::new(range, total)) {
            keep_beginning(state, &open.caller, &open.id, range, file).await;
        }
        return Err(ApiError::unread(&error));
    }
    if bytes != range.bytes() {
        let found = if bytes > range.bytes() { "more".into() } else { format!("{bytes} bytes") };
        return Err(UploadError::RangeLength { wanted: range.bytes(), found }.into());
    }
    open.caller.may_still(state).await?;
    keep(state, &open.caller, &open.id, wanted, file).await
}

/// Reads a range, and one byte more where there is one.
async fn spool(state: &Shared, body: Body, range: ByteRange) -> Result<Spooled, ApiError> {
    let state = Shared::clone(state);
    let mut body = Incoming::new(body).take(range.bytes() + 1);
    tokio::task::spawn_blocking(move || {
        let mut file = StagedFile::new_in(&state.data.spool(), crate::blobs::MODE)?;
        let (mut chunk, mut bytes) = (vec![0; CHUNK], 0);
        let broken = loop {
            match body.read(&mut chunk) {
                Ok(0) => break None,
                Ok(got) => {
                    Guarded::new(&mut file, state.data.spool()).write_all(&chunk[..got])?;
                    bytes += got as u64;
                }
                Err(error) => break Some(error),
            }
        };
        Ok(Spooled { file, bytes, broken })
    })
    .await?
}

/// Holds what came of a file, or a range of it, whose connection broke off, where it is worth it.
pub(crate) async fn keep_beginning(
    state: &State,
    caller: &Caller,
    upload: &UploadId,
    range: RangeOfFile,
    file: StagedFile,
) {
    if range.range().bytes() < SMALLEST {
        return;
    }
    // The client will ask what is held.
    if let Err(error) = keep(state, caller, upload, range, file).await {
        let error: &dyn std::error::Error = &error;
        tracing::debug!(error, "what came of a push that broke off is not held");
    }
}

/// Holds a part.
async fn keep(
    state: &State,
    caller: &Caller,
    upload: &UploadId,
    range: RangeOfFile,
    file: StagedFile,
) -> Result<(), ApiError> {
    let key = BlobKey::part(upload, range.range(), &UploadId::generate()?);
    let lease = Lease::new(&state.node, upload, state.clock.now() + LEASE);
    let blobs = [(key, range.range().bytes())];
    state.catalog.lease(&blobs, &lease).await?;
    let limits = limits(state);
    let added = async {
        state.blobs.put(&blobs[0].0, file).await?;
        let new = NewPart { upload, caller: caller.id(), range, key: &blobs[0].0 };
        Ok::<_, ApiError>(state.catalog.add_part(&new, limits, state.clock.now()).await?)
    };
    let added = added.await;
    if !matches!(added, Ok(Added::Kept)) {
        crate::keeping::give_up(state, &blobs, &lease).await;
    }
    match added? {
        Added::Kept | Added::Held => Ok(()),
        Added::Full => Err(UploadError::Full { parts: limits.parts, bytes: limits.bytes }.into()),
        Added::CallerFull => Err(UploadError::CallerFull { bytes: limits.bytes_of_caller }.into()),
        Added::NotLeased => Err(ApiError::Busy),
        Added::NotOpen => {
            let now = state.catalog.upload(upload, caller.id(), state.clock.now()).await?;
            Err(match now {
                Some(now) if now.published.is_some() => UploadError::Published.into(),
                Some(now) if now.file_bytes.is_some() => UploadError::RangeForeign {
                    known: now.file_bytes.unwrap_or_default(),
                    found: range.total(),
                }
                .into(),
                _ => ApiError::UploadUnknown,
            })
        }
    }
}

/// Removes the parts that an upload has let go. Where this comes to nothing, a collector does it.
pub(crate) fn remove(state: &Shared, upload: &UploadId, parts: Vec<BlobKey>) {
    let (state, lease) = (Shared::clone(state), Lease::of_upload(upload, state.clock.now()));
    tokio::spawn(async move {
        if let Err(error) = remove_leased(&state, &parts, &lease).await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "parts of an upload that has ended stay for a while");
        }
    });
}

/// The parts of a file one after the other, as one reader for a thread that may block.
pub(crate) struct Joined {
    state: Shared,
    waiting: VecDeque<Piece>,
    reading: Option<(SyncIoBridge<Box<dyn AsyncRead + Send + Unpin>>, u64)>,
}

/// So many bytes of a part, after so many others.
struct Piece {
    key: BlobKey,
    skip: u64,
    bytes: u64,
}

impl Joined {
    /// Where the parts overlap, the one that reaches further is read.
    pub(crate) fn new(state: &Shared, parts: &[StoredPart]) -> Self {
        let (mut waiting, mut at) = (VecDeque::new(), 0);
        while let Some(next) = parts
            .iter()
            .filter(|part| part.range.first() <= at && part.range.end() > at)
            .max_by_key(|part| part.range.end())
        {
            let (skip, bytes) = (at - next.range.first(), next.range.end() - at);
            waiting.push_back(Piece { key: next.key.clone(), skip, bytes });
            at = next.range.end();
        }
        Self { state: Shared::clone(state), waiting, reading: None }
    }
}

impl Read for Joined {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some((reader, left)) = &mut self.reading {
                let wanted = buffer.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                let got = reader.read(&mut buffer[..wanted])?;
                *left -= got as u64;
                if *left == 0 {
                    self.reading = None;
                }
                // A part that is shorter than it was is lost.
                if got == 0 && wanted > 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                return Ok(got);
            }
            let Some(Piece { key, skip, bytes }) = self.waiting.pop_front() else { return Ok(0) };
            let opened = Handle::current().block_on(self.state.blobs.open(&key, skip))?;
            let limited: Box<dyn AsyncRead + Send + Unpin> = Box::new(opened.take(bytes));
            self.reading = Some((SyncIoBridge::new(limited), bytes));
        }
    }
}
