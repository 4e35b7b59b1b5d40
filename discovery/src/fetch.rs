//! Fetching: signature, image, verification and import in one pass.
//!
//! ```text
//! name → endpoints → signature → signer known and trusted for the name?
//!      → image ─┬→ signature digest ─┐
//!               ├→ inspection ───────┤→ name and labels as asked? → dependencies → store
//!               └→ staged file ──────┘
//! ```
//!
//! The signature comes first, so an image nobody trusted has signed is not even
//! downloaded. Of several endpoints the next one is tried when a server cannot
//! be reached, does not have the image or breaks off; never after a verification
//! failed or a body ended early, since that is news the user must hear.
//!
//! What the store has already is verified again, from its first byte to its last and
//! under today's trust, whenever a fetch says that it is the image asked for: a key may
//! have been revoked, and a disk may have rotted, since it came.
//!
//! An image enters the store after the images it needs, so what is there is complete.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use aci::manifest::Dependency;
use aci::{ImageId, Limits, Name, Reference};
use keys::{Keyring, Liveness, Policy, TrustError, TrustStore, VerifiedImage, Warning};
use url::Url;

use crate::Client;
use crate::explain::{self, Step};
use crate::http::{Document, Purpose};
use crate::observer::{Event, Observer, Silent};
use crate::resolve::{self, Endpoint};
use crate::route::Route;
use crate::store::{self, Imported, Incoming, Origin, Record, Remote, Store, StoreError, Wanted};

mod dependencies;
mod download;
mod error;
mod graph;
mod identity;
mod options;
mod pipe;
mod source;
mod withdrawn;

pub use error::{FetchError, Pinned, Suggestion};
use identity::Wish;
pub use identity::check_dependency;
pub use options::{FetchOptions, Pull, PullError};
pub(crate) use pipe::Watched;
pub use source::{SignatureSource, Source, SourceError, signature_path, signature_url};

/// Who is trusted, and by which clock.
#[derive(Debug, Clone)]
pub struct Trust {
    /// The keys and what each may sign.
    pub keyring: Arc<Keyring>,
    /// How signatures are judged.
    pub policy: Policy,
}

impl Trust {
    /// The keys of a trust store, judged as of `now`; and what was passed over in it.
    pub fn read(
        trusted: &TrustStore,
        now: SystemTime,
        limits: &Limits,
    ) -> Result<(Self, Vec<Warning>), TrustError> {
        let (keyring, warnings) = trusted.keyring(limits)?;
        let policy = Policy::new(now, Liveness::AtSigning);
        Ok((Self { keyring: Arc::new(keyring), policy }, warnings))
    }
}

/// What a fetch brought.
#[derive(Debug)]
pub struct Fetched {
    /// The image in the store.
    pub imported: Imported,
    /// What the verification said though the signature is good.
    pub warnings: Vec<String>,
    /// The images it needs, each once, those that are needed before those that need them.
    pub dependencies: Vec<Imported>,
}

impl Client {
    /// Fetches an image, verifies it and puts it into the store. Nothing enters the
    /// store before everything was checked. May be dropped at any point: the store is as it
    /// was, and what was downloaded is taken up by the next fetch.
    pub async fn fetch(
        &self,
        source: &Source,
        store: &Store,
        trust: &Trust,
    ) -> Result<Fetched, FetchError> {
        let silent: Arc<dyn Observer> = Arc::new(Silent);
        self.fetch_with(source, &FetchOptions::default(), store, trust, &silent).await
    }

    /// The same, as `options` say, telling `observer` what happens.
    pub async fn fetch_with(
        &self,
        source: &Source,
        options: &FetchOptions,
        store: &Store,
        trust: &Trust,
        observer: &Arc<dyn Observer>,
    ) -> Result<Fetched, FetchError> {
        let fetch = Fetch { client: self, store, trust, observer, options };
        let (signature, wish) = (options.signature.as_ref(), Wish::default());
        let top = match source {
            Source::Name(reference) => {
                let wish = Wish { reference: Some(reference.clone()), ..wish };
                fetch.in_time(fetch.by_name(reference, wish, signature)).await?
            }
            Source::Id(prefix) => {
                fetch.there(&store.find(&Wanted::Id(prefix.clone()))?, &wish).await?
            }
            Source::Url(url) => fetch.in_time(fetch.by_url(url, signature)).await?,
            Source::File(path) => fetch
                .in_file(path, signature)
                .await
                .map_err(|error| error.on_the_way(&path.display().to_string(), Vec::new()))?,
        };
        fetch.with_dependencies(top).await
    }
}

/// An image that passed every check: in the store, or about to enter it.
struct Arrival {
    image_id: ImageId,
    /// As a person names it.
    reference: Reference,
    dependencies: Vec<Dependency>,
    warnings: Vec<String>,
    state: State,
}

enum State {
    There(Record),
    /// It came, and is in the store.
    Done(Imported),
    Held(Box<Held>),
}

/// What is committed once all that the image needs is in the store.
struct Held {
    incoming: Incoming,
    verified: VerifiedImage,
    signature: Vec<u8>,
    origin: Origin,
    remote: Option<(Url, Remote)>,
}

struct Fetch<'a> {
    client: &'a Client,
    store: &'a Store,
    trust: &'a Trust,
    observer: &'a Arc<dyn Observer>,
    options: &'a FetchOptions,
}

/// One place that may have an image, and what the image has to be.
struct Place<'a> {
    route: &'a Route,
    endpoint: &'a Endpoint,
    wish: &'a Wish,
    signature: Option<&'a SignatureSource>,
}

impl Fetch<'_> {
    /// The limit on how long one image may take, where there is one.
    async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, FetchError>>,
    ) -> Result<T, FetchError> {
        match self.client.http.timeouts().total {
            None => work.await,
            Some(limit) => match tokio::time::timeout(limit, work).await {
                Ok(result) => result,
                Err(_) => Err(FetchError::TooSlow { limit }),
            },
        }
    }

    async fn by_name(
        &self,
        reference: &Reference,
        wish: Wish,
        signature: Option<&SignatureSource>,
    ) -> Result<Arrival, FetchError> {
        if let Some(id) = self.stored(reference, &wish)? {
            return self.there(&id, &wish).await;
        }
        if self.options.pull == Pull::Never {
            return Err(self.absent(reference.to_string()));
        }
        let route = self.client.route(reference.name());
        let limits = self.limits();
        let found = resolve::images(&self.client.http, &route, reference, limits).await?;
        let mut passed_over = Vec::new();
        for endpoint in &found.found {
            let place = Place { route: &route, endpoint, wish: &wish, signature };
            let way = || {
                let page = explain::page(&found.page, found.found.len());
                vec![Step::note(route.description()), page, endpoint_step(endpoint)]
            };
            match self.at_place(&place).await {
                // Another place of the same image may do better.
                Err(FetchError::Http(error)) if error.is_of_the_server() => {
                    self.observer.event(Event::PassedOver(&error.to_string()));
                    passed_over.push(error);
                }
                Err(error) => {
                    let error = error.on_the_way(&reference.to_string(), way());
                    return Err(self.with_suggestions(error, reference.name()).await);
                }
                Ok(arrival) => return Ok(arrival),
            }
        }
        Err(FetchError::NoEndpoint { reference: reference.clone(), passed_over })
    }

    /// The image of the store that makes it needless to ask for this one: the very image
    /// that was pinned, or, where the network is not wanted, the best of that name.
    fn stored(&self, reference: &Reference, wish: &Wish) -> Result<Option<ImageId>, FetchError> {
        if let Some(id) = &wish.image_id {
            return Ok(self.store.record(id)?.map(|record| record.image_id));
        }
        if self.options.pull == Pull::Update {
            return Ok(None);
        }
        let found = match self.store.find(&Wanted::Reference(reference.clone())) {
            Err(StoreError::Absent { .. }) => return Ok(None),
            other => other?,
        };
        // The best there is may still be for another machine, or of another size.
        let Some(image) = self.store.open_image(&found)? else { return Ok(None) };
        let fits = wish.check(image.manifest(), &found, image.record().file_bytes).is_ok();
        Ok(fits.then_some(found))
    }

    async fn by_url(
        &self,
        url: &Url,
        signature: Option<&SignatureSource>,
    ) -> Result<Arrival, FetchError> {
        let wish = Wish::default();
        if self.options.pull != Pull::Update
            && let Some(remote) = self.store.remembered(url)?
        {
            return self.there(&remote.image_id, &wish).await;
        }
        if self.options.pull == Pull::Never {
            return Err(self.absent(url.to_string()));
        }
        let route = self.client.route_of_url(url);
        let endpoint = Endpoint { image: url.clone(), signature: signature_url(url) };
        let place = Place { route: &route, endpoint: &endpoint, wish: &wish, signature };
        self.at_place(&place).await.map_err(|error| {
            let way = vec![Step::note(route.description()), endpoint_step(&endpoint)];
            error.on_the_way(url.as_str(), way)
        })
    }

    async fn at_place(&self, place: &Place<'_>) -> Result<Arrival, FetchError> {
        let remembered = self.store.remembered(&place.endpoint.image)?;
        // By another signature it would be another question.
        let remembered = remembered.filter(|_| place.signature.is_none());
        let now = self.trust.policy.now;
        if let Some(remote) = remembered.as_ref().filter(|remote| remote.is_fresh(now)) {
            return self.there(&remote.image_id, place.wish).await;
        }
        let signature = self.signature(place).await?;
        if let Some(signature) = &signature {
            self.check_signer(signature, place.wish.reference.as_ref().map(Reference::name))?;
        }
        self.download(place, remembered, signature).await
    }

    /// The signature, or `None` where the server has it later.
    async fn signature(&self, place: &Place<'_>) -> Result<Option<Vec<u8>>, FetchError> {
        let limit = self.limits().signature_bytes;
        let url = match place.signature {
            None => &place.endpoint.signature,
            Some(SignatureSource::Url(url)) => url,
            Some(SignatureSource::File(path)) => {
                let fail = |source| FetchError::File { path: path.clone(), source };
                return read_small(path, limit).map(Some).map_err(fail);
            }
        };
        self.observer.event(Event::Signature(url));
        let http = &self.client.http;
        let route =
            if place.signature.is_some() { &self.client.route_of_url(url) } else { place.route };
        match http.document_or_later(Purpose::Files, route, url, limit).await? {
            Document::Here(bytes) => Ok(Some(bytes)),
            Document::Deferred => Ok(None),
        }
    }

    async fn in_file(
        &self,
        path: &Path,
        signature: Option<&SignatureSource>,
    ) -> Result<Arrival, FetchError> {
        let read = |path: PathBuf| {
            move |source: io::Error| FetchError::File { path: path.clone(), source }
        };
        let signature = match signature {
            Some(SignatureSource::Url(url)) => {
                let (route, limit) = (self.client.route_of_url(url), self.limits().signature_bytes);
                self.observer.event(Event::Signature(url));
                self.client.http.document(Purpose::Files, &route, url, limit).await?
            }
            other => {
                let beside = signature_path(path);
                let from = match other {
                    Some(SignatureSource::File(path)) => path,
                    _ => &beside,
                };
                read_small(from, self.limits().signature_bytes).map_err(read(from.clone()))?
            }
        };
        self.check_signer(&signature, None)?;
        let file = File::open(path).map_err(read(path.to_owned()))?;
        let length = file.metadata().map_err(read(path.to_owned()))?.len();
        self.observer.event(Event::Started(Some(length)));
        let watched = pipe::Watched::new(file, Arc::clone(self.observer));
        let incoming = self.store.stage()?;
        let (incoming, verified) = self.receive(watched, incoming, signature.clone()).await?;
        self.observer.event(Event::Moved);
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let origin = Origin::File { path: path.display().to_string() };
        Ok(Arrival::held(Held { incoming, verified, signature, origin, remote: None }))
    }

    fn check_signer(&self, signature: &[u8], name: Option<&Name>) -> Result<(), FetchError> {
        let Trust { keyring, policy } = self.trust;
        keyring.check_signer(signature, name, policy, self.limits()).map_err(|error| {
            let signers = explain::signers(signature, name, self.trust, self.limits());
            let tree = explain::refused("the image", signers, name, self.trust, &error);
            let (reason, tree) = (Box::new(error), Some(Box::new(tree)));
            FetchError::Signer { reason, suggestions: Vec::new(), tree }
        })
    }

    /// An image of the store, verified again under today's trust: the whole file is read.
    async fn there(&self, id: &ImageId, wish: &Wish) -> Result<Arrival, FetchError> {
        let (store, trust) = (self.store.clone(), self.trust.clone());
        let (limits, id) = (self.limits().clone(), id.clone());
        let opened = tokio::task::spawn_blocking(move || {
            let good = store::verify(&store, &id, &trust, &limits)?;
            let warnings = good.warnings().to_vec();
            let gone = || StoreError::Absent { wanted: id.to_string(), similar: Vec::new() };
            Ok::<_, FetchError>((store.open_image(&id)?.ok_or_else(gone)?, warnings))
        });
        let (image, warnings) = opened.await.map_err(FetchError::Stopped)??;
        let record = image.record().clone();
        wish.check(image.manifest(), &record.image_id, record.file_bytes)?;
        Ok(Arrival {
            image_id: record.image_id.clone(),
            reference: record.reference(),
            dependencies: image.manifest().dependencies.clone(),
            warnings,
            state: State::There(record),
        })
    }

    /// Reads an image to its end on a thread of its own: verified, inspected, and
    /// written to where it is staged.
    async fn receive(
        &self,
        file: impl Read + Send + 'static,
        mut incoming: Incoming,
        signature: Vec<u8>,
    ) -> Result<(Incoming, VerifiedImage), FetchError> {
        let trust = self.trust.clone();
        let limits = self.limits().clone();
        tokio::task::spawn_blocking(move || {
            let Trust { keyring, policy } = &trust;
            let verified =
                incoming.receive(file, &signature, keyring, policy, &limits).map_err(|error| {
                    let tree = explain::not_received(
                        "the image",
                        &signature,
                        None,
                        &trust,
                        &limits,
                        &error,
                    );
                    FetchError::Image { reason: Box::new(error), tree }
                })?;
            Ok((incoming, verified))
        })
        .await
        .map_err(FetchError::Stopped)?
    }

    async fn import(&self, held: Held) -> Result<Imported, FetchError> {
        let (now, store) = (self.trust.policy.now, self.store.clone());
        tokio::task::spawn_blocking(move || {
            let Held { incoming, verified, signature, origin, remote } = held;
            let imported = incoming.commit(&verified, &signature, origin, now)?;
            if let Some((url, remote)) = remote {
                store.remember(&url, &remote)?;
            }
            Ok(imported)
        })
        .await
        .map_err(FetchError::Stopped)?
    }

    /// Where nobody trusted has signed, tells which keys the name's own domain publishes.
    async fn with_suggestions(&self, error: FetchError, name: &Name) -> FetchError {
        let FetchError::Signer { reason, tree, .. } = error else { return error };
        // The refusal stands either way; failing to learn more must not hide it.
        let published = self.client.published_keys(name).await.ok();
        let suggestions =
            published.map(|p| error::suggestions(name, &p, &reason)).unwrap_or_default();
        FetchError::Signer { reason, suggestions, tree }
    }

    fn absent(&self, wanted: String) -> FetchError {
        StoreError::Absent { wanted, similar: Vec::new() }.into()
    }

    fn limits(&self) -> &Limits {
        &self.client.limits
    }
}

impl Arrival {
    fn held(held: Held) -> Self {
        let inspected = held.verified.inspected();
        let manifest = inspected.manifest();
        Self {
            image_id: inspected.image_id().clone(),
            reference: Reference::new(manifest.name.clone(), manifest.labels.clone()),
            dependencies: manifest.dependencies.clone(),
            warnings: held.verified.warnings(),
            state: State::Held(Box::new(held)),
        }
    }
}

/// Where the image would be.
fn endpoint_step(endpoint: &Endpoint) -> Step {
    Step::yes(format!("the endpoint {}", endpoint.image))
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
