//! systemd-nspawn, which runs an OCI bundle with less than an OCI runtime offers.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use aci::stage::{self, Existing};

use super::{RunError, RunFolder};
use crate::bundle::{Bundle, Config, Note, Root};

/// It would mount an empty file system over the image's `/tmp`.
pub(super) const ENVIRONMENT: (&str, &str) = ("SYSTEMD_NSPAWN_TMPFS_TMP", "0");

/// Writes the bundle as systemd-nspawn understands it and gives its arguments.
pub(super) fn arguments(
    folder: &RunFolder,
    bundle: &Bundle,
    at: &Path,
) -> Result<Vec<OsString>, RunError> {
    let adapted = folder.path().join("nspawn");
    fs::create_dir_all(&adapted).map_err(RunError::io("create", &adapted))?;
    let rootfs = at.join("rootfs");
    // It takes a rootfs without this folder for a mistake.
    Root::open(&rootfs)
        .and_then(|root| root.make_folder(Path::new("/usr")))
        .map_err(RunError::io("prepare", &rootfs))?;
    let config = adapt(bundle).seen_from(at);
    let file = adapted.join("config.json");
    let written = serde_json::to_vec_pretty(&config)
        .map_err(std::io::Error::from)
        .and_then(|bytes| stage::write(&file, &bytes, 0o600, Existing::Replace));
    written.map_err(RunError::io("write", &file))?;
    let mut bundle = OsString::from("--oci-bundle=");
    bundle.push(&adapted);
    let mut machine = OsString::from("--machine=");
    machine.push(folder.id());
    // Not registered and without a unit of its own: it runs where no systemd does.
    let rest = ["--quiet", "--register=no", "--keep-unit"].map(OsString::from);
    Ok(rest.into_iter().chain([bundle, machine]).collect())
}

fn adapt(bundle: &Bundle) -> Config {
    let mut config = bundle.config().clone();
    // It would ask systemd for these over D-Bus.
    config.linux.resources = None;
    // Without the device rules of a control group, a device file is the device.
    let capabilities = &mut config.process.capabilities;
    for set in
        [&mut capabilities.bounding, &mut capabilities.effective, &mut capabilities.permitted]
    {
        set.retain(|capability| *capability != "CAP_MKNOD");
    }
    // It searches its own PATH, not the container's.
    config.process.args[0] = bundle.program().to_owned();
    // These it makes itself, and takes no orders for.
    config.mounts.retain(|mount| mount.destination != "/dev/console");
    config.linux.masked_paths.clear();
    config.linux.readonly_paths.clear();
    config.annotations.clear();
    // It knows one error number only, EPERM, and refuses to hear of others.
    if let Some(seccomp) = &mut config.linux.seccomp {
        seccomp.default_errno_ret = None;
        for rule in &mut seccomp.syscalls {
            rule.errno_ret = None;
        }
    }
    for mount in &mut config.mounts {
        mount.options.retain(|option| option != "rro");
    }
    config
}

/// What is lost.
pub(super) fn notes(bundle: &Bundle) -> Vec<Note> {
    let mut notes = Vec::new();
    let config = bundle.config();
    let resources = config.linux.resources.as_ref();
    for (name, wanted) in [
        ("resource/memory", resources.is_some_and(|resources| resources.memory.is_some())),
        ("resource/cpu", resources.is_some_and(|resources| resources.cpu.is_some())),
        ("resource/block-*", resources.is_some_and(|resources| resources.block_io.is_some())),
    ] {
        if wanted {
            notes.push(Note::ignored(name, "systemd-nspawn sets no limits without systemd"));
        }
    }
    if config.process.capabilities.bounding.contains(&"CAP_MKNOD") {
        let told = "systemd-nspawn has no device rules, so no device files can be made";
        notes.push(Note::modified("CAP_MKNOD", told));
    }
    let told =
        "systemd-nspawn mounts an empty file system on /run, and guards /proc and /sys its own way";
    notes.push(Note::modified("rootfs", told));
    let eperm = u32::try_from(rustix::io::Errno::PERM.raw_os_error()).ok();
    let rules = config.linux.seccomp.iter().flat_map(|seccomp| {
        seccomp.syscalls.iter().map(|rule| rule.errno_ret).chain([seccomp.default_errno_ret])
    });
    if rules.flatten().any(|errno| Some(errno) != eperm) {
        let told = "systemd-nspawn answers blocked system calls with EPERM only";
        notes.push(Note::modified("seccomp errno", told));
    }
    let all_below = |option: &String| option == "rro";
    for mount in config.mounts.iter().filter(|mount| mount.options.iter().any(all_below)) {
        let told = "what is mounted below it can be written: systemd-nspawn guards it alone";
        notes.push(Note::modified(format!("volume {}", mount.destination), told));
    }
    notes
}
