//! Why a data directory cannot be used.

use std::io;
use std::path::PathBuf;

use aci::{Refusal, Refuse};

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// It could not be created or read.
    #[error("the data directory {path:?} cannot be used: {source}")]
    Io {
        /// What was touched.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Another server runs on it.
    #[error(
        "another registry is running on the data directory {0:?}; stop it first, or give this one a directory of its own"
    )]
    InUse(PathBuf),
    /// There is a part of a registry.
    #[error("a restore into the data directory {0:?} is under way, or was cut off")]
    HalfRestored(PathBuf),
    /// It is not there, and is not made by who only looks.
    #[error("there is no registry in {0:?}")]
    Absent(PathBuf),
    /// Something else is in it.
    #[error("{0:?} is not empty, and no registry's data directory")]
    Foreign(PathBuf),
    /// Its catalogue is in another database than the one that was given, or none was.
    #[error("the catalogue of the registry in {data:?} is in another database")]
    Elsewhere {
        /// The data directory.
        data: PathBuf,
        /// The database, without its password.
        recorded: String,
        /// The one that was given.
        given: String,
    },
    /// A database was given, and the catalogue is here.
    #[error("the catalogue of the registry in {data:?} is in that folder")]
    Here {
        /// The data directory.
        data: PathBuf,
        /// What is in `gantry.db` there.
        found: String,
        /// The one that was given.
        given: String,
    },
}

impl Refuse for DataError {
    fn refusal(&self) -> Refusal {
        let whole = "a registry's files and its catalogue belong together";
        let (code, wanted, found, rule, next) = match self {
            Self::Io { path, source } => (
                "data-unusable",
                "a data directory that this user can read and write".to_owned(),
                format!("{}: {source}", path.display()),
                "a registry keeps everything in its data directory",
                format!("see to {}, or run this as the user whose it is", path.display()),
            ),
            Self::InUse(path) => (
                "data-in-use",
                "a data directory that no server runs on".to_owned(),
                format!("a server that runs on {}", path.display()),
                "one server runs on a data directory",
                "stop it first, or give this one a directory of its own".to_owned(),
            ),
            Self::HalfRestored(path) => (
                "data-half-restored",
                "a data directory that holds a whole registry".to_owned(),
                format!("{}, which a restore has not finished", path.display()),
                "a backup is restored whole or not at all",
                "when that restore does not run any more, run `gantry registry restore` again"
                    .to_owned(),
            ),
            Self::Absent(path) => (
                "registry-absent",
                "the data directory of a registry".to_owned(),
                match path.exists() {
                    true => format!("nothing of a registry in {}", path.display()),
                    false => format!("no folder {}", path.display()),
                },
                "only what sets a registry up makes its data directory",
                "correct --data; `serve`, `token create`, `user add` and `keys add` make a new \
                 registry"
                    .to_owned(),
            ),
            Self::Foreign(path) => (
                "data-foreign",
                "the data directory of a registry, or an empty or missing folder".to_owned(),
                format!("a folder with other things in it: {}", path.display()),
                "a registry's data directory holds nothing else",
                "correct --data, or give a folder of its own".to_owned(),
            ),
            Self::Elsewhere { data, recorded, given } => (
                "database-elsewhere",
                format!("--database {recorded}, as {} says", super::mark::file(data).display()),
                given.clone(),
                whole,
                format!(
                    "give --database {recorded}, or set GANTRY_DATABASE; what a command did in \
                     another database the registry would not know"
                ),
            ),
            Self::Here { data, found, given } => (
                "database-here",
                "no --database, as the catalogue is gantry.db in the data directory".to_owned(),
                format!("{given}, and {found} in {}", data.join("gantry.db").display()),
                whole,
                "leave out --database; to move the catalogue, use `gantry registry backup`, and \
                 `restore` with --database into an empty folder; a gantry.db of no use any more can \
                 be moved away"
                    .to_owned(),
            ),
        };
        Refusal {
            code: code.to_owned(),
            message: self.to_string(),
            wanted,
            found,
            rule: rule.to_owned(),
            next,
        }
    }
}
