//! Certificates from an authority that speaks ACME (RFC 8555), got and renewed while the
//! server runs.
//!
//! Until there is the first certificate, handshakes are refused: nobody is shown one that
//! vouches for nothing. What fails is tried again, later each time; a certificate that is
//! still good is kept over a restart, and nothing is ordered.

mod challenges;
mod order;
mod store;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use instant_acme::{ChallengeType, OrderStatus, Problem};

use super::{Certificates, Pair, TlsError};
use crate::config::{Acme, Config, Live, Tls};
use crate::pages::day;

pub(crate) use challenges::{Challenges, PROTOCOL, router};
pub(super) use store::Store;

/// How long one order may take.
const ORDER: Duration = Duration::from_secs(300);
/// How long it is waited after the first failure, and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(15);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// Each pause is so many times as long as the one before: five attempts in the first hour,
/// which is what authorities bear.
const GROWTH: u32 = 4;

/// Why no certificate was got.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AcmeError {
    #[error(transparent)]
    Acme(#[from] instant_acme::Error),
    #[error("the root certificate {path:?} for the authority's server cannot be used: {source}")]
    Root { path: PathBuf, source: instant_acme::Error },
    #[error("the authority offers no {wanted:?} challenge for {domain}")]
    NoChallenge { domain: String, wanted: ChallengeType },
    #[error("{domain} was not shown to be ours: {problem}")]
    NotShown { domain: String, problem: Box<Problem> },
    #[error("the order ended as {0:?}")]
    Order(OrderStatus),
    #[error("it took longer than five minutes")]
    Slow,
    #[error("the certificate is old when it is new: does this machine's clock go right?")]
    Old,
    #[error("a key could not be made: {0}")]
    Make(#[from] rcgen::Error),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the account {path:?} cannot be read: {source}")]
    Account { path: PathBuf, source: serde_json::Error },
}

/// Gets certificates and renews them, for ever. `folder` is where the registry's own are.
pub(crate) async fn run(certificates: Arc<Certificates>, mut live: Live, folder: PathBuf) {
    let mut failures = 0;
    loop {
        let config = live.now();
        let pause = match &config.tls {
            Tls::Acme(acme) if !config.listen.is_empty() => {
                look(&certificates, &config, acme, &folder, &mut failures).await
            }
            // Nothing to do until the configuration says otherwise.
            _ => Duration::MAX,
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = live.changed() => failures = 0,
        }
    }
}

/// Orders a certificate where one is due; says when to look again.
async fn look(
    certificates: &Certificates,
    config: &Config,
    acme: &Acme,
    folder: &Path,
    failures: &mut u32,
) -> Duration {
    // Not what is shown now: that can be from another place, where the configuration was
    // another one before.
    let kept = kept(config, acme, folder).unwrap_or_else(|error| {
        tracing::warn!(%error, "the certificate that was got before is of no use");
        None
    });
    let due = kept.map(|pair| pair.due_in(config.clock.now())).unwrap_or_default();
    if !due.is_zero() {
        return due.min(LONGEST_PAUSE);
    }
    let store = Store::of(folder, &acme.directory);
    let ordered = order::order(acme, &config.domains, &store, certificates.challenges());
    let ordered = tokio::time::timeout(ORDER, ordered).await.unwrap_or(Err(AcmeError::Slow));
    certificates.challenges().clear();
    let error = match ordered {
        Ok(pair) => {
            tracing::info!(expires = %day(pair.expires), "the authority gave a certificate");
            let due = pair.due_in(config.clock.now());
            certificates.install(pair);
            if !due.is_zero() {
                *failures = 0;
                return due.min(LONGEST_PAUSE);
            }
            AcmeError::Old
        }
        Err(error) => error,
    };
    let pause = pause_after(*failures);
    *failures = failures.saturating_add(1);
    tracing::warn!(error = &error as &dyn Error, again_in = ?pause, "no certificate was got");
    pause
}

/// How long to wait after so many failures before this one.
fn pause_after(failures: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(GROWTH.saturating_pow(failures)).min(LONGEST_PAUSE)
}

/// The certificate that was got before, where it is still good.
pub(super) fn kept(config: &Config, acme: &Acme, folder: &Path) -> Result<Option<Pair>, TlsError> {
    let kept = Store::of(folder, &acme.directory).certificate()?;
    let now: SystemTime = config.clock.now();
    Ok(kept.filter(|pair| pair.is_for(&config.domains) && !pair.left(now).is_zero()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        let pauses: Vec<_> = (0..6).map(|failures| pause_after(failures).as_secs()).collect();
        assert_eq!(pauses, [15, 60, 240, 960, 3600, 3600]);
        assert_eq!(pause_after(u32::MAX), LONGEST_PAUSE);
    }
}
