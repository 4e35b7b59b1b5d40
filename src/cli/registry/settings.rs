//! What a registry is told: options of the command, which count more than its file.

use std::net::SocketAddr;
use std::path::PathBuf;

use aci::Refuse;
use registry::{
    AccessSection, Clock, Config, ConfigError, ConfigFile, DatabaseSection, Domain, LimitsSection,
    Network, ServerSection, Size, Span, TimeoutsSection, TlsSection,
};

use super::super::context::file_or_none;
use super::{DatabaseArgs, Failure, Kind};

/// The settings of a registry.
#[derive(clap::Args, Clone)]
pub(super) struct SettingArgs {
    /// Read this configuration file, the registry's; options of the command count more
    #[arg(long, value_name = "FILE", env = "GANTRY_CONFIG", value_parser = file_or_none())]
    config: Option<PathBuf>,
    /// The registry's data directory; it is created where it is missing
    #[arg(long, value_name = "DIR", env = "GANTRY_DATA")]
    data: Option<PathBuf>,
    #[command(flatten)]
    database: DatabaseArgs,
    /// Listen on this address for HTTPS; port 0 takes a free one. May be given several times
    /// [default: 127.0.0.1:8443]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<Vec<SocketAddr>>,
    /// Listen on this address for HTTP without TLS: a loopback address, or any where
    /// --trusted-proxy says who may come. May be given several times
    #[arg(long, value_name = "ADDRESS:PORT")]
    http: Option<Vec<SocketAddr>>,
    /// Believe this proxy, or those of this network, for whom they ask, and nobody else; nobody
    /// else is answered without TLS then. May be given several times
    #[arg(long = "trusted-proxy", value_name = "NETWORK")]
    trusted_proxies: Option<Vec<Network>>,
    /// Answer for this domain; may be given several times
    #[arg(long = "domain", value_name = "DOMAIN")]
    domains: Option<Vec<Domain>>,
    /// The certificate with its chain, in PEM; a new one is taken up within seconds
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Take image files of at most this many bytes: 1536, 64MiB, 2GiB [default: 16GiB]
    #[arg(long, value_name = "BYTES")]
    max_image_bytes: Option<Size>,
    /// Trust the roots in this PEM file, too, for the issuers of jobs' ID tokens
    #[arg(long, value_name = "FILE")]
    issuer_ca_file: Option<PathBuf>,
    /// Give running requests this long when told to stop [default: 30s]
    #[arg(long, value_name = "TIME")]
    drain: Option<Span>,
    /// When told to stop, say so at /-/readyz for this long before taking no more connections
    #[arg(long, value_name = "TIME")]
    drain_notice: Option<Span>,
}

impl SettingArgs {
    /// What the options say.
    pub(super) fn options(&self) -> ConfigFile {
        ConfigFile {
            server: ServerSection {
                data: self.data.clone(),
                domains: self.domains.clone(),
                listen: self.listen.clone(),
                http: self.http.clone(),
                trusted_proxies: self.trusted_proxies.clone(),
                proxy_header: None,
                metrics_readers: None,
            },
            database: DatabaseSection {
                url: self.database.database.clone(),
                password_file: self.database.database_password_file.clone(),
            },
            tls: TlsSection { certificate: self.tls_cert.clone(), key: self.tls_key.clone() },
            acme: None,
            limits: LimitsSection { image_size: self.max_image_bytes, ..Default::default() },
            access: AccessSection {
                issuer_ca_file: self.issuer_ca_file.clone(),
                ..Default::default()
            },
            timeouts: TimeoutsSection {
                drain: self.drain,
                drain_notice: self.drain_notice,
                ..Default::default()
            },
            ..Default::default()
        }
    }

    /// What the file says: nothing, where there is none.
    pub(super) fn file(&self) -> Result<ConfigFile, ConfigError> {
        let file = self.config.as_deref().filter(|path| !path.as_os_str().is_empty());
        file.map_or_else(|| Ok(ConfigFile::default()), ConfigFile::read)
    }

    /// What counts in the end.
    pub(super) fn read(&self) -> Result<Config, ConfigError> {
        Ok(self.options().over(self.file()?).resolve(Clock::system())?)
    }

    /// The same, where the command ends without.
    pub(super) fn resolve(&self) -> Result<Config, Failure> {
        self.read().map_err(|error| unusable(&error))
    }
}

/// A configuration that cannot be used is bad usage.
pub(super) fn unusable(error: &ConfigError) -> Failure {
    let mut refusal = error.refusal();
    if let ConfigError::Parse { path, .. } = error
        && discovery::Config::read(path).is_ok()
    {
        refusal.found = "the configuration of a client".to_owned();
        refusal.next = format!(
            "give --config the registry's file; {} is for the commands that fetch and push, and \
             GANTRY_CONFIG names one or the other",
            path.display()
        );
    }
    Failure::refusal(Kind::Usage, refusal)
}
