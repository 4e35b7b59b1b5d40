//! What is mounted in a root file system: `/proc`, `/dev`, `/sys`, and what the caller wants.

use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use discovery::bundle::{MASKED, READ_ONLY};
use rustix::fs::{CWD, FileType, Mode, OFlags, StatVfsMountFlags};
use rustix::mount::{MountFlags, mount, mount_bind, mount_bind_recursive, mount_remount};

use super::error::Fault;
use super::order::Run;
use super::points::Placed;
use super::root::Root;

/// The devices a command finds: name, major and minor number (Documentation/admin-guide/devices.txt).
const DEVICES: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// Links in `/dev`.
const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Mounts everything, in a mount namespace of our own.
pub(super) fn furnish(run: &Run, root: &Root, input: &OwnedFd) -> Result<(), Fault> {
    let merged = &root.merged;
    let at = |what: &'static str| Fault::setup(format!("mount {what} for the command"));
    for placed in &root.points.mounts {
        bind(merged, placed)
            .map_err(|error| Fault::mount_point(&Path::new("/").join(&placed.place), error))?;
    }
    processes(merged).map_err(at("/proc"))?;
    devices(run, merged, input).map_err(at("/dev"))?;
    system(run, merged).map_err(at("/sys"))?;
    for path in MASKED {
        mask(merged, &merged.join(path.trim_start_matches('/'))).map_err(at(path))?;
    }
    for path in READ_ONLY {
        let path = merged.join(path.trim_start_matches('/'));
        if path.exists() {
            mount_bind_recursive(&path, &path)
                .map_err(io::Error::from)
                .and_then(|()| restrict(&path, MountFlags::RDONLY))
                .map_err(at("the settings of the machine"))?;
        }
    }
    Ok(())
}

fn closed() -> MountFlags {
    MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC
}

fn data(options: &str) -> io::Result<CString> {
    CString::new(options).map_err(io::Error::other)
}

/// `/proc` of this PID namespace.
pub(super) fn processes(root: &Path) -> io::Result<()> {
    Ok(mount("proc", root.join("proc"), "proc", closed(), None::<&CStr>)?)
}

/// Hides control groups of both versions at once, which crun refuses even where it is to use none.
pub(super) fn hide_hybrid_groups() -> io::Result<()> {
    const GROUPS: &str = "/sys/fs/cgroup";
    if !Path::new(GROUPS).join("unified").exists() {
        return Ok(());
    }
    let options = data("mode=755,size=0k")?;
    let flags = closed() | MountFlags::RDONLY;
    Ok(mount("tmpfs", GROUPS, "tmpfs", flags, options.as_c_str())?)
}

/// A folder with the usual devices and nothing else.
fn devices(run: &Run, merged: &Path, input: &OwnedFd) -> io::Result<()> {
    let dev = merged.join("dev");
    let options = data("mode=755,size=65536k")?;
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV;
    mount("tmpfs", &dev, "tmpfs", flags, options.as_c_str())?;
    let source = if run.user { PathBuf::from("/dev") } else { own_devices(run)? };
    for (name, ..) in DEVICES {
        let place = dev.join(name);
        empty_file(&place)?;
        mount_bind(source.join(name), &place)?;
    }
    for (name, target) in LINKS {
        symlink(target, dev.join(name))?;
    }
    let pts = dev.join("pts");
    fs::create_dir(&pts)?;
    // Group 5 is tty on every distribution; a namespace of one group has no 5.
    let group = if run.alone { "" } else { ",gid=5" };
    let options = data(&format!("newinstance,ptmxmode=0666,mode=0620{group}"))?;
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    mount("devpts", &pts, "devpts", flags, options.as_c_str())?;
    let shm = dev.join("shm");
    fs::create_dir(&shm)?;
    let options = data("mode=1777,size=65536k")?;
    mount("shm", &shm, "tmpfs", closed(), options.as_c_str())?;
    if let Some(terminal) = terminal(input) {
        let place = dev.join("console");
        empty_file(&place)?;
        mount_bind(terminal, &place)?;
    }
    Ok(())
}

/// Devices for root's commands. They are not the host's files, whose modes and owners a command
/// could change; and every other file system of the step is without devices, so that one that a
/// command makes (it may: CAP_MKNOD) opens no disk of the machine.
fn own_devices(run: &Run) -> io::Result<PathBuf> {
    let folder = run.scratch("devices");
    fs::create_dir(&folder)?;
    let options = data("mode=755,size=64k")?;
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    mount("tmpfs", &folder, "tmpfs", flags, options.as_c_str())?;
    for (name, major, minor) in DEVICES {
        let place = folder.join(name);
        let device = rustix::fs::makedev(major, minor);
        let mode = Mode::from_raw_mode(0o666);
        rustix::fs::mknodat(CWD, &place, FileType::CharacterDevice, mode, device)?;
        // Not less the mask.
        rustix::fs::chmod(&place, mode)?;
    }
    Ok(folder)
}

/// The path of the terminal that is the command's input.
fn terminal(input: &OwnedFd) -> Option<PathBuf> {
    if !rustix::termios::isatty(input) {
        return None;
    }
    let path = fs::read_link(format!("/proc/self/fd/{}", input.as_raw_fd())).ok()?;
    let (there, ours) = (fs::metadata(&path).ok()?, rustix::fs::fstat(input).ok()?);
    (there.rdev() == ours.st_rdev).then_some(path)
}

/// `/sys`, which can only be read. A user may mount one only with a network of its own; on the
/// host's it is empty, since the host's own says more of the machine than a build may depend on.
fn system(run: &Run, merged: &Path) -> io::Result<()> {
    let sys = merged.join("sys");
    let flags = closed() | MountFlags::RDONLY;
    let own = !run.user || !run.host_network;
    if own && mount("sysfs", &sys, "sysfs", flags, None::<&CStr>).is_ok() {
        return Ok(());
    }
    let options = data("mode=755,size=0k")?;
    Ok(mount("tmpfs", &sys, "tmpfs", flags, options.as_c_str())?)
}

/// Hides a file or folder of the kernel's.
fn mask(merged: &Path, path: &Path) -> io::Result<()> {
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(()) };
    if found.is_dir() {
        let options = data("mode=755,size=0k")?;
        let flags = closed() | MountFlags::RDONLY;
        return Ok(mount("tmpfs", path, "tmpfs", flags, options.as_c_str())?);
    }
    Ok(mount_bind(merged.join("dev/null"), path)?)
}

/// Mounts a file or folder of the host.
fn bind(merged: &Path, placed: &Placed) -> io::Result<()> {
    let target = merged.join(&placed.place);
    mount_bind_recursive(&placed.source, &target)?;
    let mut flags = MountFlags::NOSUID | MountFlags::NODEV;
    if placed.read_only {
        flags |= MountFlags::RDONLY;
    }
    // What is mounted inside it came along.
    for path in mounted_below(&fs::read("/proc/self/mountinfo")?, &target) {
        restrict(&path, flags)?;
    }
    Ok(())
}

/// Restricts a mount. What restricts it already stays: a user namespace may not take it away.
fn restrict(path: &Path, more: MountFlags) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let place = rustix::fs::open(path, flags, Mode::empty())?;
    let has = rustix::fs::fstatvfs(place.as_fd())?.f_flag;
    let mut flags = MountFlags::BIND | more;
    for (known, flag) in [
        (StatVfsMountFlags::RDONLY, MountFlags::RDONLY),
        (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
        (StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
        (StatVfsMountFlags::NODIRATIME, MountFlags::NODIRATIME),
        (StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
    ] {
        if has.contains(known) {
            flags |= flag;
        }
    }
    drop(place);
    Ok(mount_remount(path, flags, c"")?)
}

/// Mount points at `target` and below it, of a `/proc/PID/mountinfo` (proc_pid_mountinfo(5)).
pub(crate) fn mounted_below(mountinfo: &[u8], target: &Path) -> Vec<PathBuf> {
    let point = |line: &[u8]| line.split(|byte| *byte == b' ').nth(4).map(plain);
    let lines = mountinfo.split(|byte| *byte == b'\n');
    lines.filter_map(point).filter(|point| point.starts_with(target)).collect()
}

/// A path without the file's escapes: blanks, line ends and backslashes are octal numbers.
fn plain(escaped: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).and_then(|three| std::str::from_utf8(three).ok());
        match octal.and_then(|three| u8::from_str_radix(three, 8).ok()).filter(|_| *first == b'\\')
        {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

fn empty_file(path: &Path) -> io::Result<()> {
    fs::OpenOptions::new().write(true).create_new(true).open(path).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounted_below_reads_escapes_and_keeps_to_the_folder() {
        let text = b"1 2 0:1 / /a\\040b rw - x x rw\n1 2 0:1 / /a\\040b/c rw - x x rw\n\
                     1 2 0:1 / /a\\040bc rw - x x rw\n";
        let found = mounted_below(text, Path::new("/a b"));
        assert_eq!(found, [Path::new("/a b"), Path::new("/a b/c")]);
        assert_eq!(plain(b"/\\134x\\"), Path::new("/\\x\\"));
    }
}
