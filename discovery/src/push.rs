//! Pushing images to a registry (wire types and order: `aci::push`).
//!
//! An image is read and checked here first, so a broken one is refused before a
//! byte is sent. Then the signature goes, so that a signer the registry does not
//! accept is refused before the image is sent; then the image, in one stream.
//! Where that breaks off, the registry is asked what it holds, and the rest is sent in ranges
//! (`push/deliver.rs`): nothing has to be kept here for that, so it is the same for a push that was
//! killed and is run again. Redirects are not followed: a token is for one server.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use aci::Name;
use aci::archive::{self, InspectedImage};
use aci::push::{CommitOne, GROUP_IMAGES, Pushed};
use reqwest::header::HeaderValue;
use url::Url;

use crate::Client;
use crate::fetch::read_small;
use crate::http::HttpError;
use crate::observer::{Event, Observer};

mod admin;
mod deliver;
mod error;
mod meter;
mod server;
mod withdraw;

pub use admin::{Administered, Verb};
use deliver::{Delivered, Delivery, Patience};
pub use error::{PushError, TokenError};
use meter::Meter;
use server::Server;
pub use withdraw::Published;

/// A bearer token. Shown to nobody but its registry.
#[derive(Clone)]
pub struct Token(HeaderValue);

impl std::str::FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(TokenError);
        }
        let mut value = HeaderValue::try_from(format!("Bearer {text}")).map_err(|_| TokenError)?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// What to push, and where.
#[derive(Debug, Clone, Copy)]
pub struct Push<'a> {
    /// The image file.
    pub image: &'a Path,
    /// Its detached signature, armored.
    pub signature: &'a Path,
    /// The registry's base URL; where none is given, `https://` and the host of the image's name.
    pub registry: Option<&'a Url>,
    /// Who is pushing.
    pub token: &'a Token,
}

/// What a push did.
#[derive(Debug)]
pub struct Done {
    /// What the registry holds now.
    pub pushed: Pushed,
    /// The registry's base URL.
    pub registry: Url,
}

/// An image that was read here, and where it goes.
struct Ready<'a> {
    path: &'a Path,
    signature: String,
    image: InspectedImage,
    registry: Url,
    token: &'a Token,
}

impl Client {
    /// Pushes an image.
    pub async fn push(
        &self,
        push: Push<'_>,
        observer: &Arc<dyn Observer>,
    ) -> Result<Done, PushError> {
        let ready = self.ready(push).await?;
        let work = async {
            let mut patience = Patience::new(self);
            let mut delivery = self.delivery(&ready, observer, true);
            match delivery.deliver(&mut patience).await? {
                Delivered::Published(pushed) => Ok(pushed),
                // Only where it was told to leave that to somebody else.
                Delivered::Held(_) => {
                    Err(PushError::answer(&ready.registry, "no image was published"))
                }
            }
        };
        let pushed = self.in_time(&ready.registry, work).await?;
        ready.done(pushed)
    }

    /// Pushes several images to one registry: all become visible there together, or none.
    pub async fn push_together(
        &self,
        pushes: &[Push<'_>],
        observer: &Arc<dyn Observer>,
    ) -> Result<Vec<Done>, PushError> {
        if pushes.len() > GROUP_IMAGES {
            return Err(PushError::TooMany { most: GROUP_IMAGES, found: pushes.len() });
        }
        let mut all: Vec<Ready<'_>> = Vec::new();
        for push in pushes {
            let ready = self.ready(*push).await.map_err(PushError::of(push.image))?;
            if let Some(first) = all.first().filter(|first| first.registry != ready.registry) {
                let (first, other) = (first.registry.clone().into(), ready.registry.into());
                return Err(PushError::Apart { first, other });
            }
            all.push(ready);
        }
        let Some(first) = all.first() else { return Ok(Vec::new()) };
        let images = self.in_time(&first.registry, self.deliver_all(&all, observer)).await?;
        if images.len() != all.len() {
            return Err(PushError::answer(&first.registry, "it lists other images than were sent"));
        }
        all.iter().zip(images).map(|(ready, pushed)| ready.done(pushed)).collect()
    }

    /// Sends images one after the other, then commits them. What breaks off on the way goes on where
    /// it was: to ask again what is held costs little.
    async fn deliver_all(
        &self,
        all: &[Ready<'_>],
        observer: &Arc<dyn Observer>,
    ) -> Result<Vec<Pushed>, PushError> {
        let mut patience = Patience::new(self);
        let mut deliveries: Vec<Delivery<'_>> =
            all.iter().map(|ready| self.delivery(ready, observer, false)).collect();
        loop {
            let mut uploads = Vec::new();
            for (delivery, ready) in deliveries.iter_mut().zip(all) {
                let delivered = delivery.deliver(&mut patience).await;
                let id = match delivered.map_err(PushError::of(ready.path))? {
                    Delivered::Held(id) => id,
                    Delivered::Published(_) => return Err(PushError::NotTogether),
                };
                let file_digest = ready.image.file_digest().clone();
                let image_id = Some(ready.image.image_id().clone());
                uploads.push(CommitOne { id, file_digest, image_id });
            }
            let Some(first) = all.first() else { return Ok(Vec::new()) };
            let server = self.server(first);
            let ids: Vec<String> = uploads.iter().map(|one| one.id.clone()).collect();
            let error = match server.commit_group(uploads).await {
                Ok(images) => return Ok(images),
                Err(error) => error,
            };
            // All of every image is there.
            let all_bytes = all.iter().map(|ready| ready.image.file_bytes()).sum();
            let says = |error: &PushError, pause| {
                observer.event(Event::Again(all_bytes, &error.to_string(), pause));
            };
            if error.upload_changed() {
                patience.after_change(error, says).await?;
                continue;
            }
            if error.no_ranges() {
                return Err(PushError::NotTogether);
            }
            let refused = error.refused_upload().and_then(|id| ids.iter().position(|of| of == id));
            let error = match refused {
                Some(at) => PushError::of(all[at].path)(error),
                None => error,
            };
            patience.after(error, says).await?;
        }
    }

    fn delivery<'a>(
        &'a self,
        ready: &'a Ready<'a>,
        observer: &Arc<dyn Observer>,
        publish: bool,
    ) -> Delivery<'a> {
        let meter = Meter::new(Arc::clone(observer), ready.image.file_bytes());
        Delivery::new(self.server(ready), ready, meter, publish)
    }

    fn server<'a>(&'a self, ready: &'a Ready<'a>) -> Server<'a> {
        Server {
            client: self,
            route: self.route(&ready.image.manifest().name),
            registry: &ready.registry,
            token: ready.token,
        }
    }

    /// Reads and checks an image and its signature before anything is sent.
    async fn ready<'a>(&self, push: Push<'a>) -> Result<Ready<'a>, PushError> {
        // Before the signature, which is absent where the image is, and named after it.
        regular(push.image)?;
        let signature = read_small(push.signature, self.limits.signature_bytes)
            .map_err(PushError::file(push.signature))?;
        let signature = String::from_utf8(signature)
            .map_err(|_| PushError::NotArmored { path: push.signature.to_owned() })?;
        let image = self.inspect(push.image).await?;
        let name = &image.manifest().name;
        let registry = self.registry_of(push.registry, name)?;
        Ok(Ready { path: push.image, signature, image, registry, token: push.token })
    }

    async fn inspect(&self, path: &Path) -> Result<InspectedImage, PushError> {
        let file = std::fs::File::open(path).map_err(PushError::file(path))?;
        let limits = self.limits.clone();
        tokio::task::spawn_blocking(move || archive::inspect(file, &limits))
            .await
            .map_err(PushError::Stopped)?
            .map_err(|source| PushError::Image { path: path.to_owned(), source: Box::new(source) })
    }

    /// The registry of a name, where no other is given.
    fn registry_of(&self, given: Option<&Url>, name: &Name) -> Result<Url, PushError> {
        match given {
            Some(url) => self.base(url),
            None => {
                let url = Url::parse(&format!("https://{}/", name.host()))
                    .map_err(|_| PushError::Host { name: name.clone() })?;
                self.base(&url)
            }
        }
    }

    /// A registry's base URL, its path ending in a slash. A token goes there: only over TLS with a
    /// checked certificate, whatever was given up for other requests, or who answers in the
    /// registry's place would have it.
    fn base(&self, url: &Url) -> Result<Url, PushError> {
        if !url.username().is_empty() || url.password().is_some() {
            let host = url.host_str().unwrap_or_default().to_owned();
            return Err(HttpError::Credentials { host }.into());
        }
        if url.scheme() != "https" {
            return Err(PushError::NotHttps { registry: url.clone().into() });
        }
        if self.http.insecure().skip_tls_verify {
            return Err(PushError::Unchecked { registry: url.clone().into() });
        }
        let mut base = url.clone();
        base.set_query(None);
        base.set_fragment(None);
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", url.path()));
        }
        Ok(base)
    }

    /// Gives up what takes longer than somebody set.
    async fn in_time<T>(
        &self,
        registry: &Url,
        work: impl Future<Output = Result<T, PushError>>,
    ) -> Result<T, PushError> {
        let Some(total) = self.http.timeouts().total else { return work.await };
        match tokio::time::timeout(total, work).await {
            Ok(done) => done,
            Err(_) => Err(HttpError::Timeout { url: registry.clone().into() }.into()),
        }
    }
}

impl Ready<'_> {
    /// What was done, where the registry took what was sent.
    fn done(&self, pushed: Pushed) -> Result<Done, PushError> {
        if pushed.image_id != *self.image.image_id() {
            let (wanted, found) = (self.image.image_id().clone(), pushed.image_id);
            return Err(PushError::OtherImage { wanted, found });
        }
        Ok(Done { pushed, registry: self.registry.clone() })
    }
}

/// A pipe would keep who opens it waiting, and could not be read a second time.
fn regular(path: &Path) -> Result<(), PushError> {
    let metadata = std::fs::metadata(path).map_err(PushError::file(path))?;
    if metadata.is_file() {
        Ok(())
    } else {
        Err(PushError::NoRegularFile { path: path.to_owned() })
    }
}
