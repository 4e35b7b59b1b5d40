//! Reading blobs again: a disk forgets, and nobody notices until somebody wants it.
//!
//! What is not what its key says is set aside, so that it is never served, and noted. A push of the
//! same image brings it back.

use std::io;
use std::time::{Duration, SystemTime};

use aci::{ImageId, Name};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;

use super::copy::Comparing;
use super::{KeepError, Keeper};
use crate::blobs::BlobKey;
use crate::catalog::Duty;

/// Blobs that are asked for together.
const BATCH: u32 = 64;
/// How often the duty is renewed while one blob is read.
const RENEWED: Duration = Duration::from_secs(15);

/// What a blob turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Good,
    Missing,
    Corrupt,
    Unreadable,
}

/// What was read.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Scrubbed {
    /// Files that were read.
    pub blobs: u64,
    /// How many bytes they had.
    pub bytes: u64,
    /// What is lost or damaged, found now or before.
    pub damaged: Vec<Damaged>,
}

/// A file that is lost or damaged.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Damaged {
    /// The file's key, by which it is found among the blobs.
    pub blob: String,
    /// The image it belongs to.
    pub image_id: ImageId,
    /// The image's name.
    pub name: Name,
    /// Since when that is known.
    #[serde(with = "crate::stamp")]
    #[schema(value_type = String, format = DateTime)]
    pub since: SystemTime,
}

/// Reads no faster than so many bytes a second.
struct Pace {
    rate: u64,
    begun: Instant,
    bytes: u64,
    renewed: Instant,
}

impl Pace {
    async fn keep(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        let due = Duration::from_secs_f64(self.bytes as f64 / self.rate.max(1) as f64);
        // Shorter sleeps would only be inexact.
        if due > self.begun.elapsed() + Duration::from_millis(5) {
            tokio::time::sleep_until(self.begun + due).await;
        }
    }
}

impl Keeper {
    /// Checks what was not checked since then, at most so many bytes a second; `None` where
    /// somebody else is doing so. What was checked before this ended is not checked again by the next.
    pub(crate) async fn scrub(
        &self,
        since: SystemTime,
        rate: u64,
    ) -> Result<Option<Scrubbed>, KeepError> {
        if !self.catalog.take_duty(Duty::Scrub, &self.name, self.clock.now()).await? {
            return Ok(None);
        }
        let scrubbed = self.scrub_all(since, rate).await;
        self.catalog.leave_duty(Duty::Scrub, &self.name).await?;
        scrubbed
    }

    async fn scrub_all(&self, since: SystemTime, rate: u64) -> Result<Option<Scrubbed>, KeepError> {
        let (begun, mut scrubbed) = (Instant::now(), Scrubbed::default());
        let mut pace = Pace { rate, begun, bytes: 0, renewed: begun };
        loop {
            let blobs = self.catalog.unchecked_blobs(since, BATCH).await?;
            if blobs.is_empty() {
                scrubbed.damaged = self.damaged().await?;
                return Ok(Some(scrubbed));
            }
            for (key, bytes) in blobs {
                if !self.catalog.take_duty(Duty::Scrub, &self.name, self.clock.now()).await? {
                    return Ok(None);
                }
                self.scrub_one(&key, bytes, since, &mut pace).await?;
                scrubbed.blobs += 1;
                scrubbed.bytes += bytes;
            }
        }
    }

    async fn scrub_one(
        &self,
        key: &BlobKey,
        bytes: u64,
        since: SystemTime,
        pace: &mut Pace,
    ) -> Result<(), KeepError> {
        let mut verdict = self.compare(key, bytes, pace).await?;
        if verdict != Verdict::Good {
            // A push may just have replaced it, or the fault was on the way from the disk.
            verdict = self.compare(key, bytes, pace).await?;
        }
        // Never before `since`, or it would be checked again at once.
        let now = self.clock.now().max(since);
        if verdict == Verdict::Good {
            return Ok(self.catalog.blob_is_good(key, now).await?);
        }
        if self.catalog.blob_is_damaged(key, now).await? {
            self.blobs.set_aside(key).await?;
            tracing::error!(
                blob = %key, found = ?verdict,
                "a file is lost or damaged, and is not served; push its image again"
            );
        }
        Ok(())
    }

    async fn compare(
        &self,
        key: &BlobKey,
        bytes: u64,
        pace: &mut Pace,
    ) -> Result<Verdict, KeepError> {
        let mut comparing = match Comparing::open(&*self.blobs, key).await {
            Ok(comparing) => comparing,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Verdict::Missing),
            Err(error) => return unreadable(key, &error),
        };
        loop {
            match comparing.next().await {
                Ok(None) => break,
                Ok(Some(piece)) => pace.keep(piece.len()).await,
                Err(error) => return unreadable(key, &error),
            }
            if pace.renewed.elapsed() > RENEWED {
                self.catalog.take_duty(Duty::Scrub, &self.name, self.clock.now()).await?;
                pace.renewed = Instant::now();
            }
        }
        Ok(if comparing.is(key, bytes) { Verdict::Good } else { Verdict::Corrupt })
    }

    /// What is known to be lost or damaged.
    pub(crate) async fn damaged(&self) -> Result<Vec<Damaged>, KeepError> {
        let damaged = self.catalog.damaged_blobs().await?.into_iter().map(|damaged| Damaged {
            blob: damaged.key.to_string(),
            image_id: damaged.image_id,
            name: damaged.name,
            since: damaged.since,
        });
        Ok(damaged.collect())
    }
}

/// A disk that gives an error for one file has lost it. One that has gone away loses none.
fn unreadable(key: &BlobKey, error: &io::Error) -> Result<Verdict, KeepError> {
    let error: &dyn std::error::Error = error;
    tracing::error!(blob = %key, error, "a file cannot be read");
    Ok(Verdict::Unreadable)
}
