//! What every request can reach.

use std::sync::Arc;

use aci::Limits;
use keys::{Keyring, TrustStore};
use tokio::sync::Mutex;

use crate::api::Unnoted;
use crate::blobs::Blobs;
use crate::catalog::Catalog;
use crate::config::{Clock, Domains};
use crate::data::DataDir;
use crate::error::ApiError;
use crate::serving::Serving;

/// The state, shared by all requests.
pub(crate) type Shared = Arc<State>;

pub(crate) struct State {
    pub(crate) data: DataDir,
    pub(crate) catalog: Catalog,
    pub(crate) blobs: Blobs,
    pub(crate) domains: Domains,
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    pub(crate) serving: Serving,
    /// Why uploads were refused that the catalogue could not note.
    pub(crate) unnoted: Unnoted,
    /// Held from looking whether an image is there until its row is: the files and the
    /// row of one image always come from one push.
    pub(crate) commit: Mutex<()>,
}

impl State {
    pub(crate) fn new(
        data: DataDir,
        catalog: Catalog,
        domains: Domains,
        limits: Limits,
        clock: Clock,
        serving: Serving,
    ) -> Self {
        Self {
            blobs: Blobs::new(data.blobs()),
            data,
            catalog,
            domains,
            limits,
            clock,
            serving,
            unnoted: Unnoted::default(),
            commit: Mutex::new(()),
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
