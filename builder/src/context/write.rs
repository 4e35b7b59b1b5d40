//! A context becomes an image file.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use aci::ImageManifest;
use aci::archive::{Compression, KeptBlocks};
use aci::stage::Existing;

use super::Context;
use super::error::ContextError;
use super::lower::Lower;
use super::properties::Properties;
use super::whitelist;
use crate::error::PackError;
use crate::ignore::Ignore;
use crate::overrides::Overrides;
use crate::owner::Owner;
use crate::pack::{PackOptions, Packed, Progress, Unnamed, pack_unnamed};

/// The name of an image that was not given one yet, as acbuild has it.
pub(super) const UNNAMED: &str = "acbuild-unnamed";

/// How an image is written.
pub struct WriteOptions<'a> {
    /// Whether a file of that name gives way.
    pub existing: Existing,
    /// The compression.
    pub compression: Compression,
    /// Compressing threads; the bytes do not depend on it.
    pub threads: NonZeroUsize,
    /// Compressed blocks of earlier images.
    pub kept: Option<&'a dyn KeptBlocks>,
    /// Whether the digest of the file is wanted.
    pub file_digest: bool,
    /// `SOURCE_DATE_EPOCH`: no time in the image is later, and the manifest has this one.
    pub source_date_epoch: Option<i64>,
    /// The rendered root file systems of the images this one depends on, where
    /// [`Context::wants_dependencies`].
    pub dependencies: &'a [PathBuf],
    /// Is told how far the work is.
    pub progress: &'a dyn Progress,
}

impl Context {
    /// Whether something was removed that only a path whitelist can leave out, for which one has
    /// to know what the dependencies hold.
    pub fn wants_dependencies(&self) -> Result<bool, ContextError> {
        Ok(self.properties()?.hidden().next().is_some())
    }

    /// Writes the image into a file that gets its name later, when it was signed, say.
    pub fn write(
        &self,
        target: &Path,
        options: &WriteOptions<'_>,
    ) -> Result<(Unnamed, Packed), ContextError> {
        let mut manifest = self.manifest()?;
        let properties = self.properties()?;
        if properties.hidden().next().is_some() && !options.dependencies.is_empty() {
            manifest = whitelisted(&manifest, &self.rootfs(), options.dependencies, &properties)?;
        }
        let parsed = ImageManifest::from_json(&manifest).map_err(PackError::from)?;
        if parsed.name.as_str() == UNNAMED {
            return Err(ContextError::Unnamed);
        }
        let pack = PackOptions {
            rootfs: &self.rootfs(),
            manifest: &manifest,
            owner: &Owner::of_caller(),
            overrides: &Overrides::default(),
            recorded: Some(&properties),
            ignore: &Ignore::default(),
            keeps_ignore_file: true,
            source_date_epoch: options.source_date_epoch,
            skip_sockets: false,
            one_file_system: false,
            compression: options.compression,
            threads: options.threads,
            kept: options.kept,
            file_digest: options.file_digest,
            progress: options.progress,
        };
        Ok(pack_unnamed(target, options.existing, &pack, |staged, packer| packer.pack(staged))?)
    }
}

/// The manifest with a whitelist of all there is but what is hidden; where it has a whitelist, of
/// what that names.
fn whitelisted(
    manifest: &[u8],
    rootfs: &Path,
    dependencies: &[PathBuf],
    properties: &Properties,
) -> Result<Vec<u8>, ContextError> {
    let mut paths = Lower::open(dependencies)?.seen(rootfs, properties)?;
    if let Some(before) = whitelist::of_manifest(manifest)? {
        paths.retain(|path| before.names(path));
    }
    let paths: Vec<String> = paths.into_iter().map(whitelist::entry).collect::<Result<_, _>>()?;
    whitelist::with(manifest, &paths)
}
