//! What is asked: the name in a path, the query, the body.

use std::str::FromStr;

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::api::body::json;
use crate::error::ApiError;
use crate::state::Shared;

/// Bytes of a body beside keys.
const BODY_BYTES: u64 = 64 << 10;

/// What a part of the path names. What cannot be the name of anything is nowhere.
pub(super) struct Named<T>(pub(super) T);

impl<T: FromStr> FromRequestParts<Shared> for Named<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, ApiError> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| ApiError::PathUnknown)?;
        text.parse().map(Self).map_err(|_| ApiError::PathUnknown)
    }
}

/// The query.
pub(super) struct Queried<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<Shared> for Queried<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, ApiError> {
        let wanted = "a query of this request's fields";
        let Query(query) = Query::try_from_uri(&parts.uri)
            .map_err(|error| ApiError::RequestMalformed { wanted, found: error.body_text() })?;
        Ok(Self(query))
    }
}

/// The body. It must say that it is JSON: a form of a foreign page, which a browser sends with the
/// password that it knows, cannot.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Shared> for Asked<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &Shared) -> Result<Self, ApiError> {
        let kind = request.headers().get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let bare = kind.split(';').next().unwrap_or_default().trim();
        if !bare.eq_ignore_ascii_case("application/json") {
            return Err(ApiError::MediaType { found: kind.to_owned() });
        }
        let limit = BODY_BYTES.saturating_add(state.config().limits.key_bytes.saturating_mul(2));
        json(request.into_body(), limit, "a JSON object of this request's fields").await.map(Self)
    }
}
