//! A pod manifest out of images, as rkt's `prepare` writes one.

use aci::manifest::{ExposedPort, Mount, PodApp, PodImage, PodManifest, Volume};
use aci::{AcKind, AcName, ImageId, ImageManifest};

use super::{PodError, openings};
use crate::bundle::volumes::place;
use crate::bundle::{AppChanges, Network, app_name, check_system};

/// An image that is to be an app.
#[derive(Debug)]
pub struct NewApp<'a> {
    /// The image.
    pub image: &'a ImageManifest,
    /// Its image ID.
    pub id: &'a ImageId,
    /// The app's name; by default the last part of the image's.
    pub name: Option<AcName>,
    /// What is to be run otherwise than the image says.
    pub changes: AppChanges,
    /// Whether its root file system may not be written.
    pub read_only: bool,
    /// What is mounted where, besides the image's mount points.
    pub mounts: Vec<Mount>,
}

/// The pod manifest of these apps. Each says in full how it is run, so that nothing changes with
/// the image; systems, names, mounts and ports are checked.
pub fn create(
    apps: &[NewApp<'_>],
    volumes: &[Volume],
    ports: &[ExposedPort],
) -> Result<PodManifest, PodError> {
    let mut members: Vec<PodApp> = Vec::new();
    for new in apps {
        check_system(&new.image.labels)?;
        let name = match &new.name {
            Some(name) => name.clone(),
            None => {
                let image = new.image.name.as_str();
                app_name(image).parse().map_err(|_| PodError::NameEmpty(image.to_owned()))?
            }
        };
        if members.iter().any(|known| known.name == name) {
            return Err(PodError::NameTwice(name.to_string()));
        }
        let app = new.changes.apply(new.image.app.as_ref())?;
        place(&app.mount_points, &new.mounts, volumes)?;
        members.push(PodApp {
            name,
            image: PodImage {
                name: Some(new.image.name.clone()),
                id: new.id.clone(),
                labels: new.image.labels.clone(),
                extra: Default::default(),
            },
            app: Some(app),
            read_only_root_fs: new.read_only,
            mounts: new.mounts.clone(),
            annotations: Vec::new(),
            extra: Default::default(),
        });
    }
    let own: Vec<_> = members
        .iter()
        .filter_map(|member| Some((member.name.clone(), member.app.as_ref()?)))
        .collect();
    openings(ports, &own, Network::Private)?;
    Ok(PodManifest {
        ac_version: aci::AcVersion::CURRENT,
        ac_kind: AcKind::PodManifest,
        apps: members,
        volumes: volumes.to_vec(),
        isolators: Vec::new(),
        annotations: Vec::new(),
        ports: ports.to_vec(),
        user_annotations: Default::default(),
        user_labels: Default::default(),
        extra: Default::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::BundleError;

    #[test]
    fn image_for_another_system_is_no_app_of_a_pod() {
        let image = br#"{"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/x",
            "labels": [{"name": "os", "value": "freebsd"}, {"name": "arch", "value": "amd64"}],
            "app": {"exec": ["/x"], "user": "0", "group": "0"}}"#;
        let image = ImageManifest::from_json(image).unwrap();
        let app = NewApp {
            image: &image,
            id: &ImageId::of([7; 64]),
            name: None,
            changes: AppChanges::default(),
            read_only: false,
            mounts: Vec::new(),
        };
        let refused = create(&[app], &[], &[]).unwrap_err();
        assert!(matches!(refused, PodError::Bundle(BundleError::OperatingSystem(_))));
    }
}
