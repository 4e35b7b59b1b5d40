//! `/-/api/v1/admin/…`: what `gantry registry` does on a data directory, for who asks over HTTPS and
//! may `admin` there (`access/admin.rs`).
//!
//! ```text
//! GET POST      tokens                 POST tokens/{id}/rotate       DELETE tokens/{id}
//! GET POST      users                  PUT users/{name}/password     DELETE users/{name}
//! GET POST      keys                   DELETE keys/{fingerprint}?prefix=…
//! GET PUT       policies               DELETE policies?prefix=…
//! GET POST      oidc                   DELETE oidc/{name}
//! GET           audit?last=…&before=…  GET audit/verify?noted=…
//! GET           usage?prefix=…         GET scrub
//! GET PUT       read-only              POST gc      POST retain
//! ```
//!
//! Types are in `admin/`, as the command reads them, too. All of it works while the registry takes
//! nothing in, but for `retain`.

mod asked;
mod audit;
mod keeping;
mod keys;
mod oidc;
mod policies;
mod tokens;
mod users;

use axum::http::{HeaderValue, header};
use axum::middleware::map_response;
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::access::Grant;
use crate::document::{Forbidden, Unauthorized, also_answers};
use crate::error::ApiError;
use crate::state::Shared;

/// Prefixes of one grant.
const MOST_PREFIXES: usize = 64;

pub(super) fn router() -> OpenApiRouter<Shared> {
    let mut router = OpenApiRouter::new()
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::revoke))
        .routes(routes!(tokens::rotate))
        .routes(routes!(users::list, users::add))
        .routes(routes!(users::remove))
        .routes(routes!(users::set_password))
        .routes(routes!(keys::list, keys::add))
        .routes(routes!(keys::remove))
        .routes(routes!(policies::list, policies::set, policies::remove))
        .routes(routes!(oidc::list, oidc::add))
        .routes(routes!(oidc::remove))
        .routes(routes!(audit::list))
        .routes(routes!(audit::verify))
        .routes(routes!(keeping::usage))
        .routes(routes!(keeping::damaged))
        .routes(routes!(keeping::read_only, keeping::set_read_only))
        .routes(routes!(keeping::gc))
        .routes(routes!(keeping::retain))
        .layer(map_response(unkept));
    also_answers(router.get_openapi_mut(), &[Unauthorized::STATUS, Forbidden::STATUS]);
    router
}

/// Nobody on the way keeps an answer: some hold secrets.
async fn unkept(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Refuses a grant that is none, or that no person would read.
fn check(grant: &Grant) -> Result<(), ApiError> {
    let (prefixes, actions) = (grant.prefixes().len(), grant.actions().len());
    if prefixes == 0 || prefixes > MOST_PREFIXES || actions == 0 {
        let wanted = "1 to 64 `prefixes`, and what to `allow`";
        let found = format!("{prefixes} prefixes and {actions} actions");
        return Err(ApiError::RequestMalformed { wanted, found });
    }
    Ok(())
}
