//! One image on its way to a registry, over connections that break.
//!
//! ```text
//! open ──▶ nothing is held: one stream ──▶ published
//!   │                        └─ broke off ─▶ look ──▶ ranges that are missing ──▶ commit ──▶ published
//!   └──▶ some is held ──────────────────────────────▲
//! ```
//!
//! What is held is the registry's to say, so it makes no difference whether this process sent it.

use std::time::Duration;

use aci::push::{ByteRange, CreateUpload, Progress, Pushed, RangeOfFile, Upload, UploadState};

use super::meter::Meter;
use super::server::{Server, Source};
use super::{PushError, Ready};
use crate::Client;
use crate::http::Retries;
use crate::observer::Event;

/// Bytes of a range, once a connection has broken off. Before, all that is missing is sent at once.
const RANGE: u64 = 8 << 20;

/// For how long something is tried again.
pub(super) struct Patience<'a> {
    retries: &'a Retries,
    /// Failures in a row, without progress.
    failures: u32,
    /// Whether the registry has answered: one that did will again.
    met: bool,
}

impl<'a> Patience<'a> {
    pub(super) fn new(client: &'a Client) -> Self {
        Self { retries: client.http.retries(), failures: 0, met: false }
    }

    /// Something went well.
    fn progress(&mut self) {
        self.failures = 0;
    }

    /// Pauses after a failure, where trying again may help; else it is final.
    pub(super) async fn after(
        &mut self,
        error: PushError,
        say: impl FnOnce(&PushError, Duration),
    ) -> Result<(), PushError> {
        if !error.may_get_better(self.met) {
            return Err(error);
        }
        self.pause(error, say).await
    }

    /// Pauses after an answer which says that what is held has changed.
    pub(super) async fn after_change(
        &mut self,
        error: PushError,
        say: impl FnOnce(&PushError, Duration),
    ) -> Result<(), PushError> {
        self.pause(error, say).await
    }

    /// Says why and for how long before it pauses.
    async fn pause(
        &mut self,
        error: PushError,
        say: impl FnOnce(&PushError, Duration),
    ) -> Result<(), PushError> {
        if self.failures >= self.retries.count {
            return Err(error);
        }
        let pause = self.retries.length(self.failures, error.retry_after());
        say(&error, pause);
        self.retries.let_pass(pause).await;
        self.failures += 1;
        Ok(())
    }
}

/// Where an image has got to.
pub(super) enum Delivered {
    /// It is served.
    Published(Pushed),
    /// The registry holds all of it, in the upload of this ID.
    Held(String),
}

/// An image on its way.
pub(super) struct Delivery<'a> {
    server: Server<'a>,
    ready: &'a Ready<'a>,
    meter: Meter,
    /// Whether it is published as soon as it is there; else somebody commits it with others.
    publish: bool,
    /// Whether a connection has broken off.
    broken: bool,
    /// The most that was held.
    held: u64,
}

impl<'a> Delivery<'a> {
    pub(super) fn new(
        server: Server<'a>,
        ready: &'a Ready<'a>,
        meter: Meter,
        publish: bool,
    ) -> Self {
        Self { server, ready, meter, publish, broken: false, held: 0 }
    }

    /// Sends what is missing, for as long as it goes on.
    pub(super) async fn deliver(
        &mut self,
        patience: &mut Patience<'_>,
    ) -> Result<Delivered, PushError> {
        let delivered = self.send(patience).await;
        self.meter.end();
        delivered
    }

    async fn send(&mut self, patience: &mut Patience<'_>) -> Result<Delivered, PushError> {
        let mut upload: Option<Upload> = None;
        let mut is_known = false;
        loop {
            let asks = upload.is_none() || !is_known;
            let step = match &upload {
                None => self.open().await.map(stands),
                Some(upload) if !is_known => self.look(upload).await.map(stands),
                Some(upload) => self.step(upload).await,
            };
            let error = match step {
                Ok(Step::Done(delivered)) => return Ok(delivered),
                Ok(Step::Stands(now)) => {
                    patience.met = true;
                    self.note(&now, asks, patience);
                    (upload, is_known) = (Some(*now), true);
                    continue;
                }
                Err(error) => error,
            };
            patience.met |= error.was_answered();
            if error.upload_changed() {
                // It is over, or another process has gone on with it.
                upload = None;
                patience.after_change(error, self.says()).await?;
            } else if upload.is_some() && error.no_ranges() {
                if !self.publish {
                    return Err(PushError::NotTogether);
                }
                // Something on the way knows one stream alone.
                upload.iter_mut().for_each(|upload| upload.progress = None);
                patience.after_change(error, self.says()).await?;
            } else {
                patience.after(error, self.says()).await?;
                self.broken |= upload.is_some();
                is_known = false;
            }
        }
    }

    /// Says that it is tried again.
    fn says(&self) -> impl FnOnce(&PushError, Duration) {
        let (meter, held) = (self.meter.clone(), self.held);
        move |error, pause| meter.event(Event::Again(held, &error.to_string(), pause))
    }

    /// Opens an upload, or finds the one that is open.
    async fn open(&self) -> Result<Upload, PushError> {
        let mut wanted = CreateUpload {
            signature: self.ready.signature.clone(),
            file_bytes: Some(self.ready.image.file_bytes()),
            file_digest: Some(self.ready.image.file_digest().clone()),
        };
        match self.server.create(&wanted).await {
            // One that does not know the field.
            Err(error) if error.is_malformed() => {
                wanted.file_digest = None;
                self.server.create(&wanted).await
            }
            opened => opened,
        }
    }

    /// Where an upload stands. A registry that takes images in one stream alone does not say.
    async fn look(&self, upload: &Upload) -> Result<Upload, PushError> {
        match &upload.progress {
            Some(_) => self.server.look(upload).await,
            None => Ok(upload.clone()),
        }
    }

    /// Takes up what is said of an upload. What is held before anything is sent is of an earlier
    /// attempt.
    fn note(&mut self, upload: &Upload, was_asked: bool, patience: &mut Patience<'_>) {
        let Some(progress) = &upload.progress else { return };
        let held = held(progress);
        if held > self.held {
            if was_asked && self.held == 0 && !self.broken {
                self.meter.event(Event::Resumed(held));
            }
            patience.progress();
            self.held = held;
        }
        // What a stream has brought that is not held will be sent again: nothing of it shows.
        if held > 0 {
            self.meter.reached(held);
        }
    }

    /// Does the next thing.
    async fn step(&self, upload: &Upload) -> Result<Step, PushError> {
        let image = &self.ready.image;
        let total = image.file_bytes();
        let source = |before| Source { path: self.ready.path, total, before, meter: &self.meter };
        let published = |pushed| Step::Done(Delivered::Published(pushed));
        let Some(progress) = &upload.progress else {
            if !self.publish {
                return Err(PushError::NotTogether);
            }
            return self.server.stream(upload, &source(0)).await.map(published);
        };
        if progress.state == UploadState::Published {
            return match &progress.image {
                _ if !self.publish => Ok(Step::Done(Delivered::Held(upload.id.clone()))),
                Some(pushed) => Ok(published(pushed.clone())),
                None => self.server.stream(upload, &source(0)).await.map(published),
            };
        }
        if progress.held.is_empty() && self.publish && !self.broken {
            return self.server.stream(upload, &source(0)).await.map(published);
        }
        let Some(next) = self.next(progress, total) else {
            if !self.publish {
                return Ok(Step::Done(Delivered::Held(upload.id.clone())));
            }
            return self.server.commit(upload, image.file_digest()).await.map(published);
        };
        self.server.range(upload, &source(held(progress)), next).await.map(stands)
    }

    /// The next range that is missing.
    fn next(&self, progress: &Progress, total: u64) -> Option<RangeOfFile> {
        let missing = ByteRange::missing(&progress.held, total);
        let first = missing.first()?;
        let most = if self.broken { RANGE } else { u64::MAX };
        let range =
            ByteRange::new(first.first(), first.end().min(first.first().saturating_add(most)))?;
        RangeOfFile::new(range, total)
    }
}

enum Step {
    Stands(Box<Upload>),
    Done(Delivered),
}

fn stands(upload: Upload) -> Step {
    Step::Stands(Box::new(upload))
}

fn held(progress: &Progress) -> u64 {
    progress.held.iter().map(|range| range.bytes()).sum()
}
