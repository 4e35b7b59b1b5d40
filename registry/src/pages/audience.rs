//! For which domains a page is given out.
//!
//! The Host header chooses among the configured domains; nothing of it is ever
//! written into an answer. On localhost, where a person looks at a server of their
//! own, all domains are shown. Any other host is refused: a page for it would be
//! one that somebody's DNS made us serve (DNS rebinding).

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{Uri, header};
use web::Domain;

use super::PageError;
use crate::config::Domains;
use crate::error::ApiError;
use crate::state::Shared;

/// The domains a page speaks for: the one asked for, or all on localhost.
pub(super) struct Audience(pub(super) Vec<Domain>);

impl FromRequestParts<Shared> for Audience {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, PageError> {
        let header = parts.headers.get(header::HOST).and_then(|value| value.to_str().ok());
        let host = requested_host(&parts.uri, header);
        let own = &state.config().domains;
        let domains = host.as_deref().and_then(|host| audience(host, own));
        Ok(Self(domains.ok_or_else(|| ApiError::Misdirected {
            host: host.unwrap_or_default(),
            domains: own.to_string(),
        })?))
    }
}

/// The host without its port: of the URL in HTTP/2, of the header in HTTP/1.1.
fn requested_host(uri: &Uri, header: Option<&str>) -> Option<String> {
    let host = match uri.authority() {
        Some(authority) => authority.host().to_owned(),
        None => header?.parse::<Authority>().ok()?.host().to_owned(),
    };
    let host = host.strip_suffix('.').unwrap_or(&host);
    Some(host.to_ascii_lowercase())
}

fn audience(host: &str, domains: &Domains) -> Option<Vec<Domain>> {
    if let Some(domain) = domains.iter().find(|domain| domain.as_str() == host) {
        return Some(vec![domain.clone()]);
    }
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let local = host == "localhost" || bare.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    local.then(|| domains.iter().cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domains() -> Domains {
        ["example.com", "example.org"].map(|d| d.parse().unwrap()).to_vec().try_into().unwrap()
    }

    fn of(host: &str) -> Option<String> {
        let host = requested_host(&Uri::from_static("/"), Some(host))?;
        let all = audience(&host, &domains())?;
        Some(all.iter().map(Domain::as_str).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn audience_is_the_domain_asked_for_or_all_on_localhost() {
        for host in ["example.com", "example.com:8443", "EXAMPLE.com", "example.com."] {
            assert_eq!(of(host).as_deref(), Some("example.com"), "{host}");
        }
        for host in ["localhost:1", "127.0.0.1:8443", "127.8.8.8", "[::1]:8443"] {
            assert_eq!(of(host).as_deref(), Some("example.com example.org"), "{host}");
        }
        for host in ["", "evil.net", "example.com.evil.net", "10.0.0.1", "a b", "example.com/x"] {
            assert_eq!(of(host), None, "{host}");
        }
    }

    #[test]
    fn audience_takes_the_host_of_the_url_first() {
        let uri = Uri::from_static("https://example.org:8443/a");
        assert_eq!(requested_host(&uri, Some("example.com")).as_deref(), Some("example.org"));
        assert_eq!(requested_host(&Uri::from_static("/"), None), None);
    }
}
