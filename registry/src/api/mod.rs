//! Gantry's own API, and the appc push protocol.

mod acpush;
mod admin;
mod body;
mod commit;
mod create;
mod images;
mod objects;
mod reclaim;
mod send;
mod upload;

pub(crate) use acpush::Unnoted;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
pub(crate) use send::Open;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::document::{NoRoom, TooSlow, Unavailable, also_answers};
use crate::error::ApiError;
use crate::state::Shared;

/// The paths of both.
pub(crate) fn router(state: &Shared) -> OpenApiRouter<Shared> {
    let mut router = OpenApiRouter::new()
        .routes(routes!(create::create))
        .routes(routes!(send::send, upload::patch, upload::show, upload::abort))
        .routes(routes!(commit::one))
        .routes(routes!(commit::group))
        .routes(routes!(images::delete))
        .routes(routes!(images::yank, images::said))
        .routes(routes!(acpush::initiate))
        .routes(routes!(acpush::manifest))
        .routes(routes!(acpush::signature))
        .routes(routes!(acpush::image))
        .routes(routes!(acpush::complete))
        .layer(from_fn_with_state(Shared::clone(state), unless_read_only))
        .merge(admin::router())
        .layer(from_fn(reclaim::finish_refused));
    let statuses = [TooSlow::STATUS, Unavailable::STATUS, NoRoom::STATUS];
    also_answers(router.get_openapi_mut(), &statuses);
    router
}

/// Lets nothing change while the registry is read-only, but for the beginning and the end of an upload
/// by acpush: only at the end its user is told why nothing came of it.
async fn unless_read_only(
    State(state): State<Shared>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let path = request.uri().path();
    let tells = request.method().is_safe()
        || (path.starts_with("/-/acpush/") && request.method() == Method::POST);
    if !tells && state.catalog.is_read_only().await? {
        return Err(ApiError::ReadOnly);
    }
    Ok(next.run(request).await)
}
