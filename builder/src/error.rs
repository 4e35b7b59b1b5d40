//! Why a tree could not be packed.

use std::fmt;
use std::io;
use std::path::PathBuf;

use aci::ManifestError;

/// Why a tree could not be packed. Nothing was left behind.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// Files that cannot be in an image, all of them.
    #[error("{} cannot be packed:{}", count(.0), list(.0))]
    Problems(Vec<Problem>),
    /// The manifest is not acceptable.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A file changed while it was read.
    #[error("{path} changed while it was read: pack a tree that nobody is writing to")]
    Changed {
        /// Which file.
        path: PathBuf,
    },
    /// The image would be written into the tree that is packed.
    #[error("the image {output} would lie inside the tree {tree}: write it elsewhere")]
    OutputInside {
        /// The image.
        output: PathBuf,
        /// The tree.
        tree: PathBuf,
    },
    /// The target is there already.
    #[error("{0} exists: remove it, or give --overwrite")]
    Exists(PathBuf),
    /// Reading a file of the tree failed.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Writing the image failed.
    #[error("cannot write the image: {0}")]
    Write(#[from] io::Error),
}

/// A file that cannot be in an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Which file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub kind: ProblemKind,
}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProblemKind {
    /// A socket: no archive can hold one.
    Socket,
    /// A character device 0:0, overlayfs's mark of a deleted file.
    Whiteout,
    /// It cannot be read, and this is why.
    Unreadable(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.kind {
            ProblemKind::Socket => {
                write!(f, "{path}: a socket (give --skip-sockets to leave it out)")
            }
            ProblemKind::Whiteout => {
                write!(f, "{path}: a character device 0:0, overlayfs's mark of a deleted file")
            }
            ProblemKind::Unreadable(why) => write!(f, "{path}: {why}"),
        }
    }
}

fn count(problems: &[Problem]) -> String {
    match problems.len() {
        1 => "one file".to_owned(),
        more => format!("{more} files"),
    }
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("\n  {problem}")).collect()
}
