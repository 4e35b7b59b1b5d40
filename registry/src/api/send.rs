//! `PUT /-/api/v1/uploads/{id}`: the image. It is served once this has answered.

use aci::push::Pushed;
use axum::Json;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::auth::Holder;
use crate::catalog::StoredUpload;
use crate::error::ApiError;
use crate::ingest::{self, Arrival};
use crate::metrics::{Outcome, Protocol};
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

/// An upload, and whose it is.
pub(super) struct Open {
    pub(super) id: UploadId,
    pub(super) holder: Holder,
    pub(super) upload: StoredUpload,
}

impl FromRequestParts<Shared> for Open {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, ApiError> {
        let holder = Holder::from_request_parts(parts, state).await?;
        let id = UploadId::from_request_parts(parts, state).await?;
        holder.may(Action::Push)?;
        let upload = state.catalog.upload(&id, holder.token(), state.clock.now()).await?;
        Ok(Self { upload: upload.ok_or(ApiError::UploadUnknown)?, id, holder })
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
        let limit = state.limits.file_bytes;
        if let Some(found) = announced(request.headers()).filter(|bytes| *bytes > limit) {
            return Err(ApiError::FileTooLarge { limit, found });
        }
        let Self { id, holder, upload } = self;
        let body = request.into_body();
        let arrival = Arrival { upload: id, signature: upload.signature, body };
        let pushed = ingest::take_in(state, holder, arrival).await?;
        let outcome = if pushed.created { Outcome::Published } else { Outcome::Existed };
        state.serving.metrics.pushed(protocol, outcome);
        Ok(pushed)
    }
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

pub(super) async fn send(
    State(state): State<Shared>,
    open: Open,
    request: Request,
) -> Result<Response, ApiError> {
    let pushed = open.take_in(&state, request, Protocol::Gantry).await?;
    let status = if pushed.created { StatusCode::CREATED } else { StatusCode::OK };
    let location = format!("/-/blobs/{}.aci", pushed.image_id);
    Ok((status, [(header::LOCATION, location)], Json(pushed)).into_response())
}
