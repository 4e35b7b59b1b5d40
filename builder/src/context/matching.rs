//! What patterns match is removed from the image, or given other properties.

use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use super::change::Change;
use super::error::ContextError;
use super::lower::Lower;
use super::paths::{Descend, Place, walk};
use super::properties::Property;
use crate::overrides::Overrides;

impl Change<'_> {
    /// Removes all that `is_meant` says of paths below the root and whether they are folders, also
    /// what the images it depends on have there, of which these are the rendered root file systems.
    /// A folder is removed with all that is in it.
    pub fn remove_matching(
        &mut self,
        is_meant: &dyn Fn(&[u8], bool) -> bool,
        dependencies: &[PathBuf],
    ) -> Result<(), ContextError> {
        for below in self.matching(is_meant, Descend::Past)? {
            self.discard(&below);
        }
        let properties = &mut self.properties;
        Lower::open(dependencies)?.each(|below, is_folder| {
            if is_meant(below, is_folder) {
                properties.hide(below);
            }
        })
    }

    /// Lays rules over all that is meant; gives how many that is.
    pub fn set_matching(
        &mut self,
        is_meant: &dyn Fn(&[u8], bool) -> bool,
        rules: &Overrides,
    ) -> Result<u64, ContextError> {
        let found = self.matching(is_meant, Descend::Into)?;
        self.all(&found, |below, kind, property| lay(rules, below, kind, property))?;
        Ok(found.len() as u64)
    }

    /// Lays rules over one folder. A link to it is followed inside the root.
    pub fn set_folder(&mut self, path: &Path, rules: &Overrides) -> Result<(), ContextError> {
        let below = Place::of_folder(&self.root, path)?.below;
        self.all(&[below], |below, kind, property| lay(rules, below, kind, property))
    }

    fn matching(
        &self,
        is_meant: &dyn Fn(&[u8], bool) -> bool,
        descend: Descend,
    ) -> Result<Vec<Vec<u8>>, ContextError> {
        let mut found = Vec::new();
        walk(&self.rootfs(), b"", |below, metadata| {
            if !is_meant(below, metadata.is_dir()) {
                return Ok(Descend::Into);
            }
            found.push(below.to_vec());
            Ok(descend)
        })?;
        Ok(found)
    }
}

/// Makes a file what the rules say of it.
fn lay(rules: &Overrides, below: &[u8], kind: FileType, property: &mut Property) {
    let said = rules.of(below, kind, |_| ());
    (property.uid, property.gid) = said.owner.unwrap_or((property.uid, property.gid));
    property.mode = said.mode.or(property.mode);
    for (name, value) in said.attributes {
        property.attributes.insert(name.into(), value.into());
    }
}
