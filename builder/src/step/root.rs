//! The root file system of a step: an overlay, with the mount points that the image lacks in a lower
//! layer of their own.

use std::ffi::CString;
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};

use super::error::Fault;
use super::order::Run;
use super::points::{self, Points};
use super::{hidden, links, owners, printable};

/// An overlay that is mounted at `merged`, and what is mounted in it where.
pub(super) struct Root {
    /// Where the overlay is mounted.
    pub(super) merged: PathBuf,
    /// Where mounts go.
    pub(super) points: Points,
    /// What was copied into the upper folder before the command.
    pub(super) copied: Vec<PathBuf>,
}

/// Puts the root file system together, in this process's mount namespace.
pub(super) fn assemble(run: &Run) -> Result<Root, Fault> {
    let io = |what: &'static str| Fault::setup(format!("make {what} in the scratch folder"));
    for name in ["points", "hidden", "upper", "work", "merged"] {
        fs::create_dir(run.scratch(name)).map_err(io(name))?;
    }
    if !run.hidden.is_empty() {
        look(run, Layers::Whole, |merged| hidden::make(run, merged))?;
    }
    let (points, copied) = look(run, Layers::Seen, |merged| {
        let upper = run.scratch("upper");
        let points = points::plan(run, merged)?;
        owners::copy(merged, &upper)?;
        let copied = links::copy(merged, &upper)?;
        points::make(&points, merged, &run.scratch("points"))?;
        Ok((points, copied))
    })?;
    mount(run, Layers::All)?;
    Ok(Root { merged: run.scratch("merged"), points, copied })
}

/// Looks at what the image has through an overlay of what it is made of, by the kernel's rules.
fn look<T>(
    run: &Run,
    layers: Layers,
    at: impl FnOnce(&Path) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let merged = run.scratch("merged");
    mount(run, layers)?;
    let looked = at(&merged);
    rustix::mount::unmount(&merged, UnmountFlags::DETACH)
        .map_err(|errno| Fault::setup("unmount the image")(errno.into()))?;
    looked
}

/// What an overlay is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layers {
    /// The root file systems that were given.
    Whole,
    /// What is seen of them.
    Seen,
    /// That with mount points, and a folder for what is written.
    All,
}

/// Makes the overlay this process's root, and leaves the host's.
pub(super) fn enter(run: &Run) -> Result<(), Fault> {
    let change = || {
        rustix::process::chdir(run.scratch("merged"))?;
        // The old root comes to lie on the new one (pivot_root(2)).
        rustix::process::pivot_root(".", ".")?;
        rustix::mount::unmount(".", UnmountFlags::DETACH)?;
        rustix::process::chdir("/")
    };
    change().map_err(|errno: Errno| Fault::setup("enter the root file system")(errno.into()))
}

/// Mounts the overlay.
fn mount(run: &Run, layers: Layers) -> Result<(), Fault> {
    let writable = layers == Layers::All;
    let hides = layers != Layers::Whole && !run.hidden.is_empty();
    // A trial takes an empty folder at the bottom: an overlay has two layers at least.
    let (top, bottom) = if writable { (Some("points"), None) } else { (None, Some("work")) };
    let mut lower = run.lower.iter().map(super::Bytes::path);
    let paths = top
        .map(|name| run.scratch(name))
        .into_iter()
        .chain(lower.next())
        .chain(hides.then(|| run.scratch("hidden")))
        .chain(lower)
        .chain(bottom.map(|name| run.scratch(name)))
        .chain(["upper", "work"].map(|name| run.scratch(name)));
    let folders: Vec<OwnedFd> = paths.map(|path| open(&path)).collect::<Result<_, _>>()?;
    // Paths of descriptors need no escapes, are short, and tell the command nothing of the host.
    let mut paths: Vec<String> =
        folders.iter().map(|folder| format!("/proc/self/fd/{}", folder.as_raw_fd())).collect();
    let (work, upper) = (paths.pop().unwrap_or_default(), paths.pop().unwrap_or_default());
    let mut options = format!("lowerdir={}", paths.join(":"));
    if writable {
        // Nothing in the scratch folder outlives a crash; it is synced once, in the end.
        options.push_str(&format!(",upperdir={upper},workdir={work},volatile"));
    }
    options.push_str(match run.user {
        true => ",userxattr,index=off",
        // An image may hold attributes of an overlay: a redirect in it leads nowhere.
        false => ",redirect_dir=nofollow,metacopy=off,index=off,nfs_export=off",
    });
    if options.len() >= 4096 {
        return Err(overlay(run, "there are too many root file systems below the image"));
    }
    let options = CString::new(options).map_err(|error| overlay(run, error))?;
    // A device that is made in the image is one of the image's, and cannot be used here.
    let flags = MountFlags::NODEV;
    rustix::mount::mount("overlay", run.scratch("merged"), "overlay", flags, options.as_c_str())
        .map_err(|errno| overlay(run, errno))
}

fn open(path: &Path) -> Result<OwnedFd, Fault> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
        .map_err(|errno| Fault::setup(format!("open {}", printable(path)))(errno.into()))
}

fn overlay(run: &Run, why: impl ToString) -> Fault {
    let scratch = run.scratch.path();
    let file_system = file_system(&scratch);
    Fault::Overlay { scratch: printable(&scratch), file_system, why: why.to_string() }
}

/// The type of the file system at `path` (statfs(2)).
fn file_system(path: &Path) -> String {
    let Ok(found) = rustix::fs::statfs(path) else { return "an unknown file system".to_owned() };
    let name = match found.f_type {
        0x794c_7630 => "overlay",
        0x0102_1994 => "tmpfs",
        0x6969 => "nfs",
        0xef53 => "ext4",
        0x5846_5342 => "xfs",
        0x9123_683e => "btrfs",
        0x2fc1_2fc1 => "zfs",
        0x6573_5546 => "fuse",
        other => return format!("file system type {other:#x}"),
    };
    name.to_owned()
}
