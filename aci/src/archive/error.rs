//! Everything that can be wrong with an image archive.

use std::io;

use crate::manifest::ManifestError;
use crate::refusal::{Refusal, Refuse};

/// Why an image archive was not accepted, or could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Reading or writing failed; nothing is said about the image.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The manifest is not acceptable.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

impl Refuse for ArchiveError {
    fn refusal(&self) -> Refusal {
        Refusal {
            code: "image-malformed".into(),
            message: self.to_string(),
            wanted: String::new(),
            found: String::new(),
            rule: String::new(),
            next: String::new(),
        }
    }
}
