//! News of trusted keys: what their domains publish since they were trusted.
//!
//! Asking is this module's part; what is taken of the answer is decided by
//! [`keys::TrustStore::refresh`], which lets nothing a domain says take trust away from what
//! it does not own, or give it to what nobody vouches for.

use std::time::{Duration, SystemTime};

use aci::{Name, Refusal, Refuse};
use keys::{Interval, RefreshOptions, Refreshed, TrustError, TrustStore};
use tokio::task::{JoinError, spawn_blocking};

use crate::Client;
use crate::error::{Kind, refusal};
use crate::published::PublishedError;

/// How long a fetch waits for news of the keys: it is only a courtesy there.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came of asking one domain.
#[derive(Debug)]
pub struct PrefixRefresh {
    /// The prefix.
    pub prefix: Name,
    /// What became of its keys.
    pub outcome: Result<Refreshed, RefreshError>,
}

/// Why the keys of a prefix were not refreshed. What was trusted stays trusted.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// The domain gave no keys.
    #[error(transparent)]
    Published(#[from] PublishedError),
    /// The trusted keys could not be read or written.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The domain took too long.
    #[error("the domain of {prefix} did not answer within {} seconds", PATIENCE.as_secs())]
    Slow {
        /// The prefix.
        prefix: Name,
    },
    /// The thread that reads and writes the trusted keys died.
    #[error("the refresh stopped: {0}")]
    Stopped(#[from] JoinError),
}

impl RefreshError {
    /// What kind of failure it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Published(error) => error.kind(),
            Self::Trust(error) if error.is_io() => Kind::Failed,
            Self::Trust(_) => Kind::Refused,
            Self::Slow { .. } => Kind::Network,
            Self::Stopped(_) => Kind::Failed,
        }
    }
}

impl Refuse for RefreshError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Published(error) => error.refusal(),
            Self::Trust(error) => error.refusal(),
            Self::Slow { prefix } => refusal(
                "network",
                self,
                format!("the keys that the domain of {prefix} publishes"),
                "no answer in time",
                "a fetch does not wait long for news of keys it trusts already",
                format!("gantry trust refresh {prefix}"),
            ),
            Self::Stopped(error) => refusal(
                "failed",
                self,
                "a refresh that comes to an end",
                error.to_string(),
                "trusted keys change whole or not at all",
                "report this as a defect of gantry",
            ),
        }
    }
}

impl Client {
    /// Asks the domain of a prefix for its keys, and takes up what belongs to the keys that
    /// are trusted already. A pinned prefix is not asked.
    pub async fn refresh_keys(
        &self,
        trusted: &TrustStore,
        prefix: &Name,
        options: &RefreshOptions,
    ) -> Result<Refreshed, RefreshError> {
        let limits = self.limits.clone();
        let (store, asked, now) = (trusted.clone(), prefix.clone(), options.now);
        let dry_run = options.dry_run;
        let pinned = spawn_blocking(move || {
            let pinned = store.policies()?.pinned(&asked).value;
            if !pinned && !dry_run {
                store.asked(&asked, now, &limits)?;
            }
            Ok::<_, TrustError>(pinned)
        })
        .await??;
        if pinned { Ok(Refreshed::Pinned) } else { self.ask(trusted, prefix, options).await }
    }

    /// Refreshes the keys that may sign for `name`, where the last time is longer ago than
    /// their interval: `default` where no policy says one. Asked or not, a prefix is asked no
    /// more often than that. No failure here says anything about an image.
    pub async fn refresh_on_schedule(
        &self,
        trusted: &TrustStore,
        name: &Name,
        default: Interval,
        now: SystemTime,
    ) -> Result<Vec<PrefixRefresh>, RefreshError> {
        let (store, asked, limits) = (trusted.clone(), name.clone(), self.limits.clone());
        let due = spawn_blocking(move || store.due(&asked, default, now, &limits)).await??;
        let mut all = Vec::new();
        for prefix in due {
            let options = RefreshOptions::at(now);
            let asking = self.ask(trusted, &prefix, &options);
            let outcome = match tokio::time::timeout(PATIENCE, asking).await {
                Ok(outcome) => outcome,
                Err(_) => Err(RefreshError::Slow { prefix: prefix.clone() }),
            };
            all.push(PrefixRefresh { prefix, outcome });
        }
        Ok(all)
    }

    async fn ask(
        &self,
        trusted: &TrustStore,
        prefix: &Name,
        options: &RefreshOptions,
    ) -> Result<Refreshed, RefreshError> {
        let offered = self.published_keys(prefix).await?.into_certificates();
        let (store, prefix, options) = (trusted.clone(), prefix.clone(), options.clone());
        let limits = self.limits.clone();
        Ok(spawn_blocking(move || store.refresh(&prefix, &offered, &options, &limits)).await??)
    }
}
