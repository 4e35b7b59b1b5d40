//! What is remembered of an image's URL, so that it need not be fetched again.
//!
//! ```text
//! STORE/remotes/3f0a….json     one for each URL, by its SHA-256
//! ```
//!
//! ```json
//! {
//!   "imageUrl": "https://example.com/hello.aci",
//!   "signatureUrl": "https://example.com/hello.aci.asc",
//!   "etag": "\"6542-1\"", "lastModified": "Mon, 06 Jan 2025 10:00:00 GMT",
//!   "maxAge": 3600, "askedAt": "2025-02-01T10:00:00Z", "imageId": "sha512-8f1c…"
//! }
//! ```
//!
//! A convenience and no truth: one that is lost, unreadable or stale costs a download.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use aci::ImageId;
use aci::stage::{self, Existing};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use url::Url;

use super::{Store, StoreError};
use crate::http::cache::{Validators, is_fresh};

/// What an image's URL gave when it was asked last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Remote {
    pub(crate) image_url: String,
    pub(crate) signature_url: String,
    #[serde(flatten)]
    pub(crate) validators: Validators,
    pub(crate) max_age: u64,
    pub(crate) asked_at: Timestamp,
    pub(crate) image_id: ImageId,
}

impl Remote {
    pub(crate) fn is_fresh(&self, now: SystemTime) -> bool {
        SystemTime::try_from(self.asked_at).is_ok_and(|asked| is_fresh(asked, self.max_age, now))
    }
}

impl Store {
    /// What is remembered of an image's URL, where the image is still here.
    pub(crate) fn remembered(&self, image_url: &Url) -> Result<Option<Remote>, StoreError> {
        let Ok(bytes) = fs::read(self.remote_path(image_url)) else { return Ok(None) };
        let Ok(remote) = serde_json::from_slice::<Remote>(&bytes) else { return Ok(None) };
        let here = remote.image_url == image_url.as_str()
            && matches!(self.record(&remote.image_id), Ok(Some(_)));
        Ok(here.then_some(remote))
    }

    /// Remembers what an image's URL gave.
    pub(crate) fn remember(&self, image_url: &Url, remote: &Remote) -> Result<(), StoreError> {
        let path = self.remote_path(image_url);
        let mut bytes = serde_json::to_vec_pretty(remote)
            .map_err(io::Error::from)
            .map_err(StoreError::io("write", &path))?;
        bytes.push(b'\n');
        let folder = stage::folder_of(&path);
        stage::create_folders(folder).map_err(StoreError::io("create", folder))?;
        stage::write(&path, &bytes, 0o644, Existing::Replace)
            .map_err(StoreError::io("write", &path))
    }

    fn remote_path(&self, image_url: &Url) -> PathBuf {
        self.root().join("remotes").join(key(image_url)).with_extension("json")
    }
}

/// A file name for a URL.
pub(super) fn key(url: &Url) -> String {
    Sha256::digest(url.as_str()).iter().map(|byte| format!("{byte:02x}")).collect()
}
