//! What a registry is started with.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aci::{Limits, Name};
use web::Domain;

use crate::connection::ConnectionLimits;
use crate::metrics::MetricsAccess;

/// What a registry is started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// The data directory.
    pub data: PathBuf,
    /// The address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
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
    /// Who may read the counts.
    pub metrics: MetricsAccess,
    /// When it says that it is ready.
    pub readiness: Readiness,
    /// What time it is.
    pub clock: Clock,
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
#[derive(Debug, Clone)]
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
