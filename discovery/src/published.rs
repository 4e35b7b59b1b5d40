//! The keys a domain publishes for its names.
//!
//! What is found here is an offer, not a proof: whoever controls the host (or the
//! mirror that is asked in its place) chooses these keys. A key is trusted only
//! once a person, or a script that was given the fingerprint, says so.

use aci::{Limits, Name, Refusal, Refuse};
use keys::{Certificate, Fingerprint, KeyError};
use url::Url;

use crate::error::{Kind, refusal};
use crate::http::{Http, HttpError, Purpose};
use crate::resolve::{self, KeyLocation, ResolveError};
use crate::route::Route;

/// Keys from one place.
#[derive(Debug)]
pub struct PublishedKeys {
    /// Where they were, and for which names they are offered.
    pub location: KeyLocation,
    /// The keys.
    pub certificates: Vec<Certificate>,
}

/// Everything a name's domain offers.
#[derive(Debug)]
pub struct Published {
    /// The keys, in the page's order.
    pub keys: Vec<PublishedKeys>,
    /// Places the page names that gave none.
    pub failed: Vec<(KeyLocation, PublishedError)>,
}

/// Why a place gave no keys.
#[derive(Debug, thiserror::Error)]
pub enum PublishedError {
    /// The name leads to no keys.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The file could not be fetched.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The file holds no usable key.
    #[error("{url}: {source}")]
    Key {
        /// Where the file was.
        url: Box<Url>,
        /// What is wrong with it.
        #[source]
        source: KeyError,
    },
}

impl PublishedError {
    /// What kind of failure it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Resolve(error) => error.kind(),
            Self::Http(error) => error.kind(),
            Self::Key { .. } => Kind::Refused,
        }
    }
}

impl Refuse for PublishedError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Resolve(error) => error.refusal(),
            Self::Http(error) => error.refusal(),
            Self::Key { url, source } => refusal(
                "key-unusable",
                self,
                "OpenPGP public keys of version 4, armored or binary",
                source.to_string(),
                format!("keys are published as a file of public keys (discovery.md): {url}"),
                "tell the domain's owner; a key from the author can be given as a FILE",
            ),
        }
    }
}

impl Published {
    /// All keys that are offered, in the page's order.
    pub fn into_certificates(self) -> Vec<Certificate> {
        self.keys.into_iter().flat_map(|keys| keys.certificates).collect()
    }

    /// The fingerprints offered, each once.
    pub fn fingerprints(&self) -> Vec<Fingerprint> {
        let mut all = Vec::new();
        for certificate in self.keys.iter().flat_map(|keys| &keys.certificates) {
            if !all.contains(certificate.fingerprint()) {
                all.push(*certificate.fingerprint());
            }
        }
        all
    }
}

/// The keys published for `name`. One place that fails does not hide another;
/// where all fail, the first failure is the error.
pub(crate) async fn of_name(
    http: &Http,
    route: &Route,
    name: &Name,
    limits: &Limits,
) -> Result<Published, PublishedError> {
    let locations = resolve::keys(http, route, name, limits).await?.found;
    let mut published = Published { keys: Vec::new(), failed: Vec::new() };
    for location in locations {
        match at(http, route, &location.url, limits).await {
            Ok(certificates) => published.keys.push(PublishedKeys { location, certificates }),
            Err(error) => published.failed.push((location, error)),
        }
    }
    if published.keys.is_empty() && !published.failed.is_empty() {
        return Err(published.failed.swap_remove(0).1);
    }
    Ok(published)
}

/// The keys at one URL.
pub(crate) async fn at(
    http: &Http,
    route: &Route,
    url: &Url,
    limits: &Limits,
) -> Result<Vec<Certificate>, PublishedError> {
    let bytes = http.document(Purpose::Keys, route, url, limits.key_bytes).await?;
    Certificate::read_all(&bytes, limits)
        .map_err(|source| PublishedError::Key { url: url.clone().into(), source })
}
