//! What is wrong in a recipe, and where.

use super::text::ImagePath;

/// A recipe or a lock file that is not acceptable: the first fault in it, and its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}{}: {message}", key_of(.key))]
pub struct RecipeError {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) key: String,
    pub(super) message: String,
}

fn key_of(key: &str) -> String {
    if key.is_empty() { String::new() } else { format!(", {key}") }
}

impl RecipeError {
    /// The line, from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// The character of that line, from 1.
    pub fn column(&self) -> usize {
        self.column
    }

    /// The key, as `step[1].owner`, the first of a list being 0; empty where the text is no TOML.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What is wrong: the reader of TOML's words, those of the value's own type, or those of a
    /// [`RecipeFault`].
    pub fn message(&self) -> &str {
        &self.message
    }

    /// With the place of this byte of the text.
    pub(super) fn at(text: &str, byte: usize, key: String, message: String) -> Self {
        let before = text.get(..byte).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before[start..].chars().count() + 1;
        Self { line, column, key, message }
    }
}

/// What no single value shows: keys that do not go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecipeFault {
    /// None of some keys, of which one says what is wanted.
    #[error("exactly one of {} is wanted, and none is given", .0.join(", "))]
    OneOf(Vec<&'static str>),
    /// Two keys that exclude one another.
    #[error("{0} and {1} exclude one another")]
    Both(&'static str, &'static str),
    /// A key that means nothing where another one is.
    #[error("{key} means nothing beside {beside}")]
    Beside {
        /// The key.
        key: &'static str,
        /// What it stands beside.
        beside: &'static str,
    },
    /// A key that another one needs.
    #[error("{beside} needs {key}")]
    Missing {
        /// The key that is not there.
        key: &'static str,
        /// What needs it.
        beside: &'static str,
    },
    /// Nothing to run.
    #[error("a program was wanted, not nothing")]
    NoProgram,
    /// An empty list where it means nothing.
    #[error("{0} is empty")]
    EmptyList(&'static str),
    /// A source that has no name to be copied under.
    #[error("{0:?} has no name under which it could be put into a folder")]
    NoFileName(String),
    /// Two sources of one name, in one folder.
    #[error("two sources are called {0:?}, and would be one file of the folder")]
    SameFileName(String),
    /// The root, where only a path below it can be.
    #[error("/ is the whole image: name a path below it")]
    Root,
    /// Two things that are mounted at one path.
    #[error("{0} is mounted over twice")]
    MountedTwice(ImagePath),
    /// A change that changes nothing.
    #[error("change needs at least one of owner, mode, capabilities, xattrs")]
    ChangesNothing,
    /// A label that has a place of its own.
    #[error("the label {label:?} is not given here, but as the key {instead}")]
    LabelElsewhere {
        /// The label.
        label: String,
        /// Where it is given.
        instead: &'static str,
    },
    /// Labels that cannot stand in an image together.
    #[error(transparent)]
    Label(#[from] aci::LabelError),
    /// A point in time that is none.
    #[error(transparent)]
    Epoch(#[from] crate::UtcTimeError),
    /// Two outputs that are one file.
    #[error("another output has this file, or this platform and no file")]
    SameOutput,
    /// A port or a mount point that would take the place of another one of the recipe.
    #[error("another {0}")]
    Another(&'static str),
    /// A dependency that is there already.
    #[error("the dependency {0} is given twice")]
    DependencyTwice(String),
    /// Something that JSON cannot say.
    #[error("a value of an isolator is a text, a whole number, a truth value, a list or a table")]
    NotJson,
    /// Something that a manifest cannot have.
    #[error("{0}")]
    Manifest(String),
    /// A lock file of another time.
    #[error("version 1 of lock files was wanted, not {0}")]
    LockVersion(u32),
    /// Something that is locked twice.
    #[error("{0} is locked twice")]
    LockedTwice(String),
}
