//! What the commands that run images, or prepare that, have in common.

use std::ffi::OsString;
use std::path::PathBuf;

use aci::manifest::{ExposedPort, Isolator, Mount, Volume};
use aci::{AcName, Quantity};
use anyhow::{Context as _, anyhow};
use discovery::bundle::{AppChanges, BundleOptions, Host, Network, Note};
use discovery::pod::PodError;
use discovery::runtime::{Helper, RunError, Tools, program_in};
use serde_json::{Value, json};

use super::image::render::refused;
use super::{Context, Failure, Kind};

/// The longest file of environment variables.
const ENV_FILE_BYTES: u64 = 1 << 20;

/// How an app is to differ from what its image says.
#[derive(clap::Args, Clone)]
#[command(next_help_heading = "The app")]
pub(in crate::cli) struct AppOptions {
    /// Run this program of the image instead of its own program and arguments
    #[arg(long, value_name = "PROGRAM")]
    exec: Option<String>,
    /// Run as this user: a name the image knows, a number, or /PATH for the owner of that file
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Run as this group, likewise
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// Be in these groups as well, in place of the image's
    #[arg(long, value_name = "GID,…", value_delimiter = ',')]
    supplementary_gids: Option<Vec<u32>>,
    /// Set an environment variable; the last of a name counts
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,
    /// Set the variables of a file: NAME=VALUE a line, # begins a comment; --env goes before
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Start in this folder of the image
    #[arg(long, value_name = "PATH")]
    working_dir: Option<String>,
    /// Call the app so, in AC_APP_NAME and as host name; by default the image name's last part
    #[arg(long, value_name = "NAME")]
    name: Option<AcName>,
    /// Give the app an annotation of your own; the image's of that name goes
    #[arg(long = "user-annotation", value_name = "NAME=VALUE", value_parser = variable)]
    user_annotations: Vec<(String, String)>,
    /// Give the app a label of your own, likewise
    #[arg(long = "user-label", value_name = "NAME=VALUE", value_parser = variable)]
    user_labels: Vec<(String, String)>,
    /// The host name inside
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// The address of a metadata service, for AC_METADATA_URL
    #[arg(long, value_name = "URL")]
    metadata_url: Option<String>,
    #[command(flatten)]
    files: FileOptions,
    #[command(flatten)]
    limits: LimitOptions,
    /// Arguments added after the image's own
    #[arg(last = true, value_name = "ARGS")]
    arguments: Vec<String>,
}

/// What is mounted.
#[derive(clap::Args, Clone)]
#[command(next_help_heading = "Files")]
pub(in crate::cli) struct FileOptions {
    /// A volume, for the mount point of its name or a --mount: kind=host,source=PATH[,readOnly=true]
    /// [,recursive=false], or kind=empty[,mode=0755][,uid=N][,gid=N]
    #[arg(long = "volume", value_name = "NAME,kind=…")]
    pub(in crate::cli) volumes: Vec<Volume>,
    /// Mount a volume where the image has no mount point for it
    #[arg(long = "mount", value_name = "volume=NAME,target=PATH", value_parser = mount)]
    pub(in crate::cli) mounts: Vec<Mount>,
    /// Let nothing but volumes be written
    #[arg(long)]
    pub(in crate::cli) read_only: bool,
}

/// Isolators, in place of the image's.
#[derive(clap::Args, Clone)]
#[command(next_help_heading = "Limits and privileges")]
struct LimitOptions {
    /// The most memory, as 512M or 2Gi
    #[arg(long, value_name = "QUANTITY")]
    memory: Option<Quantity>,
    /// The most processor time, in cores, as 2 or 500m
    #[arg(long, value_name = "QUANTITY")]
    cpu: Option<Quantity>,
    /// The weight of processor time, 1024 being the usual
    #[arg(long, value_name = "2…262144")]
    cpu_shares: Option<u64>,
    /// Be killed sooner (up to 1000) or later when memory runs out
    #[arg(long, value_name = "-1000…1000", allow_negative_numbers = true)]
    oom_score_adj: Option<i64>,
    /// Keep these capabilities and no others
    #[arg(long, value_name = "CAP,…", value_delimiter = ',', conflicts_with = "caps_remove")]
    caps_retain: Vec<String>,
    /// Take these capabilities from the default ones
    #[arg(long, value_name = "CAP,…", value_delimiter = ',')]
    caps_remove: Vec<String>,
    /// Allow these system calls alone, or forbid them: mode=retain|remove[,errno=E],CALL,…
    #[arg(long, value_name = "mode=…,CALL,…", value_parser = seccomp)]
    seccomp: Option<(&'static str, Value)>,
    /// Let nobody gain privileges
    #[arg(long)]
    no_new_privileges: bool,
}

/// The network.
#[derive(clap::Args, Clone)]
pub(in crate::cli) struct NetworkOptions {
    /// The network: none (a loopback interface only), the host's, or a private one that ports
    /// lead into
    #[arg(long, value_name = "none|host|private", value_parser = network)]
    net: Option<Network>,
}

impl NetworkOptions {
    pub(in crate::cli) fn network(&self) -> Network {
        self.net.unwrap_or_default()
    }

    /// The network where it is to have ports: a private one, unless another was asked for.
    pub(in crate::cli) fn with_ports(&self, ports: bool) -> Network {
        self.net.unwrap_or(if ports { Network::Private } else { Network::None })
    }
}

impl AppOptions {
    /// These options, and a terminal of this kind where there is to be one.
    pub(in crate::cli) fn options(
        self,
        terminal: Option<String>,
    ) -> Result<BundleOptions, Failure> {
        let (changes, name) = (self.changes()?, self.name);
        Ok(BundleOptions {
            terminal,
            changes,
            name,
            hostname: self.hostname,
            read_only: self.files.read_only,
            volumes: self.files.volumes,
            mounts: self.files.mounts,
            metadata_url: self.metadata_url,
            ..BundleOptions::default()
        })
    }

    /// What is run otherwise than the image says.
    pub(in crate::cli) fn changes(&self) -> Result<AppChanges, Failure> {
        let mut environment = Vec::new();
        for file in &self.env_file {
            environment.extend(variables(file)?);
        }
        environment.extend(self.env.iter().cloned());
        Ok(AppChanges {
            exec: self.exec.clone(),
            arguments: self.arguments.clone(),
            user: self.user.clone(),
            group: self.group.clone(),
            supplementary_gids: self.supplementary_gids.clone(),
            working_directory: self.working_dir.clone(),
            environment,
            isolators: self.limits.isolators()?,
            user_annotations: self.user_annotations.clone(),
            user_labels: self.user_labels.clone(),
        })
    }

    /// What the app is to be called.
    pub(in crate::cli) fn name(&self) -> Option<&AcName> {
        self.name.as_ref()
    }

    /// What is mounted.
    pub(in crate::cli) fn files(&self) -> &FileOptions {
        &self.files
    }

    /// Whether the app itself, and not only its files, is to be otherwise.
    pub(in crate::cli) fn changes_the_app(&self) -> bool {
        let limits = &self.limits;
        let texts = [&self.exec, &self.user, &self.group, &self.working_dir, &self.hostname];
        let pairs = [&self.env, &self.user_annotations, &self.user_labels];
        texts.iter().any(|text| text.is_some())
            || pairs.iter().any(|pairs| !pairs.is_empty())
            || self.name.is_some()
            || self.supplementary_gids.is_some()
            || !(self.env_file.is_empty() && self.arguments.is_empty())
            || limits.isolators().is_ok_and(|isolators| !isolators.is_empty())
    }
}

impl LimitOptions {
    fn isolators(&self) -> Result<Vec<Isolator>, Failure> {
        let limit = |quantity: &Quantity| json!({ "limit": quantity.to_string() });
        let set = |names: &[String]| (!names.is_empty()).then(|| json!({ "set": names }));
        let (seccomp, calls) = match &self.seccomp {
            Some((name, value)) => (*name, Some(value.clone())),
            None => ("os/linux/seccomp-retain-set", None),
        };
        let wanted = [
            ("resource/memory", self.memory.as_ref().map(limit)),
            ("resource/cpu", self.cpu.as_ref().map(limit)),
            ("os/linux/cpu-shares", self.cpu_shares.map(|shares| json!(shares))),
            ("os/linux/oom-score-adj", self.oom_score_adj.map(|it| json!(it))),
            ("os/linux/capabilities-retain-set", set(&self.caps_retain)),
            ("os/linux/capabilities-remove-set", set(&self.caps_remove)),
            (seccomp, calls),
            ("os/linux/no-new-privileges", self.no_new_privileges.then(|| json!(true))),
        ];
        wanted
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .map(|(name, value)| {
                let name = name.parse().map_err(|error| Failure::new(Kind::Failed, error))?;
                Ok(Isolator { name, value, extra: Default::default() })
            })
            .collect()
    }
}

fn network(text: &str) -> Result<Network, String> {
    match text {
        "none" => Ok(Network::None),
        "host" => Ok(Network::Host),
        "private" => Ok(Network::Private),
        _ => Err(format!("{text:?} is not one of none, host, private")),
    }
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} is not NAME=VALUE")),
    }
}

fn variables(file: &PathBuf) -> Result<Vec<(String, String)>, Failure> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(file)
        .and_then(|file| file.take(ENV_FILE_BYTES).read_to_string(&mut text))
        .with_context(|| format!("cannot read {}", file.display()))?;
    let lines = text.lines().map(str::trim).zip(1..);
    lines
        .filter(|(line, _)| !line.is_empty() && !line.starts_with('#'))
        .map(|(line, number)| {
            variable(line).map_err(|fault| {
                Failure::new(Kind::Usage, anyhow!("{}:{number}: {fault}", file.display()))
            })
        })
        .collect()
}

/// `volume=NAME,target=PATH`, as rkt has it.
fn mount(text: &str) -> Result<Mount, String> {
    let form = || format!("{text:?} is not volume=NAME,target=PATH");
    let (volume, path) = text.split_once(',').ok_or_else(form)?;
    let volume = volume.strip_prefix("volume=").ok_or_else(form)?;
    let path = path.strip_prefix("target=").ok_or_else(form)?;
    let volume = volume.parse().map_err(|error| format!("{error}"))?;
    Ok(Mount { volume, path: path.to_owned(), app_volume: None, extra: Default::default() })
}

/// `mode=retain|remove[,errno=E],CALL,…`, as rkt has it.
fn seccomp(text: &str) -> Result<(&'static str, Value), String> {
    let (mut name, mut errno, mut calls) = (None, None, Vec::new());
    for word in text.split(',') {
        match word.split_once('=') {
            Some(("mode", "retain")) => name = Some("os/linux/seccomp-retain-set"),
            Some(("mode", "remove")) => name = Some("os/linux/seccomp-remove-set"),
            Some(("errno", value)) => errno = Some(value),
            Some(_) => return Err(format!("{word:?} is neither mode=retain|remove nor errno=E")),
            None if word.is_empty() => {}
            None => calls.push(word),
        }
    }
    let name = name.ok_or_else(|| format!("{text:?} has no mode=retain or mode=remove"))?;
    if calls.is_empty() {
        return Err(format!("{text:?} names no system call"));
    }
    let mut value = json!({ "set": calls });
    if let Some(errno) = errno {
        value["errno"] = json!(errno);
    }
    Ok((name, value))
}

/// `NAME:[IP:]PORT`, as rkt has it.
pub(in crate::cli) fn port(text: &str) -> Result<ExposedPort, String> {
    let form = || format!("{text:?} is not NAME:[IP:]PORT");
    let (name, rest) = text.split_once(':').ok_or_else(form)?;
    let (ip, number) = match rest.rsplit_once(':') {
        Some((ip, number)) => (Some(ip.parse().map_err(|_| form())?), number),
        None => (None, rest),
    };
    let host_port = number.parse().ok().filter(|&port| port > 0).ok_or_else(form)?;
    let name = name.parse().map_err(|error| format!("{error}"))?;
    Ok(ExposedPort { name, host_port, host_ip: ip, pod_port: None, extra: Default::default() })
}

/// Says what is not done as the image asks, and what it was granted.
pub(in crate::cli) fn warn(context: &Context, notes: &[Note]) {
    for note in notes {
        if note.is_warning() {
            context.warn(note);
        } else {
            context.note(note);
        }
    }
}

/// Where programs are sought.
pub(in crate::cli) fn search_path() -> OsString {
    #[expect(clippy::disallowed_methods, reason = "the command reads the environment")]
    std::env::var_os("PATH").unwrap_or_default()
}

/// Programs of this machine that are used where they are.
pub(in crate::cli) fn tools() -> Tools {
    let path = search_path();
    let find = |name| program_in(&path, name);
    Tools {
        mappers: find("newuidmap").zip(find("newgidmap")),
        slirp: find("slirp4netns"),
        nsenter: find("nsenter"),
    }
}

/// What this machine and this caller can do.
pub(in crate::cli) fn host() -> Host {
    Host::detect(tools().mappers.is_some())
}

/// This program, as the holder of shared namespaces and as their first process.
pub(in crate::cli) fn helper() -> Helper {
    let words = |word: &str| ["pod", word].map(OsString::from).to_vec();
    Helper { program: "/proc/self/exe".into(), hold: words("hold"), init: words("init") }
}

/// The kind of the caller's terminal.
pub(in crate::cli) fn terminal_kind() -> String {
    #[expect(clippy::disallowed_methods, reason = "the command reads the environment")]
    std::env::var("TERM").ok().filter(|kind| !kind.is_empty()).unwrap_or_else(|| "xterm".to_owned())
}

/// An error of running as the end of a command.
pub(in crate::cli) fn unrun(error: RunError) -> Failure {
    refused(error.kind(), &error)
}

/// An error of a pod as the end of a command.
pub(in crate::cli) fn unmade(error: PodError) -> Failure {
    refused(error.kind(), &error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_the_command_line_are_read_as_rkt_reads_them() {
        assert_eq!(variable("A=b=c").unwrap(), ("A".into(), "b=c".into()));
        assert!(variable("=b").is_err() && variable("A").is_err());
        assert_eq!(mount("volume=v,target=/x,y").unwrap().path, "/x,y");
        assert!(mount("v:/x").is_err());
        let found = port("http:127.0.0.1:80").unwrap();
        assert_eq!((found.host_port, found.host_ip), (80, Some("127.0.0.1".parse().unwrap())));
        assert!(port("http:80").unwrap().host_ip.is_none());
        for bad in ["http", "http:0", "http:65536", "http:x:80", "HTTP:80"] {
            assert!(port(bad).is_err(), "{bad}");
        }
        let (name, value) = seccomp("mode=remove,errno=EPERM,mount,@appc.io/empty").unwrap();
        assert_eq!(name, "os/linux/seccomp-remove-set");
        assert_eq!(value, json!({"set": ["mount", "@appc.io/empty"], "errno": "EPERM"}));
        for bad in ["mount", "mode=keep,mount", "mode=retain", "mode=retain,x=y,read"] {
            assert!(seccomp(bad).is_err(), "{bad}");
        }
    }
}
