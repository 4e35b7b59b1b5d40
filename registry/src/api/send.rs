//! `PUT /-/api/v1/uploads/{id}`: the image. It is served once this has answered.

use axum::Json;
use axum::body::Body;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::auth::Holder;
use crate::error::ApiError;
use crate::ingest::{self, Arrival};
use crate::state::Shared;
use crate::token::{Action, UploadId};

impl FromRequestParts<Shared> for UploadId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, ApiError> {
        let Path(id) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| ApiError::UploadUnknown)?;
        id.parse().map_err(|_| ApiError::UploadUnknown)
    }
}

pub(super) async fn send(
    State(state): State<Shared>,
    holder: Holder,
    id: UploadId,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    holder.may(Action::Push)?;
    let upload = state
        .catalog
        .upload(&id, holder.token(), state.clock.now())
        .await?
        .ok_or(ApiError::UploadUnknown)?;
    let limit = state.limits.file_bytes;
    if let Some(bytes) = announced(&headers).filter(|bytes| *bytes > limit) {
        return Err(ApiError::FileTooLarge { limit, found: bytes });
    }
    let arrival = Arrival { upload: id, signature: upload.signature, body };
    let pushed = ingest::take_in(&state, holder, arrival).await?;
    let status = if pushed.created { StatusCode::CREATED } else { StatusCode::OK };
    let location = format!("/-/blobs/{}.aci", pushed.image_id);
    Ok((status, [(header::LOCATION, location)], Json(pushed)).into_response())
}

pub(super) fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
