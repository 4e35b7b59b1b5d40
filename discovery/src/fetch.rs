//! Fetching: signature, image, verification and import in one pass.
//!
//! ```text
//! name → endpoints → signature → signer known and trusted for the name?
//!      → image ─┬→ signature digest ─┐
//!               ├→ inspection ───────┤→ name and labels as asked? → store
//!               └→ staged file ──────┘
//! ```
//!
//! The signature comes first, so an image nobody trusted has signed is not even
//! downloaded. Of several endpoints the next one is tried when a server cannot
//! be reached, does not have the image or breaks off; never after a verification
//! failed or a body ended early, since that is news the user must hear.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aci::{ImageManifest, Labels, Limits, Name, Reference, host_platform};
use keys::{Keyring, Policy, VerifiedImage};
use url::Url;

use crate::Client;
use crate::http::HttpError;
use crate::observer::{Event, Observer};
use crate::resolve::{self, Endpoint};
use crate::route::Route;
use crate::store::{Imported, Origin, Store};

mod error;
mod pipe;
mod source;

pub use error::{FetchError, Suggestion};
pub use source::{Source, SourceError};

/// Who is trusted, and by which clock.
#[derive(Debug, Clone)]
pub struct Trust {
    /// The keys and what each may sign.
    pub keyring: Arc<Keyring>,
    /// How signatures are judged.
    pub policy: Policy,
}

/// What a fetch brought.
#[derive(Debug)]
pub struct Fetched {
    /// The image in the store.
    pub imported: Imported,
    /// What the verification said though the signature is good.
    pub warnings: Vec<String>,
}

impl Client {
    /// Fetches an image, verifies it and puts it into the store. Nothing enters the
    /// store before everything was checked.
    pub async fn fetch(
        &self,
        source: &Source,
        store: &Store,
        trust: &Trust,
        observer: &Arc<dyn Observer>,
    ) -> Result<Fetched, FetchError> {
        let fetch = Fetch { client: self, store, trust, observer };
        match source {
            Source::Name(reference) => fetch.by_name(reference).await,
            Source::Url(url) => fetch.by_url(url).await,
            Source::File(path) => fetch.in_file(path).await,
        }
    }
}

struct Fetch<'a> {
    client: &'a Client,
    store: &'a Store,
    trust: &'a Trust,
    observer: &'a Arc<dyn Observer>,
}

impl Fetch<'_> {
    async fn by_name(&self, reference: &Reference) -> Result<Fetched, FetchError> {
        let route = self.client.route(reference.name());
        let limits = self.limits();
        let found = resolve::images(&self.client.http, &route, reference, limits).await?;
        let mut passed_over = Vec::new();
        for endpoint in &found.found {
            match self.at_endpoint(&route, endpoint, Some(reference)).await {
                // Another place of the same image may do better.
                Err(FetchError::Http(error)) if error.is_of_the_server() => {
                    self.observer.event(Event::PassedOver(&error.to_string()));
                    passed_over.push(error);
                }
                Err(error) => return Err(self.with_suggestions(error, reference.name()).await),
                Ok(fetched) => return Ok(fetched),
            }
        }
        Err(FetchError::NoEndpoint { reference: reference.clone(), passed_over })
    }

    async fn by_url(&self, url: &Url) -> Result<Fetched, FetchError> {
        let route = self.client.route_of_url(url);
        let mut signature = url.clone();
        signature.set_path(&format!("{}.asc", url.path()));
        let endpoint = Endpoint { image: url.clone(), signature };
        self.at_endpoint(&route, &endpoint, None).await
    }

    async fn at_endpoint(
        &self,
        route: &Route,
        endpoint: &Endpoint,
        asked: Option<&Reference>,
    ) -> Result<Fetched, FetchError> {
        self.observer.event(Event::Signature(&endpoint.signature));
        let http = &self.client.http;
        let limit = self.limits().signature_bytes;
        let signature = http.document(route, &endpoint.signature, limit).await?;
        self.check_signer(&signature, asked.map(Reference::name))?;

        let answer = http.get(route, &endpoint.image).await?;
        let (length, limit) = (answer.length(), self.limits().file_bytes);
        let url = answer.url().clone();
        if length.is_some_and(|length| length > limit) {
            return Err(HttpError::TooLarge { url: url.into(), limit }.into());
        }
        self.observer.event(Event::Started(length));
        let (sender, reader) = pipe::pipe();
        let receiving = self.receive(reader, signature.clone());
        let (moved, received) =
            tokio::join!(pipe::pump(answer, sender, limit, self.observer), receiving);
        // A download that broke off says more than what became of its first part.
        moved?;
        let (incoming, verified) = received?;
        self.observer.event(Event::Moved);
        if let Some(asked) = asked {
            check_identity(asked, verified.inspected().manifest())?;
        }
        let origin = match asked {
            Some(asked) => Origin::Discovery { reference: asked.to_string(), url: url.into() },
            None => Origin::Url { url: url.into() },
        };
        self.import(incoming, verified, signature, origin).await
    }

    async fn in_file(&self, path: &Path) -> Result<Fetched, FetchError> {
        let read = |path: PathBuf| {
            move |source: io::Error| FetchError::File { path: path.clone(), source }
        };
        let signature_path = signature_beside(path);
        let signature = read_small(&signature_path, self.limits().signature_bytes)
            .map_err(read(signature_path.clone()))?;
        self.check_signer(&signature, None)?;
        let file = File::open(path).map_err(read(path.to_owned()))?;
        let length = file.metadata().map_err(read(path.to_owned()))?.len();
        self.observer.event(Event::Started(Some(length)));
        let watched = pipe::Watched::new(file, Arc::clone(self.observer));
        let (incoming, verified) = self.receive(watched, signature.clone()).await?;
        self.observer.event(Event::Moved);
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let origin = Origin::File { path: path.display().to_string() };
        self.import(incoming, verified, signature, origin).await
    }

    fn check_signer(&self, signature: &[u8], name: Option<&Name>) -> Result<(), FetchError> {
        let Trust { keyring, policy } = self.trust;
        keyring.check_signer(signature, name, policy, self.limits()).map_err(|error| {
            FetchError::Signer { reason: Box::new(error), suggestions: Vec::new() }
        })
    }

    /// Reads an image to its end on a thread of its own: verified, inspected, and
    /// written to the store's staging folder.
    async fn receive(
        &self,
        file: impl Read + Send + 'static,
        signature: Vec<u8>,
    ) -> Result<(crate::store::Incoming, VerifiedImage), FetchError> {
        let mut incoming = self.store.stage()?;
        let trust = self.trust.clone();
        let limits = self.limits().clone();
        tokio::task::spawn_blocking(move || {
            let Trust { keyring, policy } = &trust;
            let verified = keys::receive(file, &mut incoming, &signature, keyring, policy, &limits)
                .map_err(|error| FetchError::Image(Box::new(error)))?;
            Ok((incoming, verified))
        })
        .await
        .map_err(FetchError::Stopped)?
    }

    async fn import(
        &self,
        incoming: crate::store::Incoming,
        verified: VerifiedImage,
        signature: Vec<u8>,
        origin: Origin,
    ) -> Result<Fetched, FetchError> {
        let warnings = verified.warnings();
        let now = self.trust.policy.now;
        let imported = tokio::task::spawn_blocking(move || {
            incoming.commit(&verified, &signature, origin, now)
        })
        .await
        .map_err(FetchError::Stopped)??;
        Ok(Fetched { imported, warnings })
    }

    /// Where nobody trusted has signed, tells which keys the name's own domain publishes.
    async fn with_suggestions(&self, error: FetchError, name: &Name) -> FetchError {
        let FetchError::Signer { reason, .. } = error else { return error };
        // The refusal stands either way; failing to learn more must not hide it.
        let published = self.client.published_keys(name).await.ok();
        let suggestions =
            published.map(|p| error::suggestions(name, &p, &reason)).unwrap_or_default();
        FetchError::Signer { reason, suggestions }
    }

    fn limits(&self) -> &Limits {
        &self.client.limits
    }
}

/// The image must be the one that was asked for (spec: discovery.md, "Validation"):
/// a server could answer with another image of the same author.
fn check_identity(asked: &Reference, manifest: &ImageManifest) -> Result<(), FetchError> {
    if *asked.name() != manifest.name {
        let (wanted, found) = (asked.name().clone(), manifest.name.clone());
        return Err(FetchError::NameMismatch { wanted, found });
    }
    let mismatch = |label: &str, wanted: &str, found: Option<&str>| FetchError::LabelMismatch {
        reference: asked.clone().into(),
        label: label.to_owned(),
        wanted: wanted.to_owned(),
        found: found.map(ToOwned::to_owned),
    };
    if let Some((label, found)) = asked.labels().first_mismatch(&manifest.labels) {
        return Err(mismatch(label.name.as_str(), &label.value, found));
    }
    let (os, arch) = host_platform();
    match platform_mismatch(asked.labels(), &manifest.labels, [("os", os), ("arch", arch)]) {
        Some((label, wanted, found)) => Err(mismatch(label, wanted, Some(found))),
        None => Ok(()),
    }
}

/// Labels that were not asked for stand for this machine's; an image without them is for any.
fn platform_mismatch<'a>(
    asked: &Labels,
    image: &'a Labels,
    host: [(&'static str, &'static str); 2],
) -> Option<(&'static str, &'static str, &'a str)> {
    host.into_iter().find_map(|(label, wanted)| {
        let found = image.value(label)?;
        (asked.value(label).is_none() && found != wanted).then_some((label, wanted, found))
    })
}

/// `app.aci.asc` for `app.aci`.
fn signature_beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".asc");
    name.into()
}

pub(crate) fn read_small(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is larger than {limit} bytes"),
        ));
    }
    Ok(bytes)
}
