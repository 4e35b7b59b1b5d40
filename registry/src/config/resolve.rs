//! From what was said to what counts.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use aci::{Limits, Name};

use super::file::ConfigFile;
use super::sections::{
    AccessSection, AcmeSection, DatabaseSection, KeepingSection, LimitsSection, ServerSection,
    TimeoutsSection, TlsSection,
};
use super::{
    Acme, Challenge, ChallengeKind, Clock, Config, DirectoryUrl, Domains, ProxyHeader, Readiness,
    Size, Span, Timeouts, Tls,
};
use crate::access::Rates;
use crate::catalog::Database;
use crate::connection::ConnectionLimits;
use crate::keeping::{Age, Keeping, Quota, Retention};
use crate::metrics::MetricsAccess;

/// Why settings cannot be used that are each in order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// Nobody said where the data is.
    #[error("no data directory is named")]
    NoData,
    /// Nobody said what to serve.
    #[error("no domain is named")]
    NoDomain,
    /// A certificate without its key.
    #[error("a certificate is named, and no key")]
    NoKey,
    /// A key without its certificate.
    #[error("a key is named, and no certificate")]
    NoCertificate,
    /// A password without its database.
    #[error("a database's password is named, and no database")]
    NoDatabase,
    /// A registry nobody can reach.
    #[error("there is no address to listen on")]
    NoListener,
    /// An address that can be listened on but once.
    #[error("{0} is named twice as an address to listen on")]
    ListensTwice(SocketAddr),
    /// Two places for a certificate.
    #[error("a certificate of your own is named, and ACME as well")]
    TwoCertificates,
    /// A certificate nobody would be shown.
    #[error("ACME is configured, and no address for HTTPS")]
    AcmeWithoutTls,
    /// The authority has terms.
    #[error("the terms of the certificate authority are not agreed to")]
    TermsNotAgreed,
    /// What is no way to reach anybody.
    #[error("the contact {0:?} is no mail address in the form of a URL")]
    Contact(String),
    /// An address for challenges that do not come there.
    #[error("an address for challenges is named, and the challenge is not http-01")]
    ChallengeListen,
    /// Requests without TLS from anywhere.
    #[error("HTTP without TLS on {0}, which others than this machine can reach")]
    PlainHttp(SocketAddr),
    /// A quota that limits nothing.
    #[error("the quota of {0} names neither bytes nor images")]
    EmptyQuota(Name),
    /// A quota for names that nobody can push.
    #[error("there is a quota for {0}, which is of no domain that is served")]
    QuotaElsewhere(Name),
    /// A rule for names that nobody can push.
    #[error("there is a rule of retention for {0}, which is of no domain that is served")]
    RetentionElsewhere(Name),
    /// Two rules, of which one alone could speak.
    #[error("there are two rules of retention for {0}")]
    TwoRetentions(Name),
}

impl SettingError {
    /// What would have been accepted.
    pub(super) fn wanted(&self) -> &'static str {
        match self {
            Self::NoData => "the folder with the registry's data",
            Self::NoDomain => "at least one domain whose names are served",
            Self::NoKey | Self::NoCertificate => "a certificate and its key, or neither",
            Self::NoDatabase => "a database and its password, or neither",
            Self::NoListener => "at least one address",
            Self::ListensTwice(_) => {
                "each address once, of `listen`, `http` and `challenge-listen`"
            }
            Self::TwoCertificates => "one place that the certificate comes from",
            Self::AcmeWithoutTls => "an address for HTTPS, where the certificate is shown",
            Self::TermsNotAgreed => "the owner's word that the authority's terms are agreed to",
            Self::Contact(_) => "an address as mailto:admin@example.com",
            Self::ChallengeListen => "an address for challenges with http-01 alone",
            Self::PlainHttp(_) => {
                "HTTP without TLS on a loopback address, as 127.0.0.1, or from trusted proxies alone"
            }
            Self::EmptyQuota(_) => "a quota with `bytes`, `images` or both",
            Self::QuotaElsewhere(_) | Self::RetentionElsewhere(_) => {
                "a prefix at or below a domain of `domains`"
            }
            Self::TwoRetentions(_) => "one rule of retention for each prefix",
        }
    }

    /// What to do.
    pub(super) fn next(&self) -> String {
        let next = match self {
            Self::NoData => "give --data DIR, or `data` in the section [server]",
            Self::NoDomain => "give --domain DOMAIN, or `domains` in the section [server]",
            Self::NoKey => "give --tls-key FILE beside --tls-cert, or `key` in the section [tls]",
            Self::NoCertificate => {
                "give --tls-cert FILE beside --tls-key, or `certificate` in the section [tls]"
            }
            Self::NoDatabase => "give --database URL, or `url` in the section [database]",
            Self::NoListener => {
                "give --listen ADDRESS:PORT, or `listen` in the section [server], or leave it out"
            }
            Self::ListensTwice(_) => {
                "leave it out where it is not meant, in the section [server] or [acme], or give it another port"
            }
            Self::TwoCertificates => "leave out the section [tls], or the section [acme]",
            Self::AcmeWithoutTls => {
                "name an address in `listen` in the section [server], or leave out [acme]"
            }
            Self::TermsNotAgreed => {
                "read the terms, and write `terms-agreed = true` in the section [acme]"
            }
            Self::Contact(_) => "correct `contact` in the section [acme]",
            Self::ChallengeListen => {
                "leave out `challenge-listen` in the section [acme], or write `challenge = \"http-01\"`"
            }
            Self::PlainHttp(_) => {
                "give --trusted-proxy NETWORK, or `trusted-proxies` in the section [server]: nobody \
                 else is then answered there"
            }
            Self::EmptyQuota(prefix) => {
                return format!(
                    "write `bytes` or `images` in the [[quota]] of {prefix}, or leave it out"
                );
            }
            Self::QuotaElsewhere(prefix) | Self::RetentionElsewhere(prefix) => {
                return format!("correct the prefix {prefix}, or serve its domain");
            }
            Self::TwoRetentions(prefix) => {
                return format!("write what keeps images of {prefix} into one [[retention]]");
            }
        };
        next.to_owned()
    }
}

impl ConfigFile {
    /// What counts where nobody says anything.
    pub fn defaults() -> Self {
        let limits = Limits::default();
        let (timeouts, rates) = (Timeouts::default(), Rates::default());
        let keeping = Keeping::default();
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 8443));
        Self {
            server: ServerSection {
                listen: Some(vec![local]),
                http: Some(Vec::new()),
                trusted_proxies: Some(Vec::new()),
                proxy_header: Some(ProxyHeader::XForwardedFor),
                metrics_readers: Some(Vec::new()),
                ..ServerSection::default()
            },
            database: DatabaseSection::default(),
            tls: TlsSection::default(),
            acme: None,
            limits: LimitsSection {
                image_size: Size::of(limits.file_bytes),
                unpacked_size: Size::of(limits.tar_bytes),
                compression_ratio: Some(limits.ratio),
                entries: Some(limits.entries),
                manifest_size: Size::of(limits.manifest_bytes),
            },
            access: AccessSection {
                issuer_ca_file: None,
                requests_per_second: Some(rates.requests_per_second),
                request_burst: Some(rates.burst),
            },
            timeouts: TimeoutsSection {
                handshake: Span::of(timeouts.handshake),
                headers: Span::of(timeouts.headers),
                silence: Span::of(timeouts.silence),
                drain: Span::of(timeouts.drain),
                drain_notice: None,
            },
            keeping: KeepingSection {
                collect_every: Some(Age::of(keeping.collect_every)),
                scrub_every: Some(Age::of(keeping.scrub_every)),
                scrub_rate: Size::of(keeping.scrub_rate),
            },
            retention: Vec::new(),
            quota: Vec::new(),
        }
    }

    /// The same, with defaults for what it does not say.
    pub fn complete(mut self) -> Self {
        // Who names a place for HTTP alone wants no other.
        if self.server.http.as_ref().is_some_and(|http| !http.is_empty()) {
            self.server.listen.get_or_insert_default();
        }
        self.acme = self.acme.map(|acme| {
            let challenge = acme.challenge.unwrap_or(ChallengeKind::TlsAlpn01);
            let port_80 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 80));
            acme.over(AcmeSection {
                directory: Some(DirectoryUrl::lets_encrypt()),
                contact: Some(Vec::new()),
                challenge: Some(challenge),
                challenge_listen: (challenge == ChallengeKind::Http01).then_some(port_80),
                ..AcmeSection::default()
            })
        });
        self.over(Self::defaults())
    }

    /// The configuration this is, with defaults for what it does not say.
    pub fn resolve(self, clock: Clock) -> Result<Config, SettingError> {
        let Self {
            server,
            database,
            tls,
            acme,
            limits,
            access,
            timeouts,
            keeping,
            retention,
            quota,
        } = self.complete();
        let listen = server.listen.unwrap_or_default();
        let http = server.http.unwrap_or_default();
        if listen.is_empty() && http.is_empty() {
            return Err(SettingError::NoListener);
        }
        let trusted_proxies = server.trusted_proxies.unwrap_or_default();
        let open = http.iter().find(|address| !address.ip().to_canonical().is_loopback());
        if let Some(open) = open.filter(|_| trusted_proxies.is_empty()) {
            return Err(SettingError::PlainHttp(*open));
        }
        let tls = match acme {
            Some(_) if !tls.is_empty() => return Err(SettingError::TwoCertificates),
            Some(_) if listen.is_empty() => return Err(SettingError::AcmeWithoutTls),
            Some(acme) => Tls::Acme(acme.resolve()?),
            None => tls.resolve()?,
        };
        let challenge = match &tls {
            Tls::Acme(Acme { challenge: Challenge::Http01 { listen }, .. }) => Some(listen),
            _ => None,
        };
        let mut listening = BTreeSet::new();
        let addresses = listen.iter().chain(&http).chain(challenge);
        // Of port 0, each is another one.
        if let Some(twice) =
            addresses.filter(|address| address.port() != 0).find(|a| !listening.insert(**a))
        {
            return Err(SettingError::ListensTwice(*twice));
        }
        let domains = server.domains.unwrap_or_default();
        let domains: Domains = domains.try_into().map_err(|_| SettingError::NoDomain)?;
        rules_fit(&domains, &retention, &quota)?;
        Ok(Config {
            data: server.data.ok_or(SettingError::NoData)?,
            database: database.resolve()?,
            listen,
            http,
            trusted_proxies,
            proxy_header: server.proxy_header.unwrap_or(ProxyHeader::XForwardedFor),
            domains,
            limits: limits.resolve(),
            tls,
            connections: ConnectionLimits::default(),
            metrics: MetricsAccess { addresses: server.metrics_readers.unwrap_or_default() },
            readiness: timeouts.readiness(),
            timeouts: timeouts.resolve(),
            rates: access.rates(),
            issuer_ca: access.issuer_ca_file,
            keeping: Keeping { retention, quotas: quota, ..keeping.resolve() },
            clock,
        })
    }
}

/// Whether each rule can be kept to, by itself and beside the others.
fn rules_fit(
    domains: &Domains,
    retention: &[Retention],
    quotas: &[Quota],
) -> Result<(), SettingError> {
    for quota in quotas {
        if quota.bytes.is_none() && quota.images.is_none() {
            return Err(SettingError::EmptyQuota(quota.prefix.clone()));
        }
        if !domains.own(&quota.prefix) {
            return Err(SettingError::QuotaElsewhere(quota.prefix.clone()));
        }
    }
    let mut seen = BTreeSet::new();
    for rule in retention {
        if !domains.own(rule.prefix()) {
            return Err(SettingError::RetentionElsewhere(rule.prefix().clone()));
        }
        if !seen.insert(rule.prefix().as_str()) {
            return Err(SettingError::TwoRetentions(rule.prefix().clone()));
        }
    }
    Ok(())
}

impl DatabaseSection {
    fn resolve(self) -> Result<Option<Database>, SettingError> {
        match self {
            Self { url: Some(url), password_file } => Ok(Some(Database { url, password_file })),
            Self { url: None, password_file: None } => Ok(None),
            Self { url: None, password_file: Some(_) } => Err(SettingError::NoDatabase),
        }
    }
}

impl TlsSection {
    fn resolve(self) -> Result<Tls, SettingError> {
        match (self.certificate, self.key) {
            (Some(certificates), Some(key)) => Ok(Tls::Files { certificates, key }),
            (None, None) => Ok(Tls::OwnAuthority),
            (Some(_), None) => Err(SettingError::NoKey),
            (None, Some(_)) => Err(SettingError::NoCertificate),
        }
    }
}

impl AcmeSection {
    fn resolve(self) -> Result<Acme, SettingError> {
        if self.terms_agreed != Some(true) {
            return Err(SettingError::TermsNotAgreed);
        }
        let contact = self.contact.unwrap_or_default();
        if let Some(wrong) = contact.iter().find(|contact| !contact.starts_with("mailto:")) {
            return Err(SettingError::Contact(wrong.clone()));
        }
        let challenge = match (self.challenge, self.challenge_listen) {
            (Some(ChallengeKind::Http01), Some(listen)) => Challenge::Http01 { listen },
            (_, Some(_)) => return Err(SettingError::ChallengeListen),
            (_, None) => Challenge::TlsAlpn01,
        };
        let directory = self.directory.unwrap_or_else(DirectoryUrl::lets_encrypt);
        Ok(Acme { directory, contact, challenge, ca_file: self.ca_file })
    }
}

impl LimitsSection {
    fn resolve(self) -> Limits {
        let usual = Limits::default();
        let bytes = |size: Option<Size>, usual| size.map_or(usual, Size::bytes);
        Limits {
            file_bytes: bytes(self.image_size, usual.file_bytes),
            tar_bytes: bytes(self.unpacked_size, usual.tar_bytes),
            ratio: self.compression_ratio.unwrap_or(usual.ratio),
            entries: self.entries.unwrap_or(usual.entries),
            manifest_bytes: bytes(self.manifest_size, usual.manifest_bytes),
            ..usual
        }
    }
}

impl AccessSection {
    fn rates(&self) -> Rates {
        let usual = Rates::default();
        Rates {
            requests_per_second: self.requests_per_second.unwrap_or(usual.requests_per_second),
            burst: self.request_burst.unwrap_or(usual.burst),
            ..usual
        }
    }
}

impl KeepingSection {
    fn resolve(self) -> Keeping {
        let usual = Keeping::default();
        let time = |age: Option<Age>, usual| age.map_or(usual, Age::time);
        Keeping {
            collect_every: time(self.collect_every, usual.collect_every),
            scrub_every: time(self.scrub_every, usual.scrub_every),
            scrub_rate: self.scrub_rate.map_or(usual.scrub_rate, Size::bytes),
            ..usual
        }
    }
}

impl TimeoutsSection {
    fn readiness(&self) -> Readiness {
        let usual = Readiness::default();
        Readiness { notice: self.drain_notice.map_or(usual.notice, Span::time), ..usual }
    }

    fn resolve(self) -> Timeouts {
        let usual = Timeouts::default();
        let time = |span: Option<Span>, usual| span.map_or(usual, Span::time);
        Timeouts {
            handshake: time(self.handshake, usual.handshake),
            headers: time(self.headers, usual.headers),
            silence: time(self.silence, usual.silence),
            drain: time(self.drain, usual.drain),
        }
    }
}
