//! Another configuration for a server that runs.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use crate::config::Config;
use crate::tls::{self, TlsError};

/// Gives a running server another configuration. It lives as long as somebody holds it.
#[derive(Debug, Clone)]
pub struct Reloader {
    pub(super) sender: watch::Sender<Arc<Config>>,
    /// Where the registry's own certificates are.
    pub(super) folder: PathBuf,
}

impl Reloader {
    /// Lets this configuration count from the next request on.
    ///
    /// Its certificate is read first; where it cannot be used, nothing changes. What cannot
    /// change while the server runs stays as it was, and the log says so.
    pub async fn reload(&self, new: Config) -> Result<(), TlsError> {
        let old = Arc::clone(&self.sender.borrow());
        let kept = Config {
            data: old.data.clone(),
            database: old.database.clone(),
            listen: old.listen.clone(),
            http: old.http.clone(),
            issuer_ca: old.issuer_ca.clone(),
            clock: old.clock.clone(),
            ..new.clone()
        };
        let (checked, folder) = (kept.clone(), self.folder.clone());
        let loaded = tokio::task::spawn_blocking(move || tls::load(&checked, &folder)).await;
        match loaded {
            Ok(loaded) => drop(loaded?),
            Err(error) => return Err(TlsError::Stopped(error)),
        }
        for (setting, changed) in [
            ("data", new.data != old.data),
            ("database", new.database != old.database),
            ("listen", new.listen != old.listen),
            ("http", new.http != old.http),
            ("issuer-ca-file", new.issuer_ca != old.issuer_ca),
            ("challenge-listen", new.challenge_listen() != old.challenge_listen()),
        ] {
            if changed {
                tracing::warn!(setting, "this setting has changed, and needs a restart");
            }
        }
        self.sender.send_replace(Arc::new(kept));
        tracing::info!("the configuration was read again");
        Ok(())
    }
}
