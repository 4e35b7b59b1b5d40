//! What a bill of materials could not take from an image.

use std::fmt;

use aci::archive::{ArchiveError, PathBytes};

/// Why there is no bill of materials.
#[derive(Debug, thiserror::Error)]
pub enum SbomError {
    /// The image is not acceptable.
    #[error(transparent)]
    Image(#[from] ArchiveError),
    /// The image has more files than may be listed.
    #[error("the image has more than {allowed} files and links, and each would be listed")]
    Files {
        /// How many may be listed.
        allowed: usize,
    },
}

/// Something in the image that is not in the document, which says so itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SbomWarning {
    /// A database of packages was not read: none of its packages is listed.
    Unread {
        /// Where in the root file system.
        path: PathBytes,
        /// Why.
        fault: DatabaseFault,
    },
    /// It could not be told which files belong to packages: they are listed as the image's own.
    Unowned {
        /// Where in the root file system.
        path: PathBytes,
        /// Why.
        fault: DatabaseFault,
    },
    /// So many more warnings of these kinds.
    More(u64),
}

impl fmt::Display for SbomWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unread { path, fault } => {
                write!(f, "/{path} is there and was not read: {fault}; its packages are not listed")
            }
            Self::Unowned { path, fault } => write!(
                f,
                "/{path} was not read: {fault}; files of packages are listed as the image's own"
            ),
            Self::More(count) => write!(f, "{count} more databases or lists were not read"),
        }
    }
}

/// Why a database of packages cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum DatabaseFault {
    /// It is larger than is read.
    #[error("it has more than {allowed} bytes")]
    TooLarge {
        /// Bytes that are read.
        allowed: u64,
    },
    /// All databases together are larger than is read.
    #[error("the databases together have more than {allowed} bytes")]
    TogetherTooLarge {
        /// Bytes that are read.
        allowed: u64,
    },
    /// It is a link, a device, or another thing without content of its own.
    #[error("it is no regular file")]
    NotRegular,
    /// A line has no end in sight.
    #[error("line {line} has more than {allowed} bytes")]
    Line {
        /// Which line, counted from 1.
        line: u64,
        /// Bytes that a line may have.
        allowed: usize,
    },
    /// A line says nothing that can be understood.
    #[error("line {line} has not the form of this database")]
    Form {
        /// Which line, counted from 1.
        line: u64,
    },
    /// A package without one of the things every package has.
    #[error("the package that ends at line {line} has no {field}")]
    Field {
        /// The line after its last.
        line: u64,
        /// What is missing.
        field: &'static str,
    },
    /// There are more packages than are read.
    #[error("it has more than {allowed} packages")]
    Packages {
        /// Packages that are read.
        allowed: usize,
    },
    /// The packages have more files than are read.
    #[error("its packages have more than {allowed} files")]
    OwnedFiles {
        /// Files that are read.
        allowed: usize,
    },
    /// To find the files takes too long.
    #[error("its paths lead through too many links")]
    Links,
    /// It has another format than is read here.
    #[error("{0} databases are not read")]
    Format(&'static str),
    /// Changes lie beside the database and not yet in it.
    #[error("it was not closed: there are changes in its write-ahead log")]
    Open,
    /// It is no SQLite database of rpm.
    #[error("it is no SQLite database of packages: {0}")]
    Sqlite(&'static str),
    /// A page of an SQLite database is not what it should be.
    #[error("page {page} of the SQLite database is damaged: {fault}")]
    Page {
        /// Which page, counted from 1.
        page: u32,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// The header of an rpm package is not what it should be.
    #[error("the header of package {package} is damaged: {fault}")]
    Header {
        /// Which package, by its number in the database.
        package: i64,
        /// What is wrong with it.
        fault: &'static str,
    },
}

/// Warnings as they come, of which only so many are kept.
#[derive(Debug, Default)]
pub(super) struct Warnings {
    kept: Vec<SbomWarning>,
    more: u64,
}

/// An image with a million broken lists must not become a document of a million complaints.
const KEPT: usize = 1000;

impl Warnings {
    pub(super) fn unread(&mut self, path: &[u8], fault: DatabaseFault) {
        self.add(SbomWarning::Unread { path: path.into(), fault });
    }

    pub(super) fn unowned(&mut self, path: &[u8], fault: DatabaseFault) {
        self.add(SbomWarning::Unowned { path: path.into(), fault });
    }

    fn add(&mut self, warning: SbomWarning) {
        if self.kept.len() < KEPT {
            self.kept.push(warning);
        } else {
            self.more += 1;
        }
    }

    /// All of them in order, each once.
    pub(super) fn finish(mut self) -> Vec<SbomWarning> {
        self.kept.sort();
        self.kept.dedup();
        if self.more > 0 {
            self.kept.push(SbomWarning::More(self.more));
        }
        self.kept
    }
}
