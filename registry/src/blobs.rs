//! Image and signature files on disk, by image ID: `blobs/ab/abcd….aci` and `.aci.asc`.
//!
//! A file is visible only through its row in the catalogue. One without a row is
//! what a crash left between the two; the next push of the image replaces it, and
//! the next start removes it.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use aci::stage::{self, Existing, StagedFile};
use aci::{Extension, ImageId};
use keys::VerifiedImage;

use crate::catalog::{Catalog, StoredImage};
use crate::error::ApiError;

/// Served by anybody who can read the folder, such as a web server in front.
pub(crate) const MODE: u32 = 0o644;

/// The folder of blobs.
#[derive(Debug, Clone)]
pub(crate) struct Blobs {
    root: PathBuf,
}

impl Blobs {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Where a blob is, or would be.
    pub(crate) fn path(&self, id: &ImageId, extension: Extension) -> PathBuf {
        let digits = id.digits();
        self.root.join(&digits[..2]).join(format!("{digits}.{}", extension.as_str()))
    }

    /// Gives a verified image and its signature their names. Whatever had them
    /// before was no blob: see the module's words on rows.
    pub(crate) fn store(
        &self,
        verified: &VerifiedImage,
        image: StagedFile,
        signature: &[u8],
    ) -> io::Result<()> {
        let id = verified.inspected().image_id();
        let path = self.path(id, Extension::Image);
        let folder = path.parent().unwrap_or(&self.root);
        stage::create_folders(folder)?;
        let mut staged = StagedFile::new_in(folder, MODE)?;
        staged.write_all(signature)?;
        image.commit(&path, Existing::Replace)?;
        staged.commit(&self.path(id, Extension::Signature), Existing::Replace)
    }

    /// Whether both files of an image are there, in their right sizes.
    pub(crate) fn intact(&self, image: &StoredImage) -> io::Result<bool> {
        let sizes =
            [(Extension::Image, image.file_bytes), (Extension::Signature, image.signature_bytes)];
        for (extension, bytes) in sizes {
            match fs::metadata(self.path(&image.image_id, extension)) {
                Ok(metadata) if metadata.len() == bytes => {}
                Ok(_) => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Removes what has no row. Only for the one who holds the data directory's lock,
    /// before the first push.
    pub(crate) async fn sweep(&self, catalog: &Catalog) -> Result<u64, ApiError> {
        let mut removed = 0;
        for folder in folders(&self.root)? {
            let Some(digits) = folder.file_name().and_then(|name| name.to_str()) else { continue };
            let known = catalog.ids_beginning(digits).await?;
            stage::clean(&folder)?;
            for entry in fs::read_dir(&folder)? {
                let entry = entry?;
                let name = entry.file_name();
                let id = name
                    .to_str()
                    .and_then(|n| n.strip_suffix(".aci").or_else(|| n.strip_suffix(".aci.asc")))
                    .and_then(|digits| format!("sha512-{digits}").parse::<ImageId>().ok());
                // What is not named like a blob was not put there by us; it stays.
                if id.is_some_and(|id| !known.contains(&id)) {
                    stage::remove(&entry.path())?;
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }
}

/// The folders of two hex digits.
fn folders(root: &Path) -> io::Result<Vec<PathBuf>> {
    let two_digits = |path: &PathBuf| {
        path.file_name().and_then(|n| n.to_str()).is_some_and(|n| {
            n.len() == 2 && n.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        })
    };
    let mut all = Vec::new();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() && two_digits(&entry.path()) {
            all.push(entry.path());
        }
    }
    Ok(all)
}
