//! `GET /-/blobs/{image id}.aci[.asc]`: by content, for ever the same.

use aci::{Extension, ImageId};
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use axum::response::Response;

use super::respond::{Caching, File};
use super::split_extension;
use crate::error::ApiError;
use crate::state::Shared;

/// What the path asks for.
pub(crate) struct Wanted {
    id: ImageId,
    extension: Extension,
}

impl FromRequestParts<Shared> for Wanted {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, ApiError> {
        let Path(file) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| ApiError::PathUnknown)?;
        let (id, extension) = split_extension(&file).ok_or(ApiError::PathUnknown)?;
        Ok(Self { id: id.parse().map_err(|_| ApiError::PathUnknown)?, extension })
    }
}

pub(crate) async fn serve(
    State(state): State<Shared>,
    Wanted { id, extension }: Wanted,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let Some(image) = state.catalog.image(&id).await? else {
        let deleted = state.catalog.is_deleted(&id).await?;
        return Err(if deleted { ApiError::BlobDeleted(id) } else { ApiError::BlobUnknown(id) });
    };
    File::of(&image, extension, Caching::Immutable).respond(&*state.blobs, &method, &headers).await
}
