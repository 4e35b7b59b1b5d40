//! What every request can reach.

use std::sync::Arc;

use keys::{Keyring, TrustStore};

use crate::api::Unnoted;
use crate::blobs::BlobStore;
use crate::catalog::Catalog;
use crate::config::{Clock, Config, Live};
use crate::connection::Places;
use crate::data::DataDir;
use crate::error::ApiError;

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
    /// A place for each image that is being read.
    pub(crate) pushes: Places,
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
        pushes: Places,
    ) -> Self {
        Self {
            data,
            catalog,
            blobs,
            node,
            clock: live.now().clock.clone(),
            live,
            pushes,
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
