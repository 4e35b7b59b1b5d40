//! Withdrawing an image: a statement counts where a key that may sign the image's name has signed it.

use std::time::Duration;

use aci::yank::Yank;
use aci::{Limits, Name};
use keys::{Keyring, Policy};

use crate::error::ApiError;

/// How far the clock of whoever issued a statement may be ahead.
const CLOCKS_DIFFER: Duration = Duration::from_secs(600);

/// A statement that a key of the name has signed. Only the check makes one.
#[derive(Debug)]
pub(crate) struct VerifiedYank {
    said: Yank,
    statement: String,
    signature: String,
}

impl VerifiedYank {
    /// Reads a statement and verifies its signature, against the keys of the name in it.
    pub(crate) fn check(
        statement: String,
        signature: String,
        keyring: &Keyring,
        policy: &Policy,
        limits: &Limits,
    ) -> Result<Self, ApiError> {
        let malformed = |error: aci::yank::YankError| ApiError::YankMalformed(error.to_string());
        let said = Yank::read(statement.as_bytes()).map_err(malformed)?;
        // One from a time to come would count against all that are said until then.
        let latest = jiff::Timestamp::try_from(policy.now + CLOCKS_DIFFER);
        if latest.is_ok_and(|latest| said.issued > latest) {
            let found = format!("it was issued at {}, which is still to come", said.issued);
            return Err(ApiError::YankMalformed(found));
        }
        let name: &Name = &said.name;
        let (bytes, signed) = (statement.as_bytes(), signature.as_bytes());
        keys::verify_for(name, bytes, signed, keyring, policy, limits)?;
        Ok(Self { said, statement, signature })
    }

    pub(crate) fn said(&self) -> &Yank {
        &self.said
    }

    pub(crate) fn statement(&self) -> &str {
        &self.statement
    }

    pub(crate) fn signature(&self) -> &str {
        &self.signature
    }
}
