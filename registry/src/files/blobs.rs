//! `GET /-/blobs/{image id}.aci[.asc]`: by content, for ever the same.

use std::sync::Arc;
use std::time::Instant;

use aci::{Extension, ImageId};
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use axum::response::Response;

use super::document::{Conditions, FileAnswers};
use super::memory::Row;
use super::respond::{Caching, Since};
use super::split_extension;
use crate::access::Sight;
use crate::document::{Gone, NotFound};
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

#[utoipa::path(
    get,
    path = "/-/blobs/{file}",
    operation_id = "imageByContent",
    tag = "serving",
    summary = "An image or its signature, by image ID",
    description = "For ever the same: it may be kept without asking again.",
    params(
        ("file" = String, Path, pattern = "^sha512-[0-9a-f]{128}\\.aci(\\.asc)?$",
            description = "ID.aci, or ID.aci.asc for the signature."),
        Conditions,
    ),
    responses(FileAnswers, NotFound, Gone),
    security((), ("token" = []), ("password" = [])),
)]
pub(crate) async fn serve(
    State(state): State<Shared>,
    sight: Sight,
    Wanted { id, extension }: Wanted,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let memory = &state.serving.memory;
    // Whoever may not see it waits as long as for one that is not there.
    let row = match memory.row(&id).filter(|row| sight.sees(&row.name)) {
        Some(row) => Some(row),
        None => look_up(&state, &id, &sight).await?,
    };
    let Some(row) = row else {
        // Whoever may not see what was there is not told that it was.
        let deleted = state.catalog.deleted(&id).await?.is_some_and(|name| sight.sees(&name));
        return Err(if deleted { ApiError::BlobDeleted(id) } else { ApiError::BlobUnknown(id) });
    };
    let response = row.file(extension).respond(&state, &method, &headers).await?;
    Ok(sight.mark(Some(&row.name), response))
}

async fn look_up(
    state: &Shared,
    id: &ImageId,
    sight: &Sight,
) -> Result<Option<Arc<Row>>, ApiError> {
    let memory = &state.serving.memory;
    let (seen, changes) = (Instant::now(), memory.changes());
    let Some(image) = state.catalog.image(id).await?.filter(|image| sight.sees(&image.name)) else {
        return Ok(None);
    };
    let row = Arc::new(Row::of(&image, Caching::Immutable, seen, Since::settled(image.pushed)));
    memory.saw(id.clone(), Arc::clone(&row), changes);
    Ok(Some(row))
}
