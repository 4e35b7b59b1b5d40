//! One image over a network that breaks.
//!
//! ```text
//! first part on disk ──read──┐
//! answer ──▶ broke off? ask for the rest ──▶ pipe ──▶ verification ──▶ staged file
//! ```
//!
//! Within a process the verification stays where it is while the rest is asked for. Where
//! the server lets a file be known again (a strong ETag, or the time of its last change),
//! the bytes go to [`crate::store`]'s place for unfinished downloads, and a later process
//! reads them through the same verification before it asks for the rest. A file that has
//! changed, and an answer that does not go on where it was asked to, start over.

use std::fs::File;
use std::io::{self, Read, Write};

use aci::ImageId;
use jiff::Timestamp;
use reqwest::header::HeaderMap;
use url::Url;

use super::error::Pinned;
use super::pipe::{self, Sender};
use super::{Arrival, Fetch, FetchError, Held, Origin, Place};
use crate::error::Kind;
use crate::http::cache::{ContentRange, Validators, max_age_of};
use crate::http::{Answer, HttpError, Purpose};
use crate::observer::Event;
use crate::store::{Facts, Incoming, Partial, Remote};

/// A connection that moved so many bytes has shown that going on helps.
const PROGRESS: u64 = 16 << 10;

/// How often one image may start over because its file changed, or could not be resumed.
const STARTS: u32 = 5;

/// An image that moves.
struct Download {
    answer: Answer,
    facts: Facts,
    max_age: u64,
    /// Bytes of the file that have gone into the pipe, or lie before it.
    at: u64,
    /// Bytes of an earlier process at the beginning.
    left: u64,
    partial: Option<Partial>,
    limit: u64,
}

enum Begun {
    /// The file is still the one that is in the store.
    Same(HeaderMap),
    Moving(Box<Download>),
}

/// Why bytes no longer move, though not all have.
enum Stop {
    /// The rest of this file cannot be had.
    StartOver(FetchError),
    Error(FetchError),
}

impl From<HttpError> for Stop {
    fn from(error: HttpError) -> Self {
        Self::Error(error.into())
    }
}

impl Fetch<'_> {
    /// Fetches an image whose signature is here, or will be asked for afterwards.
    pub(super) async fn download(
        &self,
        place: &Place<'_>,
        remembered: Option<Remote>,
        mut signature: Option<Vec<u8>>,
    ) -> Result<Arrival, FetchError> {
        let (mut failures, mut start) = (0, 0);
        loop {
            start += 1;
            let mut download = match self.begin(place, remembered.as_ref()).await? {
                Begun::Same(headers) => return self.same(place, remembered, &headers).await,
                Begun::Moving(download) => download,
            };
            self.observer.event(Event::Started(download.facts.total));
            let left = download.left;
            let result = self.take(place, &mut download, &mut signature, &mut failures).await;
            self.observer.event(Event::Moved);
            let error = match result {
                Ok((incoming, verified, signature)) => {
                    let held = Held {
                        incoming,
                        origin: origin(place, download.answer.url()),
                        remote: self.remote(place, &download, verified.inspected().image_id()),
                        signature,
                        verified,
                    };
                    let mut arrival = Arrival::held(held);
                    return match check(place, &arrival) {
                        Ok(()) => {
                            let answer = (download.answer.url(), download.answer.headers());
                            self.warn(place, answer, &mut arrival).await;
                            Ok(arrival)
                        }
                        Err(error) => {
                            drop(arrival);
                            self.forget(place);
                            Err(error)
                        }
                    };
                }
                // What an earlier process left may have been damaged since.
                Err(Stop::Error(error @ FetchError::Image { .. }))
                    if left > 0 && start < STARTS =>
                {
                    error
                }
                Err(Stop::Error(error)) => {
                    let cut = matches!(error, FetchError::Truncated { .. });
                    if error.kind() == Kind::Refused && !cut {
                        self.forget(place);
                    }
                    return Err(error);
                }
                Err(Stop::StartOver(error)) if start >= STARTS => {
                    self.forget(place);
                    return Err(error);
                }
                Err(Stop::StartOver(error)) => error,
            };
            self.forget(place);
            self.observer.event(Event::PassedOver(&format!("{error}; starting over")));
        }
    }

    /// Asks for the image: only if it changed, and only for what is not here yet.
    async fn begin(
        &self,
        place: &Place<'_>,
        remembered: Option<&Remote>,
    ) -> Result<Begun, FetchError> {
        let (url, now) = (&place.endpoint.image, self.trust.policy.now);
        let mut partial = self.store.partial(url, now)?;
        loop {
            let left = partial.as_ref().and_then(Partial::left);
            let left = left.map(|(length, facts)| (length, facts.clone()));
            let mut headers = HeaderMap::new();
            if let Some(remote) = remembered {
                remote.validators.ask_if_changed(&mut headers);
            }
            if let Some((length, facts)) = &left {
                facts.validators.ask_for_rest(*length, &mut headers);
            }
            let http = &self.client.http;
            let answer = http.ask_patiently(Purpose::Files, place.route, url, &headers).await?;
            match (answer.status(), left) {
                (304, _) if remembered.is_some() => {
                    return Ok(Begun::Same(answer.headers().clone()));
                }
                (200, _) => return self.begin_anew(place, answer, partial).map(Begun::Moving),
                (206, Some((length, facts))) if continues(&answer, length, &facts) => {
                    self.observer.event(Event::Resumed(length));
                    let limit = self.limit(place, facts.total, &answer)?;
                    let max_age = max_age_of(answer.headers());
                    let (at, left) = (length, length);
                    let moving = Download { answer, facts, max_age, at, left, partial, limit };
                    return Ok(Begun::Moving(Box::new(moving)));
                }
                // The rest is not there, or is another file's: all of it is asked for.
                (206 | 416, Some(_)) => partial.iter_mut().for_each(Partial::discard),
                (202, _) => {
                    let url = answer.url().clone().into();
                    return Err(FetchError::Deferred { url, what: "image" });
                }
                _ => return Err(answer.refused().await.into()),
            }
        }
    }

    fn begin_anew(
        &self,
        place: &Place<'_>,
        answer: Answer,
        mut partial: Option<Partial>,
    ) -> Result<Box<Download>, FetchError> {
        let facts = Facts {
            url: place.endpoint.image.to_string(),
            validators: Validators::of(answer.headers()),
            total: answer.length(),
        };
        let limit = self.limit(place, facts.total, &answer)?;
        // A file that cannot be known again cannot be taken up again.
        let known = facts.validators.for_range().is_some();
        let kept = match &mut partial {
            Some(place) if known => place.begin(facts.clone())?,
            _ => false,
        };
        if !kept {
            partial.iter_mut().for_each(Partial::discard);
            partial = None;
        }
        let max_age = max_age_of(answer.headers());
        Ok(Box::new(Download { answer, facts, max_age, at: 0, left: 0, partial, limit }))
    }

    /// How many bytes may come. What is announced beyond that is not even begun.
    fn limit(
        &self,
        place: &Place<'_>,
        total: Option<u64>,
        answer: &Answer,
    ) -> Result<u64, FetchError> {
        let limit = self.limits().file_bytes;
        match (place.wish.size, total) {
            (Some(wanted), Some(found)) if wanted != found => {
                let name = place.wish.reference.as_ref().map(|asked| asked.name().clone());
                let pin = Pinned::Size { wanted, found: Some(found) };
                match name {
                    Some(name) => Err(FetchError::Pinned { name, pin }),
                    None => Ok(limit),
                }
            }
            (_, Some(total)) if total > limit => {
                Err(HttpError::TooLarge { url: answer.url().clone().into(), limit }.into())
            }
            _ => Ok(limit.min(place.wish.size.unwrap_or(limit))),
        }
    }

    /// Moves the bytes through the verification.
    async fn take(
        &self,
        place: &Place<'_>,
        download: &mut Download,
        signature: &mut Option<Vec<u8>>,
        failures: &mut u32,
    ) -> Result<(Incoming, keys::VerifiedImage, Vec<u8>), Stop> {
        let left = download.left;
        let incoming = match download.partial.take() {
            Some(partial) => self.store.stage_partial(partial, left),
            None => self.store.stage(),
        };
        let incoming = incoming.map_err(|error| Stop::Error(error.into()))?;
        let beginning = (left > 0).then(|| File::open(incoming.path())).transpose();
        let path = incoming.path();
        let beginning =
            beginning.map_err(|source| Stop::Error(FetchError::File { path, source }))?;
        self.observer.event(Event::Advanced(left));
        let (sender, reader) = pipe::pipe();
        let file = beginning.map(|file| file.take(left));
        let file = OptionalRead(file).chain(reader);
        if let Some(signature) = signature.clone() {
            let receiving = self.receive(file, incoming, signature.clone());
            let (moved, received) =
                tokio::join!(self.pump(place, download, sender, failures), receiving);
            // A download that broke off says more than what became of its first part.
            moved?;
            let (incoming, verified) = received.map_err(Stop::Error)?;
            return Ok((incoming, verified, signature));
        }
        let spooling = spool(file, incoming);
        let (moved, spooled) = tokio::join!(self.pump(place, download, sender, failures), spooling);
        moved?;
        let mut incoming = spooled.map_err(Stop::Error)?;
        let late = self.signature(place).await.map_err(Stop::Error)?;
        let Some(late) = late else {
            let url = place.endpoint.signature.clone().into();
            return Err(Stop::Error(FetchError::Deferred { url, what: "signature" }));
        };
        let name = place.wish.reference.as_ref().map(aci::Reference::name);
        self.check_signer(&late, name).map_err(Stop::Error)?;
        *signature = Some(late.clone());
        let path = incoming.path();
        let file =
            File::open(&path).map_err(|source| Stop::Error(FetchError::File { path, source }))?;
        incoming.rewind(u64::MAX);
        let received = self.receive(file, incoming, late.clone()).await;
        let (incoming, verified) = received.map_err(Stop::Error)?;
        Ok((incoming, verified, late))
    }

    /// Moves a body into the pipe, and the rest of it whenever it breaks off. A body that
    /// breaks off is never taken for one that ended: the reader gets an error, and so does
    /// the caller.
    async fn pump(
        &self,
        place: &Place<'_>,
        download: &mut Download,
        sender: Sender,
        failures: &mut u32,
    ) -> Result<(), Stop> {
        let result = self.pump_to(place, download, &sender, failures).await;
        if result.is_err() {
            pipe::break_off(sender).await;
        }
        result
    }

    async fn pump_to(
        &self,
        place: &Place<'_>,
        download: &mut Download,
        sender: &Sender,
        failures: &mut u32,
    ) -> Result<(), Stop> {
        let mut since = download.at;
        loop {
            let error = match download.answer.chunk().await {
                Ok(None) if download.facts.total.is_none_or(|total| total == download.at) => {
                    return Ok(());
                }
                Ok(None) => HttpError::EndedEarly {
                    url: download.answer.url().clone().into(),
                    why: "the connection was closed".to_owned(),
                },
                Ok(Some(chunk)) => {
                    let length = chunk.len() as u64;
                    download.at += length;
                    if download.at > download.limit {
                        let (url, limit) = (download.answer.url().clone().into(), download.limit);
                        return Err(HttpError::TooLarge { url, limit }.into());
                    }
                    self.client.http.rate().take(length).await;
                    if sender.send(Ok(chunk)).await.is_err() {
                        // The verification has seen enough; it says why.
                        return Ok(());
                    }
                    self.observer.event(Event::Advanced(length));
                    continue;
                }
                Err(error) if error.may_get_better() => error,
                Err(error) => return Err(error.into()),
            };
            if download.at - since >= PROGRESS {
                *failures = 0;
            }
            since = download.at;
            self.go_on(place, download, error, failures).await?;
        }
    }

    /// Asks for the rest of a file whose download broke off, for as long as that may help.
    async fn go_on(
        &self,
        place: &Place<'_>,
        download: &mut Download,
        mut error: HttpError,
        failures: &mut u32,
    ) -> Result<(), Stop> {
        let retries = self.client.http.retries();
        loop {
            if *failures >= retries.count {
                return Err(Stop::Error(download.broke_off(error)));
            }
            let pause = retries.length(*failures, error.retry_after());
            self.observer.event(Event::Again(download.at, &error.to_string(), pause));
            retries.let_pass(pause).await;
            *failures += 1;
            if download.facts.validators.for_range().is_none() {
                return Err(Stop::StartOver(download.broke_off(error)));
            }
            let mut headers = HeaderMap::new();
            download.facts.validators.ask_for_rest(download.at, &mut headers);
            let (http, url) = (&self.client.http, &place.endpoint.image);
            let answer = match http.ask(Purpose::Files, place.route, url, &headers).await {
                Ok(answer) => answer.unless_busy().await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(answer) if continues(&answer, download.at, &download.facts) => {
                    download.answer = answer;
                    return Ok(());
                }
                Ok(answer) if matches!(answer.status(), 200 | 206 | 416) => {
                    return Err(Stop::StartOver(download.broke_off(error)));
                }
                Ok(answer) => return Err(answer.refused().await.into()),
                Err(next) if next.may_get_better() || !next.was_answered() => error = next,
                Err(next) => return Err(next.into()),
            }
        }
    }

    /// The server says that nothing has changed: the store's image is the one, if it still
    /// passes.
    async fn same(
        &self,
        place: &Place<'_>,
        remembered: Option<Remote>,
        headers: &HeaderMap,
    ) -> Result<Arrival, FetchError> {
        let Some(mut remote) = remembered else {
            let url = place.endpoint.image.clone();
            return Err(HttpError::status(&url, 304, None).into());
        };
        let mut arrival = self.there(&remote.image_id, place.wish).await?;
        self.warn(place, (&place.endpoint.image, headers), &mut arrival).await;
        remote.max_age = max_age_of(headers);
        if let Some(now) = self.now() {
            remote.asked_at = now;
        }
        self.store.remember(&place.endpoint.image, &remote)?;
        Ok(arrival)
    }

    /// Adds what the image's author says of it since.
    async fn warn(&self, place: &Place<'_>, answer: (&Url, &HeaderMap), arrival: &mut Arrival) {
        let (name, id) = (arrival.reference.name(), &arrival.image_id);
        let warning = self.withdrawn(place, answer, name, id).await;
        arrival.warnings.extend(warning);
    }

    fn remote(
        &self,
        place: &Place<'_>,
        download: &Download,
        image_id: &ImageId,
    ) -> Option<(Url, Remote)> {
        let endpoint = place.endpoint;
        let remote = Remote {
            image_url: endpoint.image.to_string(),
            signature_url: endpoint.signature.to_string(),
            validators: download.facts.validators.clone(),
            max_age: download.max_age,
            asked_at: self.now()?,
            image_id: image_id.clone(),
        };
        Some((endpoint.image.clone(), remote))
    }

    fn now(&self) -> Option<Timestamp> {
        Timestamp::try_from(self.trust.policy.now).ok()
    }

    /// Removes what has come of an image that is refused, or starts over.
    fn forget(&self, place: &Place<'_>) {
        let partial = self.store.partial(&place.endpoint.image, self.trust.policy.now);
        if let Ok(Some(mut partial)) = partial {
            partial.discard();
        }
    }
}

impl Download {
    /// What to say of a download that did not come to its end.
    fn broke_off(&self, error: HttpError) -> FetchError {
        match error {
            HttpError::EndedEarly { url, why } => {
                FetchError::Truncated { url, wanted: self.facts.total, found: self.at, why }
            }
            error => error.into(),
        }
    }
}

/// Whether an answer is the rest of the very file whose first part is here.
fn continues(answer: &Answer, from: u64, facts: &Facts) -> bool {
    let range = ContentRange::of(answer.headers());
    let same = !facts.validators.contradicts(&Validators::of(answer.headers()));
    answer.status() == 206 && same && range.is_some_and(|range| range.is_rest(from, facts.total))
}

fn check(place: &Place<'_>, arrival: &Arrival) -> Result<(), FetchError> {
    let super::State::Held(held) = &arrival.state else { return Ok(()) };
    let inspected = held.verified.inspected();
    place.wish.check(inspected.manifest(), inspected.image_id(), inspected.file_bytes())
}

fn origin(place: &Place<'_>, url: &Url) -> Origin {
    let url = url.clone().into();
    match &place.wish.reference {
        Some(asked) => Origin::Discovery { reference: asked.to_string(), url },
        None => Origin::Url { url },
    }
}

/// Writes down an image whose signature is not here yet. Nothing is made of it before.
async fn spool(
    mut file: impl Read + Send + 'static,
    mut incoming: Incoming,
) -> Result<Incoming, FetchError> {
    tokio::task::spawn_blocking(move || {
        let path = incoming.path();
        let copied = io::copy(&mut file, &mut incoming).and_then(|_| incoming.flush());
        copied.map_err(|source| FetchError::File { path, source })?;
        Ok(incoming)
    })
    .await
    .map_err(FetchError::Stopped)?
}

/// What there is to read, or nothing.
struct OptionalRead<R>(Option<R>);

impl<R: Read> Read for OptionalRead<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.as_mut().map_or(Ok(0), |inner| inner.read(buffer))
    }
}
