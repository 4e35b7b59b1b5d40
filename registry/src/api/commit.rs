//! `POST /-/api/v1/uploads/{id}/commit` and `POST /-/api/v1/commits`: images that were sent in ranges
//! become visible, one or several at once.

use aci::push::{Commit, CommitGroup, GROUP_IMAGES, Pushed, PushedGroup};
use axum::Json;
use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::body::json;
use super::send::{self, Open};
use crate::access::Pusher;
use crate::commit::{Wanted, commit};
use crate::document::{Conflict, Forbidden, Gone, NotFound, TooLarge, Unauthorized, Unprocessable};
use crate::error::{ApiError, UploadError};
use crate::state::Shared;
use crate::store::Refused;
use crate::token::UploadId;

/// Bytes of a request: three digests of each image, and the little around them.
const BODY_LIMIT: u64 = 1024 * GROUP_IMAGES as u64;

/// The request of one.
pub(super) struct One(Commit);

impl FromRequest<Shared> for One {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &Shared) -> Result<Self, ApiError> {
        let wanted = "a JSON object with `fileDigest`, and perhaps `imageId`";
        json(request.into_body(), BODY_LIMIT, wanted).await.map(Self)
    }
}

/// The request of several.
pub(super) struct Group(CommitGroup);

impl FromRequest<Shared> for Group {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &Shared) -> Result<Self, ApiError> {
        let wanted = "a JSON object with `uploads`, of each its `id`, its `fileDigest` and perhaps its `imageId`";
        json(request.into_body(), BODY_LIMIT, wanted).await.map(Self)
    }
}

#[utoipa::path(
    post,
    path = "/-/api/v1/uploads/{id}/commit",
    operation_id = "commitUpload",
    tag = "push",
    summary = "Make the image of an upload visible",
    description = "What was sent in ranges is verified first. To commit again is to be told the same.",
    params(UploadId),
    request_body(content = Commit, description = "At most 64 KiB."),
    responses(
        (status = 201, description = "It is published.", body = Pushed,
            headers(("Location" = String, description = "Where it is served by content."))),
        (status = 200, description = "It was there already.", body = Pushed,
            headers(("Location" = String, description = "Where it is served by content."))),
        Unauthorized, Forbidden, NotFound, Conflict, Gone, TooLarge, Unprocessable,
    ),
    security(("token" = []), ("password" = [])),
)]
pub(super) async fn one(
    State(state): State<Shared>,
    open: Open,
    One(Commit { file_digest, image_id }): One,
) -> Result<Response, ApiError> {
    let wanted = vec![Wanted { upload: open.id, file_digest, image_id }];
    let committed = commit(&state, open.caller, wanted).await;
    let mut pushed = committed.map_err(|refused| refused.error)?;
    let pushed = pushed.pop().ok_or_else(|| ApiError::internal("no image was committed"))?;
    Ok(send::answer(pushed))
}

#[utoipa::path(
    post,
    path = "/-/api/v1/commits",
    operation_id = "commitGroup",
    tag = "push",
    summary = "Make the images of several uploads visible, all or none",
    description = "A refusal says in `upload` which of them it is about.",
    request_body(content = CommitGroup, description = "At most 64 KiB."),
    responses(
        (status = 201, description = "They are published.", body = PushedGroup),
        (status = 200, description = "All of them were there already.", body = PushedGroup),
        Unauthorized, Forbidden, NotFound, Conflict, Gone, TooLarge, Unprocessable,
    ),
    security(("token" = []), ("password" = [])),
)]
pub(super) async fn group(
    State(state): State<Shared>,
    Pusher(caller): Pusher,
    Group(CommitGroup { uploads }): Group,
) -> Result<Response, ApiError> {
    if uploads.is_empty() || uploads.len() > GROUP_IMAGES {
        let (most, found) = (GROUP_IMAGES, uploads.len());
        return Err(UploadError::GroupSize { most, found }.into());
    }
    let mut wanted: Vec<Wanted> = Vec::new();
    for one in uploads {
        let upload: UploadId = one.id.parse().map_err(|_| ApiError::UploadUnknown)?;
        if wanted.iter().any(|other| other.upload == upload) {
            return Err(UploadError::Twice.into());
        }
        let (file_digest, image_id) = (one.file_digest, one.image_id);
        wanted.push(Wanted { upload, file_digest, image_id });
    }
    let ids: Vec<UploadId> = wanted.iter().map(|wanted| wanted.upload.clone()).collect();
    match commit(&state, caller, wanted).await {
        Ok(images) => {
            let created = images.iter().any(|image: &Pushed| image.created);
            let status = if created { StatusCode::CREATED } else { StatusCode::OK };
            Ok((status, Json(PushedGroup { images })).into_response())
        }
        Err(Refused { at, error }) => match at.and_then(|at| ids.get(at)) {
            Some(id) => Err(ApiError::OneOfGroup { upload: id.clone(), error: Box::new(error) }),
            None => Err(error),
        },
    }
}
