//! Why a tree could not be packed.

use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use aci::ManifestError;
use aci::archive::PathBytes;

use crate::overrides::Rule;

/// Why a tree could not be packed. Nothing was left behind.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// Files that cannot be in an image, all of them.
    #[error("{} cannot be packed:{}", count(.0), list(.0))]
    Problems(Vec<Problem>),
    /// The manifest is not acceptable.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Rules that change no file of the tree.
    #[error("nothing in the tree is meant by{}", rules(.0))]
    Unmatched(Vec<Rule>),
    /// The tree's ignore file cannot be used.
    #[error("cannot use {path}: {source}")]
    Ignore {
        /// The ignore file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file changed while it was read.
    #[error(
        "{path} changed while it was read, or its size is not what its file system says: pack a \
         tree that nobody is writing to"
    )]
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
    /// Nothing can be written where the image is to be.
    #[error("cannot write in {folder}: {source}")]
    Folder {
        /// The folder.
        folder: PathBuf,
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
    /// A folder that has this folder of the tree mounted in it, which it is in itself.
    Cycle(PathBuf),
    /// With its path in the image, it is too long, or too deep, for readers.
    TooLong,
    /// A file that another one is mounted on.
    MountedFile,
    /// A folder that was moved away while the tree was packed.
    Moved,
    /// The root of a file system whose files are made up by the kernel.
    PseudoFileSystem,
    /// This user and group on disk are in no line of the ownership map.
    Unmapped(u32, u32),
    /// This attribute names a user or group that has no ID in the image.
    UnmappedAttribute(Vec<u8>),
    /// Its user or group is one that this user namespace has no ID for.
    UnknownOwner,
    /// The rules say something else of this name than of another name of the same file.
    OtherName(PathBuf),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A name may hold anything, line ends among it.
        let path = PathBytes::from(self.path.as_os_str().as_bytes());
        match &self.kind {
            ProblemKind::Socket => {
                write!(
                    f,
                    "{path}: a socket (leave it out with an ignore pattern, or with --skip-sockets \
                     where that is an option)"
                )
            }
            ProblemKind::Whiteout => {
                write!(f, "{path}: a character device 0:0, overlayfs's mark of a deleted file")
            }
            ProblemKind::Unreadable(why) => write!(f, "{path}: {why}"),
            ProblemKind::Cycle(ancestor) => {
                write!(f, "{path}: {} is mounted here, into itself", ancestor.display())
            }
            ProblemKind::TooLong => write!(
                f,
                "{path}: its path in the image has more than 4095 bytes, or more than 2048 folders"
            ),
            ProblemKind::MountedFile => write!(
                f,
                "{path}: another file is mounted on it, and its own cannot be seen (give --ignore \
                 to leave it out)"
            ),
            ProblemKind::Moved => write!(f, "{path}: was moved away while the tree was packed"),
            ProblemKind::PseudoFileSystem => write!(
                f,
                "{path}: a file system of the kernel, whose files have no bytes of their own (give \
                 --one-file-system to pack mount points empty)"
            ),
            ProblemKind::Unmapped(uid, gid) => {
                write!(f, "{path}: its owner {uid}:{gid} is in no line of the ownership map")
            }
            ProblemKind::UnmappedAttribute(name) => write!(
                f,
                "{path}: its attribute {} names a user or group that is in no line of the \
                 ownership map, or has no ID in this user namespace (give --xattr to say what it is \
                 in the image)",
                name.escape_ascii()
            ),
            ProblemKind::UnknownOwner => write!(
                f,
                "{path}: its owner has no ID in this user namespace (give --owner, or a path line \
                 in --owner-map)"
            ),
            ProblemKind::OtherName(first) => write!(
                f,
                "{path}: another name of {}, for which the options say something else: a file has \
                 one owner, one mode and one set of attributes under all its names",
                first.display()
            ),
        }
    }
}

fn count(problems: &[Problem]) -> String {
    match problems.len() {
        1 => "one file".to_owned(),
        more => format!("{more} files"),
    }
}

fn rules(rules: &[Rule]) -> String {
    rules.iter().map(|rule| format!("\n  {rule}")).collect()
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("\n  {problem}")).collect()
}
