//! `PUT /-/api/v1/uploads/{id}`: the image, in one stream that is verified while it flows. It is
//! served once this has answered.

use aci::push::Pushed;
use axum::Json;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tracing::Instrument;

use crate::access::{Caller, Pusher};
use crate::catalog::StoredUpload;
use crate::commit;
use crate::document::{Conflict, Forbidden, NotFound, TooLarge, Unauthorized, Unprocessable};
use crate::error::{ApiError, UploadError};
use crate::ingest::{self, Arrival};
use crate::metrics::{Outcome, Protocol};
use crate::state::Shared;
use crate::token::UploadId;

impl FromRequestParts<Shared> for UploadId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, ApiError> {
        let Path(id) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| ApiError::UploadUnknown)?;
        id.parse().map_err(|_| ApiError::UploadUnknown)
    }
}

/// An upload, and whose it is.
pub(crate) struct Open {
    pub(crate) id: UploadId,
    pub(crate) caller: Caller,
    pub(crate) upload: StoredUpload,
}

impl FromRequestParts<Shared> for Open {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, ApiError> {
        let Pusher(caller) = Pusher::from_request_parts(parts, state).await?;
        let id = UploadId::from_request_parts(parts, state).await?;
        let upload = state.catalog.upload(&id, caller.id(), state.clock.now()).await?;
        Ok(Self { upload: upload.ok_or(ApiError::UploadUnknown)?, id, caller })
    }
}

impl Open {
    /// Takes the image of a request in.
    pub(super) async fn take_in(
        self,
        state: &Shared,
        request: Request,
        protocol: Protocol,
    ) -> Result<Pushed, ApiError> {
        if request.headers().contains_key(header::CONTENT_RANGE) {
            return Err(UploadError::RangeOfWhole.into());
        }
        let limit = state.config().limits.file_bytes;
        let length = announced(request.headers());
        if let Some(found) = length.filter(|bytes| *bytes > limit) {
            return Err(ApiError::FileTooLarge { limit, found });
        }
        let Self { id, caller, upload } = self;
        if let Some(found) = length {
            ingest::of_size(upload.file_bytes, found)?;
        }
        let file = upload.file_digest.as_ref();
        ingest::foresee(state, &caller, length.unwrap_or(0), file).await?;
        // What has neither is sent by a client that will not ask for what is held.
        let is_known = upload.file_bytes.is_some() || upload.file_digest.is_some();
        let arrival = Arrival {
            upload: id,
            signature: upload.signature,
            file_digest: upload.file_digest,
            file_bytes: upload.file_bytes,
            held_of: upload.file_bytes.or(length).filter(|_| is_known),
            body: request.into_body(),
        };
        let pushed = ingest::take_in(state, caller, arrival).await?;
        state.serving.metrics.pushed(protocol, Outcome::of(&pushed));
        Ok(pushed)
    }
}

/// Bytes of the body, as the request says.
pub(super) fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[utoipa::path(
    put,
    path = "/-/api/v1/uploads/{id}",
    operation_id = "sendImage",
    tag = "push",
    summary = "The image file, in one stream",
    description = "It is verified while it flows, and served once this has answered.",
    params(UploadId),
    request_body(content_type = "application/octet-stream"),
    responses(
        (status = 201, description = "It is published.", body = Pushed,
            headers(("Location" = String, description = "Where it is served by content."))),
        (status = 200, description = "It was there already.", body = Pushed,
            headers(("Location" = String, description = "Where it is served by content."))),
        Unauthorized, Forbidden, NotFound, Conflict, TooLarge, Unprocessable,
    ),
    security(("token" = []), ("password" = [])),
)]
pub(super) async fn send(
    State(state): State<Shared>,
    open: Open,
    request: Request,
) -> Result<Response, ApiError> {
    let id = open.id.clone();
    // A task of its own: who lost the answer is told it when they ask again.
    let answered = async move {
        let taken = open.take_in(&state, request, Protocol::Gantry).await;
        commit::conclude(&state, &id, taken.as_ref().err()).await;
        taken.map(answer)
    };
    tokio::spawn(answered.in_current_span()).await?
}

/// The answer to whoever pushed an image.
pub(super) fn answer(pushed: Pushed) -> Response {
    let status = if pushed.created { StatusCode::CREATED } else { StatusCode::OK };
    let location = format!("/-/blobs/{}.aci", pushed.image_id);
    (status, [(header::LOCATION, location)], Json(pushed)).into_response()
}
