//! Why a registry could not be kept.

use std::io;
use std::path::PathBuf;

use aci::Refusal;
use keys::TrustError;

use crate::catalog::{CatalogError, DumpError};
use crate::data::DataError;
use crate::error::ApiError;

/// Why work that keeps a registry was not done.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The data directory cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The catalogue cannot be used.
    #[error("the catalogue cannot be used")]
    Catalog(#[from] CatalogError),
    /// The blobs cannot be used.
    #[error("the blobs cannot be used")]
    Blobs(#[from] io::Error),
    /// The catalogue was not written down, or not read from what was.
    #[error(transparent)]
    Dump(#[from] DumpError),
    /// The trusted keys cannot be used.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// There is no backup there.
    #[error("there is no backup in {path:?}: {source}")]
    NoBackup {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Where something was to be made, something is.
    #[error("{0:?} is not empty; a registry is restored into an empty folder, or none")]
    NotEmpty(PathBuf),
    /// A backup is not whole.
    #[error(
        "{} files are missing from the backup or damaged in it, the first is {}; nothing was restored",
        .0.len(),
        .0.first().map_or("", String::as_str)
    )]
    BackupDamaged(Vec<String>),
    /// A file or a folder of it.
    #[error("{path:?} cannot be used: {source}")]
    Path {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another node, or another command, is at it.
    #[error("another process is doing that on this registry just now; try again when it is done")]
    Busy,
}

impl KeepError {
    /// What was wanted, what was found and what to do next, where that can be said.
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Catalog(error) => error.refusal(),
            _ => None,
        }
    }

    /// Whether the disk had no room.
    pub(crate) fn is_full_disk(&self) -> bool {
        match self {
            Self::Catalog(error) => error.is_full_disk(),
            Self::Blobs(error) => error.kind() == io::ErrorKind::StorageFull,
            _ => false,
        }
    }
}

impl From<KeepError> for ApiError {
    fn from(error: KeepError) -> Self {
        match error {
            KeepError::Catalog(error) => error.into(),
            KeepError::Blobs(error) => error.into(),
            other => Self::internal(other),
        }
    }
}
