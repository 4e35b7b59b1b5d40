//! Image archives: the canonical writer, the streaming reader, the unpacker.
//!
//! An image archive is a tar of `manifest` and `rootfs/…`, compressed or not
//! (spec: aci.md, "Image Archives").

mod compress;
mod compression;
mod decompress;
mod entry;
mod error;
mod header;
mod inspect;
mod layout;
mod read;
mod unpack;
mod write;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;

pub use compression::Compression;
pub use entry::{Entry, EntryKind, PathBytes};
pub use error::ArchiveError;
pub use inspect::{InspectedImage, inspect};
pub use unpack::{Ownership, UnpackOptions, Unpacked, unpack};
pub use write::{ArchiveWriter, WriteOptions, Written, write};
