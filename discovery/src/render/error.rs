//! Why an image was not rendered.

use std::io;
use std::path::PathBuf;

use aci::archive::ArchiveError;
use aci::plan::PlanError;
use aci::{ImageId, Refusal, Refuse};

use crate::bundle::BundleError;
use crate::error::{Kind, refusal};
use crate::store::StoreError;

/// Why an image was not rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The target is there already, and is not an empty folder.
    #[error("{} exists", .0.display())]
    Occupied(PathBuf),
    /// The images do not go together: one is missing, another one than is pinned, …
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Files cannot be rendered in the way that was asked for.
    #[error("files cannot be {how} from {} to {}", store.display(), target.display())]
    Link {
        /// `hard-linked` or `reflinked`.
        how: &'static str,
        /// The store.
        store: PathBuf,
        /// Where to.
        target: PathBuf,
    },
    /// The overlay cannot be mounted.
    #[error("cannot mount an overlay at {}: {source}", path.display())]
    Mount {
        /// Where.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// There is no overlay of ours at a folder.
    #[error("{} is no folder that image render --overlay made", .0.display())]
    NoOverlay(PathBuf),
    /// The stored file is not the image that was imported.
    #[error("the stored file of {wanted} holds {found}")]
    Altered {
        /// The image that was imported.
        wanted: ImageId,
        /// The image that is there now.
        found: ImageId,
    },
    /// The archive was not accepted, or could not be read or written.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Writing failed.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// The rendered image cannot be handed to a runtime.
    #[error(transparent)]
    Bundle(#[from] BundleError),
}

impl RenderError {
    /// What kind of failure it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Altered { .. } => Kind::Refused,
            Self::Archive(ArchiveError::Io(_)) => Kind::Failed,
            Self::Archive(_) => Kind::Refused,
            // What is missing can be fetched; anything else is in the images themselves.
            Self::Plan(PlanError::Missing { .. }) => Kind::NotFound,
            Self::Plan(_) => Kind::Refused,
            Self::Store(error) => error.kind(),
            Self::NoOverlay(_) => Kind::NotFound,
            Self::Occupied(_)
            | Self::Link { .. }
            | Self::Mount { .. }
            | Self::Io { .. }
            | Self::Bundle(_) => Kind::Failed,
        }
    }
}

impl Refuse for RenderError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Occupied(path) => refusal(
                "target-exists",
                self,
                "a folder that does not exist yet, or is empty",
                format!("something at {}", path.display()),
                "nothing that exists is overwritten or mixed with an image",
                "give another folder, or remove that one",
            ),
            Self::Plan(error @ PlanError::Missing { wanted, .. }) => {
                let next = format!("gantry fetch {wanted}");
                Refusal { next, ..error.refusal() }
            }
            Self::Plan(error) => error.refusal(),
            Self::Store(error) => error.refusal(),
            Self::Link { how, .. } => refusal(
                "link-impossible",
                self,
                format!("a store and a folder on one file system, where files can be {how}"),
                "two file systems, or one that cannot",
                "--link hard and --link reflink do just that; auto and copy work everywhere",
                "choose a folder on the file system of the store, or leave out --link",
            ),
            Self::Mount { source, .. } => refusal(
                "overlay-mount",
                self,
                "the right to mount an overlay",
                source.to_string(),
                "only root may mount, be it the root of a user namespace",
                "run it as root, or inside unshare --user --map-root-user --mount",
            ),
            Self::NoOverlay(path) => refusal(
                "overlay-absent",
                self,
                "a folder that gantry image render --overlay made",
                path.display().to_string(),
                "only what was mounted from this store is unmounted",
                "findmnt -t overlay lists what is mounted",
            ),
            Self::Altered { wanted, found } => refusal(
                "store-damaged",
                self,
                wanted.to_string(),
                found.to_string(),
                "an image is used only as it was verified",
                format!("gantry image rm {wanted}, then fetch it again"),
            ),
            Self::Archive(error) => error.refusal(),
            Self::Io { path, source } => refusal(
                "render-io",
                self,
                "a folder that can be written",
                format!("{}: {source}", path.display()),
                "an image is rendered under a hidden name beside its target, then renamed",
                "check that the file system is writable and has room",
            ),
            Self::Bundle(error) => error.refusal(),
        }
    }
}
