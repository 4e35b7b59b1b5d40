//! What every request can reach.

use std::sync::Arc;

use aci::Limits;
use keys::{Keyring, TrustStore};
use tokio::sync::Semaphore;

use crate::access::Access;
use crate::api::Unnoted;
use crate::blobs::BlobStore;
use crate::catalog::Catalog;
use crate::config::{Clock, Domains};
use crate::data::DataDir;
use crate::error::ApiError;

/// How many images are taken in at once; others wait. Each needs two threads.
const PUSHES: usize = 32;

/// The state, shared by all requests.
pub(crate) type Shared = Arc<State>;

pub(crate) struct State {
    pub(crate) data: DataDir,
    pub(crate) catalog: Catalog,
    pub(crate) blobs: Arc<dyn BlobStore>,
    /// What this node is called in leases.
    pub(crate) node: String,
    pub(crate) domains: Domains,
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    /// What deciding who asks needs.
    pub(crate) access: Access,
    /// A place for each image that is being read.
    pub(crate) pushes: Semaphore,
    /// Why uploads were refused that the catalogue could not note.
    pub(crate) unnoted: Unnoted,
}

impl State {
    pub(crate) fn new(
        data: DataDir,
        catalog: Catalog,
        blobs: Arc<dyn BlobStore>,
        node: String,
        domains: Domains,
        limits: Limits,
        clock: Clock,
        access: Access,
    ) -> Self {
        Self {
            data,
            catalog,
            blobs,
            node,
            domains,
            limits,
            clock,
            access,
            pushes: Semaphore::new(PUSHES),
            unnoted: Unnoted::default(),
        }
    }

    /// The keys that may sign, as they are on disk now: an administrator adds and
    /// removes keys while the server runs.
    pub(crate) async fn keyring(&self) -> Result<Keyring, ApiError> {
        let store = TrustStore::open(&self.data.trusted_keys());
        let limits = self.limits.clone();
        let read = tokio::task::spawn_blocking(move || store.keyring(&limits)).await?;
        let (keyring, warnings) = read.map_err(ApiError::internal)?;
        for warning in warnings {
            tracing::warn!(%warning, "a trusted key");
        }
        Ok(keyring)
    }
}
