//! Why a context was not changed.

use std::io;
use std::path::PathBuf;

use aci::archive::ArchiveError;

use crate::error::PackError;
use crate::manifest::{EditFault, Unacceptable};
use crate::step::StepError;

/// Why a context was not begun or changed. It is as it was.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// There is no context.
    #[error(
        "no build in progress in {0}: begin one with `begin`, or name its folder with --work-path"
    )]
    None(PathBuf),
    /// There is one already.
    #[error(
        "a build is in progress in {0} already: end it with `end`, or name another folder with --work-path"
    )]
    InProgress(PathBuf),
    /// It was made by acbuild for OCI images.
    #[error(
        "{0} is a context for OCI images, which are not built here: begin one without --build-mode oci"
    )]
    Oci(PathBuf),
    /// Root would take the files of an ordinary user's build for that user's in the image.
    #[error(
        "the build in {folder} is user {uid}'s, whose files would not be root's in the image: go on as that user, for no command needs root, or `end` it and begin one as root"
    )]
    OfUser {
        /// The context.
        folder: PathBuf,
        /// Whose it is.
        uid: u32,
    },
    /// A file system of the host lies in it, which no change and no end of the build may touch.
    #[error("something is mounted on {0}, in the build: unmount it first")]
    Mounted(PathBuf),
    /// A part of it is gone, or is something else.
    #[error("the build is not whole: {0} is no folder: remove it with `end`, and begin again")]
    NotWhole(PathBuf),
    /// A path in the image that leads out of it, or is none.
    #[error("{path:?} is no path in an image: {why}")]
    Path {
        /// What was given.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// There is nothing at a path of the image that is to be removed.
    #[error("there is no {0} in the image")]
    Absent(String),
    /// There is nothing at a path of the image that is to be changed.
    #[error("there is no {0} in the image to change")]
    Missing(String),
    /// Whom a file is to belong to is nobody that the image knows.
    #[error(
        "{0:?} is no owner: it is no number, and neither /etc/passwd nor /etc/group of the image has that name"
    )]
    Owner(String),
    /// There is something else at a path of the image.
    #[error("{path} in the image {what}")]
    Occupied {
        /// The path.
        path: String,
        /// What is in the way, and what to do.
        what: &'static str,
    },
    /// A file of the host that is to be copied is not there or of no use.
    #[error("cannot copy {path}: {source}")]
    Source {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A folder of the host cannot be packed.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// An archive cannot be read.
    #[error("cannot begin with {path}: {source}")]
    Archive {
        /// The archive.
        path: PathBuf,
        /// Why.
        #[source]
        source: ArchiveError,
    },
    /// Files cannot be placed in the context.
    #[error("cannot fill the build: {0}")]
    Place(#[from] ArchiveError),
    /// An archive holds an image of another format.
    #[error(
        "{0} is an OCI or Docker archive, which is not read here yet: unpack its root file system, and begin with that folder or a tar of it"
    )]
    OtherFormat(PathBuf),
    /// Attributes that the file system of the context does not keep.
    #[error(
        "{0} extended attributes cannot be kept on the file system of the build: put it on another one with --work-path"
    )]
    Attributes(u64),
    /// The edit cannot be made.
    #[error(transparent)]
    Edit(#[from] EditFault),
    /// The manifest would not be acceptable.
    #[error(transparent)]
    Manifest(#[from] Unacceptable),
    /// The manifest has more bytes than an image's can have.
    #[error("{what} {bytes} bytes, and {most} are the most that an image's can have")]
    ManifestBytes {
        /// Which manifest, and whether it has them or would.
        what: &'static str,
        /// How many, at least.
        bytes: u64,
        /// How many there can be.
        most: u64,
    },
    /// It would have, with the path whitelist that leaves out what was removed of dependencies.
    #[error(
        "the manifest would have {bytes} bytes with its path whitelist, and {most} are the most that an image's can have: make the files of its dependencies its own, with `squash` or by beginning with that image, and it needs no whitelist"
    )]
    WhitelistBytes {
        /// How many it would have.
        bytes: u64,
        /// How many there can be.
        most: u64,
    },
    /// A command cannot be run.
    #[error(transparent)]
    Step(#[from] StepError),
    /// A command made what no image can hold.
    #[error("{0} is a socket, which no image can hold: remove it in the command that made it")]
    Socket(String),
    /// The image has no name.
    #[error("can't write ACI, name was never set: set one with `set-name`")]
    Unnamed,
    /// Something else is wrong with the context on disk.
    #[error("cannot {doing} {path}: {source}")]
    Io {
        /// What was to be done.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// Why it could not be.
        #[source]
        source: io::Error,
    },
}

impl ContextError {
    pub(crate) fn io(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }

    /// Whether what was to be removed was absent.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent(_) | Self::Edit(EditFault::Absent(_)))
    }
}
