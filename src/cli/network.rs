//! How requests are made: options that every command takes.

use std::convert::Infallible;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use aci::Refuse;
use clap::Args;
use discovery::config::{Size, Span};
use discovery::credentials::{Credentials, CredentialsError};
use discovery::http::{Insecure, Proxy, ProxyError, RealPace, Retries, Timeouts};

use super::context::home_folder;
use super::{Context, Failure, Kind};

/// How requests are made.
#[derive(Args, Debug, Clone, Default)]
#[command(next_help_heading = "Network")]
pub(crate) struct Network {
    /// Send requests through this proxy (http, https, socks5, socks5h), or through "none"
    /// [default: as HTTPS_PROXY and NO_PROXY say]
    #[arg(long, global = true, hide_short_help = true, value_name = "URL", env = "GANTRY_PROXY")]
    proxy: Option<Chosen>,
    /// Try again so often, in a row and without progress, what failed in a way that can get
    /// better [default: 3, of a push 8]
    #[arg(long, global = true, hide_short_help = true, value_name = "N", env = "GANTRY_RETRIES")]
    retries: Option<u32>,
    /// Give up a connection that takes longer to come about [default: 20s]
    #[arg(long, global = true, hide_short_help = true, value_name = "TIME")]
    connect_timeout: Option<Span>,
    /// Give up when nothing comes for so long [default: 60s]
    #[arg(long, global = true, hide_short_help = true, value_name = "TIME")]
    idle_timeout: Option<Span>,
    /// Give up an image that takes longer [default: none]
    #[arg(long, global = true, hide_short_help = true, value_name = "TIME")]
    total_timeout: Option<Span>,
    /// Take at most so many bytes each second (K, M, G and T stand for powers of 1024)
    #[arg(long, global = true, hide_short_help = true, value_name = "SIZE")]
    limit_rate: Option<Size>,
    /// Show servers who asks with what this file of rkt's auth format holds
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "FILE",
        env = "GANTRY_AUTH_FILE"
    )]
    auth_file: Option<PathBuf>,
    /// Give up checking servers' certificates; credentials are then sent to nobody
    #[arg(long, global = true, hide_short_help = true)]
    insecure_skip_tls_verify: bool,
    /// Give up https for pages, signatures and images that it does not give
    #[arg(long, global = true, hide_short_help = true)]
    insecure_allow_http: bool,
    /// Give up https for files of keys
    #[arg(long, global = true, hide_short_help = true)]
    insecure_keys_over_http: bool,
}

/// What was read of `--proxy`. What is wrong with it is said by us: the reader of the command
/// line would repeat the text, which may hold a password.
#[derive(Debug, Clone)]
struct Chosen(Result<Proxy, ProxyError>);

impl FromStr for Chosen {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.parse()))
    }
}

impl Network {
    /// Whether what was given makes sense.
    pub(super) fn check(&self) -> Result<(), Failure> {
        match &self.proxy {
            Some(Chosen(Err(error))) => Err(Failure::refusal(Kind::Usage, error.refusal())),
            _ => Ok(()),
        }
    }
}

impl Network {
    /// The same, giving up https and the checking of certificates, but for files of keys.
    pub(super) fn insecure(mut self) -> Self {
        self.insecure_skip_tls_verify = true;
        self.insecure_allow_http = true;
        self
    }
}

impl Context {
    fn network(&self) -> &Network {
        &self.global().network
    }

    /// What this command gives up, warned of once.
    pub(super) fn insecure(&self) -> Insecure {
        let network = self.network();
        let insecure = Insecure {
            skip_tls_verify: network.insecure_skip_tls_verify,
            allow_http: network.insecure_allow_http,
            keys_over_http: network.insecure_keys_over_http,
        };
        for warning in insecure.warnings() {
            self.warn_once(warning);
        }
        insecure
    }

    pub(super) fn proxy(&self) -> Proxy {
        let chosen = self.network().proxy.as_ref().and_then(|Chosen(proxy)| proxy.clone().ok());
        chosen.or_else(|| self.config().proxy.clone()).unwrap_or_default()
    }

    pub(super) fn retries(&self) -> Retries {
        self.retries_or(Retries::default().count)
    }

    /// As often as was chosen, or as this says.
    pub(super) fn retries_or(&self, default: u32) -> Retries {
        let chosen = self.network().retries.or(self.config().retries);
        Retries { count: chosen.unwrap_or(default), pace: std::sync::Arc::new(RealPace) }
    }

    pub(super) fn timeouts(&self) -> Timeouts {
        let (network, config, default) = (self.network(), self.config(), Timeouts::default());
        let time = |option: Option<Span>, config: Option<Span>, default: Duration| {
            option.or(config).map_or(default, Span::time)
        };
        Timeouts {
            connect: time(network.connect_timeout, config.connect_timeout, default.connect),
            idle: time(network.idle_timeout, config.idle_timeout, default.idle),
            total: network.total_timeout.or(config.total_timeout).map(Span::time),
            ..default
        }
    }

    pub(super) fn limit_rate(&self) -> Option<NonZeroU64> {
        let rate = self.network().limit_rate.or(self.config().limit_rate);
        rate.and_then(|rate| NonZeroU64::new(rate.bytes()))
    }

    /// What shows servers who asks: rkt's files, ours, the configuration's, the option's; what
    /// stands later counts more. Where something is wrong with them, every request says so.
    pub(super) fn credentials(&self) -> Credentials {
        match self.read_credentials() {
            Ok((credentials, warnings)) => {
                for warning in warnings {
                    self.warn_once(warning);
                }
                credentials
            }
            Err(error) => Credentials::unusable(error),
        }
    }

    fn read_credentials(&self) -> Result<(Credentials, Vec<String>), CredentialsError> {
        let own = home_folder("XDG_CONFIG_HOME", ".config").join("gantry");
        let folders = ["/usr/lib/rkt", "/etc/rkt", "/etc/gantry"].map(PathBuf::from);
        let mut folders = folders.to_vec();
        folders.push(own);
        let (mut all, mut warnings) = Credentials::of_folders(&folders)?;
        #[expect(clippy::disallowed_methods, reason = "the command's edge: named by the user")]
        let variable = |name: &str| std::env::var_os(name);
        let mut add = |(stronger, more): (Credentials, Vec<String>)| {
            all.extend(stronger);
            warnings.extend(more);
        };
        add(Credentials::of_entries(&self.config().credentials, &variable)?);
        if let Some(file) = &self.network().auth_file {
            add(Credentials::of_file(file)?);
        }
        Ok((all, warnings))
    }
}
