//! Taking an image in: spool and verify → admit → store → record.
//!
//! Until the last step is done nobody can see anything of it, by any path. A crash
//! at any moment leaves the image served or absent: the spool file has no name, and
//! files without a row are invisible (see `blobs.rs`).

use std::io;

use aci::push::Pushed;
use aci::stage::StagedFile;
use aci::{FileDigest, Reference};
use axum::body::Body;
use futures_util::TryStreamExt;
use keys::{Keyring, Liveness, Policy, VerifiedImage};
use sha2::{Digest, Sha512};
use tokio_util::io::{StreamReader, SyncIoBridge};
use tracing::Instrument;

use crate::api::Holder;
use crate::catalog::{NewImage, StoredImage};
use crate::error::ApiError;
use crate::state::{Shared, State};
use crate::token::UploadId;

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
    holder: Holder,
    arrival: Arrival,
) -> Result<Pushed, ApiError> {
    let place = state.serving.pushes.take(holder.token()).await?;
    let spooled = spool_and_verify(state, arrival).await?;
    drop(place);
    admit(state, &holder, &spooled.verified)?;
    // A task of its own: a client that goes away now must not stop the image
    // between its files and its row, nor let go of the lock while files are written.
    let state = Shared::clone(state);
    let stored = async move { store_and_record(&state, &holder, spooled).await };
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
        let limits = &state.limits;
        let mut file = StagedFile::new_in(&state.data.spool(), crate::blobs::MODE)?;
        let verified = keys::receive(reader, &mut file, &signature, &keyring, &policy, limits)?;
        // Here rather than under the lock: the data of a large image takes its time.
        file.file().sync_data()?;
        Ok(Spooled { file, verified, signature, upload })
    })
    .await?
}

/// Whether this registry serves the name, and this token may bring it. The name is
/// the one inside the image; no other is ever asked for.
fn admit(state: &State, holder: &Holder, verified: &VerifiedImage) -> Result<(), ApiError> {
    let name = &verified.inspected().manifest().name;
    if !state.domains.own(name) {
        let domains = state.domains.to_string();
        return Err(ApiError::NotServed { name: name.clone(), domains });
    }
    holder.may_name(name)
}

async fn store_and_record(
    state: &Shared,
    holder: &Holder,
    spooled: Spooled,
) -> Result<Pushed, ApiError> {
    let Spooled { file, verified, signature, upload } = spooled;
    let inspected = verified.inspected();
    let manifest = inspected.manifest();
    let _one_at_a_time = state.commit.lock().await;
    // Sending may have taken long.
    holder.may_still(state).await?;
    if let Some(there) = state.catalog.image(inspected.image_id()).await? {
        // The files of a disk that lost them come back with the next push.
        if state.blobs.intact(&there)? {
            state.catalog.upload_brought(&upload, &there.image_id).await?;
            return Ok(pushed(&there, false));
        }
        tracing::warn!(image = %there.image_id, "an image had lost its files; they are replaced");
    } else if let Some(there) = state.catalog.image_with(&manifest.name, &manifest.labels).await? {
        return Err(version_exists(&verified, there));
    }
    let new = NewImage {
        verified: &verified,
        signature_digest: FileDigest::of(Sha512::digest(&signature).into()),
        signature_bytes: signature.len() as u64,
        pushed: state.clock.now(),
        pushed_by: holder.token(),
        upload: &upload,
    };
    let blobs = state.blobs.clone();
    let image = verified.clone();
    tokio::task::spawn_blocking(move || blobs.store(&image, file, &signature)).await??;
    state.catalog.record(&new).await?;
    state.serving.memory.forget(inspected.image_id());
    let stored = state.catalog.image(inspected.image_id()).await?;
    let stored = stored.ok_or_else(|| ApiError::internal("a recorded image has no row"))?;
    tracing::info!(
        image = %stored.image_id, reference = %stored.reference(), signer = %stored.signer,
        token = %holder.token(), "published"
    );
    Ok(pushed(&stored, true))
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
