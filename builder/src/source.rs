//! What is packed: a plain root file system, or an image layout of `manifest` and `rootfs/`.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use aci::Limits;

/// A folder to pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    rootfs: PathBuf,
    manifest: Option<Vec<u8>>,
}

/// Why a folder cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// What was to be read.
        path: PathBuf,
        /// Why it could not be.
        #[source]
        source: io::Error,
    },
    /// It is no folder.
    #[error("{0} is no folder")]
    NotFolder(PathBuf),
    /// A layout has something else where its manifest or its root file system should be.
    #[error(
        "{folder} looks like an image layout, but its {name:?} is no {wanted} (spec: aci.md, Image \
         Layout): make it one, or pack its root file system alone with --name"
    )]
    Kind {
        /// The layout.
        folder: PathBuf,
        /// `manifest` or `rootfs`.
        name: &'static str,
        /// What it should be.
        wanted: &'static str,
    },
    /// A layout has something beside `manifest` and `rootfs`.
    #[error(
        "{folder} looks like an image layout, but has {found:?} beside \"manifest\" and \"rootfs\" \
         (spec: aci.md, Image Layout): move it away, or pack {folder}/rootfs with --name"
    )]
    Stranger {
        /// The layout.
        folder: PathBuf,
        /// What does not belong there.
        found: String,
    },
}

impl Source {
    /// Looks at `folder`: with both a `manifest` and a `rootfs` in it, it is an image layout;
    /// else it is the root file system itself.
    pub fn new(folder: &Path) -> Result<Self, SourceError> {
        let read = |path: &Path, source| SourceError::Read { path: path.to_owned(), source };
        if !fs::metadata(folder).map_err(|error| read(folder, error))?.is_dir() {
            return Err(SourceError::NotFolder(folder.to_owned()));
        }
        let (manifest, rootfs) = (folder.join("manifest"), folder.join("rootfs"));
        let found = (fs::symlink_metadata(&manifest), fs::symlink_metadata(&rootfs));
        let (Ok(is_manifest), Ok(is_rootfs)) = found else {
            return Ok(Self { rootfs: folder.to_owned(), manifest: None });
        };
        // Neither may be a link: what it leads to is not in the folder.
        let kind = |name, wanted| SourceError::Kind { folder: folder.to_owned(), name, wanted };
        if !is_manifest.is_file() {
            return Err(kind("manifest", "regular file"));
        }
        if !is_rootfs.is_dir() {
            return Err(kind("rootfs", "directory"));
        }
        for entry in fs::read_dir(folder).map_err(|error| read(folder, error))? {
            let name = entry.map_err(|error| read(folder, error))?.file_name();
            if name != "manifest" && name != "rootfs" {
                let found = name.to_string_lossy().into_owned();
                return Err(SourceError::Stranger { folder: folder.to_owned(), found });
            }
        }
        let most = Limits::default().manifest_bytes;
        let mut bytes = Vec::new();
        File::open(&manifest)
            .and_then(|file| file.take(most + 1).read_to_end(&mut bytes))
            .map_err(|error| read(&manifest, error))?;
        if bytes.len() as u64 > most {
            let text = format!("it has more than {most} bytes");
            return Err(read(&manifest, io::Error::new(io::ErrorKind::InvalidData, text)));
        }
        Ok(Self { rootfs, manifest: Some(bytes) })
    }

    /// The root file system.
    pub fn rootfs(&self) -> &Path {
        &self.rootfs
    }

    /// The manifest's bytes, where the folder is an image layout.
    pub fn manifest(&self) -> Option<&[u8]> {
        self.manifest.as_deref()
    }
}
