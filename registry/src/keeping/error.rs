//! Why a registry could not be kept.

use std::io;

use crate::catalog::CatalogError;
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
    /// Another node, or another command, is at it.
    #[error("another process is doing that on this registry just now; try again when it is done")]
    Busy,
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
