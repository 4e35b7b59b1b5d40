//! All paths, and what goes round every request.

use axum::Router;
use axum::extract::Request;
use axum::http::Method;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use tower_http::catch_panic::CatchPanicLayer;

use crate::access::rates;
use crate::connection::ConnectionLimits;
use crate::error::ApiError;
use crate::state::Shared;
use crate::{api, client_address, files, host, metrics, pages, trace};

/// The whole server, but for TLS.
pub(crate) fn router(state: Shared, limits: &ConnectionLimits) -> Router {
    let url_bytes = limits.url_bytes;
    let method_unknown = async |method: Method| ApiError::MethodUnknown(method.to_string());
    Router::new()
        .merge(pages::router())
        .merge(files::router())
        .merge(api::router(&state))
        // Everything of ours that is not there; an image name never begins so.
        .route("/-/{*rest}", any(async || ApiError::PathUnknown))
        .fallback(async || ApiError::PathUnknown)
        .method_not_allowed_fallback(method_unknown)
        .layer(from_fn_with_state(Shared::clone(&state), host::check))
        .layer(from_fn_with_state(Shared::clone(&state), rates::limit))
        .merge(
            pages::probes()
                .route("/-/metrics", get(metrics::show))
                .method_not_allowed_fallback(method_unknown),
        )
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
