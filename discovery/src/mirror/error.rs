//! Why a mirror was not written.

use std::io;
use std::path::PathBuf;

use aci::{ImageId, Refusal, Refuse};

use crate::closure::ClosureError;
use crate::error::{Kind, refusal};
use crate::unverified::Unverified;

/// Why a mirror was not written.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// The images and what they depend on.
    #[error(transparent)]
    Closure(#[from] ClosureError),
    /// An image does not pass under today's trust.
    #[error(transparent)]
    Image(#[from] Unverified),
    /// Two images would have one file name.
    #[error("{} is there already, as {found}", .path.display())]
    Conflict {
        /// The file.
        path: PathBuf,
        /// Which image it is.
        found: ImageId,
        /// Which one it should become.
        wanted: ImageId,
    },
    /// A label of an image makes no file name.
    #[error("{image} cannot be mirrored as a file: its label {label} is {value:?}")]
    Label {
        /// Which image.
        image: String,
        /// Which label.
        label: &'static str,
        /// What it says.
        value: String,
    },
    /// The list of what is there cannot be read.
    #[error("{} cannot be read: {source}", .path.display())]
    List {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// Reading or writing failed.
    #[error("cannot write {}: {source}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl MirrorError {
    /// What kind of failure it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Closure(error) => error.kind(),
            Self::Image(error) => error.kind(),
            Self::Conflict { .. } | Self::Label { .. } => Kind::Refused,
            Self::List { .. } | Self::Io { .. } => Kind::Failed,
        }
    }
}

impl Refuse for MirrorError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Closure(error) => error.refusal(),
            Self::Image(error) => error.refusal(),
            Self::Conflict { path, found, wanted } => refusal(
                "mirror-conflict",
                self,
                wanted.to_string(),
                found.to_string(),
                "one name and version is one image, for ever",
                format!("see which of the two the author means, and remove {}", path.display()),
            ),
            Self::Label { value, .. } => refusal(
                "mirror-label",
                self,
                "labels of segments that are neither empty nor . nor ..",
                format!("{value:?}"),
                "a label is part of the file's path, which must not lead out of the mirror",
                "fetch this image from its own host",
            ),
            Self::List { path, .. } | Self::Io { path, .. } => refusal(
                "mirror-io",
                self,
                "a folder that can be read and written",
                self.to_string(),
                "files are written whole or not at all",
                format!("look at {}, then try again", path.display()),
            ),
        }
    }
}
