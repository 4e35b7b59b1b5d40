//! Gantry's own API: pushing.

mod auth;
mod create;
mod reclaim;
mod send;

pub(crate) use auth::Holder;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn;
use axum::routing::{any, post, put};

use crate::error::ApiError;
use crate::state::Shared;

/// The paths of the API, and those reserved for what is not spoken here.
pub(crate) fn router(state: &Shared) -> Router<Shared> {
    let create = post(create::create).layer(DefaultBodyLimit::max(create::body_limit(state)));
    Router::new()
        .route("/-/api/v1/uploads", create)
        .route("/-/api/v1/uploads/{id}", put(send::send))
        .layer(from_fn(reclaim::drain_after_refusal))
        .route("/-/acpush/{*rest}", any(async || ApiError::PushProtocolAbsent))
}
