//! Making images.
//!
//! [`pack`] turns a tree into an image: a first walk looks at everything and
//! reports every problem at once; a second one streams the tree through the
//! canonical writer of [`aci::archive`], which makes the archive, the compressed
//! file, the image ID and the file's digest in one pass.

mod attributes;
mod error;
mod pack;
mod source;
mod tree;

pub use error::{PackError, Problem, ProblemKind};
pub use pack::{PackOptions, Packed, Progress, pack, pack_file, pack_into};
pub use source::{Source, SourceError};
pub use tree::Owner;
