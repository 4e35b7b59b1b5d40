//! How much there may be below a prefix.
//!
//! ```toml
//! [[quota]]
//! prefix = "example.com/team"
//! bytes = "100GiB"
//! images = 5000
//! ```
//!
//! Every quota whose prefix a name is under has to be kept to. What counts are the files of images that
//! are published; a file that two images share counts twice.

use aci::Name;
use serde::{Deserialize, Serialize};

use crate::access::Caller;
use crate::config::Size;
use crate::error::ApiError;
use crate::state::State;

/// How much there may be at and below a prefix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Quota {
    /// The names it is for: at and below this one.
    pub prefix: Name,
    /// So many bytes of images and signatures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<Size>,
    /// So many images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<u64>,
}

impl Quota {
    /// Whether so much is more than there may be.
    pub(crate) fn is_exceeded(&self, images: u64, bytes: u64) -> bool {
        self.images.is_some_and(|most| images > most)
            || self.bytes.is_some_and(|most| bytes > most.bytes())
    }

    /// In words.
    pub(crate) fn words(&self) -> String {
        let bytes = self.bytes.map(|most| format!("{} bytes", most.bytes()));
        let images = self.images.map(|most| format!("{most} images"));
        let all: Vec<String> = bytes.into_iter().chain(images).collect();
        format!("at most {} under {}", all.join(" and "), self.prefix)
    }
}

/// Refuses an image before it is sent, where no name that the caller may push leaves room for it.
/// What is decided when it is published is decided there.
///
/// One that may be here already, or may take the place of another, adds nothing for sure: it has only
/// to be as small as all may be together. A `new` one is a file that is not here.
pub(crate) async fn foresee(
    state: &State,
    caller: &Caller,
    announced: u64,
    new: bool,
) -> Result<(), ApiError> {
    let policies = state.access.policies(&state.catalog).await?;
    for quota in &state.config().keeping.quotas {
        if caller.is_only_below(&quota.prefix) {
            let adds = new && !policies.may_overwrite_below(&quota.prefix);
            let used = state.catalog.used(&quota.prefix).await?;
            let (images, bytes) = match adds {
                true => (used.images.saturating_add(1), used.bytes.saturating_add(announced)),
                false => (1, announced),
            };
            if quota.is_exceeded(images, bytes) {
                let (prefix, quota) = (quota.prefix.clone(), quota.words());
                return Err(ApiError::QuotaExceeded { prefix, quota, images, bytes });
            }
        }
    }
    Ok(())
}
