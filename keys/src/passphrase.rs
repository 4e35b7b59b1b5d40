//! Passphrases, kept out of sight.

use std::fmt;

use sequoia_openpgp::crypto::Password;

/// What a secret key is locked with. Not printed by `Debug`, wiped when dropped.
#[derive(Clone)]
pub struct Passphrase(Password);

impl Passphrase {
    /// A passphrase as it came out of a file, a descriptor or a variable: one line end at
    /// its end is dropped. `None` where nothing is left: an empty passphrase locks nothing.
    pub fn from_line(mut bytes: Vec<u8>) -> Option<Self> {
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
        }
        (!bytes.is_empty()).then(|| Self(Password::from(bytes)))
    }

    pub(crate) fn password(&self) -> &Password {
        &self.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(hidden)")
    }
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
        assert!(read("\n").is_none());
        assert!(read("").is_none());
        assert!(!format!("{:?}", read("secret")).contains("secret"));
    }
}
