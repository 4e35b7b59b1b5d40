//! What is mounted over the rootfs: the spec's file systems, and a volume for each
//! mount point (spec: OS-SPEC.md; ace.md, "Volume Setup").

use std::path::{Path, PathBuf};

use aci::manifest::{App, MountPoint};

use super::config::Mount;
use super::host::Host;
use super::note::Note;
use super::root::{Place, Root, clean, is_folder};
use super::{BundleError, Network};

/// Hidden altogether: the kernel's memory, keys and tables.
pub(super) const MASKED: [&str; 19] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/config.gz",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/keys",
    "/proc/kmem",
    "/proc/latency_stats",
    "/proc/mem",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs",
    "/sys/hypervisor",
    "/sys/module",
    "/sys/power",
];

/// Readable and not writable: the machine's settings.
pub(super) const READ_ONLY: [&str; 11] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
    "/sys/block",
    "/sys/bus",
    "/sys/class",
    "/sys/dev",
    "/sys/devices",
    "/sys/kernel",
];

/// Mount points may not lie here: the spec's own mounts do.
const OWN: [&str; 3] = ["/proc", "/sys", "/dev"];

/// A mount point's volume.
#[derive(Debug)]
pub(super) struct Volume {
    /// Where it is, links resolved.
    pub(super) path: PathBuf,
    /// Whether it begins with what the image has there.
    pub(super) filled: bool,
}

/// The file systems every app finds.
pub(super) fn standard(root: &Root, host: &Host, network: Network, terminal: bool) -> Vec<Mount> {
    // Group 5 is tty on every distribution; a namespace of one group has no 5.
    let pts = "nosuid noexec newinstance ptmxmode=0666 mode=0620";
    let pts = if has_gid(host, 5) { format!("{pts} gid=5") } else { pts.to_owned() };
    let mut mounts = vec![
        mount("/proc", "proc", "proc", "nosuid noexec nodev"),
        mount("/dev", "tmpfs", "tmpfs", "nosuid strictatime mode=755 size=65536k"),
        mount("/dev/pts", "devpts", "devpts", &pts),
        mount("/dev/shm", "tmpfs", "shm", "nosuid noexec nodev mode=1777 size=65536k"),
        mount("/dev/mqueue", "mqueue", "mqueue", "nosuid noexec nodev"),
    ];
    if !host.is_root() && network == Network::Host {
        // A user namespace may mount sysfs only with a network of its own.
        mounts.push(mount("/sys", "bind", "/sys", "rbind nosuid noexec nodev ro"));
    } else {
        mounts.push(mount("/sys", "sysfs", "sysfs", "nosuid noexec nodev ro"));
    }
    if !terminal {
        // The spec has /dev/console always, and a runtime makes one for a terminal only.
        mounts.push(mount("/dev/console", "bind", "/dev/null", "bind"));
    }
    if network == Network::Host {
        name_service(root, &mut mounts);
    }
    mounts
}

/// With the host's network, names are looked up as the host does.
fn name_service(root: &Root, mounts: &mut Vec<Mount>) {
    let options = "bind nosuid noexec nodev ro";
    if Path::new("/etc/resolv.conf").is_file() {
        mounts.push(mount("/etc/resolv.conf", "bind", "/etc/resolv.conf", options));
    }
    // The image's own hosts file is not touched (OS-SPEC.md, "Common Files").
    let absent = matches!(root.lstat(Path::new("/etc/hosts")), Ok(None));
    if absent && Path::new("/etc/hosts").is_file() {
        mounts.push(mount("/etc/hosts", "bind", "/etc/hosts", options));
    }
}

/// An empty volume for each mount point; folders for them are made in the rootfs.
/// `converted`: the image comes from a format whose volumes begin with the image's
/// own content.
pub(super) fn volumes(
    root: &Root,
    app: &App,
    converted: bool,
    notes: &mut Vec<Note>,
) -> Result<(Vec<Volume>, Vec<Mount>), BundleError> {
    let mut volumes: Vec<Volume> = Vec::new();
    let mut mounts = Vec::new();
    for point in &app.mount_points {
        let fault = |fault| BundleError::MountPath {
            name: point.name.to_string(),
            path: point.path.clone(),
            fault,
        };
        let path = clean(&point.path).ok_or_else(|| fault("is not absolute, or holds \"..\""))?;
        let io = |source| BundleError::Io { path: path.clone(), source };
        let path = root.resolved(&path).map_err(io)?;
        if path == Path::new("/") {
            return Err(fault("is the whole rootfs"));
        }
        let Some(destination) = path.to_str().map(str::to_owned) else {
            return Err(fault("leads to a name that is not UTF-8"));
        };
        check_overlap(point, &path, &volumes)?;
        let place = root.make_folder(&path).map_err(io)?;
        let filled = converted && place == Place::Filled;
        let mut options = "nosuid nodev ".to_owned();
        options.push_str(if point.read_only { "ro" } else { "rw" });
        options.push_str(&folder_options(root, &path, filled).map_err(io)?);
        note(point, &destination, place, filled, notes);
        mounts.push(mount(&destination, "tmpfs", "tmpfs", &options));
        volumes.push(Volume { path, filled });
    }
    Ok((volumes, mounts))
}

/// Mode and owner: those of the image's folder where its content is kept, else the
/// spec's (ace.md, "Volume Setup").
fn folder_options(root: &Root, path: &Path, filled: bool) -> std::io::Result<String> {
    if filled && let Some(stat) = root.stat(path)?.filter(is_folder) {
        let (mode, uid, gid) = (stat.st_mode & 0o7777, stat.st_uid, stat.st_gid);
        return Ok(format!(" mode={mode:o} uid={uid} gid={gid} tmpcopyup"));
    }
    Ok(" mode=755 uid=0 gid=0".to_owned())
}

fn note(point: &MountPoint, path: &str, place: Place, filled: bool, notes: &mut Vec<Note>) {
    let subject = format!("mountPoint {}", point.name);
    let kind = "a volume in memory, which is gone when the container is";
    notes.push(match place {
        Place::Filled if filled => {
            Note::enforced(subject, format!("{path} is {kind}; it begins with the image's files"))
        }
        Place::Filled => {
            Note::modified(subject, format!("{path} is {kind}; it hides files of the image"))
        }
        Place::Replaced => {
            Note::modified(subject, format!("{path} is {kind}, in the place of a file"))
        }
        Place::Made | Place::Empty => Note::enforced(subject, format!("{path} is {kind}")),
    });
}

fn check_overlap(point: &MountPoint, path: &Path, volumes: &[Volume]) -> Result<(), BundleError> {
    let taken = volumes.iter().map(|volume| volume.path.as_path()).chain(OWN.map(Path::new));
    for other in taken {
        if path.starts_with(other) || other.starts_with(path) {
            return Err(BundleError::MountOverlap {
                name: point.name.to_string(),
                path: path.display().to_string(),
                other: other.display().to_string(),
            });
        }
    }
    Ok(())
}

fn has_gid(host: &Host, gid: u32) -> bool {
    host.gids().is_none_or(|mappings| {
        mappings.iter().any(|m| gid.checked_sub(m.container).is_some_and(|at| at < m.size))
    })
}

fn mount(destination: &str, kind: &'static str, source: &str, options: &str) -> Mount {
    Mount {
        destination: destination.to_owned(),
        kind,
        source: source.to_owned(),
        options: options.split(' ').map(str::to_owned).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::bundle::tests::app;

    fn points(points: &[(&str, &str, bool)]) -> App {
        let mut app = app(&["/x"]);
        for (name, path, read_only) in points {
            app.mount_points.push(MountPoint {
                name: name.parse().unwrap(),
                path: (*path).into(),
                read_only: *read_only,
                extra: Default::default(),
            });
        }
        app
    }

    fn make(
        rootfs: &Path,
        app: &App,
        converted: bool,
    ) -> Result<(Vec<Mount>, Vec<Note>), BundleError> {
        let mut notes = Vec::new();
        let root = Root::open(rootfs).unwrap();
        let (_, mounts) = volumes(&root, app, converted, &mut notes)?;
        Ok((mounts, notes))
    }

    #[test]
    fn mount_point_becomes_an_empty_volume_and_a_folder() {
        let rootfs = tempfile::tempdir().unwrap();
        let app = points(&[("data", "/var//lib/data/", false), ("conf", "/conf", true)]);
        let (mounts, notes) = make(rootfs.path(), &app, false).unwrap();
        assert_eq!(mounts[0].destination, "/var/lib/data");
        assert_eq!(mounts[0].options.join(","), "nosuid,nodev,rw,mode=755,uid=0,gid=0");
        assert!(mounts[1].options.contains(&"ro".to_owned()));
        assert!(rootfs.path().join("var/lib/data").is_dir());
        assert!(notes.iter().all(|n| !n.is_warning()));
    }

    #[test]
    fn mount_point_over_files_is_told_and_filled_for_converted_images() {
        let rootfs = tempfile::tempdir().unwrap();
        fs::create_dir_all(rootfs.path().join("data/inner")).unwrap();
        fs::write(rootfs.path().join("file"), "x").unwrap();
        let app = points(&[("data", "/data", false), ("file", "/file", false)]);
        let (mounts, notes) = make(rootfs.path(), &app, true).unwrap();
        assert!(mounts[0].options.contains(&"tmpcopyup".to_owned()));
        assert!(!notes[0].is_warning() && notes[1].is_warning());
        let (mounts, notes) = make(rootfs.path(), &app, false).unwrap();
        assert!(!mounts[0].options.contains(&"tmpcopyup".to_owned()));
        assert!(notes[0].is_warning());
    }

    #[test]
    fn mount_points_that_overlap_or_leave_are_refused() {
        let rootfs = tempfile::tempdir().unwrap();
        symlink("/data", rootfs.path().join("link")).unwrap();
        symlink("/proc", rootfs.path().join("sneak")).unwrap();
        fs::create_dir(rootfs.path().join("proc")).unwrap();
        for paths in [
            &["/data", "/data/sub"][..],
            &["/data/sub", "/data"],
            &["/data", "/data"],
            &["/data", "/link/x"],
            &["/proc/self"],
            &["/sneak"],
            &["/dev"],
        ] {
            let list: Vec<_> = paths.iter().map(|path| ("v", *path, false)).collect();
            let found = make(rootfs.path(), &points(&list), false);
            assert!(matches!(found, Err(BundleError::MountOverlap { .. })), "{paths:?}");
        }
        for path in ["/", "data", "/a/../b"] {
            let found = make(rootfs.path(), &points(&[("v", path, false)]), false);
            assert!(matches!(found, Err(BundleError::MountPath { .. })), "{path}");
        }
        assert!(
            make(
                rootfs.path(),
                &points(&[("a", "/data", false), ("b", "/database", false)]),
                false
            )
            .is_ok()
        );
    }
}
