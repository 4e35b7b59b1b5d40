//! Refusals of images and signatures, in the words of a registry.

use aci::archive::ArchiveError;
use aci::{Refusal, Refuse};
use keys::{ReceiveError, VerifyError};

use super::ApiError;
use crate::catalog::NotPublished;

impl From<NotPublished> for ApiError {
    fn from(error: NotPublished) -> Self {
        match error {
            NotPublished::Taken { reference, there, pushed } => {
                Self::VersionExists { reference: Box::new(reference), there, pushed }
            }
            NotPublished::Deleted { reference, there } => {
                Self::VersionDeleted { reference: Box::new(reference), there }
            }
            NotPublished::Caller => Self::CredentialsEnded,
            NotPublished::Upload => Self::UploadUnknown,
            NotPublished::Lease => Self::Busy,
            NotPublished::Quota { quota, used } => {
                let (prefix, quota) = (quota.prefix.clone(), quota.words());
                Self::QuotaExceeded { prefix, quota, images: used.images, bytes: used.bytes }
            }
            NotPublished::Catalog(error) => error.into(),
        }
    }
}

impl From<ReceiveError> for ApiError {
    fn from(error: ReceiveError) -> Self {
        match error {
            // The body ended early or came too slowly: the client's end of the wire.
            ReceiveError::Read(error) => Self::unread(&error),
            ReceiveError::Write(error) => error.into(),
            ReceiveError::Archive(ArchiveError::Io(error)) => error.into(),
            ReceiveError::Archive(error @ ArchiveError::Limit { .. }) => {
                Self::TooLarge(Box::new(error.refusal()))
            }
            ReceiveError::Archive(error) => Self::Refused(Box::new(error.refusal())),
            ReceiveError::Verify(error) => error.into(),
        }
    }
}

impl From<VerifyError> for ApiError {
    fn from(error: VerifyError) -> Self {
        // What a client does about its own trusted keys is no help to who pushes.
        let next = next(&error);
        let refusal = error.refusal();
        let too_large = refusal.code == "signature-too-large";
        let next = next.unwrap_or_else(|| refusal.next.clone());
        let refusal = Box::new(Refusal { next, ..refusal });
        if too_large { Self::TooLarge(refusal) } else { Self::Refused(refusal) }
    }
}

fn next(error: &VerifyError) -> Option<String> {
    let add = |prefix: &str| {
        format!(
            "sign with a key that may; or, if this one may, the registry's administrator adds it: \
             gantry registry keys add --prefix {prefix} KEYFILE"
        )
    };
    match error {
        VerifyError::SignerNotTrusted { name, .. } => {
            Some(add(name.as_ref().map_or("PREFIX", |name| name.as_str())))
        }
        VerifyError::SignerWrongPrefix { name, .. } => Some(add(name.as_str())),
        VerifyError::KeyExpired { .. } | VerifyError::KeyUnusable { .. } => Some(
            "sign with a key that is alive; or extend this one and give the registry its new \
             copy: gantry registry keys add --prefix PREFIX KEYFILE"
                .to_owned(),
        ),
        VerifyError::KeyRevoked { .. } => Some("sign with another key".to_owned()),
        VerifyError::Format(_) | VerifyError::SignatureInvalid { .. } => Some(
            "push the image with its own signature; if it was changed since, sign it again: \
             gantry sign FILE --key KEY"
                .to_owned(),
        ),
        VerifyError::SignatureInFuture { .. } => {
            Some("check the clock of the machine that signed, and the registry's".to_owned())
        }
        _ => None,
    }
}
