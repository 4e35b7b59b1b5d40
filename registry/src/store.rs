//! Storing verified images and recording them, one or several: all become visible together, or none.

use std::io::Write as _;
use std::time::Duration;

use aci::push::Pushed;
use aci::stage::StagedFile;
use aci::{Extension, FileDigest, ImageManifest, Reference};
use keys::{Liveness, Policy, VerifiedImage};

use crate::access::{Caller, OverwritePolicy};
use crate::blobs::BlobKey;
use crate::catalog::{Lease, NewImage, StoredImage};
use crate::error::ApiError;
use crate::ingest::Spooled;
use crate::keeping;
use crate::state::State;

/// How long the files of an image may stand without its row. Between the two there are moments.
pub(crate) const LEASE: Duration = Duration::from_secs(3600);

/// Why none of several images was published, and which of them it is about, where it is about one.
pub(crate) struct Refused {
    pub(crate) at: Option<usize>,
    pub(crate) error: ApiError,
}

impl<E: Into<ApiError>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self { at: None, error: error.into() }
    }
}

impl Refused {
    /// About the image at this place.
    pub(crate) fn at<E: Into<ApiError>>(at: usize) -> impl FnOnce(E) -> Self {
        move |error| Self { at: Some(at), error: error.into() }
    }
}

/// What a verified image is to the registry.
enum Fate {
    /// It is here, whole: as this.
    Here(Box<StoredImage>),
    /// It is not here. Whether it may take the place of another image.
    New { overwrites: bool },
    /// It is here, and its files are not.
    Heals,
}

/// Stores the files under a lease, then records them: the database decides between pushes that come
/// at once, of this node or others. Gives the images in the order in which they came.
pub(crate) async fn store_and_record(
    state: &State,
    caller: &Caller,
    spooled: Vec<Spooled>,
) -> Result<Vec<Pushed>, Refused> {
    // Sending may have taken long.
    caller.may_still(state).await?;
    still_trusted(state, &spooled).await?;
    let fates = fates(state, &spooled).await?;
    let (mut verified, mut files) = (Vec::new(), Vec::new());
    for Spooled { file, verified: image, signature, upload } in spooled {
        verified.push((image, signature, upload));
        files.push(Some(file));
    }
    let mut new = Vec::new();
    let mut contents: Vec<(StagedFile, &[u8])> = Vec::new();
    for (((image, signature, upload), fate), file) in verified.iter().zip(&fates).zip(&mut files) {
        if let (Fate::New { .. } | Fate::Heals, Some(file)) = (fate, file.take()) {
            contents.push((file, signature));
            new.push(NewImage {
                verified: image,
                signature_digest: FileDigest::of_bytes(signature),
                signature_bytes: signature.len() as u64,
                upload,
                heals: matches!(fate, Fate::Heals),
                overwrites: matches!(fate, Fate::New { overwrites: true }),
            });
        } else {
            let id = image.inspected().image_id();
            state.catalog.upload_brought(upload, id).await?;
        }
    }
    let published = publish(state, caller, &new, contents).await;
    let created = published.map_err(|error| refused(error, &verified))?;
    let mut created = created.into_iter();
    for image in &new {
        // What was known of it is not so any more: where it had lost its files, it has others.
        state.serving.memory.forget(image.verified.inspected().image_id());
    }
    let mut pushed = Vec::new();
    for ((image, ..), fate) in verified.iter().zip(fates) {
        if let Fate::Here(there) = fate {
            pushed.push(answer(&there, false));
            continue;
        }
        let created = created.next().unwrap_or(false);
        let stored = state.catalog.image(image.inspected().image_id()).await?;
        // Somebody may have deleted it in the moment since. It was published all the same.
        let told = stored.map_or_else(|| was(image, created), |stored| answer(&stored, created));
        if created {
            let reference = Reference::new(told.name.clone(), told.labels.clone());
            tracing::info!(
                image = %told.image_id, %reference, signer = %told.signer, token = %caller.id(),
                "published"
            );
        }
        pushed.push(told);
    }
    Ok(pushed)
}

/// Whether the signers may still sign for these images: keys come and go while images are sent.
async fn still_trusted(state: &State, spooled: &[Spooled]) -> Result<(), Refused> {
    if spooled.is_empty() {
        return Ok(());
    }
    let keyring = state.keyring().await?;
    let policy = Policy::new(state.clock.now(), Liveness::Now);
    let limits = &state.config().limits;
    for (at, Spooled { verified, signature, .. }) in spooled.iter().enumerate() {
        let name = &verified.inspected().manifest().name;
        let checked = keyring.check_signer(signature, Some(name), &policy, limits);
        checked.map_err(Refused::at(at))?;
    }
    Ok(())
}

/// Which of the images are here. One that cannot be published is refused before any file is stored.
async fn fates(state: &State, spooled: &[Spooled]) -> Result<Vec<Fate>, Refused> {
    let policies = state.access.policies(&state.catalog).await?;
    let mut fates = Vec::new();
    for (at, Spooled { verified, .. }) in spooled.iter().enumerate() {
        let inspected = verified.inspected();
        let manifest = inspected.manifest();
        let there = state.catalog.image(inspected.image_id()).await?;
        fates.push(match there {
            Some(there) if intact(state, &there).await? => Fate::Here(Box::new(there)),
            Some(there) => {
                // The files of a disk that lost them come back with the next push.
                tracing::warn!(image = %there.image_id, "an image had lost its files; they are replaced");
                Fate::Heals
            }
            None => {
                let taken = state.catalog.image_with(&manifest.name, &manifest.labels).await?;
                let policy = policies.of(&manifest.name).overwrite;
                let overwrites = policy == OverwritePolicy::Allowed;
                // The same image may have come since it was looked for.
                let other = taken.filter(|id| !overwrites && id != inspected.image_id());
                if let Some(there) = other {
                    let reference = reference(verified);
                    let pushed = inspected.image_id().clone();
                    let error = ApiError::VersionExists { reference, there, pushed };
                    return Err(Refused::at(at)(error));
                }
                Fate::New { overwrites }
            }
        });
    }
    Ok(fates)
}

/// Says of each image whether it was not there before.
async fn publish(
    state: &State,
    caller: &Caller,
    new: &[NewImage<'_>],
    contents: Vec<(StagedFile, &[u8])>,
) -> Result<Vec<bool>, ApiError> {
    let Some(first) = new.first() else { return Ok(Vec::new()) };
    let blobs: Vec<(BlobKey, u64)> = new.iter().flat_map(NewImage::blobs).collect();
    let now = state.clock.now();
    let lease = Lease::new(&state.node, first.upload, now + LEASE);
    state.catalog.lease(&blobs, &lease).await?;
    let stored = async {
        for (keys, (file, signature)) in blobs.chunks(2).zip(contents) {
            let mut staged = StagedFile::new_in(&state.data.spool(), crate::blobs::MODE)?;
            staged.write_all(signature)?;
            state.blobs.put(&keys[0].0, file).await?;
            state.blobs.put(&keys[1].0, staged).await?;
        }
        Ok::<_, ApiError>(
            state.catalog.publish(new, caller, &state.config().keeping.quotas, &lease, now).await?,
        )
    };
    let stored = stored.await;
    if stored.is_err() {
        keeping::give_up(state, &blobs, &lease).await;
    }
    stored
}

/// The name and labels of an image.
fn reference(image: &VerifiedImage) -> Box<Reference> {
    let manifest = image.inspected().manifest();
    Box::new(Reference::new(manifest.name.clone(), manifest.labels.clone()))
}

/// Which of the images the database refused.
fn refused<S, U>(error: ApiError, images: &[(VerifiedImage, S, U)]) -> Refused {
    let is_refused = |manifest: &ImageManifest| match &error {
        ApiError::VersionExists { reference, .. } | ApiError::VersionDeleted { reference, .. } => {
            manifest.name == *reference.name() && manifest.labels == *reference.labels()
        }
        // The last of those that it is for was one too many.
        ApiError::QuotaExceeded { prefix, .. } => manifest.name.is_under(prefix),
        _ => false,
    };
    let at = images.iter().rposition(|(image, ..)| is_refused(image.inspected().manifest()));
    Refused { at, error }
}

/// Whether both files of an image are there, in their right sizes.
pub(crate) async fn intact(state: &State, image: &StoredImage) -> Result<bool, ApiError> {
    let sizes =
        [(Extension::Image, image.file_bytes), (Extension::Signature, image.signature_bytes)];
    for (extension, bytes) in sizes {
        if state.blobs.bytes(&image.blob(extension)).await? != Some(bytes) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// An image as its pusher is told of it.
pub(crate) fn answer(image: &StoredImage, created: bool) -> Pushed {
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

/// The same of an image that is no longer there.
fn was(image: &VerifiedImage, created: bool) -> Pushed {
    let inspected = image.inspected();
    let manifest = inspected.manifest();
    Pushed {
        image_id: inspected.image_id().clone(),
        name: manifest.name.clone(),
        labels: manifest.labels.clone(),
        file_digest: inspected.file_digest().clone(),
        file_bytes: inspected.file_bytes(),
        signer: image.signature().signer().to_string(),
        created,
    }
}
