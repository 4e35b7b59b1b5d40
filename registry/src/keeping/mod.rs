//! Keeping a registry: what nobody needs goes, and what is to stay is looked after.
//!
//! The same work is done by a running server in the background and by commands beside it: see
//! [`Keeper`]. Nothing of it needs the server to stand still.

mod age;
mod backup;
mod backup_folder;
mod collect;
mod copy;
mod error;
mod fsck;
mod quota;
mod reserve;
mod restore;
mod retention;
mod room;
mod scrub;
mod task;

use std::sync::Arc;
use std::time::Duration;

use crate::blobs::{BlobStore, Folder};
use crate::catalog::Catalog;
use crate::config::Clock;
use crate::data::{DataDir, Place};
use crate::state::State;
use crate::token::TokenId;

pub use age::{Age, AgeError};
pub use backup::{BackUp, BackedUp};
pub use collect::Collected;
pub(crate) use collect::{give_up, remove_leased};
pub use error::{KeepError, NotReplaced};
pub use fsck::{Checked, Finding, FindingCode, Rebuild};
pub(crate) use fsck::{check, rebuild, take_up_orphans};
pub use quota::Quota;
pub(crate) use quota::foresee;
pub(crate) use reserve::Reserve;
pub use restore::Restored;
pub(crate) use restore::restore;
pub use retention::{Judged, KeepsNothing, Reason, Retention, Written as WrittenRetention};
pub(crate) use room::{Guarded, check as check_room};
pub use scrub::{Damaged, Scrubbed};
pub(crate) use task::start;

/// How long the files of a deleted image stay, for who has just looked it up. What is being read then
/// goes on.
pub(crate) const FILES_STAY: Duration = Duration::from_secs(600);

/// How a registry is kept.
#[derive(Debug, Clone)]
pub struct Keeping {
    /// How often what nobody needs is removed, give or take a tenth.
    pub collect_every: Duration,
    /// Which images stay; what these say nothing of does.
    pub retention: Vec<Retention>,
    /// How much there may be below prefixes.
    pub quotas: Vec<Quota>,
    /// How often each file is read again and compared with its digest.
    pub scrub_every: Duration,
    /// How many bytes a second are read for that.
    pub scrub_rate: u64,
}

impl Default for Keeping {
    fn default() -> Self {
        Self {
            collect_every: Duration::from_secs(3600),
            retention: Vec::new(),
            quotas: Vec::new(),
            scrub_every: Duration::from_secs(7 * 24 * 3600),
            scrub_rate: 50_000_000,
        }
    }
}

/// Who keeps a registry: a node of it, or a command.
#[derive(Debug, Clone)]
pub(crate) struct Keeper {
    pub(crate) catalog: Catalog,
    pub(crate) blobs: Arc<dyn BlobStore>,
    pub(crate) clock: Clock,
    pub(crate) reserve: Reserve,
    /// What it is called where it holds something.
    pub(crate) name: String,
}

impl Keeper {
    /// The node whose state this is.
    pub(crate) fn node(state: &State) -> Self {
        Self {
            catalog: state.catalog.clone(),
            blobs: Arc::clone(&state.blobs),
            clock: state.clock.clone(),
            reserve: state.data.reserve(),
            name: state.node.clone(),
        }
    }

    /// A request to the node whose state this is. It is not the node's own work, which holds its
    /// leases in the node's name.
    pub(crate) fn request(state: &State) -> Result<Self, KeepError> {
        let name = format!("{}-{}", state.node, TokenId::generate()?);
        Ok(Self { name, ..Self::node(state) })
    }

    /// A command. Its name is its own: a node that starts ends what it held itself, and no more.
    pub(crate) async fn command(place: &Place, clock: Clock) -> Result<Self, KeepError> {
        let data = DataDir::open_existing(&place.data)?;
        let catalog = data.open_catalog::<KeepError>(place.database.as_ref()).await?;
        let name = format!("command-{}", TokenId::generate()?);
        let (blobs, reserve) = (Arc::new(Folder::new(&data.blobs())), data.reserve());
        Ok(Self { catalog, blobs, clock, reserve, name })
    }
}
