//! An image that has a path whitelist already (spec: aci.md, "pathWhitelist"), because it began with
//! one that has.

use std::collections::BTreeSet;

use aci::plan::Whitelist;
use aci::{ImageManifest, Limits};
use serde_json::json;

use super::change::Change;
use super::error::ContextError;
use super::journal::Operation;
use super::lower::Lower;
use super::paths::{Descend, join, split, walk};
use crate::error::PackError;
use crate::manifest::{self, Editor};

/// The whitelist of a manifest, where it has one.
pub(super) fn of_manifest(manifest: &[u8]) -> Result<Option<Whitelist>, ContextError> {
    Ok(Whitelist::new(&parsed(manifest)?.path_whitelist))
}

fn parsed(manifest: &[u8]) -> Result<ImageManifest, ContextError> {
    Ok(ImageManifest::from_json(manifest).map_err(PackError::from)?)
}

/// The manifest with this whitelist.
pub(super) fn with(manifest: &[u8], paths: &[String]) -> Result<Vec<u8>, ContextError> {
    let mut editor = Editor::new(manifest)?;
    editor.set(&manifest::path(&["pathWhitelist"]), &json!(paths))?;
    let listed = editor.finish();
    let (bytes, most) = (listed.len() as u64, Limits::default().manifest_bytes);
    match bytes > most {
        true => Err(ContextError::WhitelistBytes { bytes, most }),
        false => Ok(listed),
    }
}

/// A path below the root as an entry of a whitelist.
pub(super) fn entry(below: Vec<u8>) -> Result<String, ContextError> {
    match String::from_utf8(below) {
        Ok(text) => Ok(format!("/{text}")),
        Err(error) => {
            let path = aci::archive::PathBytes(error.into_bytes()).to_string();
            let why = "it is not UTF-8, and no path whitelist can name it";
            Err(ContextError::Path { path, why })
        }
    }
}

/// The topmost of these paths that a whitelist leaves out. A folder remains where something in it
/// does.
pub(super) fn left_out<'p>(
    whitelist: &Whitelist,
    paths: impl Iterator<Item = &'p Vec<u8>> + Clone,
) -> Vec<&'p [u8]> {
    let paths = paths.map(Vec::as_slice);
    let mut remaining: BTreeSet<&[u8]> = BTreeSet::from([&[][..]]);
    for mut path in paths.clone().filter(|path| whitelist.names(path)) {
        while remaining.insert(path) {
            path = split(path).0;
        }
    }
    paths.filter(|path| !remaining.contains(path) && remaining.contains(split(path).0)).collect()
}

impl Change<'_> {
    /// Puts what is put into the image on its whitelist, where it has one: it would not be seen
    /// otherwise.
    pub(super) fn name_in_whitelist(&mut self) -> Result<(), ContextError> {
        if self.operations.is_empty() {
            return Ok(());
        }
        let Some(whitelist) = of_manifest(&self.manifest)? else { return Ok(()) };
        let mut added = Vec::new();
        for operation in &self.operations {
            match operation {
                Operation::MakeFolder { path } => added.push(path.as_slice().to_vec()),
                Operation::Place { source, path } => {
                    added.push(path.as_slice().to_vec());
                    let staged = self.staged(source.as_slice());
                    if staged.is_dir() && !staged.is_symlink() {
                        walk(&staged, b"", |below, _| {
                            added.push(join(path.as_slice(), below));
                            Ok(Descend::Into)
                        })?;
                    }
                }
                Operation::Discard { .. } | Operation::Set { .. } => {}
            }
        }
        added.retain(|path| !whitelist.names(path));
        if added.is_empty() {
            return Ok(());
        }
        let mut all = parsed(&self.manifest)?.path_whitelist;
        for path in added {
            all.push(entry(path)?);
        }
        self.manifest = with(&self.manifest, &all)?;
        Ok(())
    }

    /// What a command is not to see of the dependencies: what was removed, and what the whitelist
    /// leaves out.
    pub(super) fn hidden(&self, dependencies: &Lower) -> Result<Vec<Vec<u8>>, ContextError> {
        let mut properties = self.properties.clone();
        if let Some(whitelist) = of_manifest(&self.manifest)? {
            let mut paths = Vec::new();
            dependencies.each(|below, _| paths.push(below.to_vec()))?;
            left_out(&whitelist, paths.iter()).into_iter().for_each(|below| properties.hide(below));
        }
        Ok(properties.hidden().map(<[u8]>::to_vec).collect())
    }
}
