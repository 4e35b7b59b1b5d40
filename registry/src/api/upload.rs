//! `PATCH`, `GET` and `DELETE /-/api/v1/uploads/{id}`: a range of the image; where the upload stands;
//! its end.

use aci::push::{ByteRange, Progress, RangeOfFile, Upload, UploadState};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};

use super::send::{Open, announced};
use crate::catalog::StoredUpload;
use crate::document::{Conflict, Forbidden, NotFound, TooLarge, Unauthorized};
use crate::error::{ApiError, UploadError};
use crate::parts;
use crate::state::Shared;
use crate::store;
use crate::token::UploadId;

/// An upload as its owner is told of it.
pub(super) async fn shown(
    state: &Shared,
    id: &UploadId,
    stored: StoredUpload,
) -> Result<Upload, ApiError> {
    let image = match &stored.published {
        Some(image) => state.catalog.image(image).await?,
        None => None,
    };
    let held = match stored.published {
        Some(_) => Vec::new(),
        None => state.catalog.parts(id).await?,
    };
    let progress = Progress {
        state: match (&stored.published, &stored.refused) {
            (Some(_), _) => UploadState::Published,
            (None, Some(_)) => UploadState::Refused,
            (None, None) => UploadState::Open,
        },
        held: ByteRange::merge(held.into_iter().map(|part| part.range).collect()),
        file_bytes: stored.file_bytes,
        file_digest: stored.file_digest,
        expires: jiff::Timestamp::try_from(stored.expires).map_err(ApiError::internal)?,
        image: image.map(|image| store::answer(&image, false)),
        refusal: stored.refused,
    };
    let path = format!("/-/api/v1/uploads/{}", id.as_str());
    Ok(Upload { id: id.as_str().to_owned(), path, progress: Some(progress) })
}

#[utoipa::path(
    patch,
    path = "/-/api/v1/uploads/{id}",
    operation_id = "sendRange",
    tag = "push",
    summary = "A range of the image file",
    description = "It is held once this has answered. At least 64 KiB, unless it goes up to the end of \
        the file or to what is held.",
    params(
        UploadId,
        ("Content-Range" = String, Header, description = "Which range of how many bytes: RFC 9110, 14.4.",
            pattern = "^bytes [0-9]{1,18}-[0-9]{1,18}/[0-9]{1,18}$", example = "bytes 0-65535/592331"),
    ),
    request_body(content_type = "application/octet-stream"),
    responses(
        (status = 200, description = "It is held.", body = Upload),
        Unauthorized, Forbidden, NotFound, Conflict, TooLarge,
    ),
    security(("token" = []), ("password" = [])),
)]
pub(super) async fn patch(
    State(state): State<Shared>,
    open: Open,
    request: Request,
) -> Result<Json<Upload>, ApiError> {
    let range = range(request.headers())?;
    let wanted = range.range().bytes();
    if let Some(found) = announced(request.headers()).filter(|found| *found != wanted) {
        return Err(UploadError::RangeLength { wanted, found: format!("{found} bytes") }.into());
    }
    let (id, token) = (open.id.clone(), open.caller.id().clone());
    parts::take_in(&state, open, range, request.into_body()).await?;
    let stored = state.catalog.upload(&id, &token, state.clock.now()).await?;
    Ok(Json(shown(&state, &id, stored.ok_or(ApiError::UploadUnknown)?).await?))
}

#[utoipa::path(
    get,
    path = "/-/api/v1/uploads/{id}",
    operation_id = "showUpload",
    tag = "push",
    summary = "Where an upload stands",
    params(UploadId),
    responses(
        (status = 200, description = "What is held, and what came of it.", body = Upload),
        Unauthorized, Forbidden, NotFound,
    ),
    security(("token" = []), ("password" = [])),
)]
pub(super) async fn show(
    State(state): State<Shared>,
    open: Open,
) -> Result<Json<Upload>, ApiError> {
    Ok(Json(shown(&state, &open.id, open.upload).await?))
}

/// What it holds goes with it. An image that it brought stays.
#[utoipa::path(
    delete,
    path = "/-/api/v1/uploads/{id}",
    operation_id = "abortUpload",
    tag = "push",
    summary = "End an upload",
    params(UploadId),
    responses(
        (status = 204, description = "It is over."),
        Unauthorized, Forbidden, NotFound,
    ),
    security(("token" = []), ("password" = [])),
)]
pub(super) async fn abort(State(state): State<Shared>, open: Open) -> Result<StatusCode, ApiError> {
    let parts = state.catalog.end_upload(&open.id).await?;
    parts::remove(&state, &open.id, parts);
    Ok(StatusCode::NO_CONTENT)
}

/// The one range that the headers name.
fn range(headers: &HeaderMap) -> Result<RangeOfFile, UploadError> {
    let mut values = headers.get_all(header::CONTENT_RANGE).iter();
    let (value, further) = (values.next(), values.next());
    let text = value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let Some(text) = text else { return Err(UploadError::RangeMalformed("none".to_owned())) };
    if further.is_some() {
        return Err(UploadError::RangeMalformed("several".to_owned()));
    }
    text.parse().map_err(|_| UploadError::RangeMalformed(text))
}
