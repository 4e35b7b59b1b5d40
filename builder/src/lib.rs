//! Making images.
//!
//! [`pack`] turns a tree into an image: a first walk looks at everything and
//! reports every problem at once; a second one streams the tree through the
//! canonical writer of [`aci::archive`], which makes the archive, the compressed
//! file, the image ID and the file's digest in one pass.
//!
//! What is packed need not be what is on disk: [`Ignore`] leaves files out, [`Owner`] says whose
//! they are, and the [`Rule`]s of [`Overrides`] change owners, modes, attributes and capabilities,
//! all without being root.
//!
//! [`step`] runs a command in a root file system, and says what it changed there.
//!
//! How images are built is written in files: [`recipe`]s, and [`script`]s of acbuild's commands.
//!
//! What is said beside an image: [`sbom`], what is in it, and [`provenance`], how it was made.

// Tests may read the clock and write files as they like; nothing else may: clippy.toml.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod attributes;
mod capability;
pub mod context;
mod error;
mod exec;
mod ignore;
pub mod manifest;
mod overrides;
mod owner;
mod pack;
pub mod provenance;
pub mod recipe;
pub mod sbom;
pub mod script;
mod source;
pub mod step;
mod tree;
mod utc_time;
mod walk;
mod warning;

pub use capability::{CapabilityError, parse as capability_value};
pub use error::{PackError, Problem, ProblemKind};
pub use exec::{ExecFault, ExecWarning};
pub use ignore::{Ignore, PatternError};
pub use overrides::{Overrides, Rule, RuleError, extended_attribute, read_mode};
pub use owner::{Owner, OwnerMap, OwnerMapError, OwnerMapFault, read_owner_map};
pub use pack::{PackOptions, Packed, Packer, Progress, Unnamed, pack, pack_file, pack_into};
pub use source::{Source, SourceError};
pub use utc_time::{UtcTime, UtcTimeError};
pub use warning::Warning;
