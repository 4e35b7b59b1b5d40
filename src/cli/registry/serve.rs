//! `gantry registry serve`.

use std::io::IsTerminal;
use std::str::FromStr;
use std::time::Duration;

use aci::Refuse;
use registry::{Ready, Reloader};
use sd_notify::NotifyState;
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::Level;
use tracing_subscriber::filter::Targets;

use super::log::{self, Form, Lines};
use super::settings::SettingArgs;
use super::{Context, Failure, failed};

/// Run a registry until SIGTERM or Ctrl-C
///
/// Prints one line with its address once it listens. Without a certificate of yours it
/// makes its own authority; clients are then given DATA/tls/ca.pem. Requests are logged to
/// stderr; GANTRY_LOG=debug says more. SIGHUP reads the configuration file again.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry serve --config /etc/gantry/registry.toml
  gantry registry serve --data /var/lib/gantry-registry --domain example.com
  gantry registry serve --data ./data --listen 127.0.0.1:0 --domain example.com --domain example.org
  gantry registry serve --data ./data --domain example.com \\
      --database postgres://gantry@db.example.com/gantry --database-password-file db.password
  gantry registry serve --data ./data --http 127.0.0.1:8080 --trusted-proxy 127.0.0.1 \\
      --domain example.com
  gantry registry serve --data ./data --listen '[::]:443' --domain example.com \\
      --tls-cert fullchain.pem --tls-key privkey.pem --log-format json")]
pub(crate) struct Args {
    #[command(flatten)]
    settings: SettingArgs,
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
        let format = self.log_format;
        let lines = begin_log(context, format)?;
        let served = self.serve(context);
        lines.finish();
        // Who reads the log as JSON reads why it ended so, too.
        served.map_err(|failure| match format {
            LogFormat::Text => failure,
            LogFormat::Json => failure.said_as_json(),
        })
    }

    fn serve(self, context: &Context) -> Result<(), Failure> {
        let format = self.log_format;
        let config = self.settings.resolve()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let served = runtime.block_on(async {
            let signals = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
            // Before it listens, or a signal that comes early ends the program.
            let again = signal(SignalKind::hangup())?;
            let stop = stopped(context.clone(), format, signals);
            let mut said = Ok(());
            let ready = |ready: &Ready| {
                said = announce(context, format, ready);
                tell(&[NotifyState::Ready]);
                tokio::spawn(reloads(again, self.settings, ready.reloader.clone()));
            };
            registry::serve(config, ready, stop).await.map_err(|error| failed(error.into()))?;
            Ok::<_, Failure>(said?)
        });
        // A push that is still being read has its thread cut off; nothing of it is kept.
        runtime.shutdown_timeout(Duration::from_millis(100));
        served
    }
}

/// Reads the configuration again at each signal. One that cannot be used changes nothing.
async fn reloads(mut again: Signal, settings: SettingArgs, reloader: Reloader) {
    while again.recv().await.is_some() {
        // A service manager waits for the second of these.
        tell(&[NotifyState::Reloading, since()]);
        let kept = "the configuration is kept as it was";
        match settings.read() {
            Ok(config) => {
                if let Err(error) = reloader.reload(config).await {
                    tracing::error!(%error, "{kept}");
                }
            }
            Err(error) => {
                let refusal = error.refusal();
                tracing::error!(found = refusal.found, next = refusal.next, "{kept}: {error}");
            }
        }
        tell(&[NotifyState::Ready]);
    }
}

/// One line for each request, or with `--quiet` errors alone.
fn begin_log(context: &Context, format: LogFormat) -> std::io::Result<Lines> {
    let level = if context.global().quiet { Level::ERROR } else { Level::INFO };
    let usual = || Targets::new().with_default(level);
    #[expect(clippy::disallowed_methods, reason = "the command reads the environment")]
    let said = std::env::var("GANTRY_LOG").ok().filter(|filter| !filter.is_empty());
    let filter = said.as_deref().map_or_else(|| Ok(usual()), Targets::from_str);
    let form = match format {
        LogFormat::Text => Form::Text { colours: std::io::stderr().is_terminal() },
        LogFormat::Json => Form::Json,
    };
    match filter {
        Ok(filter) => log::begin(filter, form),
        Err(error) => {
            let lines = log::begin(usual(), form)?;
            let wanted =
                "a level such as `debug`, or levels of parts such as `info,registry=debug`";
            tracing::error!(wanted, "GANTRY_LOG is not understood: {error}");
            Ok(lines)
        }
    }
}

/// Tells a service manager, where there is one.
fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager was not told");
    }
}

/// The time of the service manager's clock, by which it knows which reload is meant.
fn since() -> NotifyState<'static> {
    NotifyState::monotonic_usec_now().unwrap_or(NotifyState::MonotonicUsec(0))
}

/// Says what is no request's: in the form that the log has.
fn note(context: &Context, format: LogFormat, text: std::fmt::Arguments<'_>) {
    match format {
        LogFormat::Text => context.note(text),
        LogFormat::Json => tracing::info!("{text}"),
    }
}

fn announce(context: &Context, format: LogFormat, ready: &Ready) -> std::io::Result<()> {
    let https = ready.https.iter().map(|at| format!("https://{at}"));
    let http = ready.http.iter().map(|at| format!("http://{at}"));
    let urls: Vec<String> = https.chain(http).collect();
    if let Some(authority) = &ready.authority {
        let path = authority.display();
        let text = format_args!(
            "TLS by this registry's own authority. Clients need its certificate:\n  \
             gantry --ca-file {path} …   or   curl --cacert {path} …\n\
             For a public registry give --tls-cert and --tls-key."
        );
        note(context, format, text);
    }
    context.print(
        &json!({
            "url": urls.first(), "urls": urls, "address": ready.https.iter().chain(&ready.http).next(),
            "caFile": ready.authority,
        }),
        format_args!("listening on {}", urls.join(" ")),
    )
}

/// Done at the first signal. A second one ends the program at once, which a crash-safe
/// server survives.
async fn stopped(
    context: Context,
    format: LogFormat,
    (mut terminate, mut interrupt): (Signal, Signal),
) {
    either(&mut terminate, &mut interrupt).await;
    tell(&[NotifyState::Stopping]);
    note(&context, format, format_args!("stopping; running requests may end first"));
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
