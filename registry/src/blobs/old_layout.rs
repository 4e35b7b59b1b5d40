//! The folder as it was before blobs were named by their content: `8f/8f1c…e0.aci` and `.aci.asc`, by
//! image ID. What has a row is given its name of today, once; the rest a crash had left.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aci::stage;
use aci::{Extension, ImageId};

use super::Folder;
use crate::catalog::Catalog;
use crate::error::ApiError;

/// Takes up what an earlier version kept in this folder. Only for the one who holds the data
/// directory's lock.
pub(crate) async fn adopt(root: &Path, folder: &Folder, catalog: &Catalog) -> Result<(), ApiError> {
    for old in old_folders(root)? {
        stage::clean(&old)?;
        for entry in fs::read_dir(&old)? {
            let path = entry?.path();
            let Some((id, extension)) = meaning(&path) else { continue };
            match catalog.image(&id).await? {
                Some(image) => {
                    let target = folder.path(&image.blob(extension));
                    stage::create_folders(stage::folder_of(&target))?;
                    stage::move_file(&path, &target)?;
                }
                None => stage::remove(&path)?,
            }
        }
        // A stranger's file stays, and so does its folder.
        if let Err(error) = fs::remove_dir(&old)
            && error.kind() != io::ErrorKind::DirectoryNotEmpty
        {
            return Err(error.into());
        }
    }
    Ok(())
}

fn meaning(path: &Path) -> Option<(ImageId, Extension)> {
    let name = path.file_name()?.to_str()?;
    let (digits, extension) = match name.strip_suffix(".aci.asc") {
        Some(digits) => (digits, Extension::Signature),
        None => (name.strip_suffix(".aci")?, Extension::Image),
    };
    Some((format!("sha512-{digits}").parse().ok()?, extension))
}

/// The folders of two hex digits.
fn old_folders(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name();
        let hex = |b: &u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        let two = name.as_encoded_bytes();
        if entry.file_type()?.is_dir() && two.len() == 2 && two.iter().all(hex) {
            all.push(entry.path());
        }
    }
    Ok(all)
}
