//! The client's configuration file.
//!
//! ```toml
//! store = "/srv/images"                 # as --store
//! trust-dir = "/srv/trustedkeys"        # as --trust-dir
//! vendor-trust-dirs = ["/usr/share/k"]  # as --vendor-trust-dir
//! trust-refresh = "24h"                 # how often a fetch asks for news of trusted keys; or "never"
//! ca-file = "/etc/ssl/internal-ca.pem"  # as --ca-file
//!
//! pull = "new"                          # as --pull: never, new, update
//! parallel = 4                          # as --parallel
//! retries = 3                           # as --retries
//! proxy = "http://proxy.internal:3128"  # as --proxy
//! connect-timeout = "20s"               # as --connect-timeout, and so on
//! idle-timeout = "60s"
//! total-timeout = "1h"
//! max-size = "16G"
//! limit-rate = "10M"
//!
//! [[credentials]]                       # see the module `credentials`
//! host = "registry.example.com"
//! token-file = "/etc/gantry/registry.token"
//!
//! [[override]]                          # see the module `route`
//! prefix = "example.com"
//! connect = "127.0.0.1:8443"
//!
//! [[override]]
//! prefix = "example.com/team"
//! url = "https://mirror.example.net/base"
//! ```
//!
//! The user's file (`~/.config/gantry/config.toml`) and the system's
//! (`/etc/gantry/config.toml`) are merged: of a key both have, and of an override
//! for one prefix that both have, the user's counts. A file named on the command
//! line is read instead of both. Nothing is ever read from the current folder, so
//! a checkout of somebody else's files cannot send requests elsewhere; and so
//! every path in a file is absolute. Unknown keys are errors. What is given up for one
//! command (`--insecure-…`) has no key: a file would give it up for all.

use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use aci::{Refusal, Refuse};
use keys::Interval;
use serde::Deserialize;

use crate::credentials::CredentialEntry;
use crate::error::refusal;
use crate::fetch::Pull;
use crate::http::Proxy;
use crate::route::Override;

mod amount;

pub use amount::{AmountError, Size, Span};

/// Largest configuration file read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Why a configuration file was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("cannot read the configuration file {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It is larger than any configuration.
    #[error("the configuration file {} is larger than {MAX_BYTES} bytes", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It holds a secret, and others can read it.
    #[error("the configuration file {} holds a secret and can be read by others", .path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// It is no TOML, has an unknown key, or a key has an unacceptable value.
    #[error("{}, {}", .path.display(), without_secrets(.fault))]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, column, key and fault.
        fault: Box<toml::de::Error>,
    },
}

impl Refuse for ConfigError {
    fn refusal(&self) -> Refusal {
        let (path, found) = match self {
            Self::Read { path, source } => (path, source.to_string()),
            Self::TooLarge { path } => (path, format!("more than {MAX_BYTES} bytes")),
            Self::Parse { path, fault } => (path, fault.message().to_owned()),
            Self::Exposed { path } => {
                return refusal(
                    "configuration-exposed",
                    self,
                    "a file that only its owner can read",
                    "one that others can read",
                    "a token or password may stand in the configuration itself only where nobody \
                     else reads it",
                    format!(
                        "chmod 600 {}, or name a file or variable: token-file, token-env, \
                         password-file, password-env",
                        path.display()
                    ),
                );
            }
        };
        refusal(
            "configuration-invalid",
            self,
            "a TOML file with the keys store, trust-dir, vendor-trust-dirs, trust-refresh, ca-file, \
             pull, parallel, retries, proxy, connect-timeout, idle-timeout, total-timeout, max-size, \
             limit-rate, [[credentials]] and [[override]]",
            found,
            "a configuration that is not understood is not used: it may say where requests go",
            format!("correct {}", path.display()),
        )
    }
}

/// What the configuration files say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Where images are stored.
    #[serde(default, deserialize_with = "absolute")]
    pub store: Option<PathBuf>,
    /// Where trusted keys are kept.
    #[serde(default, deserialize_with = "absolute")]
    pub trust_dir: Option<PathBuf>,
    /// Trees of trusted keys that are only read, the widest first.
    #[serde(default, deserialize_with = "all_absolute")]
    pub vendor_trust_dirs: Vec<PathBuf>,
    /// How often a fetch asks a domain for news of its trusted keys.
    #[serde(default)]
    pub trust_refresh: Option<Interval>,
    /// CA certificates (PEM) trusted for TLS besides the system's.
    #[serde(default, deserialize_with = "absolute")]
    pub ca_file: Option<PathBuf>,
    /// When the network is asked.
    pub pull: Option<Pull>,
    /// How many images are fetched at once, of those that one image needs.
    pub parallel: Option<NonZeroUsize>,
    /// How often what failed is tried again.
    pub retries: Option<u32>,
    /// Through which proxy requests go.
    pub proxy: Option<Proxy>,
    /// How long a connection may take to come about.
    pub connect_timeout: Option<Span>,
    /// How long nothing may come.
    pub idle_timeout: Option<Span>,
    /// How long one image may take.
    pub total_timeout: Option<Span>,
    /// Bytes an image file may have.
    pub max_size: Option<Size>,
    /// Bytes for each second.
    pub limit_rate: Option<Size>,
    /// What shows servers who asks.
    #[serde(default, deserialize_with = "distinct_hosts")]
    pub credentials: Vec<CredentialEntry>,
    /// Where requests for some names go instead.
    #[serde(default, rename = "override", deserialize_with = "distinct")]
    pub overrides: Vec<Override>,
}

impl Config {
    /// Reads one file, which must be there.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let fail = |source| ConfigError::Read { path: path.to_owned(), source };
        let file = fs::File::open(path).map_err(fail)?;
        let mut text = String::new();
        io::Read::read_to_string(&mut io::Read::take(file, MAX_BYTES + 1), &mut text)
            .map_err(fail)?;
        if text.len() as u64 > MAX_BYTES {
            return Err(ConfigError::TooLarge { path: path.to_owned() });
        }
        let config = Self::parse(&text, path)?;
        if config.credentials.iter().any(CredentialEntry::holds_secret) && others_read(path) {
            return Err(ConfigError::Exposed { path: path.to_owned() });
        }
        Ok(config)
    }

    /// Merges those of `paths` that exist; what an earlier file says counts.
    pub fn merged<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        for path in paths {
            match Self::read(path) {
                Ok(later) => config.fill(later),
                Err(ConfigError::Read { source, .. })
                    if matches!(
                        source.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                    ) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(config)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|fault: toml::de::Error| ConfigError::Parse {
            path: path.to_owned(),
            fault: Box::new(fault),
        })
    }

    fn fill(&mut self, later: Config) {
        self.store = self.store.take().or(later.store);
        self.trust_dir = self.trust_dir.take().or(later.trust_dir);
        if self.vendor_trust_dirs.is_empty() {
            self.vendor_trust_dirs = later.vendor_trust_dirs;
        }
        self.trust_refresh = self.trust_refresh.or(later.trust_refresh);
        self.ca_file = self.ca_file.take().or(later.ca_file);
        self.pull = self.pull.or(later.pull);
        self.parallel = self.parallel.or(later.parallel);
        self.retries = self.retries.or(later.retries);
        self.proxy = self.proxy.take().or(later.proxy);
        self.connect_timeout = self.connect_timeout.or(later.connect_timeout);
        self.idle_timeout = self.idle_timeout.or(later.idle_timeout);
        self.total_timeout = self.total_timeout.or(later.total_timeout);
        self.max_size = self.max_size.or(later.max_size);
        self.limit_rate = self.limit_rate.or(later.limit_rate);
        for entry in later.credentials {
            if !self.credentials.iter().any(|own| own.host() == entry.host()) {
                self.credentials.push(entry);
            }
        }
        for entry in later.overrides {
            if !self.overrides.iter().any(|own| own.prefix() == entry.prefix()) {
                self.overrides.push(entry);
            }
        }
    }
}

fn absolute<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<PathBuf>, D::Error> {
    let path = PathBuf::deserialize(deserializer)?;
    if path.is_absolute() { Ok(Some(path)) } else { Err(relative(&path)) }
}

fn all_absolute<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<PathBuf>, D::Error> {
    let paths = Vec::<PathBuf>::deserialize(deserializer)?;
    match paths.iter().find(|path| !path.is_absolute()) {
        Some(path) => Err(relative(path)),
        None => Ok(paths),
    }
}

fn relative<E: serde::de::Error>(path: &Path) -> E {
    E::custom(format_args!("{path:?} must be an absolute path"))
}

/// A parser's report, which shows the line at fault, without what may be a secret in it.
fn without_secrets(fault: &toml::de::Error) -> String {
    let report = fault.to_string();
    let secret = |line: &str| ["token", "password", "@"].iter().any(|word| line.contains(word));
    let lines = report.trim_end().lines().map(|line| match line.split_once('=') {
        Some((before, _)) if secret(line) => format!("{before}= …"),
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Whether others than its owner can read a file; where that cannot be told, they can.
fn others_read(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).map_or(true, |metadata| metadata.permissions().mode() & 0o077 != 0)
}

/// Two credentials for one host would leave it open which one is sent.
fn distinct_hosts<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<CredentialEntry>, D::Error> {
    let entries = Vec::<CredentialEntry>::deserialize(deserializer)?;
    for (at, entry) in entries.iter().enumerate() {
        if entries[..at].iter().any(|other| other.host() == entry.host()) {
            return Err(serde::de::Error::custom(format_args!(
                "the host {} has two credentials",
                entry.host()
            )));
        }
    }
    Ok(entries)
}

/// Two overrides for one prefix would leave it open which one counts.
fn distinct<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Override>, D::Error> {
    let entries = Vec::<Override>::deserialize(deserializer)?;
    for (at, entry) in entries.iter().enumerate() {
        if entries[..at].iter().any(|other| other.prefix() == entry.prefix()) {
            return Err(serde::de::Error::custom(format_args!(
                "the prefix {:?} has two overrides",
                entry.prefix()
            )));
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests;
