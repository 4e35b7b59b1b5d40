//! `GET /-/blobs/{image id}.aci[.asc]`: by content, for ever the same.

use aci::{Extension, ImageId};
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use axum::response::Response;

use super::respond::{Caching, File};
use super::split_extension;
use crate::access::Sight;
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
    sight: Sight,
    Wanted { id, extension }: Wanted,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let image = state.catalog.image(&id).await?.filter(|image| sight.sees(&image.name));
    let Some(image) = image else {
        // Whoever may not see what was there is not told that it was.
        let deleted = state.catalog.deleted(&id).await?.is_some_and(|name| sight.sees(&name));
        return Err(if deleted { ApiError::BlobDeleted(id) } else { ApiError::BlobUnknown(id) });
    };
    let file = File::of(&image, extension, Caching::Immutable);
    let response = file.respond(&*state.blobs, &method, &headers).await?;
    Ok(sight.mark(Some(&image.name), response))
}
