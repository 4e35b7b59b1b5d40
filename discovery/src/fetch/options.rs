//! What a fetch may do, and how far it goes.

use std::num::NonZeroUsize;
use std::str::FromStr;

use serde::Deserialize;

use super::SignatureSource;

/// When the network is asked for an image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pull {
    /// Never: the store has it, or it is an error.
    Never,
    /// Only for what the store does not have.
    New,
    /// Always: what the store has may be out of date.
    #[default]
    Update,
}

/// A word that is none of the three.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not never, new or update")]
pub struct PullError(String);

impl FromStr for Pull {
    type Err = PullError;

    fn from_str(text: &str) -> Result<Self, PullError> {
        match text {
            "never" => Ok(Self::Never),
            "new" => Ok(Self::New),
            "update" => Ok(Self::Update),
            _ => Err(PullError(text.to_owned())),
        }
    }
}

/// How an image is fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchOptions {
    /// When the network is asked. A file is read in any case.
    pub pull: Pull,
    /// Where the signature of this one image is, if not where signatures are.
    pub signature: Option<SignatureSource>,
    /// Whether the images that an image needs are fetched with it.
    pub dependencies: bool,
    /// How many of them at once.
    pub parallel: NonZeroUsize,
}

impl Default for FetchOptions {
    fn default() -> Self {
        const FOUR: NonZeroUsize = NonZeroUsize::MIN.saturating_add(3);
        Self { pull: Pull::default(), signature: None, dependencies: true, parallel: FOUR }
    }
}
