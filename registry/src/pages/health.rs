//! `GET /-/healthz` and `/-/readyz`: whether the process lives, and whether it can serve.

use axum::extract::State;
use axum::http::StatusCode;

use crate::state::Shared;

pub(super) async fn alive() -> &'static str {
    "ok\n"
}

pub(super) async fn ready(State(state): State<Shared>) -> (StatusCode, &'static str) {
    if let Err(error) = state.catalog.ping().await {
        tracing::error!(error = &error as &dyn std::error::Error, "not ready");
        return (StatusCode::SERVICE_UNAVAILABLE, "the catalogue does not answer\n");
    }
    if state.blobs.ready().await.is_err() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the blobs cannot be reached\n");
    }
    (StatusCode::OK, "ok\n")
}
