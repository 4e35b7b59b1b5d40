//! For which host a request is.
//!
//! The one place that reads the host of a request. It chooses among the configured
//! domains, and nothing of it is written into a page, a URL or a header. On localhost,
//! where a person looks at a server of their own, all domains are meant. Any other
//! host is refused on every path: an answer for it would be one that somebody's DNS
//! made us give (DNS rebinding), or that a cache would keep under a foreign name.
//!
//! Where a request says twice which host it means (RFC 9112, 3.2; RFC 9113, 8.3.1):
//!
//! ```text
//! HTTP/1, no Host, several, or one that is no host      → 400
//! HTTP/1, GET https://example.com/ and another Host     → the URL counts
//! HTTP/2, :authority alone, or host alone               → it counts
//! HTTP/2, :authority and a host that differ             → 400
//! ```

use std::net::IpAddr;

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version, header};
use web::Domain;

use crate::config::{Config, Domains};
use crate::error::ApiError;
use crate::state::Shared;

/// From where a browser says that a request comes (Fetch Metadata).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The host of a request that is for this registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    /// One of the configured domains.
    Domain(Domain),
    /// This machine, by a name that only it knows itself by.
    Local,
}

impl Host {
    /// What the log calls it.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Domain(domain) => domain.as_str(),
            Self::Local => "localhost",
        }
    }

    /// The one that is called so: by the text of a URL's host, in any case.
    fn called(text: &str, domains: &Domains) -> Option<Self> {
        let text = normal(text);
        if let Some(domain) = domains.iter().find(|domain| domain.as_str() == text) {
            return Some(Self::Domain(domain.clone()));
        }
        let bare = text.trim_start_matches('[').trim_end_matches(']');
        let local = text == "localhost" || bare.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        local.then_some(Self::Local)
    }
}

/// Refuses what is for no host of this registry; the rest carry a [`Host`] from here on.
pub(crate) fn check(config: &Config, request: &mut Request) -> Result<(), ApiError> {
    let host = host_of(request, &config.domains)?;
    tracing::Span::current().record("host", tracing::field::display(host.as_str()));
    request.extensions_mut().insert(host);
    Ok(())
}

/// Refuses what a page of another site has its visitor's browser do here, with the password that it
/// knows. Nothing changes by GET, and what is no browser says neither of the two.
pub(crate) fn check_origin(config: &Config, request: &Request) -> Result<(), ApiError> {
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    let said = |name: &HeaderName| request.headers().get(name).map(HeaderValue::as_bytes);
    let from = String::from_utf8_lossy(said(&SEC_FETCH_SITE).unwrap_or(b"none"));
    if !matches!(&*from, "same-origin" | "none") {
        return Err(ApiError::OtherSite(from.into_owned()));
    }
    let Some(origin) = said(&header::ORIGIN) else { return Ok(()) };
    let origin = String::from_utf8_lossy(origin);
    let is_own =
        origin.parse::<Uri>().ok().and_then(|url| url.authority().and_then(|a| host(a).ok()));
    match is_own.and_then(|host| Host::called(&host, &config.domains)) {
        Some(_) => Ok(()),
        None => Err(ApiError::OtherSite(origin.into_owned())),
    }
}

/// The host a request is for.
pub(crate) fn host_of(request: &Request, domains: &Domains) -> Result<Host, ApiError> {
    let text = requested(request.version(), request.uri(), request.headers())?;
    Host::called(&text, domains)
        .ok_or_else(|| ApiError::Misdirected { host: text, domains: domains.to_string() })
}

/// The host that was asked for, by the rules above.
fn requested(version: Version, uri: &Uri, headers: &HeaderMap) -> Result<String, ApiError> {
    let header = header(headers)?;
    let url = uri.authority().map(host).transpose()?;
    match (url, header) {
        (Some(url), Some(header))
            if version >= Version::HTTP_2 && normal(&url) != normal(&header) =>
        {
            Err(ApiError::HostMalformed("an :authority and a host header that differ"))
        }
        // A request of HTTP/1 without the header is malformed even where its URL has a host.
        (Some(_), None) if version < Version::HTTP_2 => Err(ApiError::HostMalformed("no Host")),
        (Some(host), _) | (None, Some(host)) => Ok(host),
        (None, None) => Err(ApiError::HostMalformed("no Host")),
    }
}

/// The host of the header.
fn header(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let mut values = headers.get_all(header::HOST).iter();
    let Some(value) = values.next() else { return Ok(None) };
    // Two that are equal are malformed, too: what stands between us and the client may
    // have looked at the other one.
    if values.next().is_some() {
        return Err(ApiError::HostMalformed("several Host headers"));
    }
    let authority = value.to_str().ok().and_then(|text| text.parse::<Authority>().ok());
    host(&authority.ok_or(ApiError::HostMalformed(NO_HOST))?).map(Some)
}

const NO_HOST: &str = "a Host that is no host";

/// The host of an authority, which has no more than a port beside it.
fn host(authority: &Authority) -> Result<String, ApiError> {
    let host = authority.host();
    let rest = authority.as_str().strip_prefix(host);
    let port = rest.map(|rest| rest.strip_prefix(':').unwrap_or(rest));
    match port {
        Some(port) if !host.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            Ok(host.to_owned())
        }
        _ => Err(ApiError::HostMalformed(NO_HOST)),
    }
}

/// A host as hosts are compared (RFC 3986, 6.2.2.1), without the dot of DNS's root.
fn normal(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// The domains a page speaks for: the one asked for, or all on localhost.
pub(crate) struct Audience(pub(crate) Vec<Domain>);

impl FromRequestParts<Shared> for Audience {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, ApiError> {
        match parts.extensions.get::<Host>() {
            Some(Host::Domain(domain)) => Ok(Self(vec![domain.clone()])),
            Some(Host::Local) => Ok(Self(state.config().domains.iter().cloned().collect())),
            None => Err(ApiError::internal("a page outside of the layer that checks hosts")),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn domains() -> Domains {
        ["example.com", "example.org"].map(|d| d.parse().unwrap()).to_vec().try_into().unwrap()
    }

    /// The host, or the status of the refusal.
    fn of(version: Version, uri: &str, hosts: &[&str]) -> String {
        let mut request =
            Request::builder().version(version).uri(uri).body(Default::default()).unwrap();
        for host in hosts {
            let name: HeaderName = header::HOST;
            request.headers_mut().append(name, HeaderValue::from_str(host).unwrap());
        }
        match host_of(&request, &domains()) {
            Ok(host) => host.as_str().to_owned(),
            Err(error) => error.status().as_u16().to_string(),
        }
    }

    #[test]
    fn host_is_one_of_the_domains_or_this_machine() {
        for (host, wanted) in [
            ("example.com", "example.com"),
            ("example.com:8443", "example.com"),
            ("example.com:", "example.com"),
            ("EXAMPLE.org", "example.org"),
            ("example.com.", "example.com"),
            ("localhost:1", "localhost"),
            ("127.0.0.1:8443", "localhost"),
            ("127.8.8.8", "localhost"),
            ("[::1]:8443", "localhost"),
            ("evil.example", "421"),
            ("example.com.evil.example", "421"),
            ("10.0.0.1", "421"),
            ("[2001:db8::1]", "421"),
            ("localhost.evil.example", "421"),
            ("", "400"),
            (":443", "400"),
            ("a b", "400"),
            ("example.com/x", "400"),
            ("example.com:x", "400"),
            ("user@example.com", "400"),
            ("example.com, example.org", "400"),
        ] {
            assert_eq!(of(Version::HTTP_11, "/", &[host]), wanted, "{host:?}");
        }
    }

    #[test]
    fn host_said_twice_follows_the_rfcs() {
        let (one, two) = (Version::HTTP_11, Version::HTTP_2);
        let url = "https://example.org:8443/a";
        for (version, uri, hosts, wanted) in [
            (one, "/", &[][..], "400"),
            (Version::HTTP_10, "/", &[], "400"),
            (one, "/", &["example.com", "example.com"], "400"),
            (one, url, &["example.com", "example.org"], "400"),
            (one, url, &[], "400"),
            (one, url, &["example.com"], "example.org"),
            (one, url, &["evil.example"], "example.org"),
            (one, url, &["a b"], "400"),
            (one, "https://evil.example/", &["example.com"], "421"),
            (one, "https://user@example.com/", &["example.com"], "400"),
            (two, url, &[], "example.org"),
            (two, url, &["example.org"], "example.org"),
            (two, url, &["EXAMPLE.org:8443"], "example.org"),
            (two, url, &["example.com"], "400"),
            (two, url, &["evil.example"], "400"),
            (two, "/", &["example.com"], "example.com"),
            (two, "/", &["evil.example"], "421"),
            (two, "/", &[], "400"),
            (two, "https://evil.example/", &[], "421"),
        ] {
            assert_eq!(of(version, uri, hosts), wanted, "{version:?} {uri} {hosts:?}");
        }
    }
}
