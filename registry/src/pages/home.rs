//! `GET /`: the names there are, and the meta tags.

use aci::Name;
use axum::extract::{FromRequestParts, Query, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use serde::Deserialize;
use web::{Discovery, HomePage, NameEntry};

use super::{PageError, PageRefusals, html, name_entry};
use crate::access::Sight;
use crate::error::ApiError;
use crate::host::Audience;
use crate::state::Shared;

/// Names on one page.
const NAMES: u32 = 100;

/// Where the list begins.
pub(super) struct After(Option<Name>);

#[derive(Deserialize)]
struct AfterQuery {
    after: Option<Name>,
}

impl FromRequestParts<Shared> for After {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, PageError> {
        let Query(query) = Query::<AfterQuery>::from_request_parts(parts, state)
            .await
            .map_err(|_| ApiError::PathUnknown)?;
        Ok(Self(query.after))
    }
}

#[utoipa::path(
    get,
    path = "/",
    operation_id = "home",
    tag = "pages",
    summary = "The names there are, and the discovery tags",
    params(("after" = Option<Name>, Query, description = "Where the list goes on.")),
    responses((status = 200, description = "A page.", content_type = "text/html", body = String), PageRefusals),
    security((), ("token" = []), ("password" = [])),
)]
pub(super) async fn show(
    State(state): State<Shared>,
    Audience(domains): Audience,
    After(after): After,
    sight: Sight,
) -> Result<Response, PageError> {
    let mut names: Vec<NameEntry> = Vec::new();
    for domain in &domains {
        for summary in sight.names(&state, domain.name(), after.as_ref(), NAMES + 1).await? {
            // A path means the first domain on localhost, and the only one elsewhere.
            let name = &summary.name;
            let href = if domains.first().is_some_and(|first| first.owns(name)) {
                format!("/{}", name.path())
            } else {
                format!("https://{name}")
            };
            names.push(name_entry(summary, href));
        }
    }
    // The list goes on after a name, so it has one order through all domains.
    names.sort_by(|a, b| a.name.cmp(&b.name));
    let more = names.len() > NAMES as usize;
    names.truncate(NAMES as usize);
    let more_after = names.last().filter(|_| more).map(|entry| entry.name.clone());
    let discovery = Discovery::for_home(&domains);
    let page = HomePage { discovery, domains, names, more_after };
    Ok(sight.mark(None, html(StatusCode::OK, page.render()?)))
}
