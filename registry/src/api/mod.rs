//! Gantry's own API, and the appc push protocol.

mod acpush;
mod body;
mod commit;
mod create;
mod images;
mod json;
mod reclaim;
mod send;
mod upload;

pub(crate) use acpush::Unnoted;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn;
use axum::routing::{MethodRouter, delete, post, put};
pub(crate) use send::Open;

use crate::state::Shared;

/// The paths of both.
pub(crate) fn router(state: &Shared) -> Router<Shared> {
    let create = post(create::create).layer(DefaultBodyLimit::max(create::body_limit(state)));
    let committing =
        |route: MethodRouter<Shared>| route.layer(DefaultBodyLimit::max(commit::BODY_LIMIT));
    Router::new()
        .route("/-/api/v1/uploads", create)
        .route(
            "/-/api/v1/uploads/{id}",
            put(send::send).patch(upload::patch).get(upload::show).delete(upload::abort),
        )
        .route("/-/api/v1/uploads/{id}/commit", committing(post(commit::one)))
        .route("/-/api/v1/commits", committing(post(commit::group)))
        .route("/-/api/v1/images/{id}", delete(images::delete))
        .route("/-/api/v1/images/{id}/yank", put(images::yank).get(images::said))
        .route("/-/acpush/{*name}", post(acpush::initiate))
        .route("/-/acpush/-/{id}/manifest", put(acpush::manifest))
        .route("/-/acpush/-/{id}/signature", put(acpush::signature))
        .route("/-/acpush/-/{id}/aci", put(acpush::image))
        .route("/-/acpush/-/{id}/complete", post(acpush::complete))
        .layer(from_fn(reclaim::drain_after_refusal))
}
