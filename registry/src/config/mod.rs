//! What a registry is started with: from a file, the command line, and defaults.

mod acme;
mod amount;
mod check;
mod file;
mod live;
mod network;
mod proxy_header;
mod resolve;
mod sections;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aci::{Limits, Name};
use web::Domain;

use crate::access::Rates;
use crate::catalog::Database;
use crate::connection::ConnectionLimits;
use crate::keeping::Keeping;

use crate::metrics::MetricsAccess;
pub use acme::{Acme, Challenge, ChallengeKind, DirectoryUrl, DirectoryUrlError};
pub use amount::{AmountError, Size, Span};
pub use check::CheckError;
pub use file::{ConfigError, ConfigFile};
pub(crate) use live::Live;
pub use network::{Network, NetworkError};
pub use proxy_header::ProxyHeader;
pub use resolve::SettingError;
pub use sections::{
    AccessSection, AcmeSection, DatabaseSection, KeepingSection, LimitsSection, ServerSection,
    TimeoutsSection, TlsSection,
};

/// What a registry is started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// The data directory.
    pub data: PathBuf,
    /// The catalogue's database; where none is given, `gantry.db` in the data directory.
    pub database: Option<Database>,
    /// The addresses to listen on for HTTPS; port 0 takes a free one.
    pub listen: Vec<SocketAddr>,
    /// The addresses to listen on without TLS: loopback, unless proxies are trusted.
    pub http: Vec<SocketAddr>,
    /// Who may say for whom a request is made.
    pub trusted_proxies: Vec<Network>,
    /// In which header they say it.
    pub proxy_header: ProxyHeader,
    /// The domains to answer for.
    pub domains: Domains,
    /// Limits on everything that comes from outside.
    pub limits: Limits,
    /// Where the certificate comes from.
    pub tls: Tls,
    /// How long what may take.
    pub timeouts: Timeouts,
    /// What connections may cost.
    pub connections: ConnectionLimits,
    /// How what is stored is kept.
    pub keeping: Keeping,
    /// Roots, in PEM, that issuers of jobs' ID tokens may have their certificates from, beside the
    /// system's.
    pub issuer_ca: Option<PathBuf>,
    /// How often somebody may ask.
    pub rates: Rates,
    /// Who may read the counts.
    pub metrics: MetricsAccess,
    /// When it says that it is ready.
    pub readiness: Readiness,
    /// What time it is.
    pub clock: Clock,
}

impl Config {
    /// The address that challenges of an authority come to without TLS.
    pub(crate) fn challenge_listen(&self) -> Option<SocketAddr> {
        match &self.tls {
            Tls::Acme(Acme { challenge: Challenge::Http01 { listen }, .. }) => Some(*listen),
            _ => None,
        }
    }
}

/// How long what may take.
#[derive(Debug, Clone)]
pub struct Timeouts {
    /// The TLS handshake.
    pub handshake: Duration,
    /// The headers of a request, from the end of the one before.
    pub headers: Duration,
    /// A connection without a request in progress, from the end of the last one.
    pub silence: Duration,
    /// What is running when the server is told to stop.
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            headers: Duration::from_secs(30),
            silence: Duration::from_secs(60),
            drain: Duration::from_secs(30),
        }
    }
}

/// When a registry says that it is ready, to a load balancer say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// Bytes that must be free where uploads are spooled.
    pub room: u64,
    /// How long it says that it is stopping before it takes no more connections.
    pub notice: Duration,
}

impl Default for Readiness {
    fn default() -> Self {
        Self { room: 16 << 20, notice: Duration::ZERO }
    }
}

/// Where the server's certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// From an authority of the registry's own, in its data directory.
    OwnAuthority,
    /// From files, in PEM: the certificate with its chain, and its key.
    Files {
        /// The certificate, and those that lead to a root.
        certificates: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
    /// From an authority that speaks ACME.
    Acme(Acme),
}

/// The domains a registry answers for: at least one, each once, in the order given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domains(Vec<Domain>);

/// A list of domains without a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a registry needs at least one domain to answer for")]
pub struct NoDomain;

impl Domains {
    /// The domains, in the order given.
    pub fn iter(&self) -> impl Iterator<Item = &Domain> {
        self.0.iter()
    }

    /// Whether `name` is under one of them.
    pub(crate) fn own(&self, name: &Name) -> bool {
        self.0.iter().any(|domain| domain.owns(name))
    }
}

impl TryFrom<Vec<Domain>> for Domains {
    type Error = NoDomain;

    fn try_from(given: Vec<Domain>) -> Result<Self, NoDomain> {
        let mut domains: Vec<Domain> = Vec::new();
        for domain in given {
            if !domains.contains(&domain) {
                domains.push(domain);
            }
        }
        if domains.is_empty() { Err(NoDomain) } else { Ok(Self(domains)) }
    }
}

impl fmt::Display for Domains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, domain) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{domain}")?;
        }
        Ok(())
    }
}

/// A clock, so that tests can say what time it is.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    /// The machine's clock.
    #[expect(clippy::disallowed_methods, reason = "everybody else is handed a clock")]
    pub fn system() -> Self {
        Self::new(SystemTime::now)
    }

    /// A clock that shows what `now` says.
    pub fn new(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    pub(crate) fn now(&self) -> SystemTime {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
