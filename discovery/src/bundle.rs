//! An OCI bundle of an image: a folder with `config.json` and `rootfs/`, which any
//! OCI runtime runs (spec: ace.md; OCI Runtime Specification 1.0).
//!
//! ```text
//! DIR/
//!   config.json   written here
//!   manifest      the image's manifest, as it is in the image
//!   rootfs/       the rendered image
//! ```
//!
//! What an image asks for and a runtime has no place for is not dropped in
//! silence: every such thing is a [`Note`].

mod config;
mod error;
mod host;
mod isolators;
mod mounts;
mod note;
mod process;
mod root;
mod seccomp;
mod users;

use std::collections::BTreeMap;
use std::path::Path;

use aci::manifest::{App, ImageManifest};
use aci::stage::{self, Existing};
use aci::{ImageId, Labels};

pub use config::{Config, IdMapping};
pub use error::BundleError;
pub use host::Host;
pub use note::{Note, Outcome};

use config::{Capabilities, DeviceRule, Linux, Namespace, Process, Resources, RootFolder, User};
use isolators::Wishes;
pub(crate) use root::Root;
use users::Identity;

/// Which network a container has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Network {
    /// Its own, with a loopback interface and nothing else.
    #[default]
    None,
    /// The host's.
    Host,
}

/// How a bundle is to differ from what the image says.
#[derive(Debug, Clone, Default)]
pub struct BundleOptions {
    /// Which network.
    pub network: Network,
    /// The value of `TERM`, where the program is to have a terminal.
    pub terminal: Option<String>,
    /// A program in the place of the image's program and arguments.
    pub exec: Option<String>,
    /// Arguments after the image's own.
    pub arguments: Vec<String>,
}

/// A bundle that was written.
#[derive(Debug)]
pub struct Bundle {
    config: Config,
    program: String,
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
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| BundleError::Io { path, source }
    };
    let rootfs = folder.join("rootfs");
    let root = Root::open(&rootfs).map_err(io(&rootfs))?;
    let bundle = build(&root, manifest, image_id, options, host)?;
    let file = folder.join("config.json");
    let bytes = serde_json::to_vec_pretty(&bundle.config)
        .map_err(|error| io(&file)(std::io::Error::from(error)))?;
    stage::write(&file, &bytes, 0o644, Existing::Replace).map_err(io(&file))?;
    Ok(bundle)
}

fn build(
    root: &Root,
    manifest: &ImageManifest,
    image_id: &ImageId,
    options: &BundleOptions,
    host: &Host,
) -> Result<Bundle, BundleError> {
    let mut notes = Vec::new();
    check_platform(&manifest.labels, &mut notes)?;
    let absent;
    let app = match (&manifest.app, &options.exec) {
        (Some(app), _) => app,
        (None, None) => return Err(BundleError::NoApp),
        (None, Some(_)) => {
            absent = root_app();
            &absent
        }
    };
    // docker2aci leaves this annotation; such images expect two things of Docker's.
    let converted = manifest.annotation("appc.io/docker/repository").is_some();
    let identity = users::resolve(root, app, converted, host)?;
    let wishes = isolators::read(app, &mut notes)?;
    let (volumes, volume_mounts) = mounts::volumes(root, app, converted, &mut notes)?;
    let app_name = process::app_name(manifest.name.as_str());
    let terminal = options.terminal.as_deref();
    let environment = process::environment(app, &identity, &app_name, terminal)?;
    let args = process::arguments(app, options)?;
    let cwd = process::working_directory(root, app, &volumes)?;
    let program = process::program(root, &args[0], &environment, &cwd, &volumes)?;
    note_the_rest(app, &mut notes);

    let mut mounts = mounts::standard(root, host, options.network, terminal.is_some());
    mounts.extend(volume_mounts);
    let (process, linux) = limited(app, &identity, wishes, options, host, &mut notes)?;
    let env = environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let config = Config {
        oci_version: "1.0.0",
        process: Process { terminal: terminal.is_some(), args, env, cwd, ..process },
        root: RootFolder { path: "rootfs".to_owned(), readonly: false },
        hostname: hostname(&app_name),
        mounts,
        annotations: annotations(manifest, app, image_id),
        linux,
    };
    Ok(Bundle { config, program, notes })
}

/// Everything that bounds the program: IDs, capabilities, filters, limits, namespaces.
fn limited(
    app: &App,
    identity: &Identity,
    wishes: Wishes,
    options: &BundleOptions,
    host: &Host,
    notes: &mut Vec<Note>,
) -> Result<(Process, Linux), BundleError> {
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
    let apparmor_profile =
        supported("os/linux/apparmor-profile", wishes.apparmor_profile, host.apparmor, notes);
    let selinux_label =
        supported("os/linux/selinux-context", wishes.selinux_label, host.selinux, notes);
    let has_memory = wishes.memory.is_some();
    let has_cpu = wishes.cpu.is_some();
    // The device rules and limits of control groups are root's to set.
    let resources = host.is_root().then(|| Resources {
        devices: vec![DeviceRule { allow: false, access: "rwm" }],
        memory: wishes.memory,
        cpu: wishes.cpu,
    });
    for (name, wanted) in [("resource/memory", has_memory), ("resource/cpu", has_cpu)] {
        if wanted && resources.is_none() {
            notes.push(Note::ignored(name, "only root sets limits of control groups"));
        }
    }
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
    let linux = Linux {
        uid_mappings: host.uids().unwrap_or_default().to_vec(),
        gid_mappings: host.gids().unwrap_or_default().to_vec(),
        namespaces: namespaces(host, options.network),
        resources,
        seccomp: filter.seccomp,
        masked_paths: mounts::MASKED.to_vec(),
        readonly_paths: mounts::READ_ONLY.to_vec(),
        mount_label: selinux_label,
    };
    Ok((process, linux))
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

fn namespaces(host: &Host, network: Network) -> Vec<Namespace> {
    let mut kinds = vec!["pid", "ipc", "uts", "mount", "cgroup"];
    if network == Network::None {
        kinds.push("network");
    }
    if !host.is_root() {
        kinds.push("user");
    }
    kinds.into_iter().map(|kind| Namespace { kind }).collect()
}

/// An image without `os` runs anywhere; one for another system runs nowhere here.
fn check_platform(labels: &Labels, notes: &mut Vec<Note>) -> Result<(), BundleError> {
    if let Some(os) = labels.value("os").filter(|os| *os != "linux") {
        return Err(BundleError::OperatingSystem(os.to_owned()));
    }
    let (_, host) = aci::host_platform();
    if let Some(arch) = labels.value("arch").filter(|arch| *arch != host) {
        let told = format!("the image is for {arch} and this machine is {host}; it may not start");
        notes.push(Note::ignored("label arch", told));
    }
    Ok(())
}

/// Parts of an app that no OCI runtime acts on.
fn note_the_rest(app: &App, notes: &mut Vec<Note>) {
    for handler in &app.event_handlers {
        let told = "OCI runtimes have no such hook inside the container; it is not run";
        notes.push(Note::ignored(format!("eventHandler {}", handler.name), told));
    }
    for port in app.ports.iter().filter(|port| port.socket_activated) {
        let told = "no listening socket is passed in; the program has to open the port itself";
        notes.push(Note::ignored(format!("port {}", port.name), told));
    }
}

/// The app of an image that has none, for a caller who names a program.
fn root_app() -> App {
    App {
        exec: Vec::new(),
        user: "0".to_owned(),
        group: "0".to_owned(),
        supplementary_gids: Vec::new(),
        event_handlers: Vec::new(),
        working_directory: None,
        environment: Vec::new(),
        isolators: Vec::new(),
        mount_points: Vec::new(),
        ports: Vec::new(),
        user_annotations: BTreeMap::new(),
        user_labels: BTreeMap::new(),
        extra: Default::default(),
    }
}

/// At most 63 bytes, the longest label of a host name.
fn hostname(app_name: &str) -> String {
    let name: String = app_name.chars().take(63).collect();
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
) -> BTreeMap<String, String> {
    let mut all = BTreeMap::from([
        ("appc.io/image/name".to_owned(), manifest.name.to_string()),
        ("appc.io/image/id".to_owned(), image_id.to_string()),
    ]);
    for label in manifest.labels.iter() {
        all.insert(format!("appc.io/image/label/{}", label.name), label.value.clone());
    }
    for annotation in &manifest.annotations {
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
