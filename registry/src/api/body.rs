//! Bodies of requests, within limits.

use axum::body::Body;
use futures_util::StreamExt;
use serde::de::DeserializeOwned;

use super::objects;
use crate::error::ApiError;

/// A body in JSON, of at most so many bytes. `wanted` says what it should be.
pub(super) async fn json<T: DeserializeOwned>(
    body: Body,
    limit: u64,
    wanted: &'static str,
) -> Result<T, ApiError> {
    objects::from_slice(&whole(body, "request", limit).await?)
        .map_err(|error| ApiError::RequestMalformed { wanted, found: error.to_string() })
}

/// A body of at most so many bytes.
pub(super) async fn whole(body: Body, what: &'static str, limit: u64) -> Result<Vec<u8>, ApiError> {
    let mut all = Vec::new();
    read(body, what, limit, |chunk| all.extend_from_slice(chunk)).await?;
    Ok(all)
}

/// Reads a body of at most so many bytes to its end.
pub(super) async fn read(
    body: Body,
    what: &'static str,
    limit: u64,
    mut each: impl FnMut(&[u8]),
) -> Result<(), ApiError> {
    let mut chunks = body.into_data_stream();
    let mut found = 0;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| ApiError::unread(&error))?;
        found += chunk.len() as u64;
        if found > limit {
            return Err(ApiError::BodyTooLarge { what, limit });
        }
        each(&chunk);
    }
    Ok(())
}
