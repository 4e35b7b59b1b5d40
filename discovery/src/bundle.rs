//! An OCI bundle of an image: a folder with `config.json` and `rootfs/`, which any
//! OCI runtime runs (spec: ace.md; OCI Runtime Specification 1.0).
//!
//! ```text
//! DIR/
//!   config.json   written here
//!   manifest      the image's manifest, as it is in the image
//!   rootfs/       the rendered image
//!   volumes/NAME  empty volumes, where the app has some
//!   pre-start/    config.json of that event handler, where the app has one
//!   post-stop/    likewise
//! ```
//!
//! Paths inside are relative, so the folder can be moved. What an image asks for and a runtime
//! has no place for is not dropped in silence: every such thing is a [`Note`].

mod changes;
mod config;
mod error;
mod handlers;
mod host;
mod isolators;
mod mounts;
mod note;
mod process;
mod seccomp;
mod units;
mod users;
pub mod volumes;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aci::manifest::{Annotation, App, ImageManifest, Isolator, Mount as MountWish, Volume};
use aci::stage::{self, Existing};
use aci::{AcName, ImageId, Labels};

pub use changes::AppChanges;
pub use config::{Config, IdMapping};
pub use error::BundleError;
pub use handlers::Event;
pub use host::Host;
pub(crate) use mounts::make_empty;
pub use mounts::{MASKED, READ_ONLY};
pub use note::{Note, Outcome};
pub use process::app_name;
pub(crate) use units::{limits, properties};

pub(crate) use aci::root::Root;
use config::{Capabilities, DeviceRule, Linux, Namespace, Process, Resources, RootFolder, User};
use handlers::Handler;
use isolators::Wishes;
use mounts::{Occupied, Sources};
use users::Identity;

/// Which network a container has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Network {
    /// Its own, with a loopback interface and nothing else.
    #[default]
    None,
    /// The host's.
    Host,
    /// Its own, with a way out and ports of the host that lead in, where somebody sees to it.
    Private,
}

/// Namespaces that are there already, and who sees to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    /// Kind, as OCI calls it, and path.
    pub namespaces: Vec<(&'static str, PathBuf)>,
    /// Whether the runtime is started inside the user namespace that owns them.
    pub inside_user: bool,
    /// Whether whoever runs the bundle runs its event handlers, too.
    pub supervised: bool,
}

/// How a bundle is to differ from what the image says.
#[derive(Debug, Clone, Default)]
pub struct BundleOptions {
    /// Which network.
    pub network: Network,
    /// The value of `TERM`, where the program is to have a terminal.
    pub terminal: Option<String>,
    /// What to run otherwise.
    pub changes: AppChanges,
    /// An app in the place of the image's, as pod manifests may have; changes come after it.
    pub app: Option<App>,
    /// What the app is called; by default, the last part of the image's name.
    pub name: Option<AcName>,
    /// The host's name inside; by default the app's.
    pub hostname: Option<String>,
    /// Whether the rootfs may not be written.
    pub read_only: bool,
    /// What can be mounted.
    pub volumes: Vec<Volume>,
    /// What is mounted where, besides the image's mount points.
    pub mounts: Vec<MountWish>,
    /// Empty volumes of the pod: name, and path as seen from the bundle.
    pub shared_volumes: BTreeMap<AcName, String>,
    /// Isolators of the pod, which bound those of the app.
    pub isolators: Vec<Isolator>,
    /// Annotations, before the image's of the same name.
    pub annotations: Vec<Annotation>,
    /// The value of `AC_METADATA_URL`, where there is a metadata service.
    pub metadata_url: Option<String>,
    /// Namespaces to join.
    pub shared: Option<Shared>,
    /// Names of listening sockets that are passed in, from descriptor 3 on.
    pub sockets: Vec<AcName>,
    /// A file to say how names are looked up.
    pub resolver: Option<PathBuf>,
    /// Whether whoever runs the bundle holds each process to a limit of memory where no control
    /// group holds all of them.
    pub holds_memory: bool,
}

/// A bundle that was written.
#[derive(Debug)]
pub struct Bundle {
    config: Config,
    program: String,
    app: App,
    app_name: String,
    handlers: Vec<Handler>,
    data_limit: Option<u64>,
    notes: Vec<Note>,
}

impl Bundle {
    /// What `config.json` holds.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where the program is, inside the rootfs.
    pub fn program(&self) -> &str {
        &self.program
    }

    /// The app as it is run.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// What the app is called.
    pub fn app_name(&self) -> &str {
        &self.app_name
    }

    /// The event handlers, each with a folder of its event's name in the bundle.
    pub fn handlers(&self) -> impl Iterator<Item = Event> {
        self.handlers.iter().map(|handler| handler.event)
    }

    /// The program of an event handler, where it is inside the rootfs, and its arguments.
    pub(crate) fn handler(&self, event: Event) -> Option<(&str, &[String])> {
        let handler = self.handlers.iter().find(|handler| handler.event == event)?;
        Some((&handler.program, &handler.config.process.args))
    }

    /// Bytes of data that each process may have, where no control group holds them.
    pub(crate) fn data_limit(&self) -> Option<u64> {
        self.data_limit
    }

    /// What became of what the image asks for.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }
}

/// Writes `config.json` beside the rendered `rootfs/` in `folder`. Folders for mount
/// points are made in the rootfs.
pub fn write(
    folder: &Path,
    manifest: &ImageManifest,
    image_id: &ImageId,
    options: &BundleOptions,
    host: &Host,
) -> Result<Bundle, BundleError> {
    let rootfs = folder.join("rootfs");
    let root =
        Root::open(&rootfs).map_err(|source| BundleError::Io { path: rootfs.clone(), source })?;
    let bundle = build(folder, &root, manifest, image_id, options, host)?;
    put(folder, &bundle.config)?;
    for handler in &bundle.handlers {
        let below = folder.join(handler.event.as_str());
        std::fs::create_dir_all(&below)
            .map_err(|source| BundleError::Io { path: below.clone(), source })?;
        put(&below, &handler.config)?;
    }
    Ok(bundle)
}

fn put(folder: &Path, config: &Config) -> Result<(), BundleError> {
    let file = folder.join("config.json");
    let written = serde_json::to_vec_pretty(config)
        .map_err(std::io::Error::from)
        .and_then(|bytes| stage::write(&file, &bytes, 0o644, Existing::Replace));
    written.map_err(|source| BundleError::Io { path: file, source })
}

fn build(
    folder: &Path,
    root: &Root,
    manifest: &ImageManifest,
    image_id: &ImageId,
    options: &BundleOptions,
    host: &Host,
) -> Result<Bundle, BundleError> {
    let mut notes = Vec::new();
    check_system(&manifest.labels)?;
    note_architecture(&manifest.labels, &mut notes);
    let app = options.changes.apply(options.app.as_ref().or(manifest.app.as_ref()))?;
    // docker2aci leaves this annotation; such images expect two things of Docker's.
    let converted = manifest.annotation("appc.io/docker/repository").is_some();
    let identity = users::resolve(root, &app, converted, host)?;
    let mut wishes = isolators::read(&app.isolators, &options.isolators, &mut notes)?;
    let placed = volumes::place(&app.mount_points, &options.mounts, &options.volumes)?;
    let sources = Sources { bundle: folder, shared: &options.shared_volumes, converted, host };
    let (occupied, volume_mounts) = mounts::volumes(root, &placed, &sources, &mut notes)?;
    let app_name = match &options.name {
        Some(name) => name.to_string(),
        None => process::app_name(manifest.name.as_str()),
    };
    let mut env = environment(&app, &identity, &app_name, options)?;
    let (args, cwd, program) = command(root, &app, &env, &occupied)?;
    note_sockets(&app, options, &mut notes);

    let terminal = options.terminal.is_some();
    let resolver = options.resolver.as_deref().and_then(Path::to_str);
    let mut mounts = mounts::standard(root, host, options.network, terminal, resolver);
    mounts.extend(volume_mounts);
    let sysctl = std::mem::take(&mut wishes.sysctl);
    let limits = limited(&app, &identity, wishes, options, host, &mut notes)?;
    let (process, linux, data_limit) = limits;
    socket_activation(&mut env, options);
    let config = Config {
        oci_version: "1.0.0",
        process: Process { terminal, args, env: joined(&env), cwd, ..process },
        root: RootFolder { path: "rootfs".to_owned(), readonly: options.read_only },
        hostname: hostname(options.hostname.as_deref().unwrap_or(&app_name)),
        mounts,
        annotations: annotations(manifest, &app, image_id, &options.annotations),
        linux: Linux { sysctl, ..linux },
    };
    let handlers = handlers::build(root, &app, &config, &env, &occupied)?;
    handlers::note(&handlers, options, &mut notes);
    Ok(Bundle { config, program, app, app_name, handlers, data_limit, notes })
}

fn environment(
    app: &App,
    identity: &Identity,
    app_name: &str,
    options: &BundleOptions,
) -> Result<Vec<(String, String)>, BundleError> {
    let executor = process::Executor {
        app_name,
        terminal: options.terminal.as_deref(),
        metadata_url: options.metadata_url.as_deref(),
    };
    process::environment(app, identity, &executor)
}

/// The arguments, the working directory, and where the program is.
fn command(
    root: &Root,
    app: &App,
    env: &[(String, String)],
    occupied: &[Occupied],
) -> Result<(Vec<String>, String, String), BundleError> {
    let args = process::arguments(&app.exec)?;
    let cwd = process::working_directory(root, app, occupied)?;
    let program = process::program(root, &args[0], env, &cwd, occupied)?;
    Ok((args, cwd, program))
}

fn joined(env: &[(String, String)]) -> Vec<String> {
    env.iter().map(|(name, value)| format!("{name}={value}")).collect()
}

/// Sockets are passed in as systemd does it (sd_listen_fds(3)).
fn socket_activation(env: &mut Vec<(String, String)>, options: &BundleOptions) {
    if options.sockets.is_empty() {
        return;
    }
    let names: Vec<&str> = options.sockets.iter().map(AcName::as_str).collect();
    // The first process of a PID namespace of its own.
    env.push(("LISTEN_PID".to_owned(), "1".to_owned()));
    env.push(("LISTEN_FDS".to_owned(), names.len().to_string()));
    env.push(("LISTEN_FDNAMES".to_owned(), names.join(":")));
}

/// Everything that bounds the program: IDs, capabilities, filters, limits, namespaces.
fn limited(
    app: &App,
    identity: &Identity,
    wishes: Wishes,
    options: &BundleOptions,
    host: &Host,
    notes: &mut Vec<Note>,
) -> Result<(Process, Linux, Option<u64>), BundleError> {
    let filter = seccomp::filter(&wishes.seccomp, identity.uid, &wishes.capabilities, notes)?;
    if filter.no_new_privileges && !wishes.no_new_privileges {
        let told = "it is set, for the seccomp set of the image needs it";
        notes.push(Note::modified("os/linux/no-new-privileges", told));
    }
    let supported = |name: &str, value: Option<String>, has: bool, notes: &mut Vec<Note>| {
        if value.is_some() && !has {
            notes.push(Note::ignored(name, "this machine's kernel does not have it"));
        }
        value.filter(|_| has)
    };
    let (profile, label) = (wishes.apparmor_profile.clone(), wishes.selinux_label.clone());
    let apparmor_profile = supported("os/linux/apparmor-profile", profile, host.apparmor, notes);
    let selinux_label = supported("os/linux/selinux-context", label, host.selinux, notes);
    let (resources, data_limit) = resources(&wishes, options, host, notes);
    let process = Process {
        terminal: false,
        user: User {
            uid: identity.uid,
            gid: identity.gid,
            additional_gids: supplementary(app, host, notes),
        },
        args: Vec::new(),
        env: Vec::new(),
        cwd: String::new(),
        capabilities: capability_sets(wishes.capabilities, identity.uid),
        no_new_privileges: wishes.no_new_privileges || filter.no_new_privileges,
        oom_score_adj: wishes.oom_score_adj,
        apparmor_profile,
        selinux_label: selinux_label.clone(),
    };
    // Inside a user namespace that is there already, the runtime makes none.
    let inside_user = options.shared.as_ref().is_some_and(|shared| shared.inside_user);
    let mappings = |ids: Option<&[IdMapping]>| match ids {
        Some(ids) if !inside_user => ids.to_vec(),
        _ => Vec::new(),
    };
    let linux = Linux {
        uid_mappings: mappings(host.uids()),
        gid_mappings: mappings(host.gids()),
        namespaces: namespaces(host, options),
        sysctl: BTreeMap::new(),
        resources,
        seccomp: filter.seccomp,
        masked_paths: mounts::MASKED.to_vec(),
        readonly_paths: mounts::READ_ONLY.to_vec(),
        mount_label: selinux_label,
    };
    Ok((process, linux, data_limit))
}

/// Limits by control groups; without those, what can be held by each process alone.
fn resources(
    wishes: &Wishes,
    options: &BundleOptions,
    host: &Host,
    notes: &mut Vec<Note>,
) -> (Option<Resources>, Option<u64>) {
    // A runtime inside the user namespace has nobody to ask for control groups.
    let inside = options.shared.as_ref().is_some_and(|shared| shared.inside_user);
    if host.has_control_groups() && !inside {
        let block_io = wishes.block_io(host).filter(|_| host.is_root());
        let wanted = wishes.block_bandwidth.is_some() || wishes.block_iops.is_some();
        if wanted && block_io.is_none() {
            let told = "there is no block device here whose limits can be set";
            notes.push(Note::ignored("resource/block-*", told));
        }
        let resources = Resources {
            devices: vec![DeviceRule { allow: false, access: "rwm" }],
            memory: wishes.memory.clone(),
            cpu: wishes.cpu.clone(),
            block_io,
        };
        return (Some(resources), None);
    }
    let told = "no control group is delegated to you, and only root sets limits of others";
    let asked = [
        ("resource/cpu", wishes.cpu.is_some()),
        ("resource/block-bandwidth", wishes.block_bandwidth.is_some()),
        ("resource/block-iops", wishes.block_iops.is_some()),
    ];
    notes.extend(
        asked.iter().filter(|(_, asked)| *asked).map(|(name, _)| Note::ignored(*name, told)),
    );
    let Some(memory) = &wishes.memory else { return (None, None) };
    let limit = memory.limit.and_then(|limit| u64::try_from(limit).ok());
    let Some(limit) = limit.filter(|_| options.holds_memory) else {
        notes.push(Note::ignored("resource/memory", told));
        return (None, None);
    };
    let told = format!(
        "no control group is delegated to you: each process by itself, and not all together, is held to {limit} bytes of data (RLIMIT_DATA) once it has started"
    );
    notes.push(Note::modified("resource/memory", told));
    (None, Some(limit))
}

/// The bounding set for all; the others for root alone, as a program of another user
/// has none after `execve`.
fn capability_sets(set: Vec<&'static str>, uid: u32) -> Capabilities {
    let held = if uid == 0 { set.clone() } else { Vec::new() };
    Capabilities {
        bounding: set,
        effective: held.clone(),
        inheritable: Vec::new(),
        permitted: held,
    }
}

fn supplementary(app: &App, host: &Host, notes: &mut Vec<Note>) -> Vec<u32> {
    if host.is_root() || app.supplementary_gids.is_empty() {
        return app.supplementary_gids.clone();
    }
    // With one mapping the kernel forbids it (user_namespaces(7)), with more runc does.
    let told = format!("only root can be in more groups: {:?}", app.supplementary_gids);
    notes.push(Note::ignored("app.supplementaryGIDs", told));
    Vec::new()
}

fn namespaces(host: &Host, options: &BundleOptions) -> Vec<Namespace> {
    let mut kinds = vec!["pid", "ipc", "uts", "mount", "cgroup"];
    if options.network != Network::Host {
        kinds.push("network");
    }
    let inside_user = options.shared.as_ref().is_some_and(|shared| shared.inside_user);
    if !host.is_root() && !inside_user {
        kinds.push("user");
    }
    let shared: &[_] = options.shared.as_ref().map_or(&[], |shared| &shared.namespaces);
    let path = |kind: &str| {
        // A process that is handed sockets is told its number, which is 1 in one of its own.
        if kind == "pid" && !options.sockets.is_empty() {
            return None;
        }
        let found = shared.iter().find(|(known, _)| *known == kind);
        found.map(|(_, path)| path.display().to_string())
    };
    kinds.into_iter().map(|kind| Namespace { kind, path: path(kind) }).collect()
}

/// An image without `os` runs anywhere; one for another system runs nowhere here.
pub(crate) fn check_system(labels: &Labels) -> Result<(), BundleError> {
    match labels.value("os").filter(|os| *os != "linux") {
        Some(os) => Err(BundleError::OperatingSystem(os.to_owned())),
        None => Ok(()),
    }
}

fn note_architecture(labels: &Labels, notes: &mut Vec<Note>) {
    let (_, host) = aci::host_platform();
    if let Some(arch) = labels.value("arch").filter(|arch| *arch != host) {
        let told = format!("the image is for {arch} and this machine is {host}; it may not start");
        notes.push(Note::ignored("label arch", told));
    }
}

/// Sockets the app expects and nobody passes in.
fn note_sockets(app: &App, options: &BundleOptions, notes: &mut Vec<Note>) {
    let activated = app.ports.iter().filter(|port| port.socket_activated);
    for port in activated.filter(|port| !options.sockets.contains(&port.name)) {
        let told = "no listening socket is passed in; the program has to open the port itself";
        notes.push(Note::ignored(format!("port {}", port.name), told));
    }
}

/// At most 63 bytes, the longest label of a host name.
fn hostname(name: &str) -> String {
    let name: String = name.chars().take(63).collect();
    let name = name.trim_end_matches('-');
    if name.is_empty() { "app".to_owned() } else { name.to_owned() }
}

/// What the image says of itself, under names of ours.
///
/// Never under the image's own names: runtimes take orders from annotations
/// (`run.oci.hooks.stderr=/etc/passwd` has crun write there), and an image's
/// author is not who gives orders on this machine.
fn annotations(
    manifest: &ImageManifest,
    app: &App,
    image_id: &ImageId,
    own: &[Annotation],
) -> BTreeMap<String, String> {
    let mut all = BTreeMap::from([
        ("appc.io/image/name".to_owned(), manifest.name.to_string()),
        ("appc.io/image/id".to_owned(), image_id.to_string()),
    ]);
    for label in manifest.labels.iter() {
        all.insert(format!("appc.io/image/label/{}", label.name), label.value.clone());
    }
    for annotation in manifest.annotations.iter().chain(own) {
        let key = format!("appc.io/image/annotation/{}", annotation.name);
        all.insert(key, annotation.value.clone());
    }
    for (key, value) in &app.user_annotations {
        all.insert(format!("appc.io/app/user-annotation/{key}"), value.clone());
    }
    for (key, value) in &app.user_labels {
        all.insert(format!("appc.io/app/user-label/{key}"), value.clone());
    }
    all
}

#[cfg(test)]
mod tests;
