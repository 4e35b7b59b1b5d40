//! The configuration as it is now: some of it changes while the server runs.

use std::sync::Arc;

use tokio::sync::watch;

use super::Config;

/// The configuration that counts now. Whoever asks twice may get two answers.
#[derive(Debug, Clone)]
pub(crate) struct Live(watch::Receiver<Arc<Config>>);

impl Live {
    /// A configuration, and the way to change it.
    pub(crate) fn new(config: Config) -> (watch::Sender<Arc<Config>>, Self) {
        let (sender, receiver) = watch::channel(Arc::new(config));
        (sender, Self(receiver))
    }

    /// What counts now.
    pub(crate) fn now(&self) -> Arc<Config> {
        Arc::clone(&self.0.borrow())
    }

    /// Done when it has changed since this was asked last.
    pub(crate) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // Nobody can change it any more.
            std::future::pending::<()>().await;
        }
    }
}
