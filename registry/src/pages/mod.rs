//! The pages people and discovery clients read.

mod assets;
mod health;
mod home;
mod name;

use std::time::SystemTime;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use web::ErrorPage;

use crate::catalog::NameSummary;
use crate::error::ApiError;
use crate::state::Shared;

/// Nothing but our own style sheet and icon, no frames, no forms.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(crate) fn router() -> Router<Shared> {
    Router::new()
        .route("/", get(home::show))
        .route("/{*path}", get(name::show))
        .route("/-/assets/{file}", get(assets::serve))
}

/// What load balancers ask, by address.
pub(crate) fn probes() -> Router<Shared> {
    Router::new().route("/-/healthz", get(health::alive)).route("/-/readyz", get(health::ready))
}

/// An error as a page for people, with the same words as its JSON.
struct PageError(ApiError);

impl<E: Into<ApiError>> From<E> for PageError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        use aci::Refuse;
        let refusal = self.0.refusal();
        let page = ErrorPage {
            status: self.0.status().as_u16(),
            message: sentence(&refusal.message),
            next: sentence(&refusal.next),
        };
        if self.0.status().is_server_error() {
            return self.0.into_response();
        }
        match page.render() {
            Ok(text) => html(self.0.status(), text),
            Err(_) => self.0.into_response(),
        }
    }
}

/// A lower-case fragment as a sentence of its own.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), chars.as_str()))
}

fn html(status: StatusCode, text: String) -> Response {
    let headers: [(HeaderName, HeaderValue); 3] = [
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY)),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (status, headers, Html(text)).into_response()
}

/// A day as a page shows it: `2026-11-03`, in UTC.
pub(crate) fn day(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time)
        .map_or_else(|_| "unknown".to_owned(), |time| time.strftime("%Y-%m-%d").to_string())
}

fn name_entry(summary: NameSummary, href: String) -> web::NameEntry {
    web::NameEntry { href, images: summary.images, pushed: day(summary.pushed), name: summary.name }
}

/// Whether a discovery client asks: `?ac-discovery=1`, as the spec writes it.
fn asks_for_discovery(uri: &Uri) -> bool {
    uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "ac-discovery=1"))
}
