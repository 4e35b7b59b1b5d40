//! Why a registry could not be kept.

use std::io;
use std::path::{Path, PathBuf};

use aci::{Refusal, Refuse as _};
use keys::TrustError;

use crate::catalog::{CatalogError, DumpError};
use crate::data::DataError;
use crate::error::ApiError;

/// Why work that keeps a registry was not done.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The data directory cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The catalogue cannot be used.
    #[error("the catalogue cannot be used")]
    Catalog(#[from] CatalogError),
    /// The blobs cannot be used.
    #[error("the blobs cannot be used")]
    Blobs(#[from] io::Error),
    /// The catalogue was not written down, or not read from what was.
    #[error(transparent)]
    Dump(#[from] DumpError),
    /// The trusted keys cannot be used.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// There is no backup there.
    #[error("there is no backup in {path:?}: {source}")]
    NoBackup {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is nothing to make a backup of.
    #[error("there is no catalogue in {0:?}, and so nothing to make a backup of")]
    NoCatalogue(PathBuf),
    /// A backup is better than what would take its place.
    #[error("the backup in {to:?} stays as it is: {why}")]
    OtherBackup {
        /// The folder.
        to: PathBuf,
        /// What would take its place.
        why: NotReplaced,
    },
    /// What is there is no backup, and would be lost.
    #[error("{to:?} is no folder of a backup, and is left as it is: it holds {found:?}")]
    NotABackup {
        /// The folder.
        to: PathBuf,
        /// A file or folder in it.
        found: String,
    },
    /// A backup would lie in what it is of, or the other way round.
    #[error("a backup in {to:?} would not be beside the registry's own {data:?}")]
    BackupInData {
        /// The folder.
        to: PathBuf,
        /// The data directory, or a folder of it.
        data: PathBuf,
    },
    /// The files of a backup would lie elsewhere, and others be removed there.
    #[error("{path:?} is a link that leads out of the backup, and is not followed")]
    BlobsElsewhere {
        /// The link.
        path: PathBuf,
    },
    /// The catalogue of a backup is not what was written.
    #[error("the catalogue {path:?} of the backup is damaged, and nothing was restored: {fault}")]
    CatalogueDamaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: DumpError,
    },
    /// Where something was to be made, something is.
    #[error("{0:?} is not empty; a registry is restored into an empty folder, or none")]
    NotEmpty(PathBuf),
    /// A backup is not whole.
    #[error(
        "{} files are missing from the backup or damaged in it, the first is {}; nothing was restored",
        .0.len(),
        .0.first().map_or("", String::as_str)
    )]
    BackupDamaged(Vec<String>),
    /// A file or a folder of it.
    #[error("{path:?} cannot be used: {source}")]
    Path {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another node, or another command, is at it.
    #[error("another process is doing that on this registry just now; try again when it is done")]
    Busy,
    /// It takes nothing in, and gives nothing up.
    #[error("the registry is read-only")]
    ReadOnly,
}

impl KeepError {
    /// What was wanted, what was found and what to do next, where that can be said.
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Data(error) => Some(error.refusal()),
            // The same as by the server.
            Self::ReadOnly => Some(ApiError::ReadOnly.refusal()),
            Self::Catalog(error) => error.refusal(),
            Self::NoCatalogue(data) => Some(Refusal {
                code: "no-catalogue".to_owned(),
                message: self.to_string(),
                wanted: "the data directory of a registry, or the database of its catalogue"
                    .to_owned(),
                found: format!("{data:?}, without a catalogue"),
                rule: "a backup is of a registry that is there".to_owned(),
                next:
                    "see that --data is the registry's and mounted, and give --database where its \
                       catalogue is in one; where the catalogue is lost, restore a backup or run \
                       `gantry registry fsck --data DATA --rebuild` first"
                        .to_owned(),
            }),
            Self::NotABackup { to, found } => Some(Refusal {
                code: "not-a-backup".to_owned(),
                message: self.to_string(),
                wanted: "an empty folder or none, or one with a backup of this registry".to_owned(),
                found: format!("{to:?} with {found:?}"),
                rule: "a backup takes the place of nothing but a backup, with --replace as well"
                    .to_owned(),
                next: "give --to another folder, or a new one; where an older version has begun a \
                       first backup there and was cut off, remove that"
                    .to_owned(),
            }),
            Self::BackupInData { to, data } => Some(Refusal {
                code: "backup-in-data".to_owned(),
                message: self.to_string(),
                wanted: "a folder that is not in the data directory, nor around it".to_owned(),
                found: format!("{to:?}, and the registry's {data:?}"),
                rule: "a backup is a copy beside the registry, best on another disk".to_owned(),
                next: "give --to another folder".to_owned(),
            }),
            Self::BlobsElsewhere { path } => Some(Refusal {
                code: "backup-elsewhere".to_owned(),
                message: self.to_string(),
                wanted: "a folder in that of the backup, or none yet".to_owned(),
                found: format!("{path:?}, a link to another place"),
                rule: "what is pruned are a backup's own files, and there may be another's"
                    .to_owned(),
                next: "put a folder in the link's place, or mount the other disk there; or give \
                       --to a folder on that disk"
                    .to_owned(),
            }),
            Self::CatalogueDamaged { fault, .. } => Some(Refusal {
                code: "backup-damaged".to_owned(),
                message: self.to_string(),
                wanted: "the catalogue as the backup has written it".to_owned(),
                found: fault.to_string(),
                rule: "a catalogue says who may read and push, so one that was changed is not used"
                    .to_owned(),
                next:
                    "restore an earlier backup, or a copy of this one; where the registry is still \
                       there, make a new one in another folder"
                        .to_owned(),
            }),
            Self::OtherBackup { to, why: NotReplaced::Damaged } => Some(Refusal {
                code: "backup-damaged".to_owned(),
                message: self.to_string(),
                wanted: "a backup whose catalogue is as it was written".to_owned(),
                found: NotReplaced::Damaged.to_string(),
                rule: "a backup takes the place of one that can be told to be this registry's"
                    .to_owned(),
                next: format!(
                    "see to the disk of {to:?}; then give --replace, and --verify to have its files \
                     read as well; or make this backup in another folder"
                ),
            }),
            Self::OtherBackup { to, why: NotReplaced::Newer } => Some(Refusal {
                code: "other-backup".to_owned(),
                message: self.to_string(),
                wanted: "a backup whose catalogue this version can read".to_owned(),
                found: "the catalogue of a newer version".to_owned(),
                rule: "a backup takes the place of one that can be told to be this registry's"
                    .to_owned(),
                next: format!(
                    "use the newer program; or make this backup in another folder than {to:?}"
                ),
            }),
            Self::OtherBackup { to, why } => Some(Refusal {
                code: "other-backup".to_owned(),
                message: self.to_string(),
                wanted: "a later state of the registry whose backup is there".to_owned(),
                found: why.to_string(),
                rule: "no backup gives way to less, or to that of another registry".to_owned(),
                next: format!(
                    "see that --data and --database are those of that registry; make this backup in \
                     another folder than {to:?}; or give --replace where it is to take its place"
                ),
            }),
            _ => None,
        }
    }

    /// Whether the disk had no room.
    pub(crate) fn is_full_disk(&self) -> bool {
        match self {
            Self::Catalog(error) => error.is_full_disk(),
            Self::Blobs(error) => error.kind() == io::ErrorKind::StorageFull,
            _ => false,
        }
    }
}

impl From<KeepError> for ApiError {
    fn from(error: KeepError) -> Self {
        match error {
            KeepError::Catalog(error) => error.into(),
            KeepError::Blobs(error) => error.into(),
            KeepError::ReadOnly => Self::ReadOnly,
            other => Self::internal(other),
        }
    }
}

/// Why a backup is not replaced by a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotReplaced {
    /// The new one would be empty.
    #[error("it has images, and the registry has none")]
    NoImages,
    /// The audit log does not go on from where it was.
    #[error(
        "it is of another registry, or of a later state of this one: the last record of its audit log \
         is not in the registry's"
    )]
    OtherLog,
    /// Nobody can say what it was.
    #[error("its catalogue is damaged")]
    Damaged,
    /// Nobody can say yet what it is.
    #[error("a newer version of this program has made it")]
    Newer,
}

/// What a system call says of a path.
pub(super) fn at(path: &Path) -> impl Fn(io::Error) -> KeepError + use<> {
    let path = path.to_owned();
    move |source| KeepError::Path { path: path.clone(), source }
}
