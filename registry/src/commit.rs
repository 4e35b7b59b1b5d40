//! Committing what was sent in ranges: join the parts → verify → admit → store and record, of one
//! upload or of several together.
//!
//! Whoever commits again is told the same: the image is found by what was announced of its file.

use std::collections::HashMap;
use std::io;

use aci::push::{ByteRange, Pushed};
use aci::{FileDigest, ImageId, Name, Reference, Refuse};
use tracing::Instrument;

use crate::access::Caller;
use crate::catalog::StoredUpload;
use crate::error::{ApiError, UploadError};
use crate::ingest::{Received, Spooled, admit, receive};
use crate::parts::{self, Joined};
use crate::state::Shared;
use crate::store::{Refused, answer, store_and_record};
use crate::token::UploadId;

/// An upload to be committed, and what its image has to be.
pub(crate) struct Wanted {
    pub(crate) upload: UploadId,
    pub(crate) file_digest: FileDigest,
    pub(crate) image_id: Option<ImageId>,
}

/// What an upload has come to.
enum Ready {
    /// Its image was published before.
    Done(Pushed),
    Verified(Box<Spooled>),
}

/// Makes the images of uploads visible, all or none, in the order in which they are wanted.
pub(crate) async fn commit(
    state: &Shared,
    caller: Caller,
    wanted: Vec<Wanted>,
) -> Result<Vec<Pushed>, Refused> {
    let state = Shared::clone(state);
    // A task of its own: see `ingest::take_in`.
    let committed = async move {
        let committed = commit_all(&state, &caller, &wanted).await;
        for (at, Wanted { upload, .. }) in wanted.iter().enumerate() {
            match &committed {
                Ok(_) => conclude(&state, upload, None).await,
                Err(Refused { at: which, error }) if which.is_none_or(|which| which == at) => {
                    conclude(&state, upload, Some(error)).await;
                }
                Err(_) => {}
            }
        }
        committed
    };
    tokio::spawn(committed.in_current_span()).await.map_err(ApiError::from)?
}

async fn commit_all(
    state: &Shared,
    caller: &Caller,
    wanted: &[Wanted],
) -> Result<Vec<Pushed>, Refused> {
    let mut done = Vec::new();
    let mut verified = Vec::new();
    for (at, wanted) in wanted.iter().enumerate() {
        match ready(state, caller, wanted).await.map_err(Refused::at(at))? {
            Ready::Done(pushed) => done.push(Some(pushed)),
            Ready::Verified(spooled) => {
                done.push(None);
                verified.push((at, *spooled));
            }
        }
    }
    differ(&done, &verified)?;
    let (places, spooled): (Vec<usize>, Vec<Spooled>) = verified.into_iter().unzip();
    let stored = store_and_record(state, caller, spooled).await.map_err(|refused| {
        // Of those that were stored, to those that were wanted.
        let at = refused.at.and_then(|at| places.get(at).copied());
        Refused { at: at.or_else(|| (wanted.len() == 1).then_some(0)), ..refused }
    })?;
    let mut stored = stored.into_iter();
    let all = done.into_iter().map(|done| done.or_else(|| stored.next()));
    let all: Option<Vec<Pushed>> = all.collect();
    Ok(all.ok_or_else(|| ApiError::internal("an image was stored and is none"))?)
}

/// Refuses images of one name and labels, of which the last would take the place of the others.
fn differ(done: &[Option<Pushed>], verified: &[(usize, Spooled)]) -> Result<(), Refused> {
    let done = done.iter().enumerate().filter_map(|(at, done)| {
        let Pushed { name, labels, image_id, .. } = done.as_ref()?;
        Some((at, name, labels, image_id))
    });
    let verified = verified.iter().map(|(at, spooled)| {
        let inspected = spooled.verified.inspected();
        let manifest = inspected.manifest();
        (*at, &manifest.name, &manifest.labels, inspected.image_id())
    });
    let mut named: HashMap<(&Name, String), &ImageId> = HashMap::new();
    for (at, name, labels, id) in done.chain(verified) {
        let other = named.insert((name, labels.canonical()), id);
        if let Some(there) = other.filter(|other| *other != id).cloned() {
            let reference = Box::new(Reference::new(name.clone(), labels.clone()));
            let error = ApiError::VersionExists { reference, there, pushed: id.clone() };
            return Err(Refused::at(at)(error));
        }
    }
    Ok(())
}

/// Verifies the image of an upload, unless it was published before.
async fn ready(state: &Shared, caller: &Caller, wanted: &Wanted) -> Result<Ready, ApiError> {
    let upload = async || {
        let found = state.catalog.upload(&wanted.upload, caller.id(), state.clock.now()).await?;
        found.ok_or(ApiError::UploadUnknown)
    };
    let open = upload().await?;
    if let Some(pushed) = published(state, &open, wanted).await? {
        return Ok(Ready::Done(pushed));
    }
    let other = open.file_digest.as_ref().filter(|announced| **announced != wanted.file_digest);
    if let Some(announced) = other {
        let (wanted, found) = (announced.clone(), wanted.file_digest.clone());
        return Err(UploadError::OtherAnnounced { wanted, found }.into());
    }
    let error = match verify(state, caller, &open, wanted).await {
        Ok(spooled) => return Ok(Ready::Verified(spooled)),
        Err(error) => error,
    };
    // Another node may have been faster, and have removed the parts.
    if let Some(pushed) = published(state, &upload().await?, wanted).await? {
        return Ok(Ready::Done(pushed));
    }
    match (&error, open.file_bytes) {
        (ApiError::Internal(fault), Some(total)) if is_loss(fault.as_ref()) => {
            tracing::error!(error = %fault, "parts of an upload are lost; all of it is asked for again");
            drop_parts(state, &wanted.upload).await;
            let missing = ByteRange::missing(&[], total);
            Err(UploadError::Gaps { missing, total: Some(total) }.into())
        }
        _ => Err(error),
    }
}

/// Whether a part is not there, or not whole.
fn is_loss(fault: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    let kind = fault.downcast_ref::<io::Error>().map(io::Error::kind);
    matches!(kind, Some(io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof))
}

/// The image that an upload has brought already.
async fn published(
    state: &Shared,
    upload: &StoredUpload,
    wanted: &Wanted,
) -> Result<Option<Pushed>, ApiError> {
    let Some(id) = &upload.published else { return Ok(None) };
    let Some(image) = state.catalog.image(id).await? else {
        let deleted = state.catalog.deleted(id).await?.is_some();
        let id = id.clone();
        return Err(if deleted { ApiError::BlobDeleted(id) } else { ApiError::ImageReplaced(id) });
    };
    // The image may have been there in another file.
    let file = upload.file_digest.as_ref().unwrap_or(&image.file_digest);
    if *file != wanted.file_digest {
        let (wanted, found) = (file.clone(), wanted.file_digest.clone());
        return Err(UploadError::OtherAnnounced { wanted, found }.into());
    }
    same_image(wanted.image_id.as_ref(), id)?;
    Ok(Some(answer(&image, false)))
}

/// Reads the parts in order through the verification.
async fn verify(
    state: &Shared,
    caller: &Caller,
    open: &StoredUpload,
    wanted: &Wanted,
) -> Result<Box<Spooled>, ApiError> {
    let held = state.catalog.parts(&wanted.upload).await?;
    let merged = ByteRange::merge(held.iter().map(|part| part.range).collect());
    let total = open.file_bytes;
    let missing = total.map(|total| ByteRange::missing(&merged, total)).unwrap_or_default();
    if total.is_none() || !missing.is_empty() {
        return Err(UploadError::Gaps { missing, total }.into());
    }
    let joined = Joined::new(state, &held);
    let place = state.serving.pushes.take(caller.id()).await?;
    let received = receive(state, caller, &wanted.upload, open.signature.clone(), joined).await;
    drop(place);
    let spooled = match received {
        Ok(Received::Whole(spooled)) => spooled,
        Ok(Received::Broken(_, error)) => return Err(ApiError::internal(error)),
        // Where it is not the file that was announced, that says more.
        Err(error @ (ApiError::Refused(_) | ApiError::TooLarge(_))) => {
            let joined = Joined::new(state, &held);
            let found = digest(joined).await.map_err(ApiError::internal)?;
            same_file(state, wanted, &found).await?;
            return Err(error);
        }
        Err(error) => return Err(error),
    };
    same_file(state, wanted, spooled.verified.inspected().file_digest()).await?;
    same_image(wanted.image_id.as_ref(), spooled.verified.inspected().image_id())?;
    admit(state, caller, &spooled.verified)?;
    state.catalog.announce_file(&wanted.upload, &wanted.file_digest).await?;
    Ok(spooled)
}

async fn digest(mut file: Joined) -> io::Result<FileDigest> {
    tokio::task::spawn_blocking(move || FileDigest::of_reader(&mut file)).await?
}

/// Whether the parts make up the file that was announced. Where not, none of them can be told to be
/// right, and all are dropped.
async fn same_file(state: &Shared, wanted: &Wanted, found: &FileDigest) -> Result<(), ApiError> {
    if *found == wanted.file_digest {
        return Ok(());
    }
    drop_parts(state, &wanted.upload).await;
    let (wanted, found) = (wanted.file_digest.clone(), found.clone());
    Err(UploadError::OtherFile { wanted, found }.into())
}

fn same_image(wanted: Option<&ImageId>, found: &ImageId) -> Result<(), UploadError> {
    match wanted.filter(|wanted| *wanted != found) {
        None => Ok(()),
        Some(wanted) => {
            Err(UploadError::OtherImage { wanted: wanted.clone(), found: found.clone() })
        }
    }
}

/// Removes what an upload holds. Where this comes to nothing, a collector does it.
async fn drop_parts(state: &Shared, upload: &UploadId) {
    let dropped = async {
        // Few uploads have any: most images come in one stream.
        if state.catalog.parts(upload).await?.is_empty() {
            return Ok(Vec::new());
        }
        state.catalog.drop_parts(upload).await
    };
    match dropped.await {
        Ok(dropped) => parts::remove(state, upload, dropped),
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "parts of an upload that was committed stay for a while");
        }
    }
}

/// Does what is due when an upload has brought its image, or why not: what it holds is of no more
/// use, or its refusal is noted, so that whoever asks is told.
pub(crate) async fn conclude(state: &Shared, upload: &UploadId, error: Option<&ApiError>) {
    match error {
        // Of an image for which there is no room nothing is kept: others need it.
        None | Some(ApiError::StorageFull(_)) => drop_parts(state, upload).await,
        Some(error) => note(state, upload, error).await,
    }
}

async fn note(state: &Shared, upload: &UploadId, error: &ApiError) {
    let verdict = match error {
        // Where only what was asked for was wrong, it can be asked for otherwise.
        ApiError::Upload(UploadError::OtherFile { .. })
        | ApiError::OtherNames { .. }
        | ApiError::NotServed { .. }
        | ApiError::LabelsTooLong { .. }
        | ApiError::VersionExists { .. }
        | ApiError::VersionDeleted { .. }
        | ApiError::FileTooLarge { .. }
        | ApiError::TooLarge(_)
        | ApiError::Refused(_) => true,
        _ => false,
    };
    if verdict && let Err(fault) = state.catalog.refuse_upload(upload, &error.refusal()).await {
        let fault: &dyn std::error::Error = &fault;
        tracing::warn!(error = fault, "why an upload was refused was not noted");
    }
}
