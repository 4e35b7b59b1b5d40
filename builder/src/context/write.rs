//! A context becomes an image file.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use aci::ImageManifest;
use aci::archive::Compression;
use aci::stage::{Existing, StagedFile, folder_of};

use super::Context;
use super::error::ContextError;
use super::paths::{join, path_of};
use super::properties::Properties;
use crate::error::PackError;
use crate::ignore::Ignore;
use crate::manifest::{self, Editor};
use crate::overrides::Overrides;
use crate::owner::Owner;
use crate::pack::{PackOptions, Packed, Progress, pack_outside};

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
    /// The rendered root file systems of the images this one depends on, where
    /// [`Context::wants_dependencies`].
    pub dependencies: &'a [PathBuf],
    /// Is told how far the work is.
    pub progress: &'a dyn Progress,
}

/// An image file that is whole and has no name yet. Dropped, it never was.
#[derive(Debug)]
pub struct Unnamed {
    target: PathBuf,
    existing: Existing,
    staged: StagedFile,
}

impl Unnamed {
    /// The file.
    pub fn file(&self) -> &File {
        self.staged.file()
    }

    /// The name it will have.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Gives the file its name.
    pub fn commit(self) -> Result<(), ContextError> {
        let Self { target, existing, staged } = self;
        let committed = staged.commit(&target, existing);
        Ok(committed.map_err(|error| cannot(&target, error))?)
    }
}

fn cannot(target: &Path, error: io::Error) -> PackError {
    match error.kind() {
        io::ErrorKind::AlreadyExists => PackError::Exists(target.to_owned()),
        _ => PackError::Write(error),
    }
}

impl Context {
    /// Whether something was removed that only a path whitelist can leave out, for which one has
    /// to know what the dependencies hold.
    pub fn wants_dependencies(&self) -> Result<bool, ContextError> {
        Ok(self.properties()?.removed().next().is_some())
    }

    /// Writes the image into a file that gets its name later, when it was signed, say.
    pub fn write(
        &self,
        target: &Path,
        options: &WriteOptions<'_>,
    ) -> Result<(Unnamed, Packed), ContextError> {
        let mut manifest = self.manifest()?;
        let properties = self.properties()?;
        if properties.removed().next().is_some() {
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
            progress: options.progress,
        };
        options.existing.check(target).map_err(|error| cannot(target, error))?;
        let folder = folder_of(target);
        // Remains of killed commands; those of others are no reason to fail.
        let _ = aci::stage::clean(folder);
        let identity = folder.metadata().map(|metadata| (metadata.dev(), metadata.ino()));
        let identity = identity.map_err(PackError::Write)?;
        let mut staged = StagedFile::new_in(folder, 0o644).map_err(PackError::Write)?;
        let packed = pack_outside(&mut staged, &pack, Some((target, identity)))?;
        let (target, existing) = (target.to_owned(), options.existing);
        Ok((Unnamed { target, existing, staged }, packed))
    }
}

/// The manifest with a whitelist of all there is but what was removed (spec: aci.md,
/// "pathWhitelist").
fn whitelisted(
    manifest: &[u8],
    rootfs: &Path,
    dependencies: &[PathBuf],
    properties: &Properties,
) -> Result<Vec<u8>, ContextError> {
    let removed: BTreeSet<&[u8]> = properties.removed().collect();
    let mut paths = BTreeSet::new();
    for path in walk(rootfs)? {
        paths.insert(path);
    }
    for tree in dependencies {
        let gone = |path: &[u8]| {
            let mut ends = path.iter().enumerate().filter(|&(_, &b)| b == b'/').map(|(at, _)| at);
            removed.contains(path) || ends.any(|end| removed.contains(&path[..end]))
        };
        paths.extend(walk(tree)?.into_iter().filter(|path| !gone(path)));
    }
    let mut texts = Vec::with_capacity(paths.len());
    for path in paths {
        let text = String::from_utf8(path).map_err(|error| {
            let path = aci::archive::PathBytes(error.into_bytes()).to_string();
            ContextError::Path { path, why: "it is not UTF-8, and no path whitelist can name it" }
        })?;
        texts.push(format!("/{text}"));
    }
    let mut editor = Editor::new(manifest)?;
    editor.set(&manifest::path(&["pathWhitelist"]), &serde_json::json!(texts))?;
    Ok(editor.finish())
}

/// All paths below a root.
fn walk(root: &Path) -> Result<Vec<Vec<u8>>, ContextError> {
    let (mut all, mut left) = (Vec::new(), vec![Vec::new()]);
    while let Some(below) = left.pop() {
        let folder = root.join(path_of(&below));
        let io = |error| ContextError::io("read", &folder)(error);
        for entry in std::fs::read_dir(&folder).map_err(io)? {
            let entry = entry.map_err(io)?;
            let path = join(&below, entry.file_name().as_bytes());
            if entry.file_type().map_err(io)?.is_dir() {
                left.push(path.clone());
            }
            all.push(path);
        }
    }
    Ok(all)
}
