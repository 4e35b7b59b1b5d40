//! What every request can reach.

use std::sync::Arc;

use keys::{Keyring, TrustStore};

use crate::access::Access;
use crate::api::Unnoted;
use crate::blobs::BlobStore;
use crate::catalog::Catalog;
use crate::config::{Clock, Config, Live};
use crate::data::DataDir;
use crate::error::ApiError;
use crate::serving::Serving;

/// The state, shared by all requests.
pub(crate) type Shared = Arc<State>;

pub(crate) struct State {
    pub(crate) data: DataDir,
    pub(crate) catalog: Catalog,
    pub(crate) blobs: Arc<dyn BlobStore>,
    /// What this node is called in leases.
    pub(crate) node: String,
    pub(crate) live: Live,
    pub(crate) clock: Clock,
    /// What deciding who asks needs.
    pub(crate) access: Access,
    pub(crate) serving: Serving,
    /// Why uploads were refused that the catalogue could not note.
    pub(crate) unnoted: Unnoted,
}

impl State {
    pub(crate) fn new(
        data: DataDir,
        catalog: Catalog,
        blobs: Arc<dyn BlobStore>,
        node: String,
        live: Live,
        serving: Serving,
        access: Access,
    ) -> Self {
        Self {
            data,
            catalog,
            blobs,
            node,
            clock: live.now().clock.clone(),
            access,
            live,
            serving,
            unnoted: Unnoted::default(),
        }
    }

    /// The configuration as it is now.
    pub(crate) fn config(&self) -> Arc<Config> {
        self.live.now()
    }

    /// The keys that may sign, as they are on disk now: an administrator adds and
    /// removes keys while the server runs.
    pub(crate) async fn keyring(&self) -> Result<Keyring, ApiError> {
        let store = TrustStore::open(&self.data.trusted_keys());
        let limits = self.config().limits.clone();
        let read = tokio::task::spawn_blocking(move || store.keyring(&limits)).await?;
        let (keyring, warnings) = read.map_err(ApiError::internal)?;
        for warning in warnings {
            tracing::warn!(%warning, "a trusted key");
        }
        Ok(keyring)
    }
}

#[cfg(test)]
impl State {
    /// The state of a registry for example.com in this folder.
    pub(crate) async fn in_folder(
        folder: &std::path::Path,
        adjust: impl FnOnce(&mut Config),
    ) -> Self {
        let mut file = crate::config::ConfigFile::default();
        file.server.data = Some(folder.to_owned());
        file.server.domains = Some(vec!["example.com".parse().unwrap()]);
        let mut config = file.resolve(Clock::system()).unwrap();
        adjust(&mut config);
        let data = DataDir::open(folder).unwrap();
        let catalog = Catalog::open(&data.database(None)).await.unwrap();
        let blobs = Arc::new(crate::blobs::Folder::new(&data.blobs()));
        let serving = Serving::new(&config.connections);
        let (_, live) = Live::new(config);
        let access = Access::new(None).unwrap();
        Self::new(data, catalog, blobs, "test".to_owned(), live, serving, access)
    }
}
