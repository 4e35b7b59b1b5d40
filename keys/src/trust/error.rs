//! Why the trusted keys cannot be used.

use std::io;
use std::path::{Path, PathBuf};

use aci::{Refusal, Refuse};

use crate::fingerprint::Fingerprint;

/// Why the store cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Reading or writing failed.
    #[error("cannot use the trusted keys at {}: {source}", .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What failed.
        #[source]
        source: io::Error,
    },
    /// What is demanded of prefixes cannot be told.
    #[error("the trust policy {} is not understood: {}", .path.display(), .fault.to_string().trim_end())]
    Policy {
        /// The file.
        path: PathBuf,
        /// Line, column, key and fault.
        fault: Box<toml::de::Error>,
    },
    /// A key with so much on it that it could not be read again.
    #[error("key {fingerprint} has more than {limit} bytes, and could not be read again")]
    TooLarge {
        /// The key.
        fingerprint: Fingerprint,
        /// The limit.
        limit: u64,
    },
}

impl TrustError {
    /// Whether a file of this machine failed, and nothing was refused.
    pub fn is_io(&self) -> bool {
        matches!(self, Self::Io { .. })
    }
}

impl Refuse for TrustError {
    fn refusal(&self) -> Refusal {
        let (code, wanted, found, rule, next) = match self {
            Self::Io { path, source } => (
                "trust-io",
                "trusted keys this user can read, and write where they change".to_owned(),
                source.to_string(),
                "a tree of trusted keys that cannot be read may hold what takes trust away",
                format!("see who owns {}", path.display()),
            ),
            Self::Policy { path, fault } => (
                "policy-invalid",
                "tables [prefix.\"NAME\"] with the keys threshold, pinned and refresh".to_owned(),
                fault.message().to_owned(),
                "a policy that is not understood is not passed over: it may demand more than \
                 what would be checked without it",
                format!("correct {}", path.display()),
            ),
            Self::TooLarge { limit, .. } => (
                "key-too-large",
                format!("a key of at most {limit} bytes"),
                self.to_string(),
                "everything from outside has a limit",
                "give the key without the signatures of others: gpg --armor --export-options \
                 export-minimal --export KEY"
                    .to_owned(),
            ),
        };
        Refusal {
            code: code.into(),
            message: self.to_string(),
            wanted,
            found,
            rule: rule.into(),
            next,
        }
    }
}

pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> TrustError {
    let path = path.to_owned();
    move |source| TrustError::Io { path, source }
}
