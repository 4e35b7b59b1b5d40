//! What every request can reach.

use std::sync::Arc;

use keys::{Keyring, TrustStore};
use tokio::sync::{Mutex, Semaphore};

use crate::api::Unnoted;
use crate::blobs::Blobs;
use crate::catalog::Catalog;
use crate::config::{Clock, Config, Live};
use crate::data::DataDir;
use crate::error::ApiError;

/// How many images are taken in at once; others wait. Each needs two threads.
const PUSHES: usize = 32;

/// The state, shared by all requests.
pub(crate) type Shared = Arc<State>;

pub(crate) struct State {
    pub(crate) data: DataDir,
    pub(crate) catalog: Catalog,
    pub(crate) blobs: Blobs,
    pub(crate) live: Live,
    pub(crate) clock: Clock,
    /// A place for each image that is being read.
    pub(crate) pushes: Semaphore,
    /// Why uploads were refused that the catalogue could not note.
    pub(crate) unnoted: Unnoted,
    /// Held from looking whether an image is there until its row is: the files and the
    /// row of one image always come from one push.
    pub(crate) commit: Mutex<()>,
}

impl State {
    pub(crate) fn new(data: DataDir, catalog: Catalog, live: Live, clock: Clock) -> Self {
        Self {
            blobs: Blobs::new(data.blobs()),
            data,
            catalog,
            live,
            clock,
            pushes: Semaphore::new(PUSHES),
            unnoted: Unnoted::default(),
            commit: Mutex::new(()),
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
