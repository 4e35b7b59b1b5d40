//! `POST /-/api/v1/uploads`: the signature, before anything else. An unknown signer
//! is refused before the image is sent. Who sends a file again is given the upload it was sent by.

use aci::push::{CreateUpload, Upload};
use axum::Json;
use axum::extract::{FromRequest, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use keys::{Liveness, Policy};

use super::body::json;
use super::upload::shown;
use crate::access::{Caller, Pusher};
use crate::catalog::NewUpload;
use crate::document::{Forbidden, TooLarge, Unauthorized, Unprocessable};
use crate::error::ApiError;
use crate::ingest;
use crate::state::Shared;
use crate::store::intact;
use crate::token::UploadId;

/// The request's JSON.
pub(super) struct Wanted(CreateUpload);

impl FromRequest<Shared> for Wanted {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &Shared) -> Result<Self, ApiError> {
        let wanted = "a JSON object with `signature`, and perhaps `fileBytes` and `fileDigest`";
        // A signature, each of whose line breaks JSON writes as two characters, and the little
        // around it.
        let limit = state.config().limits.signature_bytes.saturating_mul(2).saturating_add(4096);
        json(request.into_body(), limit, wanted).await.map(Self)
    }
}

#[utoipa::path(
    post,
    path = "/-/api/v1/uploads",
    operation_id = "createUpload",
    tag = "push",
    summary = "Begin an upload: the signature, before anything else",
    description = "An unknown signer is refused before the image is sent. Who begins an upload of the \
        same file with the same signature again is given the one that is there.",
    request_body(content = CreateUpload, description = "By default at most 512 KiB and a little."),
    responses(
        (status = 201, description = "A new upload.", body = Upload,
            headers(("Location" = String, description = "Its path.")), links(
            ("show" = (operation_id = "showUpload", parameters(("id" = "$response.body#/id")))),
            ("send" = (operation_id = "sendImage", parameters(("id" = "$response.body#/id")))),
            ("range" = (operation_id = "sendRange", parameters(("id" = "$response.body#/id")))),
            ("commit" = (operation_id = "commitUpload", parameters(("id" = "$response.body#/id")))),
            ("abort" = (operation_id = "abortUpload", parameters(("id" = "$response.body#/id"))))
        )),
        (status = 200, description = "The upload of this file that is there.", body = Upload,
            headers(("Location" = String, description = "Its path."))),
        Unauthorized, Forbidden, TooLarge, Unprocessable,
    ),
    security(("token" = []), ("password" = [])),
)]
pub(super) async fn create(
    State(state): State<Shared>,
    Pusher(caller): Pusher,
    Wanted(wanted): Wanted,
) -> Result<Response, ApiError> {
    let limit = state.config().limits.file_bytes;
    if let Some(bytes) = wanted.file_bytes.filter(|bytes| *bytes > limit) {
        return Err(ApiError::FileTooLarge { limit, found: bytes });
    }
    let now = state.clock.now();
    let signature = wanted.signature.into_bytes();
    let keyring = state.keyring().await?;
    let policy = Policy::new(now, Liveness::Now);
    keyring.check_signer(&signature, None, &policy, &state.config().limits)?;
    let (file_bytes, file_digest) = (wanted.file_bytes, wanted.file_digest.as_ref());
    ingest::foresee(&state, &caller, file_bytes.unwrap_or(0), file_digest).await?;
    if let Some(file) = file_digest {
        let there = state.catalog.upload_of(caller.id(), file, &signature, now).await?;
        if let Some(id) = there
            && may_go_on(&state, &caller, &id, file_bytes).await?
        {
            return answer(&state, &caller, &id, StatusCode::OK).await;
        }
    }
    let id = UploadId::generate()?;
    let by = caller.id();
    let new = NewUpload { id: &id, caller: by, signature: &signature, file_bytes, file_digest };
    state.catalog.begin_upload(&new, now).await?;
    answer(&state, &caller, &id, StatusCode::CREATED).await
}

/// Whether an upload is what is wanted: one that waits for this file, or brought it, and the registry
/// still has it.
async fn may_go_on(
    state: &Shared,
    caller: &Caller,
    id: &UploadId,
    file_bytes: Option<u64>,
) -> Result<bool, ApiError> {
    let upload = state.catalog.upload(id, caller.id(), state.clock.now()).await?;
    let Some(upload) = upload else { return Ok(false) };
    if upload.file_bytes.zip(file_bytes).is_some_and(|(known, wanted)| known != wanted) {
        return Ok(false);
    }
    let Some(published) = &upload.published else { return Ok(true) };
    // A file that was lost comes back with the next push.
    match state.catalog.image(published).await? {
        Some(image) => intact(state, &image).await,
        None => Ok(false),
    }
}

async fn answer(
    state: &Shared,
    caller: &Caller,
    id: &UploadId,
    status: StatusCode,
) -> Result<Response, ApiError> {
    let stored = state.catalog.upload(id, caller.id(), state.clock.now()).await?;
    let upload = shown(state, id, stored.ok_or(ApiError::UploadUnknown)?).await?;
    let location = upload.path.clone();
    Ok((status, [(header::LOCATION, location)], Json(upload)).into_response())
}
