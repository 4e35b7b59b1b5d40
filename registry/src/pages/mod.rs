//! The pages people and discovery clients read.

mod assets;
mod health;
mod home;
mod name;

use std::collections::BTreeMap;
use std::time::SystemTime;

use axum::http::{HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use utoipa::IntoResponses;
use utoipa::openapi::{Content, RefOr, Response as Document, ResponseBuilder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use web::ErrorPage;

use crate::catalog::NameSummary;
use crate::document::{NoRoom, Unavailable, also_answers};
use crate::error::ApiError;
use crate::state::Shared;

pub(crate) use health::Readiness;

/// Nothing but our own style sheet and icon, no frames, no forms.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(crate) fn router() -> OpenApiRouter<Shared> {
    let mut router = OpenApiRouter::new().routes(routes!(home::show)).routes(routes!(name::show));
    also_answers(router.get_openapi_mut(), &[Unavailable::STATUS, NoRoom::STATUS]);
    router.routes(routes!(assets::serve))
}

/// What load balancers ask, by address.
pub(crate) fn probes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(health::alive)).routes(routes!(health::ready))
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
            Ok(text) => {
                let mut response = html(self.0.status(), text);
                self.0.challenge(response.headers_mut());
                response
            }
            Err(_) => self.0.into_response(),
        }
    }
}

/// What pages refuse, as the document of the API has it.
struct PageRefusals;

impl IntoResponses for PageRefusals {
    fn responses() -> BTreeMap<String, RefOr<Document>> {
        // What stands round all pages refuses in JSON.
        let (page, any) = (&["text/html"][..], &["text/html", "application/json"][..]);
        [
            ("401", "No credentials, or none that are good.", page),
            ("403", "The caller may not see it; or there is no TLS.", any),
            ("404", "There is nothing called so.", page),
        ]
        .into_iter()
        .map(|(status, about, types)| {
            let mut response = ResponseBuilder::new().description(about);
            for content_type in types {
                response = response.content(*content_type, Content::builder().build());
            }
            (status.to_owned(), response.build().into())
        })
        .collect()
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
