//! `POST /-/api/v1/uploads`: the signature, before anything else. An unknown signer
//! is refused before the image is sent.

use aci::push::{CreateUpload, Upload};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::extract::{FromRequest, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use keys::{Liveness, Policy};

use crate::access::Pusher;
use crate::error::ApiError;
use crate::state::Shared;
use crate::token::UploadId;

/// Bytes of a request: a signature, each of whose line breaks JSON writes as two
/// characters, and the little around it.
pub(super) fn body_limit(state: &Shared) -> usize {
    let bytes = state.config().limits.signature_bytes.saturating_mul(2).saturating_add(4096);
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// The request's JSON.
pub(super) struct Wanted(CreateUpload);

impl FromRequest<Shared> for Wanted {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &Shared) -> Result<Self, ApiError> {
        let bytes = Bytes::from_request(request, state).await.map_err(|error| match error {
            BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => {
                ApiError::BodyTooLarge { limit: body_limit(state) as u64 }
            }
            error => ApiError::unread(&error),
        })?;
        let wanted = serde_json::from_slice(&bytes).map_err(|error| {
            let wanted = "a JSON object with `signature` and perhaps `fileBytes`";
            ApiError::RequestMalformed { wanted, found: error.to_string() }
        })?;
        Ok(Self(wanted))
    }
}

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
    let id = UploadId::generate()?;
    state.catalog.open_upload(&id, caller.id(), &signature, now).await?;
    let path = format!("/-/api/v1/uploads/{}", id.as_str());
    let upload = Upload { id: id.as_str().to_owned(), path: path.clone() };
    Ok((StatusCode::CREATED, [(header::LOCATION, path)], Json(upload)).into_response())
}
