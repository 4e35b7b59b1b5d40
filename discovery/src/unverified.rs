//! An image that was to go somewhere and does not pass.

use aci::{Limits, Name, Refusal, Refuse};
use keys::ReceiveError;

use crate::error::Kind;
use crate::explain::{self, Step};
use crate::fetch::Trust;

/// An image that does not pass under the trust of this machine.
#[derive(Debug, thiserror::Error)]
#[error("{image} does not pass: {source}")]
pub struct Unverified {
    /// Which image.
    pub image: String,
    /// Why.
    #[source]
    pub source: Box<ReceiveError>,
    /// What was decided, as `explain` says it.
    pub tree: Option<Box<Step>>,
}

impl Unverified {
    pub(crate) fn new(
        image: String,
        signature: &[u8],
        name: Option<&Name>,
        trust: &Trust,
        limits: &Limits,
        source: ReceiveError,
    ) -> Self {
        let tree = explain::not_received(&image, signature, name, trust, limits, &source);
        Self { image, source: Box::new(source), tree }
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> Kind {
        Kind::from(&*self.source)
    }
}

impl Refuse for Unverified {
    fn refusal(&self) -> Refusal {
        let mut refusal = self.source.refusal();
        refusal.message = self.to_string();
        refusal
    }
}
