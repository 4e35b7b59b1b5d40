//! The document of the API: OpenAPI 3.1, made from the routes themselves.
//!
//! A handler says in `#[utoipa::path]` what it takes and what it answers, and `routes!` registers the
//! handler with it. What the layers around several handlers answer is added where the layers are.
//! OpenAPI has no parameter that holds slashes: `/-/images/{*reference}` is told as
//! `/-/images/{reference}`, which is true for a client that escapes the slashes in it, as generated
//! ones do. A route takes them either way.

use std::collections::BTreeMap;

use aci::push::ErrorBody;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response as HttpResponse};
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{
    Components, Content, Header, HeaderBuilder, InfoBuilder, License, Object, OpenApi,
    OpenApiBuilder, PathItem, Ref, RefOr, Response, ResponseBuilder, Server, Type,
};
use utoipa::{IntoResponses, PartialSchema, ToSchema};

use crate::state::Shared;

/// What the document says of itself before the operations.
const ABOUT: &str = "Images and signatures by name and content, discovery, and pushing. Every path \
    that answers GET answers HEAD. Every refusal of the server's is JSON, but for those of pages. \
    Names in paths hold slashes, which may be written as they are or as %2F. A request for a host \
    that is not one of the registry's is refused on every path but those of probes.";

macro_rules! refusals {
    ($($name:ident = $status:literal, $about:literal;)+) => {
        $(
            #[doc = concat!("The answer ", $status, ".")]
            pub(crate) struct $name;

            impl $name {
                /// For [`also_answers`].
                pub(crate) const STATUS: (&str, &str) = ($status, stringify!($name));
            }

            impl IntoResponses for $name {
                fn responses() -> BTreeMap<String, RefOr<Response>> {
                    let (status, name) = Self::STATUS;
                    [(status.to_owned(), Ref::from_response_name(name).into())].into()
                }
            }
        )+

        /// The status, name and meaning of each.
        const REFUSALS: &[(&str, &str, &str)] = &[$(($status, stringify!($name), $about)),+];
    };
}

refusals! {
    BadRequest = "400", "The request makes no sense: its JSON, a header, or the host it names; or it ended early.";
    Unauthorized = "401", "No credentials, or none that are good.";
    Forbidden = "403", "The caller is known and may not do this; or the request came without TLS to a registry that wants it.";
    NotFound = "404", "There is no such thing, or the caller may not know of it.";
    TooSlow = "408", "The request arrived too slowly.";
    Conflict = "409", "It does not fit what is there already; `code` says how.";
    Gone = "410", "It was deleted, or withdrawn by its author.";
    TooLarge = "413", "The request, the image or all that the caller's uploads hold is larger than this registry takes.";
    UriTooLong = "414", "The URL is longer than this registry reads.";
    MediaType = "415", "The request does not say that it is JSON.";
    Misdirected = "421", "The host is none of this registry's.";
    Unprocessable = "422", "The request was understood, and what it brings was refused: `code` says why.";
    TooManyRequests = "429", "Too many requests, or wrong passwords.";
    Internal = "500", "The registry's own fault; its log says more.";
    Unavailable = "503", "Not just now: read-only, busy, or waiting for somebody else.";
    NoRoom = "507", "The registry's disk is full.";
}

/// Adds to each operation that is there the statuses that a layer around all of them answers with.
pub(crate) fn also_answers(document: &mut OpenApi, statuses: &[(&str, &str)]) {
    for operation in operations(document) {
        for (status, name) in statuses {
            let responses = &mut operation.responses.responses;
            let entry = responses.entry((*status).to_owned());
            entry.or_insert_with(|| Ref::from_response_name(*name).into());
        }
    }
}

fn operations(document: &mut OpenApi) -> impl Iterator<Item = &mut Operation> {
    document.paths.paths.values_mut().flat_map(|item| {
        let PathItem { get, put, post, delete, patch, .. } = item;
        [get, put, post, delete, patch].into_iter().flatten()
    })
}

/// The text of the document of these routes.
pub(crate) fn text(routes: OpenApi) -> String {
    let info = InfoBuilder::new()
        .title("Gantry registry")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .license(Some(
            License::builder().name("Apache-2.0").identifier(Some("Apache-2.0")).build(),
        ));
    let mut document = OpenApiBuilder::new()
        .info(info)
        .servers(Some([Server::new("/")]))
        .components(Some(components()))
        .build();
    document.merge(routes);
    for (path, item) in std::mem::take(&mut document.paths.paths) {
        document.paths.paths.insert(path.replace("{*", "{"), item);
    }
    // Numbers, texts and maps of texts: nothing that JSON could not say.
    document.to_pretty_json().unwrap_or_default() + "\n"
}

fn components() -> Components {
    let mut components = Components::new();
    for (status, name, about) in REFUSALS {
        components.responses.insert((*name).to_owned(), refusal(status, about).into());
    }
    let mut schemas = Vec::new();
    ErrorBody::schemas(&mut schemas);
    components.schemas.extend(schemas);
    components.schemas.insert(ErrorBody::name().into_owned(), ErrorBody::schema());
    let mut token = Http::new(HttpAuthScheme::Bearer);
    token.description = Some("A token of the registry, or the ID token of a CI job.".to_owned());
    let mut password = Http::new(HttpAuthScheme::Basic);
    password.description = Some(
        "A user and the user's password; or any user, and a token as the password.".to_owned(),
    );
    for (name, scheme) in [("token", token), ("password", password)] {
        components.add_security_scheme(name, SecurityScheme::Http(scheme));
    }
    components
}

fn refusal(status: &str, about: &str) -> Response {
    let body = Content::new(Some(Ref::from_schema_name(ErrorBody::name())));
    let mut response =
        ResponseBuilder::new().description(about).content("application/json", body).build();
    let header = match status {
        "401" => Some(("WWW-Authenticate", "Both schemes, in a header of its own each.")),
        "429" => Some(("Retry-After", "In how many seconds to ask again.")),
        "503" => Some(("Retry-After", "In how many seconds to ask again, where that is known.")),
        _ => None,
    };
    if let Some((name, about)) = header {
        response.headers.insert(name.to_owned(), text_header(about).into());
    }
    response
}

/// A header that is a text.
pub(crate) fn text_header(about: &str) -> Header {
    HeaderBuilder::new()
        .schema(Some(Object::with_type(Type::String)))
        .description(Some(about))
        .build()
}

#[utoipa::path(
    get,
    path = "/-/api/v1/openapi.json",
    operation_id = "openapi",
    tag = "about",
    summary = "This document",
    responses((status = 200, description = "OpenAPI 3.1.", body = Object,
        headers(("Cache-Control" = String))))
)]
pub(crate) async fn show(State(state): State<Shared>) -> HttpResponse {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "public, max-age=3600"),
    ];
    let text = state.serving.document.get().cloned().unwrap_or_default();
    (headers, text).into_response()
}
