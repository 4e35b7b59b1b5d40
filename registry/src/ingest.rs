//! Taking an image in: spool and verify → admit → store → record.
//!
//! Until the last step is done nobody can see anything of it, by any path. A crash
//! at any moment leaves the image served or absent: the spool file has no name, and
//! files without a row are invisible (see `catalog/blobs.rs`).

use std::io::{self, Write as _};
use std::time::Duration;

use aci::push::Pushed;
use aci::stage::StagedFile;
use aci::{Extension, FileDigest, Reference};
use axum::body::Body;
use futures_util::TryStreamExt;
use keys::{Keyring, Liveness, Policy, VerifiedImage};
use tokio_util::io::{StreamReader, SyncIoBridge};
use tracing::Instrument;

use crate::access::{Action, Caller};
use crate::blobs::BlobKey;
use crate::catalog::{Lease, NewImage, StoredImage};
use crate::error::ApiError;
use crate::gc;
use crate::state::{Shared, State};
use crate::token::UploadId;

/// How long the files of an image may stand without its row. Between the two there are moments.
const LEASE: Duration = Duration::from_secs(3600);
/// How often, and after which pauses, a push asks for a blob that is being removed.
const CONDEMNED_ATTEMPTS: u32 = 100;
const CONDEMNED_PAUSE: Duration = Duration::from_millis(100);

/// An image that is arriving.
pub(crate) struct Arrival {
    /// The upload it is sent on.
    pub(crate) upload: UploadId,
    pub(crate) signature: Vec<u8>,
    pub(crate) body: Body,
}

/// An image that is whole, sound and signed by a key of its name, in a file without a name.
struct Spooled {
    file: StagedFile,
    verified: VerifiedImage,
    signature: Vec<u8>,
    upload: UploadId,
}

/// Takes an image in, or says why not and keeps nothing of it.
pub(crate) async fn take_in(
    state: &Shared,
    caller: Caller,
    arrival: Arrival,
) -> Result<Pushed, ApiError> {
    let place = state.pushes.take(caller.id()).await?;
    let spooled = spool_and_verify(state, arrival).await?;
    drop(place);
    admit(state, &caller, &spooled.verified)?;
    // A task of its own: a client that goes away now must not stop the image
    // between its files and its row.
    let state = Shared::clone(state);
    let stored = async move { store_and_record(&state, &caller, spooled).await };
    tokio::spawn(stored.in_current_span()).await?
}

/// Reads the image to its end: into the spool, the inspection and the signature's digest.
async fn spool_and_verify(state: &Shared, arrival: Arrival) -> Result<Spooled, ApiError> {
    let Arrival { upload, signature, body } = arrival;
    let keyring: Keyring = state.keyring().await?;
    let policy = Policy::new(state.clock.now(), Liveness::Now);
    // A client that is too slow ends the stream: see `connection/mod.rs`.
    let chunks = body.into_data_stream().map_err(io::Error::other);
    let reader = SyncIoBridge::new(StreamReader::new(chunks));
    let state = Shared::clone(state);
    tokio::task::spawn_blocking(move || {
        let limits = &state.config().limits;
        let mut file = StagedFile::new_in(&state.data.spool(), crate::blobs::MODE)?;
        let verified = keys::receive(reader, &mut file, &signature, &keyring, &policy, limits)?;
        // Here rather than under the lock: the data of a large image takes its time.
        file.file().sync_data()?;
        Ok(Spooled { file, verified, signature, upload })
    })
    .await?
}

/// Whether this registry serves the name, and this caller may bring it. The name is
/// the one inside the image; no other is ever asked for.
fn admit(state: &State, caller: &Caller, verified: &VerifiedImage) -> Result<(), ApiError> {
    let name = &verified.inspected().manifest().name;
    let domains = &state.config().domains;
    if !domains.own(name) {
        let domains = domains.to_string();
        return Err(ApiError::NotServed { name: name.clone(), domains });
    }
    caller.may(Action::Push, name)
}

/// Stores the files under a lease, then records them: the database decides between pushes that come
/// at once, of this node or others.
async fn store_and_record(
    state: &Shared,
    caller: &Caller,
    spooled: Spooled,
) -> Result<Pushed, ApiError> {
    let Spooled { file, verified, signature, upload } = spooled;
    let inspected = verified.inspected();
    let manifest = inspected.manifest();
    // Sending may have taken long.
    caller.may_still(state).await?;
    let there = state.catalog.image(inspected.image_id()).await?;
    if let Some(there) = &there {
        if intact(state, there).await? {
            state.catalog.upload_brought(&upload, &there.image_id).await?;
            return Ok(pushed(there, false));
        }
        // The files of a disk that lost them come back with the next push.
        tracing::warn!(image = %there.image_id, "an image had lost its files; they are replaced");
    } else if let Some(there) = state.catalog.image_with(&manifest.name, &manifest.labels).await?
        // Since the question above, the same image may have come by another push.
        && there != *inspected.image_id()
    {
        return Err(version_exists(&verified, there));
    }
    let new = NewImage {
        verified: &verified,
        signature_digest: FileDigest::of_bytes(&signature),
        signature_bytes: signature.len() as u64,
        upload: &upload,
        heals: there.is_some(),
    };
    let blobs = new.blobs();
    let now = state.clock.now();
    let lease = Lease::new(&state.node, &upload, now + LEASE);
    lease_blobs(state, &blobs, &lease).await?;
    let stored = async {
        let mut staged = StagedFile::new_in(&state.data.spool(), crate::blobs::MODE)?;
        staged.write_all(&signature)?;
        state.blobs.put(&blobs[0].0, file).await?;
        state.blobs.put(&blobs[1].0, staged).await?;
        Ok::<_, ApiError>(state.catalog.publish(&[new], caller, &lease, now).await?)
    };
    let created = match stored.await {
        Ok(created) => created.iter().all(|created| *created),
        Err(error) => {
            // They would go some time after the end of the lease; this is sooner.
            if let Err(fault) = gc::give_up(state, &blobs, &lease).await {
                let fault: &dyn std::error::Error = &fault;
                tracing::warn!(error = fault, "the files of a push that failed stay for a while");
            }
            return Err(error);
        }
    };
    let stored = state.catalog.image(inspected.image_id()).await?;
    let stored = stored.ok_or_else(|| ApiError::internal("a recorded image has no row"))?;
    tracing::info!(
        image = %stored.image_id, reference = %stored.reference(), signer = %stored.signer,
        caller = %caller.id(), created, "published"
    );
    Ok(pushed(&stored, created))
}

/// Leases the blobs of an image. One that is being removed is gone in a moment.
async fn lease_blobs(
    state: &State,
    blobs: &[(BlobKey, u64)],
    lease: &Lease,
) -> Result<(), ApiError> {
    for _ in 0..CONDEMNED_ATTEMPTS {
        if state.catalog.lease(blobs, lease).await? {
            return Ok(());
        }
        tokio::time::sleep(CONDEMNED_PAUSE).await;
    }
    Err(ApiError::Busy)
}

/// Whether both files of an image are there, in their right sizes.
async fn intact(state: &State, image: &StoredImage) -> Result<bool, ApiError> {
    let sizes =
        [(Extension::Image, image.file_bytes), (Extension::Signature, image.signature_bytes)];
    for (extension, bytes) in sizes {
        if state.blobs.bytes(&image.blob(extension)).await? != Some(bytes) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn version_exists(verified: &VerifiedImage, there: aci::ImageId) -> ApiError {
    let inspected = verified.inspected();
    let manifest = inspected.manifest();
    ApiError::VersionExists {
        reference: Box::new(Reference::new(manifest.name.clone(), manifest.labels.clone())),
        there,
        pushed: inspected.image_id().clone(),
    }
}

fn pushed(image: &StoredImage, created: bool) -> Pushed {
    Pushed {
        image_id: image.image_id.clone(),
        name: image.name.clone(),
        labels: image.labels.clone(),
        file_digest: image.file_digest.clone(),
        file_bytes: image.file_bytes,
        signer: image.signer.to_string(),
        created,
    }
}
