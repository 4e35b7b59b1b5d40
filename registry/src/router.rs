//! All paths, and what goes round every request.

use std::time::Instant;

use axum::extract::Request;
use axum::http::{HeaderValue, Method, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Extension, Router};
use tower_http::catch_panic::CatchPanicLayer;

use crate::client_address::ClientAddress;
use crate::error::ApiError;
use crate::state::Shared;
use crate::{api, client_address, files, pages};

/// Longer paths are cut in the log.
const LOGGED_PATH: usize = 512;

/// The whole server, but for TLS.
pub(crate) fn router(state: Shared) -> Router {
    Router::new()
        .merge(pages::router())
        .merge(files::router())
        .merge(api::router(&state))
        // Everything of ours that is not there; an image name never begins so.
        .route("/-/{*rest}", any(async || ApiError::PathUnknown))
        .method_not_allowed_fallback(async |method: Method| {
            ApiError::MethodUnknown(method.to_string())
        })
        .layer(CatchPanicLayer::custom(|_| ApiError::internal("a panic").into_response()))
        .layer(from_fn(log_and_label))
        .layer(from_fn_with_state(Shared::clone(&state), client_address::determine))
        .with_state(state)
}

/// One line of log for each request. Neither headers nor queries: tokens stand in
/// one, and nothing forbids people to put theirs into the other.
async fn log_and_label(
    Extension(ClientAddress(client)): Extension<ClientAddress>,
    request: Request,
    next: Next,
) -> Response {
    let start = Instant::now();
    let method = request.method().clone();
    let path: String = request.uri().path().chars().take(LOGGED_PATH).collect();
    let mut response = next.run(request).await;
    // No browser is to guess that an image might be a page.
    let nosniff = HeaderValue::from_static("nosniff");
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    let ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::info!(%client, %method, path, status = response.status().as_u16(), ms, "request");
    response
}
