//! A context becomes an image file.

use std::num::NonZeroUsize;
use std::path::Path;

use aci::ImageManifest;
use aci::archive::Compression;
use aci::stage::{Existing, StagedFile};

use super::Context;
use super::error::ContextError;
use crate::error::PackError;
use crate::ignore::Ignore;
use crate::overrides::Overrides;
use crate::owner::Owner;
use crate::pack::{PackOptions, Packed, Progress, pack_file};

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
    /// `SOURCE_DATE_EPOCH`: no time in the image is later, and the manifest has this one.
    pub source_date_epoch: Option<i64>,
    /// Is told how far the work is.
    pub progress: &'a dyn Progress,
}

impl Context {
    /// Writes the image. `finish` sees the whole file before it gets its name: to sign it, say.
    pub fn write(
        &self,
        target: &Path,
        options: &WriteOptions<'_>,
        finish: impl FnOnce(&StagedFile, &Packed) -> Result<(), PackError>,
    ) -> Result<Packed, ContextError> {
        let manifest = self.manifest()?;
        let parsed = ImageManifest::from_json(&manifest).map_err(PackError::from)?;
        if parsed.name.as_str() == UNNAMED {
            return Err(ContextError::Unnamed);
        }
        let properties = self.properties()?;
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
            progress: options.progress,
        };
        Ok(pack_file(target, options.existing, &pack, finish)?)
    }
}
