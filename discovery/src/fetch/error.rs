//! Why an image was not fetched.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use aci::{ImageId, Name, Reference, Refusal, Refuse};
use keys::{Fingerprint, ReceiveError, VerifyError};
use url::Url;

use crate::error::{Kind, printable, refusal};
use crate::explain::{self, Step};
use crate::http::HttpError;
use crate::published::Published;
use crate::resolve::ResolveError;
use crate::store::{Damage, StoreError};

/// A key the name's domain publishes, as something to trust after comparing it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suggestion {
    /// The name that was asked for. What a page says its keys are for may be far wider.
    pub prefix: Name,
    /// The key.
    pub fingerprint: Fingerprint,
    /// Whether it is the one that made the signature.
    pub signed: bool,
}

/// What the domain publishes, in view of a signature that was refused.
pub(super) fn suggestions(
    name: &Name,
    published: &Published,
    refused: &VerifyError,
) -> Vec<Suggestion> {
    let issuer = match refused {
        // A fingerprint, or the key ID it ends with.
        VerifyError::SignerNotTrusted { issuer, .. } => issuer.clone(),
        VerifyError::SignerWrongPrefix { by, .. } => by.key.to_string(),
        _ => return Vec::new(),
    };
    let mut all = Vec::new();
    for keys in &published.keys {
        for certificate in &keys.certificates {
            let mut own = certificate.subkey_fingerprints();
            own.push(*certificate.fingerprint());
            let suggestion = Suggestion {
                prefix: name.clone(),
                fingerprint: *certificate.fingerprint(),
                signed: !issuer.is_empty() && own.iter().any(|f| f.to_string().ends_with(&issuer)),
            };
            if !all.contains(&suggestion) {
                all.push(suggestion);
            }
        }
    }
    all
}

/// Why an image was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The name led nowhere.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// A request failed.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// None of the places a page names has the image.
    #[error("{reference} could not be fetched from any of {} places{}", .passed_over.len(), reason(.passed_over))]
    NoEndpoint {
        /// What was asked for.
        reference: Reference,
        /// Why each place was passed over.
        passed_over: Vec<HttpError>,
    },
    /// The signature cannot count, whatever the image is.
    #[error("{reason}")]
    Signer {
        /// Why.
        reason: Box<VerifyError>,
        /// Keys the name's domain publishes.
        suggestions: Vec<Suggestion>,
        /// What was decided, as `explain` says it.
        tree: Option<Box<Step>>,
    },
    /// The image or its signature is not acceptable, or could not be read or written.
    #[error("{reason}")]
    Image {
        /// Why.
        reason: Box<ReceiveError>,
        /// What was decided, as `explain` says it.
        tree: Option<Box<Step>>,
    },
    /// The download ended before the image did.
    #[error("the download of {url} ended after {found} bytes")]
    Truncated {
        /// Where the image was.
        url: Box<Url>,
        /// How many bytes the server had announced.
        wanted: Option<u64>,
        /// How many came.
        found: u64,
        /// What the HTTP library said.
        why: String,
    },
    /// The image has another name.
    #[error("the image that was served for {wanted} is called {found}")]
    NameMismatch {
        /// The name asked for.
        wanted: Name,
        /// The name in the image's manifest.
        found: Name,
    },
    /// The image has another label, or lacks one.
    #[error("the image that was served for {reference} has another label {label:?}")]
    LabelMismatch {
        /// What was asked for.
        reference: Box<Reference>,
        /// The label.
        label: String,
        /// The value asked for, or this machine's.
        wanted: String,
        /// The value in the image's manifest.
        found: Option<String>,
    },
    /// A file of this machine could not be read.
    #[error("cannot read {}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The image that needs it names another ID or size.
    #[error("the image that was served for {name} is not the one that is needed")]
    Pinned {
        /// The image's name.
        name: Name,
        /// What differs.
        pin: Pinned,
    },
    /// The server has the image later, or its signature even after the image.
    #[error("{url} answered that it has the {what} later")]
    Deferred {
        /// What was asked for.
        url: Box<Url>,
        /// The image, or its signature.
        what: &'static str,
    },
    /// It took longer than it may.
    #[error("the image took longer than {} seconds", .limit.as_secs_f64())]
    TooSlow {
        /// The limit.
        limit: Duration,
    },
    /// An image that another one needs.
    #[error("{}: {source}", .chain.join(" needs "))]
    Dependency {
        /// From the image that was asked for to the one that failed.
        chain: Vec<String>,
        /// Why it failed.
        source: Box<FetchError>,
    },
    /// Images that need each other.
    #[error("images need each other in a circle: {}", .cycle.join(" needs "))]
    Cycle {
        /// The circle; its first is also its last.
        cycle: Vec<String>,
    },
    /// One image needs another, and so on, for too long.
    #[error("{} is more than {limit} images deep", .chain.join(" needs "))]
    TooDeep {
        /// From the image that was asked for down.
        chain: Vec<String>,
        /// The limit.
        limit: usize,
    },
    /// Too many images are needed.
    #[error("more than {limit} images are needed; the next: {}", .chain.join(" needs "))]
    TooManyDependencies {
        /// From the image that was asked for to the first that is too many.
        chain: Vec<String>,
        /// The limit.
        limit: u64,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store has the image, but it does not pass any more.
    #[error(transparent)]
    Stored(#[from] Damage),
    /// The verifying thread died.
    #[error("the verification stopped: {0}")]
    Stopped(#[source] tokio::task::JoinError),
}

/// What an image that another one needs has otherwise than that one says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pinned {
    /// Its image ID.
    ImageId {
        /// The one needed.
        wanted: ImageId,
        /// The one served.
        found: ImageId,
    },
    /// The bytes of its file.
    Size {
        /// As many as are needed.
        wanted: u64,
        /// As many as the server announced, or as there were.
        found: Option<u64>,
    },
}

impl FetchError {
    /// What was decided on the way, where it is a matter of trust: `explain` in short.
    pub fn tree(&self) -> Option<&Step> {
        match self {
            Self::Signer { tree, .. } | Self::Image { tree, .. } => tree.as_deref(),
            Self::Dependency { source, .. } => source.tree(),
            Self::Stored(error) => error.tree(),
            _ => None,
        }
    }

    /// The same, with what the image was asked for as, and what was decided before.
    pub(super) fn on_the_way(mut self, subject: &str, mut way: Vec<Step>) -> Self {
        if let Self::Signer { tree, .. } | Self::Image { tree, .. } = &mut self
            && let Some(tree) = tree
        {
            way.append(&mut tree.steps);
            **tree = explain::verdict(subject, false, way);
        }
        self
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Resolve(error) => error.kind(),
            Self::Http(error) => error.kind(),
            Self::NoEndpoint { passed_over, .. } => {
                // What a server said counts more than one that could not be reached.
                let has = |kind| passed_over.iter().any(|error| error.kind() == kind);
                [Kind::NotFound, Kind::Server]
                    .into_iter()
                    .find(|k| has(*k))
                    .unwrap_or(Kind::Network)
            }
            Self::Image { reason, .. } => Kind::from(&**reason),
            Self::Signer { .. }
            | Self::Truncated { .. }
            | Self::Pinned { .. }
            | Self::Cycle { .. }
            | Self::TooDeep { .. }
            | Self::TooManyDependencies { .. }
            | Self::NameMismatch { .. }
            | Self::LabelMismatch { .. } => Kind::Refused,
            Self::File { source, .. } if source.kind() == io::ErrorKind::NotFound => Kind::NotFound,
            Self::File { .. } | Self::Stopped(_) => Kind::Failed,
            Self::Store(error) => error.kind(),
            Self::Stored(error) => error.kind(),
            Self::Dependency { source, .. } => source.kind(),
            Self::Deferred { .. } => Kind::Server,
            Self::TooSlow { .. } => Kind::Network,
        }
    }
}

impl Refuse for FetchError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Resolve(error) => error.refusal(),
            Self::Http(error) => error.refusal(),
            Self::Store(error) => error.refusal(),
            Self::Stored(error) => error.refusal(),
            Self::Dependency { source, .. } => {
                let mut refusal = source.refusal();
                refusal.message = printable(&self.to_string());
                refusal
            }
            Self::Pinned { pin, .. } => self.of_pin(pin),
            Self::Cycle { .. } | Self::TooDeep { .. } | Self::TooManyDependencies { .. } => {
                self.of_graph()
            }
            Self::Deferred { what, .. } => refusal(
                "deferred",
                self,
                format!("the {what}, with status 200"),
                "status 202",
                "a signature may be deferred until the image is there, once; an image may not",
                "try again later",
            ),
            Self::TooSlow { .. } => refusal(
                "too-slow",
                self,
                "the image in time",
                "a part of it",
                "--total-timeout and total-timeout limit how long one image may take",
                "give it more time, or try again: what has come is kept where the server lets \
                 downloads be resumed",
            ),
            Self::Image { reason, .. } => reason.refusal(),
            Self::Signer { reason, suggestions, .. } => signer_refusal(reason, suggestions),
            Self::NoEndpoint { reference, passed_over } => self.of_places(reference, passed_over),
            Self::Truncated { wanted, found, why, .. } => refusal(
                "download-truncated",
                self,
                wanted.map_or("the whole image".to_owned(), |wanted| format!("{wanted} bytes")),
                format!("{found} bytes ({why})"),
                "a download that ends early is no image",
                "try again",
            ),
            Self::NameMismatch { wanted, found } => refusal(
                "name-mismatch",
                self,
                format!("an image whose manifest says name {wanted}"),
                found.as_str(),
                "the name in the manifest must be the name asked for (discovery.md, \"Validation\")",
                format!("tell the owner of {}; or ask for {found} if you meant it", wanted.host()),
            ),
            Self::LabelMismatch { reference, label, wanted, found } => refusal(
                "label-mismatch",
                self,
                format!("{label}={wanted}"),
                found.as_ref().map_or_else(
                    || format!("no label {label}"),
                    |found| format!("{label}={found}"),
                ),
                "every label asked for must stand in the manifest with the same value (discovery.md, \
                 \"Validation\"); os and arch that are not asked for are this machine's",
                match (label.as_str(), wanted.as_str()) {
                    ("version", "latest") => {
                        "leave the version out: without one the newest is asked for; latest is \
                         a version like any other"
                            .to_owned()
                    }
                    _ => {
                        let host = reference.name().host();
                        format!("ask for what there is, or tell the owner of {host}")
                    }
                },
            ),
            Self::File { path, source } => refusal(
                "file-unreadable",
                self,
                format!("a readable file {}", path.display()),
                source.to_string(),
                "an image file lies beside its signature: app.aci and app.aci.asc",
                "check the path; sign an image with gantry sign",
            ),
            Self::Stopped(error) => refusal(
                "failed",
                self,
                "a verification that comes to an end",
                error.to_string(),
                "nothing enters the store that was not verified",
                "report this as a defect of gantry",
            ),
        }
    }
}

impl FetchError {
    fn of_places(&self, reference: &Reference, passed_over: &[HttpError]) -> Refusal {
        let mut refusal = match passed_over {
            [only] => only.refusal(),
            several => refusal(
                "no-endpoint",
                self,
                format!(
                    "the signature and the image of {reference} at one of the places its page names"
                ),
                several.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
                "the places a page names are tried in order until one has the image",
                match telling(several) {
                    Some(error) if is_plain_absence(error) => {
                        "check the version and labels, and try again later".to_owned()
                    }
                    Some(error) => error.refusal().next,
                    None => "try again later".to_owned(),
                },
            ),
        };
        // As other tools pin an image; here it is a version that nobody has published.
        let version = reference.labels().value("version").unwrap_or_default();
        if let Some((version, _)) = version.split_once("@sha512-") {
            refusal.next = printable(&format!(
                "ask for {}:{version} and compare the image ID that is printed: an ID stands \
                 by itself, and is looked for in the store",
                reference.name()
            ));
        }
        refusal
    }

    fn of_pin(&self, pin: &Pinned) -> Refusal {
        let (code, wanted, found) = match pin {
            Pinned::ImageId { wanted, found } => {
                ("image-id-mismatch", wanted.to_string(), found.to_string())
            }
            Pinned::Size { wanted, found } => {
                let found = found.map_or("more".to_owned(), |found| format!("{found} bytes"));
                ("size-mismatch", format!("a file of {wanted} bytes"), found)
            }
        };
        refusal(
            code,
            self,
            wanted,
            found,
            "the imageID and size that an image names for one it needs must be those of the image \
             that is served (aci.md, \"Dependency Matching\")",
            "ask the author of the image that needs it to build it against the newer one",
        )
    }

    fn of_graph(&self) -> Refusal {
        let (code, wanted, found) = match self {
            Self::Cycle { cycle } => {
                ("dependency-cycle", "images that can be put in order".to_owned(), cycle)
            }
            Self::TooDeep { chain, limit } => {
                ("dependency-depth", format!("at most {limit} images in a line"), chain)
            }
            Self::TooManyDependencies { chain, limit } => {
                ("dependency-count", format!("at most {limit} images"), chain)
            }
            _ => ("failed", String::new(), &Vec::new()),
        };
        refusal(
            code,
            self,
            wanted,
            found.join(" needs "),
            "an image, what it needs and what that needs have to come to an end",
            "tell the authors; --no-dependencies fetches the image alone",
        )
    }
}

fn signer_refusal(error: &VerifyError, suggestions: &[Suggestion]) -> Refusal {
    let mut refusal = error.refusal();
    if suggestions.is_empty() {
        return refusal;
    }
    let signed: Vec<_> = suggestions.iter().filter(|s| s.signed).collect();
    if signed.is_empty() {
        let published: Vec<_> = suggestions.iter().map(|s| s.fingerprint.to_string()).collect();
        refusal.next = format!(
            "do not trust this image: the name's own domain publishes other keys ({}); tell its owner",
            published.join(", ")
        );
        return refusal;
    }
    let commands: Vec<_> = signed
        .iter()
        .map(|s| format!("gantry trust add --prefix {} --fingerprint {}", s.prefix, s.fingerprint))
        .collect();
    refusal.next = format!(
        "the domain publishes this key; compare its fingerprint with what the author tells you by \
         another way, then: {} (or with a shorter prefix, for all that is below it)",
        commands.join(" or: ")
    );
    refusal
}

/// The answer that says most of why an image could not be had: that credentials are lacking, that
/// it is gone, or what a server says in words.
fn telling(passed_over: &[HttpError]) -> Option<&HttpError> {
    passed_over.iter().min_by_key(|error| match error.answer() {
        Some((401 | 403, _)) => 0,
        Some((410, _)) => 1,
        Some((_, Some(_))) => 2,
        Some((404, None)) => 4,
        _ => 3,
    })
}

/// Whether a server has said no more than that it has no such thing.
fn is_plain_absence(error: &HttpError) -> bool {
    matches!(error.answer(), Some((404 | 410, None)))
}

/// Why no place had the image, in a server's words, where there are any.
fn reason(passed_over: &[HttpError]) -> String {
    match telling(passed_over).and_then(HttpError::answer) {
        Some((_, Some(said))) => format!(": {}", said.message),
        _ => String::new(),
    }
}
