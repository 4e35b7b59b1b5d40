//! `GET /-/assets/{file}`: what the pages use.

use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::error::ApiError;

pub(super) async fn serve(Path(file): Path<String>) -> Result<Response, ApiError> {
    let asset = web::ASSETS.iter().find(|asset| asset.name == file).ok_or(ApiError::PathUnknown)?;
    let headers = [
        (header::CONTENT_TYPE, asset.content_type),
        (header::CACHE_CONTROL, "public, max-age=3600"),
    ];
    Ok((headers, asset.bytes).into_response())
}
