//! `GET /-/pubkeys/{prefix}.asc`: the keys that may sign for a prefix.

use aci::Name;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};

use crate::document::NotFound;
use crate::error::ApiError;
use crate::state::Shared;

/// The prefix the path asks for.
pub(crate) struct Prefix(Name);

impl FromRequestParts<Shared> for Prefix {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, ApiError> {
        let Path(file) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| ApiError::PathUnknown)?;
        let prefix = file.strip_suffix(".asc").ok_or(ApiError::PathUnknown)?;
        Ok(Self(prefix.parse().map_err(|_| ApiError::PathUnknown)?))
    }
}

#[utoipa::path(
    get,
    path = "/-/pubkeys/{*prefix}",
    operation_id = "keys",
    tag = "serving",
    summary = "The keys that may sign for a prefix",
    params(("prefix" = String, Path, pattern = "^[a-z0-9]+(([-._~/]|/~)[a-z0-9]+)*\\.asc$",
        description = "A name or prefix of names, and .asc.", example = "example.com/team.asc")),
    responses(
        (status = 200, description = "ASCII-armored OpenPGP certificates, one after another.",
            content_type = "application/pgp-keys", body = String,
            headers(("Cache-Control" = String))),
        NotFound,
    ),
)]
pub(crate) async fn serve(
    State(state): State<Shared>,
    Prefix(prefix): Prefix,
) -> Result<Response, ApiError> {
    if !state.config().domains.own(&prefix) {
        return Err(ApiError::KeysUnknown(prefix));
    }
    let keyring = state.keyring().await?;
    let mut armored = Vec::new();
    for certificate in keyring.trusted_for(&prefix) {
        armored.extend(certificate.armored());
    }
    if armored.is_empty() {
        return Err(ApiError::KeysUnknown(prefix));
    }
    let headers =
        [(header::CONTENT_TYPE, "application/pgp-keys"), (header::CACHE_CONTROL, "no-cache")];
    Ok((headers, armored).into_response())
}
