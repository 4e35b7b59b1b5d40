//! `GET /-/assets/{file}`: what the pages use.

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::document::NotFound;
use crate::error::ApiError;

#[utoipa::path(
    get,
    path = "/-/assets/{file}",
    operation_id = "asset",
    tag = "pages",
    summary = "What the pages use",
    params(("file" = String, Path)),
    responses(
        (status = 200, description = "It.", content(
            (String = "text/css"), (String = "image/svg+xml")), headers(("Cache-Control" = String))),
        NotFound,
    ),
)]
pub(super) async fn serve(file: Result<Path<String>, PathRejection>) -> Result<Response, ApiError> {
    let Path(file) = file.map_err(|_| ApiError::PathUnknown)?;
    let asset = web::ASSETS.iter().find(|asset| asset.name == file).ok_or(ApiError::PathUnknown)?;
    let headers = [
        (header::CONTENT_TYPE, asset.content_type),
        (header::CACHE_CONTROL, "public, max-age=3600"),
    ];
    Ok((headers, asset.bytes).into_response())
}
