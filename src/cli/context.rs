//! What every command shares: the global options, and the two ways to say something.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs::Permissions;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aci::Refuse;
use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use discovery::Config;
use discovery::config::Size;
use discovery::route::Override;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use keys::{Interval, TrustStore};
use serde::Serialize;

use super::network::Network;
use super::{Failure, Kind};

/// The name of a file, or nothing: a variable that is set to nothing is not set.
pub(super) fn file_or_none() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

/// Options every command takes.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Trust these CA certificates (PEM) for TLS, besides the system's
    #[arg(long, global = true, value_name = "FILE", env = "GANTRY_CA_FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Where images are stored
    #[arg(long, global = true, value_name = "DIR", env = "GANTRY_STORE")]
    pub(crate) store: Option<PathBuf>,
    /// Where trusted keys are kept, in rkt's layout, in the place of all usual trees
    #[arg(long, global = true, value_name = "DIR", env = "GANTRY_TRUST_DIR")]
    pub(crate) trust_dir: Option<PathBuf>,
    /// Where your secret keys are kept
    #[arg(long, global = true, value_name = "DIR", env = "GANTRY_KEY_DIR")]
    pub(crate) key_dir: Option<PathBuf>,
    /// Where is kept what can be made again: steps of recipes, and their --cache folders
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "DIR",
        env = "GANTRY_CACHE_DIR"
    )]
    pub(crate) cache_dir: Option<PathBuf>,
    /// A tree of trusted keys that is only read and comes before the others; may be repeated
    #[arg(long = "vendor-trust-dir", global = true, value_name = "DIR")]
    pub(crate) vendor_trust_dirs: Vec<PathBuf>,
    /// Read this configuration file instead of the user's and the system's
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "GANTRY_CONFIG",
        value_parser = file_or_none()
    )]
    pub(crate) config: Option<PathBuf>,
    /// Print data, and errors, as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say nothing but errors
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) network: Network,
}

/// The global options, what the configuration files say, and how to speak.
#[derive(Clone)]
pub(crate) struct Context {
    global: Global,
    config: Config,
    /// Whether this program was called as acbuild.
    is_acbuild: bool,
    /// What was warned of once.
    warned: Arc<Mutex<BTreeSet<String>>>,
}

impl Context {
    pub(super) fn new(global: Global, is_acbuild: bool) -> Self {
        Self { global, config: Config::default(), is_acbuild, warned: Arc::default() }
    }

    /// Whether this program was called as acbuild, whose scripts find their files where they
    /// always did.
    pub(super) fn is_acbuild(&self) -> bool {
        self.is_acbuild
    }

    /// Reads the configuration: `--config` alone, or the user's file and the system's.
    pub(super) fn configure(&mut self) -> Result<(), Failure> {
        self.global.network.check()?;
        let user = home_folder("XDG_CONFIG_HOME", ".config").join("gantry/config.toml");
        let named = self.global.config.as_ref().filter(|path| !path.as_os_str().is_empty());
        let read = match named {
            Some(path) => Config::read(path),
            None => Config::merged([user.as_path(), Path::new("/etc/gantry/config.toml")]),
        };
        self.config = read.map_err(|error| {
            let mut refusal = error.refusal();
            if let Some(path) = named.filter(|path| registry::ConfigFile::read(path).is_ok()) {
                refusal.found = "the configuration of a registry".to_owned();
                refusal.next = format!(
                    "give --config the client's file, or unset GANTRY_CONFIG; {} is for `gantry \
                     registry serve` and `config`",
                    path.display()
                );
            }
            Failure::refusal(Kind::Usage, refusal)
        })?;
        Ok(())
    }

    /// Where requests for some names go instead.
    pub(crate) fn overrides(&self) -> &[Override] {
        &self.config.overrides
    }

    /// CA certificates trusted besides the system's: `--ca-file`, else the configuration's.
    pub(crate) fn ca_file(&self) -> Option<PathBuf> {
        self.global.ca_file.clone().or_else(|| self.config.ca_file.clone())
    }

    /// What the configuration files say.
    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// The same, with a limit on image files that counts more than the configuration's.
    pub(super) fn with_max_size(&self, limit: Option<Size>) -> Self {
        let mut context = self.clone();
        context.config.max_size = limit.or(context.config.max_size);
        context
    }

    /// The same where `insecure` is not set; else one that gives up TLS as acbuild's --insecure does.
    pub(super) fn with_insecure(&self, insecure: bool) -> Self {
        let mut context = self.clone();
        if insecure {
            context.global.network = context.global.network.insecure();
        }
        context
    }

    /// Where builds keep what can be made again. It is for this user alone, since programs of an image
    /// may run as their owner.
    pub(super) fn kept_builds(&self) -> std::io::Result<PathBuf> {
        let folder = self.cache_dir().join("build");
        aci::stage::create_private_folder(&folder)?;
        let found = std::fs::metadata(&folder)?;
        if found.uid() != rustix::process::geteuid().as_raw() {
            let text = format!("{} belongs to another user", folder.display());
            return Err(std::io::Error::new(std::io::ErrorKind::PermissionDenied, text));
        }
        if found.mode() & 0o077 != 0 {
            std::fs::set_permissions(&folder, Permissions::from_mode(0o700))?;
        }
        Ok(folder)
    }

    /// The folder of what can be made again.
    pub(super) fn cache_dir(&self) -> PathBuf {
        if let Some(chosen) = &self.global.cache_dir {
            return chosen.clone();
        }
        if rustix::process::geteuid().is_root() {
            PathBuf::from("/var/cache/gantry")
        } else {
            home_folder("XDG_CACHE_HOME", ".cache").join("gantry")
        }
    }

    pub(crate) fn global(&self) -> &Global {
        &self.global
    }

    /// Whether data is printed as JSON.
    pub(crate) fn json(&self) -> bool {
        self.global.json
    }

    /// Prints data on stdout: `value` as one JSON document with `--json`, else `text`.
    pub(crate) fn print(&self, value: &impl Serialize, text: impl Display) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let written = if self.global.json {
            serde_json::to_writer(&mut out, value)
                .map_err(io::Error::from)
                .and_then(|()| writeln!(out))
        } else {
            // Names, labels and user IDs are strangers' text.
            writeln!(out, "{}", discovery::printable(&text.to_string()))
        };
        enough(written.and_then(|()| out.flush()))
    }

    /// Writes data on stdout as it is, byte for byte.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        enough(out.write_all(bytes).and_then(|()| out.flush()))
    }

    /// Says something on stderr, unless `--quiet`.
    pub(crate) fn note(&self, text: impl Display) {
        if !self.global.quiet {
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// Says on stderr what the user should know even with `--quiet`.
    pub(crate) fn warn(&self, text: impl Display) {
        let _ = writeln!(io::stderr(), "warning: {text}");
    }

    /// The same of how this command is set up, which is looked at more than once and said once.
    pub(crate) fn warn_once(&self, text: impl Display) {
        let text = text.to_string();
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.insert(text.clone()) {
            self.warn(text);
        }
    }

    /// A bar over `total` bytes (or a spinner where the total is unknown) on a terminal;
    /// in a pipe, with `--quiet` or `--json`, one that draws nothing.
    pub(crate) fn progress(&self, verb: &'static str, total: Option<u64>) -> ProgressBar {
        let shown = io::stderr().is_terminal() && !self.global.quiet && !self.global.json;
        let target = if shown {
            ProgressDrawTarget::stderr_with_hz(10)
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(total, target).with_message(verb);
        let template = if total.is_some() {
            "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}"
        } else {
            "{msg} {spinner} {bytes} {bytes_per_sec}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        if shown {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        bar
    }

    /// The trusted keys: `--trust-dir`, or else the configuration's, alone; or the vendor's
    /// tree, the system's, and an ordinary user's own. What `--vendor-trust-dir` or the
    /// configuration names stands in the place of the vendor's tree, also beside `--trust-dir`.
    pub(crate) fn trust_store(&self) -> TrustStore {
        let mut earlier = self.global.vendor_trust_dirs.clone();
        if earlier.is_empty() {
            earlier.clone_from(&self.config.vendor_trust_dirs);
        }
        let chosen = self.global.trust_dir.as_ref().or(self.config.trust_dir.as_ref());
        if let Some(chosen) = chosen {
            return TrustStore::layered(earlier, chosen.clone());
        }
        if earlier.is_empty() {
            earlier.push(PathBuf::from("/usr/lib/gantry/trustedkeys"));
        }
        let system = PathBuf::from("/etc/gantry/trustedkeys");
        if rustix::process::geteuid().is_root() {
            return TrustStore::layered(earlier, system);
        }
        earlier.push(system);
        let own = home_folder("XDG_CONFIG_HOME", ".config").join("gantry/trustedkeys");
        TrustStore::layered(earlier, own)
    }

    /// How often a fetch asks for news of trusted keys, where no policy says otherwise.
    pub(crate) fn trust_refresh(&self) -> Interval {
        self.config.trust_refresh.unwrap_or_default()
    }

    /// The folder of secret keys: `--key-dir`, else the system's or the user's.
    pub(crate) fn key_dir(&self) -> PathBuf {
        self.global.key_dir.clone().unwrap_or_else(|| {
            if rustix::process::geteuid().is_root() {
                PathBuf::from("/etc/gantry/keys")
            } else {
                home_folder("XDG_CONFIG_HOME", ".config").join("gantry/keys")
            }
        })
    }

    /// The image store: `--store`, else the configuration's, else the system's or the user's.
    pub(crate) fn store_dir(&self) -> PathBuf {
        let chosen = self.global.store.as_ref().or(self.config.store.as_ref());
        chosen.cloned().unwrap_or_else(|| {
            if rustix::process::geteuid().is_root() {
                PathBuf::from("/var/lib/gantry")
            } else {
                home_folder("XDG_DATA_HOME", ".local/share").join("gantry")
            }
        })
    }
}

/// Whoever reads our output may stop when they have seen enough.
pub(super) fn enough(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// An XDG folder: the variable where it is an absolute path, else below the home folder. Neither is ever
/// below the current one, whose files are anybody's.
#[expect(clippy::disallowed_methods, reason = "the command's edge: where a user's files are")]
pub(crate) fn home_folder(variable: &str, below_home: &str) -> PathBuf {
    let folder =
        |variable| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    folder(variable)
        .unwrap_or_else(|| folder("HOME").unwrap_or_else(|| "/".into()).join(below_home))
}
