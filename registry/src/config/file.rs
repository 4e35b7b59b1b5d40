//! The configuration file: TOML, one section for each thing there is to say.
//!
//! ```toml
//! [server]
//! data = "/var/lib/gantry-registry"
//! domains = ["example.com"]
//! listen = ["[::]:443"]
//!
//! [tls]
//! certificate = "/etc/letsencrypt/live/example.com/fullchain.pem"
//! key = "/etc/letsencrypt/live/example.com/privkey.pem"
//!
//! [limits]
//! image-size = "2GiB"
//!
//! [timeouts]
//! drain = "1m"
//! ```
//!
//! `docs/registry.toml` has every key with its default. A key that is not known is an error: a
//! limit that was mistyped would not hold.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use aci::{Refusal, Refuse};
use serde::{Deserialize, Serialize};

use super::resolve::SettingError;
use super::sections::{
    AcmeSection, DatabaseSection, LimitsSection, ServerSection, TimeoutsSection, TlsSection,
};

/// Largest configuration file read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// What a configuration file says, or a command line in its place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ConfigFile {
    /// What is served, and where.
    pub server: ServerSection,
    /// Where the catalogue is.
    pub database: DatabaseSection,
    /// A certificate of your own.
    pub tls: TlsSection,
    /// Certificates from an authority that speaks ACME.
    pub acme: Option<AcmeSection>,
    /// How much of each thing an image may have.
    pub limits: LimitsSection,
    /// How long what may take.
    pub timeouts: TimeoutsSection,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration {path:?} cannot be read: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is larger than any configuration.
    #[error("the configuration {path:?} is larger than {MAX_BYTES} bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It is no TOML, has an unknown key, or a key has an unacceptable value.
    #[error("the configuration {path:?} is wrong in line {line}, column {column}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column, in characters from 1.
        column: usize,
        /// What is wrong with it.
        fault: Box<toml::de::Error>,
    },
    /// What it says does not go together.
    #[error("the settings do not go together: {0}")]
    Setting(#[from] SettingError),
}

impl ConfigFile {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let fail = |source| ConfigError::Read { path: path.to_owned(), source };
        let mut text = String::new();
        let file = File::open(path).map_err(fail)?;
        file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(fail)?;
        if text.len() as u64 > MAX_BYTES {
            return Err(ConfigError::TooLarge { path: path.to_owned() });
        }
        Self::parse(&text, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|fault: toml::de::Error| {
            let at = fault.span().map_or(0, |span| span.start);
            let before = text.get(..at).unwrap_or_default();
            let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
            let line = before.matches('\n').count() + 1;
            ConfigError::Parse { path: path.to_owned(), line, column, fault: Box::new(fault) }
        })
    }

    /// What this says, and what `under` says where this says nothing.
    ///
    /// Where the certificate comes from is one thing: a certificate from one place never meets
    /// a key from another.
    pub fn over(self, under: Self) -> Self {
        let silent = self.tls.is_empty() && self.acme.is_none();
        let (tls, acme) = if silent { (under.tls, under.acme) } else { (self.tls, self.acme) };
        Self {
            server: self.server.over(under.server),
            database: self.database.over(under.database),
            tls,
            acme,
            limits: self.limits.over(under.limits),
            timeouts: self.timeouts.over(under.timeouts),
        }
    }
}

impl Refuse for ConfigError {
    fn refusal(&self) -> Refusal {
        let all = "every key is in docs/registry.toml, with an example";
        let (wanted, found, next) = match self {
            Self::Read { path, source } => (
                "a file that can be read".to_owned(),
                source.to_string(),
                format!("give --config another path than {}, or mend its rights", path.display()),
            ),
            Self::TooLarge { path } => (
                format!("at most {MAX_BYTES} bytes"),
                "more".to_owned(),
                format!("see whether {} is the file that was meant", path.display()),
            ),
            Self::Parse { path, line, column, fault } => (
                "TOML with the keys the registry knows, each with a value of its kind".to_owned(),
                fault.message().replace('\n', "; "),
                format!("correct {}:{line}:{column}; {all}", path.display()),
            ),
            Self::Setting(fault) => (fault.wanted().to_owned(), fault.to_string(), fault.next()),
        };
        Refusal {
            code: "configuration-invalid".to_owned(),
            message: self.to_string(),
            wanted,
            found,
            rule:
                "a configuration that is not understood is not used: a limit in it would not hold"
                    .to_owned(),
            next,
        }
    }
}

#[cfg(test)]
mod tests;
