//! What is mounted over the rootfs: the spec's file systems, and a volume for each
//! mount point (spec: OS-SPEC.md; ace.md, "Volume Setup").

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aci::AcName;
use aci::manifest::{Volume, VolumeKind};
use rustix::fs::{Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::config::Mount;
use super::host::Host;
use super::note::Note;
use super::volumes::Placed;
use super::{BundleError, Network};
use aci::root::{Place, Root, clean, is_file, is_folder};

/// Hidden altogether: the kernel's memory, keys and tables.
pub const MASKED: [&str; 19] = [
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
pub const READ_ONLY: [&str; 11] = [
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

/// A volume in its place.
#[derive(Debug)]
pub(super) struct Occupied {
    /// Where it is, links resolved.
    pub(super) path: PathBuf,
    /// What it holds when the program starts.
    pub(super) content: Content,
}

/// What a volume holds when the program starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// Nothing.
    Nothing,
    /// What the image has in its place.
    Image,
    /// What is at this path of the host.
    Host(PathBuf),
}

impl Occupied {
    /// What is at `path`, links resolved, once the program runs: `None` where this volume is not
    /// in the way.
    pub(super) fn stat(&self, path: &Path) -> Option<std::io::Result<Option<Stat>>> {
        let below = path.strip_prefix(&self.path).ok()?;
        match &self.content {
            Content::Image => None,
            // The volume itself is a folder, as is the image's own in its place.
            Content::Nothing if below.as_os_str().is_empty() => None,
            Content::Nothing => Some(Ok(None)),
            Content::Host(_) if below.as_os_str().is_empty() => None,
            Content::Host(source) => Some(Root::open(source).and_then(|root| root.stat(below))),
        }
    }
}

/// The file systems every app finds.
pub(super) fn standard(
    root: &Root,
    host: &Host,
    network: Network,
    terminal: bool,
    resolver: Option<&str>,
) -> Vec<Mount> {
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
        name_service(root, "/etc/resolv.conf", &mut mounts);
    } else if let Some(file) = resolver {
        name_service(root, file, &mut mounts);
    }
    mounts
}

/// With the host's network, names are looked up as the host does; with another, as `file` says.
fn name_service(root: &Root, file: &str, mounts: &mut Vec<Mount>) {
    let options = "bind nosuid noexec nodev ro";
    if Path::new(file).is_file() {
        mounts.push(mount("/etc/resolv.conf", "bind", file, options));
    }
    // The image's own hosts file is not touched (OS-SPEC.md, "Common Files").
    let absent = matches!(root.lstat(Path::new("/etc/hosts")), Ok(None));
    if absent && Path::new("/etc/hosts").is_file() {
        mounts.push(mount("/etc/hosts", "bind", "/etc/hosts", options));
    }
}

/// Where volumes come from.
pub(super) struct Sources<'a> {
    /// The bundle's folder, in which empty volumes are made.
    pub(super) bundle: &'a Path,
    /// Volumes of the pod that are there already: name, and path as seen from the bundle.
    pub(super) shared: &'a BTreeMap<AcName, String>,
    /// Whether volumes begin with what the image has in their place.
    pub(super) converted: bool,
    pub(super) host: &'a Host,
}

/// Volumes as mounts; folders for them are made in the rootfs.
pub(super) fn volumes(
    root: &Root,
    placed: &[Placed],
    sources: &Sources<'_>,
    notes: &mut Vec<Note>,
) -> Result<(Vec<Occupied>, Vec<Mount>), BundleError> {
    let mut occupied: Vec<Occupied> = Vec::new();
    let mut mounts = Vec::new();
    for one in placed {
        let fault = |fault| BundleError::MountPath {
            name: one.volume.name.to_string(),
            path: one.path.clone(),
            fault,
        };
        let path = clean(&one.path).ok_or_else(|| fault("is not absolute, or holds \"..\""))?;
        let io = |source| BundleError::Io { path: path.clone(), source };
        let path = root.resolved(&path).map_err(io)?;
        if path == Path::new("/") {
            return Err(fault("is the whole rootfs"));
        }
        let Some(destination) = path.to_str().map(str::to_owned) else {
            return Err(fault("leads to a name that is not UTF-8"));
        };
        check_overlap(one, &path, &occupied)?;
        let (mount, content) = match one.volume.kind {
            VolumeKind::Host => from_host(root, one, &path, &destination, notes)?,
            VolumeKind::Empty => {
                let place = root.make_folder(&path).map_err(io)?;
                let keeps = sources.converted && one.implicit;
                note(one, &destination, place, keeps, notes);
                if keeps {
                    // Its own folder of the image, mode, owner and content.
                    let source = format!("rootfs{destination}");
                    (bind(&destination, &source, one.read_only, "bind"), Content::Image)
                } else {
                    (empty(one, &destination, sources)?, Content::Nothing)
                }
            }
        };
        mounts.push(mount);
        occupied.push(Occupied { path, content });
    }
    Ok((occupied, mounts))
}

/// A path of the host.
fn from_host(
    root: &Root,
    one: &Placed,
    path: &Path,
    destination: &str,
    notes: &mut Vec<Note>,
) -> Result<(Mount, Content), BundleError> {
    let text = one.volume.source.as_deref().unwrap_or_default();
    let source = Path::new(text);
    let stat = host_stat(source)
        .map_err(|fault| BundleError::VolumeSource { path: text.to_owned(), fault })?;
    let io = |source| BundleError::Io { path: path.to_owned(), source };
    let place = if is_folder(&stat) { root.make_folder(path) } else { root.make_file(path) };
    let place = place.map_err(io)?;
    let subject = format!("volume {}", one.volume.name);
    let how = if one.read_only { "read-only" } else { "writable" };
    notes.push(match place {
        Place::Filled => {
            let told = format!("{destination} is {text}, {how}; it hides files of the image");
            Note::modified(subject, told)
        }
        Place::Replaced => {
            let told = format!("{destination} is {text}, {how}, in the place of a file");
            Note::modified(subject, told)
        }
        Place::Made | Place::Empty => {
            Note::enforced(subject, format!("{destination} is {text}, {how}"))
        }
    });
    // As seen from the bundle's folder, and from no other.
    let kind = match (one.volume.recursive.unwrap_or(true), one.read_only) {
        (false, _) => "bind",
        // Without it, what is mounted below the source could be written.
        (true, true) if has_mounts_below(source) => "rbind rro",
        (true, _) => "rbind",
    };
    let content = if is_folder(&stat) { Content::Host(source.to_owned()) } else { Content::Image };
    Ok((bind(destination, text, one.read_only, kind), content))
}

/// What is at a path of the host, no link on the way (ace.md, "Volume Setup").
fn host_stat(path: &Path) -> Result<Stat, &'static str> {
    if clean(&path.to_string_lossy()).is_none() {
        return Err("is not absolute, or holds \"..\"");
    }
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_SYMLINKS;
    let found = rustix::fs::openat2(rustix::fs::CWD, path, flags, Mode::empty(), resolve)
        .and_then(rustix::fs::fstat);
    match found {
        Ok(stat) if is_folder(&stat) || is_file(&stat) => Ok(stat),
        Ok(_) => Err("is neither a folder nor a file"),
        Err(Errno::LOOP) => Err("is a symbolic link, or leads through one"),
        Err(Errno::NOENT | Errno::NOTDIR) => Err("is not there"),
        Err(_) => Err("cannot be looked at"),
    }
}

fn has_mounts_below(path: &Path) -> bool {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let places = table.lines().filter_map(|line| line.split(' ').nth(4));
    places.map(Path::new).any(|place| place != path && place.starts_with(path))
}

/// An empty volume: a folder of the pod's, or of this bundle.
fn empty(one: &Placed, destination: &str, sources: &Sources<'_>) -> Result<Mount, BundleError> {
    if !one.own
        && let Some(source) = sources.shared.get(&one.volume.name)
    {
        return Ok(bind(destination, source, one.read_only, "bind"));
    }
    let source = format!("volumes/{}", one.volume.name);
    make_empty(&sources.bundle.join(&source), &one.volume, sources.host)?;
    Ok(bind(destination, &source, one.read_only, "bind"))
}

/// Makes the folder of an empty volume, with its mode and owner.
pub(crate) fn make_empty(folder: &Path, volume: &Volume, host: &Host) -> Result<(), BundleError> {
    let io = |source| BundleError::Io { path: folder.to_owned(), source };
    if folder.exists() {
        return Ok(());
    }
    let (uid, gid) = (volume.uid.unwrap_or(0), volume.gid.unwrap_or(0));
    if !host.is_root() && (uid, gid) != (0, 0) {
        return Err(BundleError::VolumeOwner { name: volume.name.to_string(), uid, gid });
    }
    std::fs::create_dir_all(folder).map_err(io)?;
    if host.is_root() {
        std::os::unix::fs::chown(folder, Some(uid), Some(gid)).map_err(io)?;
    }
    let mode = volume.mode.as_deref().and_then(|mode| u32::from_str_radix(mode, 8).ok());
    let mode = std::os::unix::fs::PermissionsExt::from_mode(mode.unwrap_or(0o755));
    std::fs::set_permissions(folder, mode).map_err(io)
}

fn note(one: &Placed, path: &str, place: Place, keeps: bool, notes: &mut Vec<Note>) {
    let word = if one.implicit { "mountPoint" } else { "volume" };
    let subject = format!("{word} {}", one.volume.name);
    let kind = "an empty folder of its own";
    notes.push(match place {
        _ if keeps => Note::enforced(subject, format!("{path} begins with the image's files")),
        Place::Filled => {
            Note::modified(subject, format!("{path} is {kind}; it hides files of the image"))
        }
        Place::Replaced => {
            Note::modified(subject, format!("{path} is {kind}, in the place of a file"))
        }
        Place::Made | Place::Empty => Note::enforced(subject, format!("{path} is {kind}")),
    });
}

fn bind(destination: &str, source: &str, read_only: bool, kind: &str) -> Mount {
    let access = if read_only { "ro" } else { "rw" };
    mount(destination, "bind", source, &format!("{kind} {access}"))
}

fn check_overlap(one: &Placed, path: &Path, occupied: &[Occupied]) -> Result<(), BundleError> {
    let taken = occupied.iter().map(|volume| volume.path.as_path()).chain(OWN.map(Path::new));
    for other in taken {
        if path.starts_with(other) || other.starts_with(path) {
            return Err(BundleError::MountOverlap {
                name: one.volume.name.to_string(),
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
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use aci::manifest::MountPoint;

    use super::*;
    use crate::bundle::volumes::place;

    fn points(points: &[(&str, &str, bool)]) -> Vec<Placed> {
        let points: Vec<MountPoint> = points
            .iter()
            .map(|(name, path, read_only)| MountPoint {
                name: name.parse().unwrap(),
                path: (*path).into(),
                read_only: *read_only,
                extra: Default::default(),
            })
            .collect();
        place(&points, &[], &[]).unwrap()
    }

    fn make(
        bundle: &Path,
        placed: &[Placed],
        converted: bool,
    ) -> Result<(Vec<Mount>, Vec<Note>), BundleError> {
        let mut notes = Vec::new();
        let (host, shared) = (Host::root(), BTreeMap::new());
        let sources = Sources { bundle, shared: &shared, converted, host: &host };
        let root = Root::open(&bundle.join("rootfs")).unwrap();
        let (_, mounts) = volumes(&root, placed, &sources, &mut notes)?;
        Ok((mounts, notes))
    }

    fn bundle() -> tempfile::TempDir {
        let bundle = tempfile::tempdir().unwrap();
        fs::create_dir(bundle.path().join("rootfs")).unwrap();
        bundle
    }

    #[test]
    fn mount_point_becomes_an_empty_volume_and_a_folder() {
        let bundle = bundle();
        let placed = points(&[("data", "/var//lib/data/", false), ("conf", "/conf", true)]);
        let (mounts, notes) = make(bundle.path(), &placed, false).unwrap();
        assert_eq!(mounts[0].destination, "/var/lib/data");
        assert_eq!(mounts[0].source, "volumes/data");
        assert_eq!(mounts[0].options.join(","), "bind,rw");
        assert!(mounts[1].options.contains(&"ro".to_owned()));
        assert!(bundle.path().join("rootfs/var/lib/data").is_dir());
        let mode = fs::metadata(bundle.path().join("volumes/data")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o755);
        assert!(notes.iter().all(|n| !n.is_warning()));
    }

    #[test]
    fn mount_point_over_files_is_told_and_keeps_them_for_converted_images() {
        let bundle = bundle();
        fs::create_dir_all(bundle.path().join("rootfs/data/inner")).unwrap();
        fs::write(bundle.path().join("rootfs/file"), "x").unwrap();
        let placed = points(&[("data", "/data", false)]);
        let (mounts, notes) = make(bundle.path(), &placed, true).unwrap();
        assert_eq!(mounts[0].source, "rootfs/data");
        assert!(!notes[0].is_warning());
        let placed = points(&[("data", "/data", false), ("file", "/file", false)]);
        let (mounts, notes) = make(bundle.path(), &placed, false).unwrap();
        assert_eq!(mounts[0].source, "volumes/data");
        assert!(notes.iter().all(Note::is_warning));
    }

    #[test]
    fn mount_points_that_overlap_or_leave_are_refused() {
        let bundle = bundle();
        let at = |name: &str| bundle.path().join("rootfs").join(name);
        symlink("/data", at("link")).unwrap();
        symlink("/proc", at("sneak")).unwrap();
        fs::create_dir(at("proc")).unwrap();
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
            let found = make(bundle.path(), &points(&list), false);
            assert!(matches!(found, Err(BundleError::MountOverlap { .. })), "{paths:?}");
        }
        for path in ["/", "data", "/a/../b"] {
            let found = make(bundle.path(), &points(&[("v", path, false)]), false);
            assert!(matches!(found, Err(BundleError::MountPath { .. })), "{path}");
        }
        let apart = points(&[("a", "/data", false), ("b", "/database", false)]);
        assert!(make(bundle.path(), &apart, false).is_ok());
    }

    fn from(source: &Path, more: &str) -> Vec<Placed> {
        let volume = format!("v,kind=host,source={}{more}", source.display());
        place(&["v,path=/v".parse().unwrap()], &[], &[volume.parse().unwrap()]).unwrap()
    }

    #[test]
    fn host_volume_is_a_folder_or_a_file_and_never_a_link() {
        let bundle = bundle();
        let outside = tempfile::tempdir().unwrap();
        let outside = outside.path().canonicalize().unwrap();
        let (mounts, _) = make(bundle.path(), &from(&outside, ",readOnly=true"), false).unwrap();
        assert_eq!(mounts[0].options.join(","), "rbind,ro");
        assert_eq!(Path::new(&mounts[0].source), outside);
        let (mounts, _) = make(bundle.path(), &from(&outside, ",recursive=false"), false).unwrap();
        assert_eq!(mounts[0].options.join(","), "bind,rw");
        fs::remove_dir(bundle.path().join("rootfs/v")).unwrap();
        fs::write(outside.join("file"), "x").unwrap();
        make(bundle.path(), &from(&outside.join("file"), ""), false).unwrap();
        assert!(bundle.path().join("rootfs/v").is_file());
        symlink(&outside, outside.join("link")).unwrap();
        for bad in ["none", "link", "link/file", "../x"] {
            let found = make(bundle.path(), &from(&outside.join(bad), ""), false);
            assert!(matches!(found, Err(BundleError::VolumeSource { .. })), "{bad}");
        }
    }

    #[test]
    fn empty_volume_has_its_mode_and_owner() {
        let folder = tempfile::tempdir().unwrap();
        let volume: Volume = "v,kind=empty,mode=1770,uid=33,gid=44".parse().unwrap();
        let user = make_empty(&folder.path().join("u"), &volume, &Host::user(1, 1));
        assert!(matches!(user, Err(BundleError::VolumeOwner { uid: 33, gid: 44, .. })));
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root can give folders away");
            return;
        }
        make_empty(&folder.path().join("v"), &volume, &Host::root()).unwrap();
        let found = fs::metadata(folder.path().join("v")).unwrap();
        assert_eq!((found.mode() & 0o7777, found.uid(), found.gid()), (0o1770, 33, 44));
    }
}
