//! systemd-nspawn, which runs an OCI bundle with less than an OCI runtime offers.

use std::ffi::OsString;
use std::fs;

use aci::stage::{self, Existing};

use super::{RunError, RunFolder};
use crate::bundle::{Bundle, Config, Note};

/// Writes the bundle as systemd-nspawn understands it and gives its arguments.
pub(super) fn arguments(folder: &RunFolder, bundle: &Bundle) -> Result<Vec<OsString>, RunError> {
    let adapted = folder.path().join("nspawn");
    fs::create_dir_all(&adapted).map_err(RunError::io("create", &adapted))?;
    let mut config = adapt(bundle);
    config.root.path = folder.bundle().join("rootfs").display().to_string();
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
    for mount in &mut config.mounts {
        mount.options.retain(|option| option != "tmpcopyup");
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
    ] {
        if wanted {
            notes.push(Note::ignored(name, "systemd-nspawn sets no limits without systemd"));
        }
    }
    if config.process.capabilities.bounding.contains(&"CAP_MKNOD") {
        let told = "systemd-nspawn has no device rules, so no device files can be made";
        notes.push(Note::modified("CAP_MKNOD", told));
    }
    let copied = |option: &String| option == "tmpcopyup";
    for mount in config.mounts.iter().filter(|mount| mount.options.iter().any(copied)) {
        let told = "systemd-nspawn does not copy the image's files into a volume";
        notes.push(Note::ignored(format!("volume {}", mount.destination), told));
    }
    notes
}
