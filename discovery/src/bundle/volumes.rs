//! Which volume is mounted where (spec: pods.md, "mounts" and "volumes"; ace.md, "Volume
//! Setup"). Nothing is looked at here but the manifests.

use std::path::{Component, Path, PathBuf};

use aci::AcName;
use aci::manifest::{Mount, MountPoint, Volume, VolumeKind};

use super::BundleError;

/// A volume and its place in an app.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed {
    /// Where, as it was written.
    pub path: String,
    /// What.
    pub volume: Volume,
    /// Whether the app may only read it.
    pub read_only: bool,
    /// Whether nobody named a volume, so that it is this app's own and empty.
    pub implicit: bool,
    /// Whether it is none of the pod's.
    pub own: bool,
}

/// The volumes of an app: of each of its mounts, then of each mount point that none of these
/// has filled. A mount point takes the pod's volume of its name, or else an empty one.
pub fn place(
    mount_points: &[MountPoint],
    mounts: &[Mount],
    volumes: &[Volume],
) -> Result<Vec<Placed>, BundleError> {
    let named = |name: &AcName| volumes.iter().find(|volume| volume.name == *name);
    // What the volume says counts; then what the mount point of the volume's name says.
    let read_only = |volume: &Volume, name: &AcName| {
        let point = mount_points.iter().find(|point| point.name == *name);
        volume.read_only.unwrap_or_else(|| point.is_some_and(|point| point.read_only))
    };
    let mut placed = Vec::new();
    for mount in mounts {
        let volume = match &mount.app_volume {
            Some(volume) => volume,
            None => named(&mount.volume).ok_or_else(|| BundleError::VolumeAbsent {
                name: mount.volume.to_string(),
                path: mount.path.clone(),
            })?,
        };
        placed.push(Placed {
            path: mount.path.clone(),
            volume: volume.clone(),
            read_only: read_only(volume, &mount.volume),
            implicit: false,
            own: mount.app_volume.is_some(),
        });
    }
    for point in mount_points {
        if mounts.iter().any(|mount| tidy(&mount.path) == tidy(&point.path)) {
            continue;
        }
        let volume = named(&point.name);
        placed.push(Placed {
            path: point.path.clone(),
            read_only: volume.map_or(point.read_only, |volume| read_only(volume, &point.name)),
            implicit: volume.is_none(),
            own: volume.is_none(),
            volume: volume.cloned().unwrap_or_else(|| empty(point.name.clone())),
        });
    }
    Ok(placed)
}

/// The mounts of one app and those for all apps: its own first, one for each place.
pub fn merge(own: &[Mount], all: &[Mount]) -> Vec<Mount> {
    let mut merged: Vec<Mount> = Vec::new();
    for mount in own.iter().chain(all) {
        if !merged.iter().any(|known| tidy(&known.path) == tidy(&mount.path)) {
            merged.push(mount.clone());
        }
    }
    merged
}

/// An empty volume as the spec has it where nothing else is said.
fn empty(name: AcName) -> Volume {
    Volume {
        name,
        kind: VolumeKind::Empty,
        source: None,
        read_only: None,
        recursive: None,
        mode: None,
        uid: None,
        gid: None,
        extra: Default::default(),
    }
}

/// The same place written in one way only.
pub(crate) fn tidy(path: &str) -> PathBuf {
    let mut whole = PathBuf::from("/");
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => whole.push(name),
            Component::ParentDir => {
                whole.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(volume: &str, path: &str) -> Mount {
        Mount {
            volume: volume.parse().unwrap(),
            path: path.into(),
            app_volume: None,
            extra: Default::default(),
        }
    }

    #[test]
    fn place_is_the_same_however_it_is_written() {
        let points: Vec<MountPoint> = vec!["data,path=/data".parse().unwrap()];
        let volumes: Vec<Volume> = vec!["v,kind=host,source=/h".parse().unwrap()];
        let placed = place(&points, &[mount("v", "/data/")], &volumes).unwrap();
        assert_eq!(placed.len(), 1);
        assert_eq!(placed[0].volume.name.as_str(), "v");
    }

    #[test]
    fn mount_of_a_volume_that_is_not_there_is_refused() {
        let error = place(&[], &[mount("v", "/data")], &[]).unwrap_err();
        assert!(matches!(error, BundleError::VolumeAbsent { .. }), "{error}");
    }

    #[test]
    fn own_mounts_go_before_those_of_all_apps() {
        let merged = merge(&[mount("a", "/x")], &[mount("b", "/x/../x/"), mount("c", "/y")]);
        let names: Vec<&str> = merged.iter().map(|mount| mount.volume.as_str()).collect();
        assert_eq!(names, ["a", "c"]);
    }
}
