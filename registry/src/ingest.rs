//! Taking an image in as it comes: spool and verify → admit → store → record.
//!
//! Until the last step is done nobody can see anything of it, by any path. A crash
//! at any moment leaves the image served or absent: the spool file has no name, and
//! files without a row are invisible (see `catalog/blobs.rs`).

use std::io::{self, Read};

use aci::push::{ByteRange, Pushed, RangeOfFile};
use aci::stage::StagedFile;
use aci::{FileDigest, Name};
use axum::body::Body;
use keys::{Keyring, Liveness, Policy, ReceiveError, VerifiedImage, VerifyError};
use tracing::Instrument;

use crate::access::{Action, Caller};
use crate::decoders::Begun;
use crate::error::{ApiError, UploadError};
use crate::incoming::Incoming;
use crate::keeping::{self, Guarded};
use crate::parts;
use crate::state::{Shared, State};
use crate::store::store_and_record;
use crate::token::UploadId;

/// Bytes of the names and values of an image's labels. They stand on pages, hundreds together, and in
/// headers, of which proxies take 4 KiB.
const LABEL_BYTES: usize = 2048;

/// An image that is arriving.
pub(crate) struct Arrival {
    /// The upload it is sent on.
    pub(crate) upload: UploadId,
    pub(crate) signature: Vec<u8>,
    /// The file, where it was announced.
    pub(crate) file_digest: Option<FileDigest>,
    pub(crate) file_bytes: Option<u64>,
    /// Its bytes, where what comes of it is to be held when the connection breaks off.
    pub(crate) held_of: Option<u64>,
    pub(crate) body: Body,
}

/// An image that is whole, sound and signed by a key of its name, in a file without a name.
pub(crate) struct Spooled {
    pub(crate) file: StagedFile,
    pub(crate) verified: VerifiedImage,
    pub(crate) signature: Vec<u8>,
    pub(crate) upload: UploadId,
}

/// What came of reading an image.
pub(crate) enum Received {
    Whole(Box<Spooled>),
    /// It could not be read to its end. This much of it was.
    Broken(StagedFile, io::Error),
}

/// Takes an image in, or says why not. Of one that did not come whole and whose size is known, what
/// came is held.
pub(crate) async fn take_in(
    state: &Shared,
    caller: Caller,
    arrival: Arrival,
) -> Result<Pushed, ApiError> {
    let (state, intakes) = (Shared::clone(state), state.serving.intakes.clone());
    // A task of its own: a client that goes away now must not stop the image between its files and
    // its row, nor what came of it from being held.
    let taken = async move {
        let Arrival { upload, signature, file_digest, file_bytes, held_of, body } = arrival;
        let place = state.serving.pushes.take(caller.id()).await?;
        let received = receive(&state, &caller, &upload, signature, Incoming::new(body)).await?;
        drop(place);
        let spooled = match received {
            Received::Whole(spooled) => spooled,
            // The body ended early or fell silent: the client's end of the wire.
            Received::Broken(file, error) => {
                if let Some(total) = held_of {
                    let bytes = file.file().metadata()?.len();
                    let range = ByteRange::new(0, bytes);
                    if let Some(range) = range.and_then(|range| RangeOfFile::new(range, total)) {
                        parts::keep_beginning(&state, &caller, &upload, range, file).await;
                    }
                }
                return Err(ApiError::unread(&error));
            }
        };
        announced(&spooled.verified, file_digest.as_ref())?;
        of_size(file_bytes, spooled.verified.inspected().file_bytes())?;
        admit(&state, &caller, &spooled.verified)?;
        let stored = store_and_record(&state, &caller, vec![*spooled]).await;
        let mut pushed = stored.map_err(|refused| refused.error)?;
        pushed.pop().ok_or_else(|| ApiError::internal("an image was stored and is none"))
    };
    intakes.spawn(taken.in_current_span()).await?
}

/// Reads an image to its end: into the spool, the inspection and the signature's digest.
pub(crate) async fn receive(
    state: &Shared,
    caller: &Caller,
    upload: &UploadId,
    signature: Vec<u8>,
    image: impl Read + Send + 'static,
) -> Result<Received, ApiError> {
    let keyring: Keyring = state.keyring().await?;
    let policy = Policy::new(state.clock.now(), Liveness::Now);
    let (state, upload, caller) = (Shared::clone(state), upload.clone(), caller.id().clone());
    tokio::task::spawn_blocking(move || {
        let image = Begun::read(image);
        let (room, limits) =
            state.serving.decoders.room(&caller, &image, &state.config().limits)?;
        let mut file = StagedFile::new_in(&state.data.spool(), crate::blobs::MODE)?;
        let guarded = Guarded::new(&mut file, state.data.spool());
        let received = keys::receive(image, guarded, &signature, &keyring, &policy, &limits);
        drop(room);
        match received {
            Ok(verified) => {
                // Here rather than under the lock: the data of a large image takes its time.
                file.file().sync_data()?;
                Ok(Received::Whole(Box::new(Spooled { file, verified, signature, upload })))
            }
            Err(ReceiveError::Read(error)) => Ok(Received::Broken(file, error)),
            Err(ReceiveError::Verify(VerifyError::SignerWrongPrefix { name, .. }))
                if !state.config().domains.own(&name) =>
            {
                Err(not_served(&state, &name))
            }
            Err(error) => Err(error.into()),
        }
    })
    .await?
}

/// Refuses an image before it is sent, where the disk or a quota has no room for it. One that is here
/// needs none.
pub(crate) async fn foresee(
    state: &State,
    caller: &Caller,
    bytes: u64,
    file: Option<&FileDigest>,
) -> Result<(), ApiError> {
    // One that the caller may not push there is as good as none: that it is here is not told.
    if let Some(file) = file
        && let names = state.catalog.names_of_file(file).await?
        && names.iter().any(|name| caller.may(Action::Push, name).is_ok())
    {
        return Ok(());
    }
    keeping::check_room(&state.data.spool(), bytes)?;
    keeping::foresee(state, caller, bytes, file.is_some()).await
}

/// Whether it is the file that was announced.
pub(crate) fn announced(
    verified: &VerifiedImage,
    wanted: Option<&FileDigest>,
) -> Result<(), UploadError> {
    let found = verified.inspected().file_digest();
    match wanted.filter(|wanted| *wanted != found) {
        None => Ok(()),
        Some(wanted) => {
            Err(UploadError::OtherFile { wanted: wanted.clone(), found: found.clone() })
        }
    }
}

/// Whether it has as many bytes as were announced.
pub(crate) fn of_size(known: Option<u64>, found: u64) -> Result<(), UploadError> {
    match known.filter(|known| *known != found) {
        None => Ok(()),
        Some(known) => Err(UploadError::RangeForeign { known, found }),
    }
}

/// Whether this registry serves the name, and this caller may bring it. The name is
/// the one inside the image; no other is ever asked for.
pub(crate) fn admit(
    state: &State,
    caller: &Caller,
    verified: &VerifiedImage,
) -> Result<(), ApiError> {
    let inspected = verified.inspected();
    let name = &inspected.manifest().name;
    if !state.config().domains.own(name) {
        return Err(not_served(state, name));
    }
    caller.may(Action::Push, name)?;
    let labels = inspected.manifest().labels.iter();
    let found = labels.map(|label| label.name.as_str().len() + label.value.len()).sum();
    if found > LABEL_BYTES {
        return Err(ApiError::LabelsTooLong { limit: LABEL_BYTES, found });
    }
    Ok(())
}

fn not_served(state: &State, name: &Name) -> ApiError {
    ApiError::NotServed { name: name.clone(), domains: state.config().domains.to_string() }
}
