//! `GET /-/blobs/{image id}.aci[.asc]`: by content, for ever the same.

use std::sync::Arc;
use std::time::Instant;

use aci::{Extension, ImageId};
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use axum::response::Response;

use super::memory::Row;
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
    let memory = &state.serving.memory;
    let row = match memory.row(&id) {
        Some(row) => row,
        None => {
            let row =
                look_up(&state, &id).await?.ok_or_else(|| ApiError::BlobUnknown(id.clone()))?;
            memory.saw(id, row.clone());
            row
        }
    };
    row.file(extension).respond(&method, &headers, memory).await
}

async fn look_up(state: &Shared, id: &ImageId) -> Result<Option<Row>, ApiError> {
    let seen = Instant::now();
    let Some(image) = state.catalog.image(id).await? else { return Ok(None) };
    let file = |extension| {
        let path = state.blobs.path(&image.image_id, extension);
        Arc::new(File::of(&image, extension, path, Caching::Immutable))
    };
    let (image, signature) = (file(Extension::Image), file(Extension::Signature));
    Ok(Some(Row { seen, image, signature }))
}
