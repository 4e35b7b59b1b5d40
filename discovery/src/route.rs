//! Where requests for a name go, when not to the name's own host.
//!
//! An image name holds no port, so a registry that does not listen on port 443
//! of the name's host, and a mirror of one, are named in the configuration:
//!
//! ```toml
//! [[override]]
//! prefix = "example.com"
//! connect = "127.0.0.1:8443"
//! ```
//!
//! `connect`: every request to `https://example.com/…` (port 443) for a name under
//! the prefix goes to this address instead, never through a proxy. The request
//! itself is unchanged: the certificate must be one for `example.com`, and the
//! `Host` header says `example.com`. It is what curl calls `--connect-to`.
//!
//! ```toml
//! [[override]]
//! prefix = "example.com/team"
//! url = "https://mirror.example.net/base"
//! ```
//!
//! `url`: the mirror is asked in the host's place, under its own certificate and
//! `Host`. Each request for a name under the prefix that would go to
//! `https://example.com/PATH?QUERY` goes to
//! `https://mirror.example.net/base/PATH?QUERY`:
//!
//! | the client wants | the mirror is asked for |
//! |---|---|
//! | `https://example.com/team/hello?ac-discovery=1` | `https://mirror.example.net/base/team/hello?ac-discovery=1` |
//! | the page's template, rendered: `https://example.com/-/images/example.com/team/hello:1.0.0.aci` | `https://mirror.example.net/base/-/images/example.com/team/hello:1.0.0.aci` |
//! | a template that points to another host: `https://storage.example.org/…` | not the mirror: that host, as it stands |
//!
//! The longest prefix that covers the name counts. Under both, the image keeps
//! its name and labels, and only keys trusted for that name can have signed it:
//! whoever answers in the host's place can withhold an image, never replace it.

use std::fmt;
use std::str::FromStr;

use aci::Name;
use serde::Deserialize;
use url::Url;

/// Why an override makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OverrideError {
    /// Neither `connect` nor `url`, or both.
    #[error("the override of {0:?} needs exactly one of the keys connect and url")]
    Way(String),
    /// `connect` for a host that is an address already.
    #[error("the override of {0:?} cannot have connect: an address is not looked up; use url")]
    AddressPrefix(String),
    /// No `host:port`.
    #[error("{0:?} is no HOST:PORT")]
    Target(String),
    /// No URL, or not an `https` one, or one with more than a host, a port and a path.
    #[error("{0:?} is no https URL of a host and a path")]
    Url(String),
}

/// One `[[override]]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawOverride")]
pub struct Override {
    prefix: Name,
    way: Way,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOverride {
    prefix: Name,
    connect: Option<Target>,
    url: Option<MirrorUrl>,
}

/// A host name or address, and a port, to connect to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Target(String);

/// The base URL of a mirror, its path ending in a slash.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct MirrorUrl(Url);

/// How requests for a prefix's host are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Way {
    /// As names say.
    Direct,
    /// To another address, otherwise unchanged.
    Connect(Target),
    /// To a mirror in the host's place.
    Mirror(MirrorUrl),
}

impl TryFrom<RawOverride> for Override {
    type Error = OverrideError;

    fn try_from(raw: RawOverride) -> Result<Self, OverrideError> {
        let way = match (raw.connect, raw.url) {
            (Some(target), None) => Way::Connect(target),
            (None, Some(url)) => Way::Mirror(url),
            _ => return Err(OverrideError::Way(raw.prefix.to_string())),
        };
        if matches!(way, Way::Connect(_)) && raw.prefix.host().parse::<std::net::Ipv4Addr>().is_ok()
        {
            return Err(OverrideError::AddressPrefix(raw.prefix.to_string()));
        }
        Ok(Self { prefix: raw.prefix, way })
    }
}

impl Override {
    /// Requests to `prefix`'s host go to `target`.
    pub fn connect(prefix: Name, target: Target) -> Result<Self, OverrideError> {
        RawOverride { prefix, connect: Some(target), url: None }.try_into()
    }

    /// Requests to `prefix`'s host go to the mirror at `url`.
    pub fn mirror(prefix: Name, url: MirrorUrl) -> Result<Self, OverrideError> {
        RawOverride { prefix, connect: None, url: Some(url) }.try_into()
    }

    /// The names this is for.
    pub fn prefix(&self) -> &Name {
        &self.prefix
    }
}

impl FromStr for Target {
    type Err = OverrideError;

    fn from_str(text: &str) -> Result<Self, OverrideError> {
        let fault = || OverrideError::Target(text.to_owned());
        // The URL parser knows hosts, addresses in brackets and ports.
        let url = Url::parse(&format!("https://{text}/")).map_err(|_| fault())?;
        let bare = url.username().is_empty() && url.password().is_none() && url.path() == "/";
        let port = text.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        match (url.host_str(), port) {
            (Some(host), Some(port)) if bare && port != 0 && url.query().is_none() => {
                Ok(Self(format!("{host}:{port}")))
            }
            _ => Err(fault()),
        }
    }
}

impl TryFrom<String> for Target {
    type Error = OverrideError;

    fn try_from(text: String) -> Result<Self, OverrideError> {
        text.parse()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for MirrorUrl {
    type Err = OverrideError;

    fn from_str(text: &str) -> Result<Self, OverrideError> {
        let fault = || OverrideError::Url(text.to_owned());
        let mut url = Url::parse(text).map_err(|_| fault())?;
        let bare = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if url.scheme() != "https" || !bare {
            return Err(fault());
        }
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        Ok(Self(url))
    }
}

impl TryFrom<String> for MirrorUrl {
    type Error = OverrideError;

    fn try_from(text: String) -> Result<Self, OverrideError> {
        text.parse()
    }
}

/// Where requests for one name go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    host: String,
    way: Way,
}

/// One request as it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hop {
    /// The URL that is asked.
    pub(crate) url: Url,
    /// The address it is asked at, where that is not what the URL says.
    pub(crate) connect: Option<Target>,
}

impl Route {
    /// The route of `name`, by the longest prefix that covers it.
    pub(crate) fn of_name(overrides: &[Override], name: &Name) -> Self {
        Self::longest(overrides, name.host(), |prefix| name.is_under(prefix))
    }

    /// The route of a URL that was given as such: as of the name its host and path would be.
    pub(crate) fn of_url(overrides: &[Override], url: &Url) -> Self {
        let host = url.host_str().unwrap_or_default();
        let text = format!("{host}{}", url.path());
        Self::longest(overrides, host, |prefix| {
            text.strip_prefix(prefix.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    fn longest(overrides: &[Override], host: &str, covers: impl Fn(&Name) -> bool) -> Self {
        let way = overrides
            .iter()
            .filter(|entry| covers(&entry.prefix))
            .max_by_key(|entry| entry.prefix.as_str().len())
            .map_or(Way::Direct, |entry| entry.way.clone());
        Self { host: host.to_owned(), way }
    }

    /// Where requests go, in words.
    pub(crate) fn description(&self) -> String {
        let host = &self.host;
        match &self.way {
            Way::Direct => format!("{host} is asked itself: no override covers the name"),
            Way::Connect(target) => format!("an override sends requests for {host} to {target}"),
            Way::Mirror(MirrorUrl(base)) => {
                format!("an override asks {base} in the place of {host}")
            }
        }
    }

    /// How `url` is asked under this route.
    pub(crate) fn hop(&self, url: &Url) -> Hop {
        let host = url.host_str() == Some(self.host.as_str()) && url.port().is_none();
        let own = host && url.scheme() == "https";
        match &self.way {
            // Plain http, where the user allows it, goes to the same address.
            Way::Connect(target) if host => Hop { url: url.clone(), connect: Some(target.clone()) },
            Way::Mirror(MirrorUrl(base)) if own => {
                let mut asked = base.clone();
                // The base's path ends in a slash and the other begins with one.
                asked.set_path(&format!("{}{}", base.path(), &url.path()[1..]));
                asked.set_query(url.query());
                Hop { url: asked, connect: None }
            }
            _ => Hop { url: url.clone(), connect: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    fn overrides() -> Vec<Override> {
        vec![
            Override::connect(name("example.com"), "127.0.0.1:8443".parse().unwrap()).unwrap(),
            Override::mirror(
                name("example.com/team"),
                "https://mirror.example.net/base".parse().unwrap(),
            )
            .unwrap(),
        ]
    }

    #[test]
    fn route_longest_prefix_by_whole_segments() {
        let overrides = overrides();
        let way = |text| Route::of_name(&overrides, &name(text)).way;
        assert!(matches!(way("example.com"), Way::Connect(_)));
        assert!(matches!(way("example.com/teams"), Way::Connect(_)));
        assert!(matches!(way("example.com/team"), Way::Mirror(_)));
        assert!(matches!(way("example.com/team/hello"), Way::Mirror(_)));
        assert_eq!(way("example.org/team"), Way::Direct);
        assert_eq!(way("example.community"), Way::Direct);
    }

    #[test]
    fn route_of_url_follows_host_and_path() {
        let overrides = overrides();
        let way = |text| Route::of_url(&overrides, &url(text)).way;
        assert!(matches!(way("https://example.com/x.aci"), Way::Connect(_)));
        assert!(matches!(way("https://example.com/team/x.aci"), Way::Mirror(_)));
        assert_eq!(way("https://example.org/team/x.aci"), Way::Direct);
    }

    #[test]
    fn hop_mirror_maps_own_host_only() {
        let route = Route::of_name(&overrides(), &name("example.com/team/hello"));
        let asked = |text| route.hop(&url(text)).url.to_string();
        assert_eq!(
            asked("https://example.com/team/hello?ac-discovery=1"),
            "https://mirror.example.net/base/team/hello?ac-discovery=1"
        );
        assert_eq!(asked("https://example.com:443/k"), "https://mirror.example.net/base/k");
        assert_eq!(asked("https://example.com:444/k"), "https://example.com:444/k");
        assert_eq!(asked("https://other.example.com/k"), "https://other.example.com/k");
        assert_eq!(asked("http://example.com/k"), "http://example.com/k");
    }

    #[test]
    fn hop_connect_keeps_the_url() {
        let route = Route::of_name(&overrides(), &name("example.com/hello"));
        let hop = route.hop(&url("https://example.com/a%20b?q"));
        assert_eq!(hop.url.as_str(), "https://example.com/a%20b?q");
        assert_eq!(hop.connect.unwrap().to_string(), "127.0.0.1:8443");
        assert_eq!(route.hop(&url("https://example.com:8443/")).connect, None);
    }

    #[test]
    fn target_forms() {
        for good in ["127.0.0.1:8443", "[::1]:8443", "registry.internal:443", "localhost:1"] {
            assert_eq!(good.parse::<Target>().unwrap().to_string(), good);
        }
        for bad in
            ["", "localhost", "localhost:", ":8443", "a:0", "a:65536", "a:1/x", "u@a:1", "a:1?x"]
        {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }

    #[test]
    fn mirror_url_forms() {
        assert!("https://mirror.example.net".parse::<MirrorUrl>().is_ok());
        for bad in
            ["http://m/", "mirror.example.net", "https://u:p@m/", "https://m/?x", "https://m/#x"]
        {
            assert!(bad.parse::<MirrorUrl>().is_err(), "{bad}");
        }
    }
}
