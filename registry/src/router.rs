//! All paths, and what goes round every request.

use axum::extract::Request;
use axum::http::Method;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Extension, Router};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::routes;

use crate::access::rates;
use crate::connection::ConnectionLimits;
use crate::document::{
    self, BadRequest, Document, Forbidden, Internal, Misdirected, TooManyRequests, UriTooLong,
};
use crate::error::ApiError;
use crate::state::Shared;
use crate::{api, client_address, files, host, metrics, pages, trace};

/// The whole server, but for TLS.
///
/// What is registered by `routes!` stands in the document of the API, and nothing else is a route.
pub(crate) fn router(state: Shared, limits: &ConnectionLimits) -> Router {
    let url_bytes = limits.url_bytes;
    let method_unknown = async |method: Method| ApiError::MethodUnknown(method.to_string());
    let (routes, mut document) = pages::router()
        .merge(files::router())
        .merge(api::router(&state))
        .routes(routes!(document::show))
        .split_for_parts();
    let routes = routes
        // Everything of ours that is not there; an image name never begins so.
        .route("/-/{*rest}", any(async || ApiError::PathUnknown))
        .fallback(async || ApiError::PathUnknown)
        .method_not_allowed_fallback(method_unknown)
        .layer(from_fn_with_state(Shared::clone(&state), host::check))
        .layer(from_fn_with_state(Shared::clone(&state), rates::limit));
    let statuses = [BadRequest::STATUS, Misdirected::STATUS, TooManyRequests::STATUS];
    document::also_answers(&mut document, &statuses);
    let (probes, probed) = pages::probes().routes(routes!(metrics::page::show)).split_for_parts();
    document.merge(probed);
    let statuses = [Forbidden::STATUS, UriTooLong::STATUS, Internal::STATUS];
    document::also_answers(&mut document, &statuses);
    routes
        .merge(probes.method_not_allowed_fallback(method_unknown))
        .layer(Extension(Document(document::text(document).into())))
        .layer(from_fn(move |request, next| limit_url(url_bytes, request, next)))
        .layer(CatchPanicLayer::custom(|_| ApiError::internal("a panic").into_response()))
        .layer(from_fn_with_state(Shared::clone(&state), trace::follow))
        .layer(from_fn_with_state(Shared::clone(&state), client_address::determine))
        .with_state(state)
}

/// Refuses long URLs before anything looks at them.
async fn limit_url(limit: usize, request: Request, next: Next) -> Response {
    let found = request.uri().path_and_query().map_or(0, |text| text.as_str().len());
    if found > limit {
        return ApiError::UrlTooLong { limit, found }.into_response();
    }
    next.run(request).await
}
