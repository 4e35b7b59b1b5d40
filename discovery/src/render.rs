//! Rendering: a stored image becomes a folder (spec: ace.md, "Filesystem Setup").
//!
//! ```text
//! DIR/
//!   manifest   the image's manifest, as it is in the image
//!   rootfs/    its files, less those that its pathWhitelist leaves out
//! ```
//!
//! The folder is filled under a hidden name beside its place and gets its name when
//! it is whole. As root, files belong to whom the image says; as another user, all
//! belongs to the caller.

mod extract;
mod whitelist;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aci::archive::{ArchiveError, Ownership, UnpackOptions, Unpacked};
use aci::plan::Whitelist;
use aci::stage::{self, StagedFolder};
use aci::{ImageId, ImageManifest, Limits, Refusal, Refuse};

use crate::bundle::{self, Bundle, BundleError, BundleOptions, Host};
use crate::error::{Kind, refusal};
use crate::store::StoredImage;

pub use extract::extract;

/// Which files of an image are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Files {
    /// What an app sees: the path whitelist is applied, and an image that needs
    /// others below it is refused.
    Rendered,
    /// All that is in this one image, and nothing of its dependencies.
    All,
}

/// What the target folder is to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `manifest` and `rootfs/`.
    Image,
    /// What is in `rootfs/`.
    Rootfs,
}

/// What was rendered.
#[derive(Debug)]
pub struct Rendered {
    /// The image ID, computed from the bytes that were unpacked.
    pub image_id: ImageId,
    /// The manifest inside the image.
    pub manifest: ImageManifest,
    /// What the user should know, in sentences.
    pub remarks: Vec<String>,
}

/// Why an image was not rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The target is there already, and is not an empty folder.
    #[error("{} exists", .0.display())]
    Occupied(PathBuf),
    /// The image needs others below it.
    #[error("{name} depends on other images, which cannot be rendered yet")]
    Dependencies {
        /// The image.
        name: String,
        /// Their names.
        dependencies: Vec<String>,
    },
    /// The stored file is not the image that was imported.
    #[error("the stored file of {wanted} holds {found}")]
    Altered {
        /// The image that was imported.
        wanted: ImageId,
        /// The image that is there now.
        found: ImageId,
    },
    /// The archive was not accepted, or could not be read or written.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Writing failed.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// The rendered image cannot be handed to a runtime.
    #[error(transparent)]
    Bundle(#[from] BundleError),
}

/// Renders an image into `target`, which must not exist or be an empty folder.
pub fn render(
    image: &StoredImage,
    target: &Path,
    files: Files,
    shape: Shape,
    limits: &Limits,
) -> Result<Rendered, RenderError> {
    let (parents, staged) = stage_beside(target)?;
    let rendered = fill(image, staged.path(), files, limits)?;
    place(staged, target, shape)?;
    parents.keep();
    Ok(rendered)
}

/// Gives a filled folder its name.
fn place(staged: StagedFolder, target: &Path, shape: Shape) -> Result<(), RenderError> {
    staged.sync_tree().map_err(at(target))?;
    match shape {
        Shape::Image => commit(staged, target),
        Shape::Rootfs => {
            make_way(target)?;
            staged.commit_child("rootfs", target).map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => RenderError::Occupied(target.to_owned()),
                _ => at(target)(error),
            })
        }
    }
}

/// Renders an image into `target` and adds a `config.json`: an OCI bundle. The folder
/// is the caller's alone, for programs in it may have set-user-ID bits.
pub fn render_bundle(
    image: &StoredImage,
    target: &Path,
    options: &BundleOptions,
    host: &Host,
    limits: &Limits,
) -> Result<(Rendered, Bundle), RenderError> {
    let (parents, mut staged) = stage_beside(target)?;
    staged.keep_private();
    let rendered = fill(image, staged.path(), Files::Rendered, limits)?;
    let bundle =
        bundle::write(staged.path(), &rendered.manifest, &rendered.image_id, options, host)?;
    staged.sync_tree().map_err(at(target))?;
    commit(staged, target)?;
    parents.keep();
    Ok((rendered, bundle))
}

/// Unpacks into an existing empty folder, checks that it was the image that was
/// imported, and leaves out what is to be left out.
fn fill(
    image: &StoredImage,
    folder: &Path,
    files: Files,
    limits: &Limits,
) -> Result<Rendered, RenderError> {
    if files == Files::Rendered && !image.manifest().dependencies.is_empty() {
        return Err(RenderError::Dependencies {
            name: image.manifest().name.to_string(),
            dependencies: dependencies(image.manifest()),
        });
    }
    let root = rustix::process::geteuid().is_root();
    let ownership = if root { Ownership::Restore } else { Ownership::Caller };
    let unpacked =
        aci::archive::unpack(image.file(), folder, &UnpackOptions::new(ownership), limits)?;
    // A file that was changed on disk since its import was never verified.
    if unpacked.image.image_id() != &image.record().image_id {
        return Err(RenderError::Altered {
            wanted: image.record().image_id.clone(),
            found: unpacked.image.image_id().clone(),
        });
    }
    let manifest = unpacked.image.manifest();
    let mut remarks = remarks(&unpacked, root);
    if files == Files::Rendered
        && let Some(whitelist) = Whitelist::new(&manifest.path_whitelist)
    {
        let rootfs = folder.join("rootfs");
        let removed = whitelist::apply(&rootfs, &whitelist).map_err(at(&rootfs))?;
        remarks.push(format!("{removed} files and folders were left out, which the image's pathWhitelist does not name"));
    }
    Ok(Rendered {
        image_id: unpacked.image.image_id().clone(),
        manifest: manifest.clone(),
        remarks,
    })
}

fn dependencies(manifest: &ImageManifest) -> Vec<String> {
    manifest.dependencies.iter().map(|dependency| dependency.image_name.to_string()).collect()
}

fn remarks(unpacked: &Unpacked, root: bool) -> Vec<String> {
    let mut remarks = Vec::new();
    if !root {
        remarks.push("all files belong to you: only root can restore their owners".to_owned());
    }
    for (count, what) in [
        (unpacked.left_out.devices, "device files"),
        (unpacked.left_out.set_id, "set-user-ID and set-group-ID bits"),
        (unpacked.left_out.xattrs, "extended attributes"),
    ] {
        if count > 0 {
            remarks.push(format!("{count} {what} could not be restored here and were left out"));
        }
    }
    remarks
}

/// The folders above a target that were not there. Dropped, those that are empty are gone again:
/// an image that is refused leaves nothing behind.
struct Parents(Vec<PathBuf>);

impl Parents {
    fn make(folder: &Path) -> io::Result<Self> {
        let absent = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
        let made = Self(folder.ancestors().take_while(absent).map(Path::to_owned).collect());
        stage::create_folders(folder)?;
        Ok(made)
    }

    fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for Parents {
    fn drop(&mut self) {
        for folder in &self.0 {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// A folder to fill beside the target, to be dropped before what is above it.
fn stage_beside(target: &Path) -> Result<(Parents, StagedFolder), RenderError> {
    // It is replaced, and nothing can take the place of `.` in a folder.
    let bytes = target.as_os_str().as_encoded_bytes();
    if [&b"."[..], b".."].contains(&bytes) || bytes.ends_with(b"/.") || bytes.ends_with(b"/..") {
        let text = "it gets its name when it is whole: name the folder from outside of it";
        return Err(at(target)(io::Error::new(io::ErrorKind::InvalidInput, text)));
    }
    // What a link leads to is not what was named.
    if target.is_symlink() {
        return Err(RenderError::Occupied(target.to_owned()));
    }
    match fs::read_dir(target).map(|mut entries| entries.next().is_none()) {
        Ok(true) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Ok(false) => return Err(RenderError::Occupied(target.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(RenderError::Occupied(target.to_owned()));
        }
        Err(error) => return Err(at(target)(error)),
    }
    let parent = stage::folder_of(target);
    let parents = Parents::make(parent).map_err(at(parent))?;
    // Of a process that was killed. What cannot be removed is not this one's business.
    let _ = stage::clean(parent);
    let staged = StagedFolder::new_in(parent).map_err(at(parent))?;
    Ok((parents, staged))
}

fn commit(staged: StagedFolder, target: &Path) -> Result<(), RenderError> {
    make_way(target)?;
    staged.commit(target).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => RenderError::Occupied(target.to_owned()),
        _ => at(target)(error),
    })
}

/// Removes the target where it is an empty folder.
fn make_way(target: &Path) -> Result<(), RenderError> {
    match fs::remove_dir(target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            Err(RenderError::Occupied(target.to_owned()))
        }
        other => other.map_err(at(target)),
    }
}

fn at(path: &Path) -> impl Fn(io::Error) -> RenderError {
    let path = path.to_owned();
    move |source| RenderError::Io { path: path.clone(), source }
}

impl RenderError {
    /// What kind of failure it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Altered { .. } => Kind::Refused,
            Self::Archive(ArchiveError::Io(_)) => Kind::Failed,
            Self::Archive(_) => Kind::Refused,
            Self::Occupied(_) | Self::Dependencies { .. } | Self::Io { .. } | Self::Bundle(_) => {
                Kind::Failed
            }
        }
    }
}

impl Refuse for RenderError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Occupied(path) => refusal(
                "target-exists",
                self,
                "a folder that does not exist yet, or is empty",
                format!("something at {}", path.display()),
                "nothing that exists is overwritten or mixed with an image",
                "give another folder, or remove that one",
            ),
            Self::Dependencies { dependencies, .. } => refusal(
                "dependencies-unsupported",
                self,
                "an image without dependencies",
                format!("dependencies on {}", dependencies.join(", ")),
                "the files of dependencies lie below the image's own (ace.md, \"Filesystem Setup\")",
                "gantry image extract gives the files of this image alone",
            ),
            Self::Altered { wanted, found } => refusal(
                "store-damaged",
                self,
                wanted.to_string(),
                found.to_string(),
                "an image is used only as it was verified",
                format!("gantry image rm {wanted}, then fetch it again"),
            ),
            Self::Archive(error) => error.refusal(),
            Self::Io { path, source } => refusal(
                "render-io",
                self,
                "a folder that can be written",
                format!("{}: {source}", path.display()),
                "an image is rendered under a hidden name beside its target, then renamed",
                "check that the file system is writable and has room",
            ),
            Self::Bundle(error) => error.refusal(),
        }
    }
}

#[cfg(test)]
mod tests;
