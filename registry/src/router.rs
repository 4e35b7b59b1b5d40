//! All paths, and what goes round every request.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Extension, Router};
use futures_util::FutureExt;
use utoipa_axum::routes;

use crate::access::rates;
use crate::client_address::Arrival;
use crate::connection::ConnectionLimits;
use crate::document::{
    self, BadRequest, Forbidden, Internal, Misdirected, TooManyRequests, UriTooLong,
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
        .method_not_allowed_fallback(method_unknown);
    let statuses = [BadRequest::STATUS, Misdirected::STATUS, TooManyRequests::STATUS];
    document::also_answers(&mut document, &statuses);
    let (probes, probed) = pages::probes().routes(routes!(metrics::page::show)).split_for_parts();
    let probe_paths = probed.paths.paths.keys().cloned().collect();
    document.merge(probed);
    let statuses = [Forbidden::STATUS, UriTooLong::STATUS, Internal::STATUS];
    document::also_answers(&mut document, &statuses);
    state.serving.document.get_or_init(|| document::text(document).into());
    let gate = Arc::new(Gate { state: Shared::clone(&state), url_bytes, probe_paths });
    routes
        .merge(probes.method_not_allowed_fallback(method_unknown))
        .layer(from_fn_with_state(gate, pass))
        .with_state(state)
}

/// What every request passes.
struct Gate {
    state: Shared,
    url_bytes: usize,
    /// Asked for by any host name, and as often as somebody likes.
    probe_paths: Vec<String>,
}

/// Lets a request pass: from where it comes, its line in the log, whether it is admitted, and what
/// is caught. All in one layer, since each is boxed for every request, and copied with what is in it.
async fn pass(
    State(gate): State<Arc<Gate>>,
    Extension(arrival): Extension<Arrival>,
    mut request: Request,
    next: Next,
) -> Response {
    let state = &gate.state;
    if let Err(error) = client_address::determine(&state.config(), arrival, &mut request) {
        return error.into_response();
    }
    let answer = async |mut request: Request| {
        if let Err(error) = gate.admit(&mut request) {
            return error.into_response();
        }
        let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
        answered.unwrap_or_else(|_| ApiError::internal("a panic").into_response())
    };
    trace::follow(state, request, answer).await
}

impl Gate {
    /// Before a handler looks at it.
    fn admit(&self, request: &mut Request) -> Result<(), ApiError> {
        let found = request.uri().path_and_query().map_or(0, |text| text.as_str().len());
        if found > self.url_bytes {
            return Err(ApiError::UrlTooLong { limit: self.url_bytes, found });
        }
        let route = request.extensions().get().map(MatchedPath::as_str);
        if route.is_some_and(|route| self.probe_paths.iter().any(|path| path == route)) {
            return Ok(());
        }
        rates::limit(&self.state, request)?;
        let config = self.state.config();
        host::check(&config, request)?;
        host::check_origin(&config, request)
    }
}
