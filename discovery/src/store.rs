//! The image store: verified images by what they are, on this machine's disk.
//!
//! ```text
//! STORE/
//!   images/
//!     8f/                          the first two digits of the image ID
//!       8f1c…e0/                   all 128 digits
//!         image.aci                the file as its author made it; of a folded image, `skeleton`
//!         image.aci.asc            the signature as its author made it
//!         manifest                 the manifest's bytes, as they stand in the image
//!         index                    the entries of its archive, and where their content is
//!         record.json              what the import has checked and where it came from
//!         used                     empty: its time is when the image was last used
//!   objects/                       contents of files, each once, for the caller alone
//!     ba/
//!       ba78…ad                    named by SHA-256, filled when an image is first rendered
//!       ba78…ad.0755.0.0.1         the same with these properties, for hard links
//!   trees/  overlays/              rendered trees, and the overlays that lie on them
//!   locks/
//!     sha512-8f1c…e0               flocked: shared while read, alone while imported or removed
//!     objects                      shared while objects are used, alone while some are removed
//!   staging/                       what is being imported or removed, under hidden names
//!   partial/                       downloads that have not come to their end
//!   remotes/                       what is remembered of images' URLs
//! ```
//!
//! The folders are the truth, and one file that is damaged damages one image. An image's folder
//! is filled under `staging/`, synced, and renamed into place while its lock is held, so it is
//! whole or absent. Only a [`keys::VerifiedImage`] can be imported. Objects, indexes and trees
//! are made from the images and can be made again. Lock files stay for ever: two processes would
//! otherwise hold two locks of one name. Several processes and users' shells may use one store
//! at once; a lock dies with its process.

mod fold;
mod fsck;
mod gc;
mod import;
mod index;
mod lookup;
mod objects;
mod partial;
mod read;
mod record;
mod remote;
mod trees;
mod verify;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use aci::stage::{self, Hold, Lock, StagedFolder};
use aci::{ContentDigest, ImageId, Refusal, Refuse};
use rustix::fs::FlockOperation;

use crate::error::{Kind, refusal};

pub use fold::{Folded, ImageFile, fold};
pub use fsck::{Finding, Fsck, Rebuild, fsck};
pub use gc::{Collected, GcOptions, RemovedImage, collect};
pub use import::{Imported, Incoming};
pub use lookup::{Wanted, WantedError};
pub(crate) use partial::{Facts, Partial};
pub use read::{Listing, StoredImage};
pub use record::{Origin, Record};
pub(crate) use remote::Remote;
pub use verify::{Damage, verify};

pub(crate) use import::judged;
pub(crate) use index::ImageIndex;
pub(crate) use lookup::{candidate, preference, version};
pub(crate) use objects::{Checks, Creator, Objects};
pub(crate) use trees::Tree;

pub(crate) const IMAGE_FILE: &str = "image.aci";
pub(crate) const SIGNATURE_FILE: &str = "image.aci.asc";
pub(crate) const MANIFEST_FILE: &str = "manifest";
pub(crate) const RECORD_FILE: &str = "record.json";
pub(crate) const SKELETON_FILE: &str = "skeleton";
pub(crate) const INDEX_FILE: &str = "index";
pub(crate) const USED_FILE: &str = "used";

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Reading or writing failed.
    #[error("{} {}: {source}", .doing, .path.display())]
    Io {
        /// What was being done: `read`, `create`, …
        doing: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file of the store holds something else than it should.
    #[error("the stored image {id} is damaged: {}: {what}", .path.display())]
    Damaged {
        /// The image.
        id: ImageId,
        /// The damaged file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A file of the object store has another content than its name says.
    #[error("the object {} is damaged: {what}", .path.display())]
    Object {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The beginning of an image ID fits several images.
    #[error("{prefix} is the beginning of {} image IDs", .found.len())]
    Ambiguous {
        /// What was asked for.
        prefix: String,
        /// What it fits.
        found: Vec<ImageId>,
    },
    /// Nothing in the store is what was asked for.
    #[error("no image in the store is {wanted}")]
    Absent {
        /// What was asked for.
        wanted: String,
        /// Images of the same name, where a name was asked for.
        similar: Vec<String>,
    },
}

impl StoreError {
    /// An object with another digest than its name says.
    pub(crate) fn altered(path: PathBuf, found: &ContentDigest) -> Self {
        Self::Object { path, what: format!("its digest is {found}") }
    }

    pub(crate) fn io(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Io { .. } => Kind::Failed,
            Self::Damaged { .. } | Self::Object { .. } => Kind::Refused,
            Self::Ambiguous { .. } => Kind::Usage,
            Self::Absent { .. } => Kind::NotFound,
        }
    }
}

impl Refuse for StoreError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Io { path, source, .. } => refusal(
                "store-io",
                self,
                "a store this user can read and write",
                source.to_string(),
                "images are kept below the store folder (--store, GANTRY_STORE)",
                format!("see who owns {} and how full its disk is", path.display()),
            ),
            Self::Damaged { id, path, what } => refusal(
                "store-damaged",
                self,
                format!("{} as it was when the image was imported", path.display()),
                what.clone(),
                "an image is used only as it was verified",
                format!("gantry image rm {id}, then fetch it again"),
            ),
            Self::Object { path, what } => refusal(
                "object-damaged",
                self,
                format!("{} as it was when it was written", path.display()),
                what.clone(),
                "files are rendered only as they were verified; a program that writes to a tree \
                 of hard links changes them",
                "gantry image fsck --rebuild",
            ),
            Self::Ambiguous { found, .. } => refusal(
                "image-id-ambiguous",
                self,
                "enough digits to name one image",
                found.iter().map(ImageId::as_str).collect::<Vec<_>>().join(", "),
                "an image ID may be shortened as long as it names one image",
                "give more digits",
            ),
            Self::Absent { wanted, similar } => refusal(
                "image-absent",
                self,
                wanted.clone(),
                if similar.is_empty() {
                    "nothing of that name or ID".to_owned()
                } else {
                    format!("only {}", similar.join("; "))
                },
                "images are used from the store, under the labels of their own manifest",
                if wanted.starts_with("sha512-") {
                    // The store alone is asked for an ID, so to fetch that would end here again.
                    "fetch it by its name, or by https://HOST/-/blobs/ID.aci with the whole ID where a \
                     Gantry registry serves it; gantry image list shows what is here"
                        .to_owned()
                } else {
                    format!("gantry fetch {wanted}, or see gantry image list")
                },
            ),
        }
    }
}

/// The image store below one folder.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// The store below `root`, which need not exist yet. Clears away what processes
    /// that died left half written.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let root = root.into();
        // Its parts are looked up from one another, and a process may change its folder.
        let absolute = std::path::absolute(&root).map_err(StoreError::io("open", &root))?;
        let store = Self { root: absolute };
        store.clean()?;
        Ok(store)
    }

    /// The store's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    pub(crate) fn image_folder(&self, id: &ImageId) -> PathBuf {
        // An image ID has 128 ASCII digits.
        self.images().join(&id.digits()[..2]).join(id.digits())
    }

    pub(crate) fn staging(&self) -> PathBuf {
        self.root.join("staging")
    }

    /// A folder on the store's file system that is removed unless it is committed.
    pub(crate) fn staged_folder(&self) -> Result<StagedFolder, StoreError> {
        let staging = self.staging();
        stage::create_folders(&staging).map_err(StoreError::io("create", &staging))?;
        // Between being made and being locked a staged folder looks abandoned:
        // `clean`, which holds this lock alone, must not come between.
        let _guard = lock_folder(&staging, FlockOperation::LockShared)
            .map_err(StoreError::io("lock", &staging))?;
        StagedFolder::new_in(&staging).map_err(StoreError::io("create a folder in", &staging))
    }

    fn clean(&self) -> Result<(), StoreError> {
        // A tree that is being rendered is locked, and looked at again once it is.
        let _ = stage::clean(&self.trees());
        let staging = self.staging();
        // Absent, of another user, or in use: nothing this process has to clear away.
        let Ok(_guard) = lock_folder(&staging, FlockOperation::NonBlockingLockExclusive) else {
            return Ok(());
        };
        match stage::clean(&staging) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            other => other.map_err(StoreError::io("clean", &staging)),
        }
    }

    pub(crate) fn lock(&self, id: &ImageId, hold: Hold) -> Result<Lock, StoreError> {
        self.named_lock(id.as_str(), hold)
    }

    pub(crate) fn named_lock(&self, name: &str, hold: Hold) -> Result<Lock, StoreError> {
        let path = self.lock_path(name)?;
        Lock::wait(&path, hold).map_err(StoreError::io("lock", &path))
    }

    /// The lock, or `None` where somebody holds it.
    pub(crate) fn attempt_lock(&self, name: &str, hold: Hold) -> Result<Option<Lock>, StoreError> {
        let path = self.lock_path(name)?;
        Lock::attempt(&path, hold).map_err(StoreError::io("lock", &path))
    }

    fn lock_path(&self, name: &str) -> Result<PathBuf, StoreError> {
        let locks = self.root.join("locks");
        stage::create_folders(&locks).map_err(StoreError::io("create", &locks))?;
        Ok(locks.join(name))
    }

    /// Removes an image and says whether it was there. Waits for whoever reads it.
    pub fn remove(&self, id: &ImageId) -> Result<bool, StoreError> {
        if !self.image_folder(id).exists() {
            return Ok(false);
        }
        let lock = self.lock(id, Hold::Exclusive)?;
        self.remove_locked(id, &lock)
    }

    /// The same, for who holds its lock alone.
    pub(crate) fn remove_locked(&self, id: &ImageId, _lock: &Lock) -> Result<bool, StoreError> {
        let folder = self.image_folder(id);
        let bin = self.staged_folder()?;
        #[expect(
            clippy::disallowed_methods,
            reason = "from one folder of ours into another that is removed; synced below"
        )]
        let renamed = fs::rename(&folder, bin.path().join("image"));
        match renamed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other.map_err(StoreError::io("remove", &folder))?,
        }
        if let Some(parent) = folder.parent() {
            File::open(parent)
                .and_then(|folder| folder.sync_all())
                .map_err(StoreError::io("sync", parent))?;
        }
        // Dropping the staged folder removes the files; a crash leaves that to `clean`.
        Ok(true)
    }
}

fn lock_folder(folder: &Path, operation: FlockOperation) -> io::Result<File> {
    let file = File::open(folder)?;
    rustix::fs::flock(&file, operation)?;
    Ok(file)
}
