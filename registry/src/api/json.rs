//! Requests in JSON.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::extract::{FromRequest, Request};
use serde::de::DeserializeOwned;

use crate::error::ApiError;

/// Reads a request of as many bytes as its route allows, which is `limit`. `wanted` says what it
/// should be.
pub(super) async fn read<T: DeserializeOwned>(
    request: Request,
    limit: usize,
    wanted: &'static str,
) -> Result<T, ApiError> {
    let bytes = Bytes::from_request(request, &()).await.map_err(|error| match error {
        BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => {
            ApiError::BodyTooLarge { limit: limit as u64 }
        }
        error => ApiError::unread(&error),
    })?;
    serde_json::from_slice(&bytes)
        .map_err(|error| ApiError::RequestMalformed { wanted, found: error.to_string() })
}
