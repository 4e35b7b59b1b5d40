//! Gantry's own API, and the appc push protocol.

mod acpush;
mod body;
mod commit;
mod create;
mod images;
mod reclaim;
mod send;
mod upload;

pub(crate) use acpush::Unnoted;
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::{delete, post, put};
pub(crate) use send::Open;

use crate::error::ApiError;
use crate::state::Shared;

/// The paths of both.
pub(crate) fn router(state: &Shared) -> Router<Shared> {
    Router::new()
        .route("/-/api/v1/uploads", post(create::create))
        .route(
            "/-/api/v1/uploads/{id}",
            put(send::send).patch(upload::patch).get(upload::show).delete(upload::abort),
        )
        .route("/-/api/v1/uploads/{id}/commit", post(commit::one))
        .route("/-/api/v1/commits", post(commit::group))
        .route("/-/api/v1/images/{id}", delete(images::delete))
        .route("/-/api/v1/images/{id}/yank", put(images::yank).get(images::said))
        .route("/-/acpush/{*name}", post(acpush::initiate))
        .route("/-/acpush/-/{id}/manifest", put(acpush::manifest))
        .route("/-/acpush/-/{id}/signature", put(acpush::signature))
        .route("/-/acpush/-/{id}/aci", put(acpush::image))
        .route("/-/acpush/-/{id}/complete", post(acpush::complete))
        .layer(from_fn_with_state(Shared::clone(state), unless_read_only))
        .layer(from_fn(reclaim::drain_after_refusal))
}

/// Lets nothing change while the registry is read-only, but for the end of an upload, which tells
/// what came of it.
async fn unless_read_only(
    State(state): State<Shared>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let path = request.uri().path();
    let tells = request.method().is_safe()
        || (path.starts_with("/-/acpush/-/") && path.ends_with("/complete"));
    if !tells && state.catalog.is_read_only().await? {
        return Err(ApiError::ReadOnly);
    }
    Ok(next.run(request).await)
}
