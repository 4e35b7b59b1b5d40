//! From what was said to what counts.

use std::net::{Ipv4Addr, SocketAddr};

use aci::Limits;

use super::file::ConfigFile;
use super::sections::{LimitsSection, ServerSection, TimeoutsSection, TlsSection};
use super::{Clock, Config, Size, Span, Timeouts, Tls};

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
    /// A registry nobody can reach.
    #[error("there is no address to listen on")]
    NoListener,
}

impl SettingError {
    /// What would have been accepted.
    pub(super) fn wanted(&self) -> &'static str {
        match self {
            Self::NoData => "the folder with the registry's data",
            Self::NoDomain => "at least one domain whose names are served",
            Self::NoKey | Self::NoCertificate => "a certificate and its key, or neither",
            Self::NoListener => "at least one address",
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
            Self::NoListener => {
                "give --listen ADDRESS:PORT, or `listen` in the section [server], or leave it out"
            }
        };
        next.to_owned()
    }
}

impl ConfigFile {
    /// What counts where nobody says anything.
    pub fn defaults() -> Self {
        let limits = Limits::default();
        let timeouts = Timeouts::default();
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 8443));
        Self {
            server: ServerSection { listen: Some(vec![local]), ..ServerSection::default() },
            tls: TlsSection::default(),
            limits: LimitsSection {
                image_size: Size::of(limits.file_bytes),
                unpacked_size: Size::of(limits.tar_bytes),
                compression_ratio: Some(limits.ratio),
                entries: Some(limits.entries),
                manifest_size: Size::of(limits.manifest_bytes),
            },
            timeouts: TimeoutsSection {
                handshake: Span::of(timeouts.handshake),
                headers: Span::of(timeouts.headers),
                silence: Span::of(timeouts.silence),
                drain: Span::of(timeouts.drain),
            },
        }
    }

    /// The configuration this is, with defaults for what it does not say.
    pub fn resolve(self, clock: Clock) -> Result<Config, SettingError> {
        let Self { server, tls, limits, timeouts } = self.over(Self::defaults());
        let listen = server.listen.unwrap_or_default();
        if listen.is_empty() {
            return Err(SettingError::NoListener);
        }
        let domains = server.domains.unwrap_or_default();
        Ok(Config {
            data: server.data.ok_or(SettingError::NoData)?,
            listen,
            domains: domains.try_into().map_err(|_| SettingError::NoDomain)?,
            limits: limits.resolve(),
            tls: tls.resolve()?,
            timeouts: timeouts.resolve(),
            clock,
        })
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

impl TimeoutsSection {
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
