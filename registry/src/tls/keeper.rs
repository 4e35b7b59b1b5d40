//! Looking after the certificate while the server runs.
//!
//! Files are looked at every second, by their content: that sees every way of changing
//! them, by writing, by renaming, and by turning a link, and needs nothing of the file
//! system. A certificate is shown only with the key that is its own; until both are there,
//! the old one stays.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{Certificates, Pair, TlsError, digest, read};
use crate::config::{Config, Live, Tls};
use crate::pages::day;

/// How often files are looked at.
const FILES: Duration = Duration::from_secs(1);
/// How often certificates of the registry's own are.
const OWN: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// A certificate that is good for less is warned of, every day, unless it was made for few
/// days: then it is so with the last quarter of them.
const WARNED: Duration = Duration::from_secs(14 * 24 * 3600);

/// Looks after the certificate for ever. `folder` is where the registry's own are.
pub(crate) async fn keep(certificates: Arc<Certificates>, mut live: Live, folder: PathBuf) {
    let mut keeper = Keeper { certificates, folder, refused: None, warned: None };
    loop {
        let config = live.now();
        keeper.warn(config.clock.now());
        let pause = match &config.tls {
            Tls::Files { .. } => FILES,
            Tls::OwnAuthority | Tls::Acme(_) => OWN,
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = live.changed() => keeper.refused = None,
        }
        keeper.look(live.now()).await;
    }
}

struct Keeper {
    certificates: Arc<Certificates>,
    folder: PathBuf,
    /// The files that were said to be of no use, so that it is said once.
    refused: Option<String>,
    /// When it was last said that the certificate runs out.
    warned: Option<SystemTime>,
}

impl Keeper {
    async fn look(&mut self, config: Arc<Config>) {
        let (folder, shown) = (self.folder.clone(), self.certificates.current());
        let shown = shown.map(|pair| pair.digest);
        let looked = tokio::task::spawn_blocking(move || changed(&config, &folder, shown));
        match looked.await {
            Ok(Ok(None)) => self.refused = None,
            Ok(Ok(Some(pair))) => {
                tracing::info!(expires = %day(pair.expires), "the certificate was replaced");
                self.certificates.install(pair);
                (self.refused, self.warned) = (None, None);
            }
            Ok(Err(error)) => {
                // Every second would be too often for one and the same thing.
                let error = error.to_string();
                if self.refused.as_ref() != Some(&error) {
                    tracing::warn!(error, "the certificate is kept as it was");
                    self.refused = Some(error);
                }
            }
            Err(error) => tracing::error!(%error, "the certificate was not looked at"),
        }
    }

    fn warn(&mut self, now: SystemTime) {
        let Some(pair) = self.certificates.current() else { return };
        let today =
            self.warned.is_some_and(|then| now.duration_since(then).unwrap_or_default() < DAY);
        if pair.left(now) >= WARNED.min(pair.lifetime() / 4) || today {
            return;
        }
        self.warned = Some(now);
        if pair.expires <= now {
            let expired = day(pair.expires);
            tracing::error!(%expired, "the certificate has run out: clients refuse it");
            return;
        }
        let days = pair.left(now).as_secs() / DAY.as_secs();
        tracing::warn!(expires = %day(pair.expires), days, "the certificate runs out");
    }
}

/// The certificate where it is another than the one that is shown.
fn changed(
    config: &Config,
    folder: &Path,
    shown: Option<[u8; 32]>,
) -> Result<Option<Pair>, TlsError> {
    if let (Tls::Files { certificates, key }, false) = (&config.tls, config.listen.is_empty()) {
        let (chain, private) = (read(certificates)?, read(key)?);
        if shown == Some(digest(&chain, &private)) {
            return Ok(None);
        }
        return Pair::of(certificates, &chain, key, &private).map(Some);
    }
    Ok(super::load(config, folder)?.filter(|pair| shown != Some(pair.digest)))
}
