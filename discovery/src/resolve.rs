//! From a name to URLs (spec: discovery.md).
//!
//! `https://example.com/team/hello?ac-discovery=1` is asked for a page, then the
//! parent `https://example.com/team`, then the bare host; the first page with a
//! tag that can be used ends the walk. Images and keys are two walks, as in rkt,
//! and may end at different pages. Each page that did not help is remembered
//! with the reason, so that an answer of "not found" can say all of them.
//!
//! Unlike rkt, a prefix covers whole path segments (`example.com/foo` does not
//! cover `example.com/foobar`), and only `https` URLs are used unless the user gives
//! that up for one command; then a page that https does not give is asked for over http.

use std::fmt;

use aci::{
    Extension, Label, LabelError, Labels, Limits, Name, Reference, Refusal, Refuse, Template,
    host_platform,
};
use serde::Serialize;
use url::Url;

use crate::error::{Kind, printable, refusal};
use crate::html::{MetaTag, meta_tags};
use crate::http::{Http, HttpError, Insecure, Purpose};
use crate::route::Route;

/// Where an image and its signature may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// The image.
    pub image: Url,
    /// Its detached signature.
    pub signature: Url,
}

/// Where keys for a prefix of names are published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyLocation {
    /// The names the keys are for, as the page says.
    pub prefix: Name,
    /// The keys.
    pub url: Url,
}

/// A page of the walk that did not help.
#[derive(Debug, Clone)]
pub struct FailedLevel {
    /// The discovery URL.
    pub url: String,
    /// Why it did not help.
    pub why: LevelFault,
}

/// Why a page did not help.
#[derive(Debug, Clone)]
pub enum LevelFault {
    /// There was no page.
    Http(HttpError),
    /// The page has no tag of the kind that was looked for and covers the name.
    NoTag(&'static str),
    /// The page has such tags, but none can be used.
    Unusable(Vec<String>),
}

impl fmt::Display for LevelFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(error) => match error.answer() {
                Some((status, Some(said))) => write!(f, "status {status}: {}", said.message),
                Some((status, None)) => write!(f, "status {status}"),
                None => error.fmt(f),
            },
            Self::NoTag(name) => write!(f, "no {name} tag covers the name"),
            Self::Unusable(reasons) => f.write_str(&printable(&reasons.join("; "))),
        }
    }
}

impl Serialize for FailedLevel {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut level = serializer.serialize_struct("FailedLevel", 2)?;
        level.serialize_field("url", &self.url)?;
        level.serialize_field("why", &self.why.to_string())?;
        level.end()
    }
}

/// What a walk has found.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Found<T> {
    /// The discovery URL of the page that helped.
    pub page: String,
    /// In the page's order; never empty.
    pub found: Vec<T>,
    /// The pages asked before.
    pub failed_levels: Vec<FailedLevel>,
}

/// Why a name led nowhere.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// No page helped.
    #[error("no {what} of {name} could be found by discovery")]
    NotFound {
        /// What was looked for: `image` or `keys`.
        what: &'static str,
        /// The name.
        name: Name,
        /// Every page asked, and why it did not help.
        failed: Vec<FailedLevel>,
    },
    /// This machine cannot ask anybody.
    #[error(transparent)]
    Setup(HttpError),
    /// The name's first segment is no host name.
    #[error("{name} cannot be found by discovery: {:?} is no host name", .name.host())]
    Host {
        /// The name.
        name: Name,
    },
    /// The labels given and this machine's platform make no pair the spec lists.
    #[error("the labels given need an arch of their own: {0}")]
    Platform(#[source] LabelError),
}

impl ResolveError {
    /// What kind of failure it is: where not one page was answered, the network's.
    pub fn kind(&self) -> Kind {
        match self {
            Self::NotFound { failed, .. } => {
                let answered = failed.iter().any(|level| match &level.why {
                    LevelFault::Http(error) => error.was_answered(),
                    _ => true,
                });
                if answered { Kind::NotFound } else { Kind::Network }
            }
            Self::Setup(error) => error.kind(),
            Self::Host { .. } | Self::Platform(_) => Kind::Usage,
        }
    }
}

impl ResolveError {
    fn next(&self, failed: &[FailedLevel]) -> String {
        let refused = failed.iter().find_map(|level| match &level.why {
            LevelFault::Http(error) if error.is_of_credentials() => Some(error),
            _ => None,
        });
        match (refused, self.kind()) {
            (Some(error), _) => error.refusal().next,
            (None, Kind::Network) => {
                "check the connection, the host's certificate (--ca-file) and the [[override]] \
                 entries, and try again"
                    .to_owned()
            }
            _ => "check the name and the host; an [[override]] of the configuration leads to \
                  another port or a mirror"
                .to_owned(),
        }
    }
}

impl Refuse for ResolveError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::NotFound { what, name, failed } => refusal(
                if self.kind() == Kind::Network { "network" } else { "discovery-failed" },
                self,
                format!(
                    "an HTML page with a meta tag that tells where the {what} of {name} can be found"
                ),
                failed
                    .iter()
                    .map(|level| format!("{}: {}", level.url, level.why))
                    .collect::<Vec<_>>()
                    .join("; "),
                "the name, then each parent up to the host, is asked over https (discovery.md)",
                self.next(failed),
            ),
            Self::Setup(error) => error.refusal(),
            Self::Host { name } => refusal(
                "host-invalid",
                self,
                "a name that begins with a host: example.com/hello",
                name.host(),
                "the first segment of an image name is the host that is asked for it (discovery.md)",
                "check the name",
            ),
            Self::Platform(error) => refusal(
                "platform-invalid",
                self,
                "os and arch labels the spec lists together (aci.md)",
                error.to_string(),
                "os and arch that are not asked for are this machine's",
                "give both: NAME,os=…,arch=…",
            ),
        }
    }
}

/// The labels a template is rendered with: those asked for, and this machine's
/// `os` and `arch` where none were asked for.
pub(crate) fn with_platform(reference: &Reference) -> Result<Reference, ResolveError> {
    let (os, arch) = host_platform();
    let mut labels: Vec<Label> = reference.labels().clone().into();
    for (name, value) in [("os", os), ("arch", arch)] {
        if reference.labels().value(name).is_none() {
            let label = format!("{name}={value}").parse().map_err(ResolveError::Platform)?;
            labels.push(label);
        }
    }
    let labels = Labels::try_from(labels).map_err(ResolveError::Platform)?;
    Ok(Reference::new(reference.name().clone(), labels))
}

/// Finds where an image may be.
pub(crate) async fn images(
    http: &Http,
    route: &Route,
    reference: &Reference,
    limits: &Limits,
) -> Result<Found<Endpoint>, ResolveError> {
    let rendered = with_platform(reference)?;
    let insecure = http.insecure();
    let read = |tag: &MetaTag| endpoint(&Template::new(&tag.value), &rendered, insecure);
    walk(http, route, reference.name(), limits, "image", "ac-discovery", read).await
}

/// Finds where the keys for a name are published.
pub(crate) async fn keys(
    http: &Http,
    route: &Route,
    name: &Name,
    limits: &Limits,
) -> Result<Found<KeyLocation>, ResolveError> {
    let insecure = http.insecure();
    let read = |tag: &MetaTag| {
        let prefix = prefix_of(tag).ok_or_else(|| format!("{:?} is no name", tag.prefix))?;
        Ok(KeyLocation { prefix, url: usable_url(&tag.value, insecure.http_for(Purpose::Keys))? })
    };
    walk(http, route, name, limits, "keys", "ac-discovery-pubkeys", read).await
}

async fn walk<T>(
    http: &Http,
    route: &Route,
    name: &Name,
    limits: &Limits,
    what: &'static str,
    tag_name: &'static str,
    read: impl Fn(&MetaTag) -> Result<T, String>,
) -> Result<Found<T>, ResolveError> {
    let mut failed_levels = Vec::new();
    for level in name.ancestors() {
        let url = page_url(&level).ok_or_else(|| ResolveError::Host { name: name.clone() })?;
        let (url, page) = match page(http, route, url, limits, &mut failed_levels).await? {
            Some((url, bytes)) => (url, String::from_utf8_lossy(&bytes).into_owned()),
            None => continue,
        };
        match read_page(&page, name, tag_name, &read) {
            Ok(found) => return Ok(Found { page: url.into(), found, failed_levels }),
            Err(why) => failed_levels.push(FailedLevel { url: url.into(), why }),
        }
    }
    Err(ResolveError::NotFound { what, name: name.clone(), failed: failed_levels })
}

/// One page of the walk: over https, or else over http where the user gave that up.
async fn page(
    http: &Http,
    route: &Route,
    url: Url,
    limits: &Limits,
    failed: &mut Vec<FailedLevel>,
) -> Result<Option<(Url, Vec<u8>)>, ResolveError> {
    let plain = Url::parse(&url.as_str().replacen("https", "http", 1)).ok();
    let plain = plain.filter(|_| http.insecure().allow_http);
    for url in std::iter::once(url).chain(plain) {
        match http.document(Purpose::Files, route, &url, limits.page_bytes).await {
            Ok(bytes) => return Ok(Some((url, bytes))),
            Err(error) if matches!(error.kind(), Kind::Failed | Kind::Usage) => {
                return Err(ResolveError::Setup(error));
            }
            Err(error) => {
                failed.push(FailedLevel { url: url.into(), why: LevelFault::Http(error) });
            }
        }
    }
    Ok(None)
}

/// What can be used of the tags of one page that cover `name`; never empty.
fn read_page<T>(
    page: &str,
    name: &Name,
    tag_name: &'static str,
    read: impl Fn(&MetaTag) -> Result<T, String>,
) -> Result<Vec<T>, LevelFault> {
    let (mut found, mut reasons) = (Vec::new(), Vec::new());
    for tag in meta_tags(page) {
        let covers = prefix_of(&tag).is_some_and(|prefix| name.is_under(&prefix));
        if tag.name != tag_name || !covers {
            continue;
        }
        match read(&tag) {
            Ok(one) => found.push(one),
            Err(reason) => reasons.push(reason),
        }
    }
    match (found.is_empty(), reasons.is_empty()) {
        (false, _) => Ok(found),
        (true, true) => Err(LevelFault::NoTag(tag_name)),
        (true, false) => Err(LevelFault::Unusable(reasons)),
    }
}

/// `https://{name}?ac-discovery=1`, or `None` where the first segment is no host name.
fn page_url(name: &Name) -> Option<Url> {
    let url = Url::parse(&format!("https://{name}?ac-discovery=1")).ok()?;
    // The URL parser reads `1.2` as the address 1.0.0.2; nobody else would.
    (url.host_str() == Some(name.host())).then_some(url)
}

/// The prefix of a tag. Some pages end it with a slash.
fn prefix_of(tag: &MetaTag) -> Option<Name> {
    tag.prefix.strip_suffix('/').unwrap_or(&tag.prefix).parse().ok()
}

fn endpoint(
    template: &Template,
    reference: &Reference,
    insecure: Insecure,
) -> Result<Endpoint, String> {
    let url = |extension| {
        let text = template.render(reference, extension).map_err(|error| error.to_string())?;
        usable_url(&text, insecure.http_for(Purpose::Files))
    };
    let (image, signature) = (url(Extension::Image)?, url(Extension::Signature)?);
    if image == signature {
        return Err(format!("{template} has no {{ext}} to tell image and signature apart"));
    }
    Ok(Endpoint { image, signature })
}

fn usable_url(text: &str, http: bool) -> Result<Url, String> {
    let mut url = Url::parse(text).map_err(|error| format!("{text:?} is no URL: {error}"))?;
    let plain = http && url.scheme() == "http";
    if (url.scheme() != "https" && !plain) || url.host_str().is_none() {
        return Err(format!("{text} is not https"));
    }
    url.set_fragment(None);
    Ok(url)
}
