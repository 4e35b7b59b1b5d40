//! `gantry registry serve`.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use aci::Limits;
use registry::{
    Clock, Config, ConnectionLimits, Domain, MetricsAccess, Readiness, Ready, Timeouts, Tls,
};
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::super::lifetime::Lifetime;
use super::{Context, DataArgs, Failure, Kind};

/// Run a registry until SIGTERM or Ctrl-C
///
/// Prints one line with its address once it listens. Without a certificate of yours it
/// makes its own authority; clients are then given DATA/tls/ca.pem. Requests are logged to
/// stderr; GANTRY_LOG=debug says more.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry serve --data /var/lib/gantry-registry --domain example.com
  gantry registry serve --data ./data --listen 127.0.0.1:0 --domain example.com --domain example.org
  gantry registry serve --data ./data --listen '[::]:443' --domain example.com \\
      --tls-cert fullchain.pem --tls-key privkey.pem --log-format json")]
pub(crate) struct Args {
    #[command(flatten)]
    data: DataArgs,
    /// Listen on this address; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// Answer for this domain; may be given several times
    #[arg(long = "domain", value_name = "DOMAIN", required = true)]
    domains: Vec<Domain>,
    /// The certificate with its chain, in PEM; it is read again every hour
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Take image files of at most this many bytes
    #[arg(long, value_name = "BYTES")]
    max_image_bytes: Option<u64>,
    /// Give running requests this long when told to stop
    #[arg(long, value_name = "TIME", default_value = "30s")]
    drain: Lifetime,
    /// When told to stop, say so at /-/readyz for this long before taking no more connections
    #[arg(long, value_name = "TIME")]
    drain_notice: Option<Lifetime>,
    /// Log as text for people, or as JSON, an object for each line
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "text")]
    log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        log(context, self.log_format);
        let config = self.config()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let served = runtime.block_on(async {
            let signals = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
            let stop = stopped(context.clone(), signals);
            let mut said = Ok(());
            registry::serve(config, |ready| said = announce(context, ready), stop).await?;
            Ok::<_, Failure>(said?)
        });
        // A push that is still being read has its thread cut off; nothing of it is kept.
        runtime.shutdown_timeout(Duration::from_millis(100));
        served
    }

    fn config(self) -> Result<Config, Failure> {
        let tls = match (self.tls_cert, self.tls_key) {
            (Some(certificates), Some(key)) => Tls::Files { certificates, key },
            _ => Tls::OwnAuthority,
        };
        let mut limits = Limits::default();
        if let Some(bytes) = self.max_image_bytes {
            limits.file_bytes = bytes;
        }
        // `never`: whoever stops the server decides how long it may take.
        let drain = self.drain.duration().unwrap_or(Duration::from_secs(365 * 24 * 3600));
        let timeouts = Timeouts { drain, ..Timeouts::default() };
        let notice = self.drain_notice.and_then(|time| time.duration()).unwrap_or_default();
        let readiness = Readiness { notice, ..Readiness::default() };
        Ok(Config {
            data: self.data.data,
            listen: self.listen,
            domains: self.domains.try_into().map_err(|error| Failure::new(Kind::Usage, error))?,
            limits,
            tls,
            timeouts,
            connections: ConnectionLimits::default(),
            metrics: MetricsAccess::default(),
            readiness,
            clock: Clock::system(),
        })
    }
}

/// Logs go to stderr: one line for each request, or with `--quiet` errors alone.
fn log(context: &Context, format: LogFormat) {
    let usual = if context.global().quiet { "error" } else { "info" };
    let filter = EnvFilter::try_from_env("GANTRY_LOG").unwrap_or_else(|_| EnvFilter::new(usual));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Somebody else's logging, where there is any, is as good.
    let _ = match format {
        LogFormat::Text => subscriber.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => subscriber.json().with_span_list(false).try_init(),
    };
}

fn announce(context: &Context, ready: &Ready) -> std::io::Result<()> {
    let url = format!("https://{}", ready.address);
    if let Some(authority) = &ready.authority {
        context.note(format_args!(
            "TLS by this registry's own authority. Clients need its certificate:\n  \
             gantry --ca-file {path} …   or   curl --cacert {path} …\n\
             For a public registry give --tls-cert and --tls-key.",
            path = authority.display()
        ));
    }
    context.print(
        &json!({ "url": url, "address": ready.address, "caFile": ready.authority }),
        format_args!("listening on {url}"),
    )
}

/// Done at the first signal. A second one ends the program at once, which a crash-safe
/// server survives.
async fn stopped(context: Context, (mut terminate, mut interrupt): (Signal, Signal)) {
    either(&mut terminate, &mut interrupt).await;
    context.note("stopping; running requests may end first");
    tokio::spawn(async move {
        either(&mut terminate, &mut interrupt).await;
        #[expect(clippy::disallowed_methods, reason = "asked for twice: nothing is waited for")]
        std::process::exit(1);
    });
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
