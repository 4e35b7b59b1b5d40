//! Where things are mounted, and the folders and files that are missing there.
//!
//! They are made in the topmost lower layer of the overlay, so that they are there and no change.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use super::error::Fault;
use super::order::{Run, StepMount};
use super::owners;

/// The folders that are the command's own, whatever the image has there.
pub(super) const OWN: [&str; 3] = ["proc", "sys", "dev"];

/// How many links of an image are followed on one way (path_resolution(7)).
const LINKS: usize = 40;

/// Whether something can be mounted at a path of any image: it begins at the root, climbs nowhere, and
/// is not the command's own.
pub fn can_be_mount_point(path: &Path) -> bool {
    let mut parts = path.components();
    parts.next() == Some(Component::RootDir)
        && parts.clone().all(|part| matches!(part, Component::Normal(_)))
        && parts.next().is_some_and(|first| OWN.iter().all(|own| first.as_os_str() != *own))
}

/// Whether a mount point is a folder or a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Folder,
    File,
}

/// A file or folder of the host, and its place relative to the root, links resolved.
pub(super) struct Placed {
    pub(super) source: PathBuf,
    pub(super) place: PathBuf,
    pub(super) read_only: bool,
}

/// What is mounted where, and what has to be made for it.
pub(super) struct Points {
    pub(super) mounts: Vec<Placed>,
    missing: BTreeMap<PathBuf, Shape>,
}

/// Finds the mount points in the image that is seen at `merged`.
pub(super) fn plan(run: &Run, merged: &Path) -> Result<Points, Fault> {
    let mut points = Points { mounts: Vec::new(), missing: BTreeMap::new() };
    for name in OWN {
        // Attack: a link here, which the mount would follow to a folder of the host. It is hidden.
        let found = fs::symlink_metadata(merged.join(name));
        if !found.is_ok_and(|found| found.is_dir()) {
            points.missing.insert(name.into(), Shape::Folder);
        }
    }
    if run.host_network {
        for name in ["/etc/resolv.conf", "/etc/hosts"] {
            let source = Path::new(name);
            let mount = StepMount { source: source.into(), target: source.into(), read_only: true };
            if source.is_file() {
                // An image where it has no place goes without.
                let _ = points.add(merged, &mount);
            }
        }
    }
    for mount in &run.mounts {
        points.add(merged, mount)?;
    }
    Ok(points)
}

impl Points {
    fn add(&mut self, merged: &Path, mount: &StepMount) -> Result<(), Fault> {
        let (source, target) = (mount.source.path(), mount.target.path());
        let refused = |why: &str| Fault::mount_point(&target, why);
        let found = fs::metadata(&source).map_err(|error| refused(&error.to_string()))?;
        let wanted = if found.is_dir() { Shape::Folder } else { Shape::File };
        let (place, there) = resolve(merged, &target)?;
        if place.as_os_str().is_empty() {
            return Err(refused("it is the root of the image"));
        }
        if OWN.iter().any(|own| place.starts_with(own)) {
            return Err(refused("/proc, /sys and /dev are the command's own"));
        }
        if self.mounts.iter().any(|other| place.starts_with(&other.place)) {
            return Err(refused("it is inside another mount"));
        }
        match there {
            Some(there) if there != wanted => {
                return Err(refused("one is a folder and the other is none"));
            }
            Some(_) => {}
            None => {
                self.missing.insert(place.clone(), wanted);
            }
        }
        self.mounts.push(Placed { source, place, read_only: mount.read_only });
        Ok(())
    }
}

/// Where `target` is in the root at `merged`, links resolved inside it, and what is there. Attack: a
/// link that leads out of the image, by `..` or from the root; here the root is the image's.
pub(super) fn resolve(merged: &Path, target: &Path) -> Result<(PathBuf, Option<Shape>), Fault> {
    let mut place = PathBuf::new();
    let mut ahead: Vec<OsString> = parts(target);
    let mut links = 0;
    let mut there = Some(Shape::Folder);
    while let Some(part) = ahead.pop() {
        match there {
            Some(Shape::File) => {
                return Err(Fault::mount_point(target, "a file of the image is on the way"));
            }
            None if part == ".." => {
                return Err(Fault::mount_point(target, "a link of the image leads nowhere"));
            }
            _ => {}
        }
        if part == ".." {
            place.pop();
            continue;
        }
        let next = merged.join(&place).join(&part);
        match fs::symlink_metadata(&next) {
            Ok(found) if found.is_symlink() => {
                links += 1;
                if links > LINKS {
                    return Err(Fault::mount_point(target, "too many links of the image"));
                }
                let leads =
                    fs::read_link(&next).map_err(|error| Fault::mount_point(target, error))?;
                if leads.is_absolute() {
                    place = PathBuf::new();
                }
                ahead.extend(parts(&leads));
                continue;
            }
            Ok(found) if found.is_dir() => there = Some(Shape::Folder),
            Ok(_) => there = Some(Shape::File),
            Err(error) if error.kind() == io::ErrorKind::NotFound => there = None,
            Err(error) => return Err(Fault::mount_point(target, error)),
        }
        place.push(part);
    }
    Ok((place, there))
}

/// The parts of a path, the last one first.
fn parts(path: &Path) -> Vec<OsString> {
    let part = |part: Component<'_>| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    };
    path.components().rev().filter_map(part).collect()
}

/// Makes what is missing below `points`. Folders on the way that the image has are as they are
/// there, since the topmost layer says what a folder is like.
pub(super) fn make(planned: &Points, merged: &Path, points: &Path) -> Result<(), Fault> {
    for (place, shape) in &planned.missing {
        let failed = |error: io::Error| Fault::mount_point(place, error);
        let path = points.join(place);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        match shape {
            Shape::Folder => fs::create_dir_all(&path).map_err(failed)?,
            Shape::File => {
                let mut options = fs::OpenOptions::new();
                options.write(true).create_new(true).mode(0o644);
                options.open(&path).map(drop).map_err(failed)?;
            }
        }
    }
    owners::copy_ways(planned.missing.keys().map(PathBuf::as_path), merged, points).map(drop)
}
