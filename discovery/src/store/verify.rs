//! Checking a stored image again, under today's trust.

use std::io;

use aci::{ImageId, Limits, Refusal, Refuse};
use keys::{GoodSignature, ReceiveError};

use super::{IMAGE_FILE, MANIFEST_FILE, Store, StoreError};
use crate::error::Kind;
use crate::explain::{self, Step};
use crate::fetch::Trust;

/// Why a stored image does not pass.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The image or its signature does not pass under today's trust.
    #[error("the stored image {id} does not pass: {source}")]
    Image {
        /// The image.
        id: ImageId,
        /// Why.
        #[source]
        source: Box<ReceiveError>,
        /// What was decided, as `explain` says it.
        tree: Option<Box<Step>>,
    },
}

impl Damage {
    /// What was decided, where it is a matter of trust: `explain` in short.
    pub fn tree(&self) -> Option<&Step> {
        match self {
            Self::Image { tree, .. } => tree.as_deref(),
            Self::Store(_) => None,
        }
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Store(error) => error.kind(),
            Self::Image { source, .. } => match **source {
                // A folded image that is not what was signed.
                ReceiveError::Read(ref error) if error.kind() == io::ErrorKind::InvalidData => {
                    Kind::Refused
                }
                ref other => Kind::from(other),
            },
        }
    }
}

impl Refuse for Damage {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Store(error) => error.refusal(),
            Self::Image { source, .. } => {
                let mut refusal = source.refusal();
                refusal.message = self.to_string();
                refusal
            }
        }
    }
}

/// Reads a stored image to its end: signature, signer, archive, image ID, file
/// digest and manifest must all be what they were at the import.
pub fn verify(
    store: &Store,
    id: &ImageId,
    trust: &Trust,
    limits: &Limits,
) -> Result<GoodSignature, Damage> {
    let wanted = || id.to_string();
    let stored = store
        .open_image(id)?
        .ok_or_else(|| StoreError::Absent { wanted: wanted(), similar: Vec::new() })?;
    let Trust { keyring, policy } = trust;
    let (signature, record) = (stored.signature(), stored.record());
    let refused = |source| {
        let (subject, name) = (record.reference().to_string(), Some(&record.name));
        let tree = explain::not_received(&subject, signature, name, trust, limits, &source);
        Damage::Image { id: id.clone(), source: Box::new(source), tree }
    };
    let verified = keys::receive(stored.file()?, io::sink(), signature, keyring, policy, limits)
        .map_err(refused)?;
    let image = verified.inspected();
    let damaged = |file: &str, what: String| {
        let path = store.image_folder(id).join(file);
        Err(StoreError::Damaged { id: id.clone(), path, what }.into())
    };
    // Another image by the same author would pass all that was checked so far.
    if image.image_id() != id {
        return damaged(IMAGE_FILE, format!("it is the image {}", image.image_id()));
    }
    if *image.file_digest() != stored.record().file_digest {
        return damaged(IMAGE_FILE, format!("its digest is {}", image.file_digest()));
    }
    if image.manifest_bytes() != stored.manifest_bytes() {
        return damaged(MANIFEST_FILE, "it is not the manifest in the image".to_owned());
    }
    Ok(verified.signature().clone())
}
