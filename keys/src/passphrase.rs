//! Passphrases, kept out of sight.

use std::fmt;

use openpgp::crypto::Password;
use openpgp::packet::Key;
use openpgp::packet::key::{SecretParts, UnspecifiedRole};
use sequoia_openpgp as openpgp;

use crate::fingerprint::Fingerprint;

/// What a secret key is locked with. Not printed by `Debug`, wiped when dropped.
#[derive(Clone)]
pub struct Passphrase {
    password: Password,
    one_line: bool,
}

impl Passphrase {
    /// A passphrase as it came out of a file, a descriptor or a variable: one line end at
    /// its end is dropped. `None` where nothing is left: an empty passphrase locks nothing.
    pub fn from_line(mut bytes: Vec<u8>) -> Option<Self> {
        let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let one_line = !line.iter().any(|byte| matches!(byte, b'\n' | b'\r' | 0));
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
        }
        (!bytes.is_empty()).then(|| Self { password: Password::from(bytes), one_line })
    }

    pub(crate) fn password(&self) -> &Password {
        &self.password
    }

    /// Whether it was one line of text, without a carriage return. Of anything else, gpg makes
    /// another passphrase.
    pub fn is_one_line(&self) -> bool {
        self.one_line
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(hidden)")
    }
}

/// Why a secret key does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnlockError {
    /// The key is locked.
    #[error(
        "key {0} is locked with a passphrase: give it by --passphrase-file FILE, --passphrase-fd N or the variable GANTRY_KEY_PASSPHRASE"
    )]
    Locked(Fingerprint),
    /// The passphrase does not open the key.
    #[error("the passphrase does not open key {0}")]
    WrongPassphrase(Fingerprint),
}

/// Opens a secret key.
pub(crate) fn unlock(
    key: Key<SecretParts, UnspecifiedRole>,
    by: Fingerprint,
    passphrase: Option<&Passphrase>,
) -> Result<Key<SecretParts, UnspecifiedRole>, UnlockError> {
    if key.has_unencrypted_secret() {
        return Ok(key);
    }
    let passphrase = passphrase.ok_or(UnlockError::Locked(by))?;
    key.decrypt_secret(passphrase.password()).map_err(|_| UnlockError::WrongPassphrase(by))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passphrase_loses_one_line_end_and_hides() {
        let read = |text: &str| Passphrase::from_line(text.into());
        for (text, kept) in [("a b\n", "a b"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("a", "a")] {
            read(text).unwrap().password().map(|bytes| assert_eq!(&bytes[..], kept.as_bytes()));
        }
        for (text, one_line) in
            [("a", true), ("a b\n", true), ("a\r\n", false), ("a\nb", false), ("a\0", false)]
        {
            assert_eq!(read(text).unwrap().is_one_line(), one_line, "{text:?}");
        }
        assert!(read("\n").is_none());
        assert!(read("").is_none());
        assert!(!format!("{:?}", read("secret")).contains("secret"));
    }
}
