//! Image archives: the canonical writer, the streaming reader, the unpacker.
//!
//! An image archive is a tar of `manifest` and `rootfs/…`, compressed or not
//! (spec: aci.md, "Image Archives").

mod compress;
mod compression;
mod decompress;
mod directories;
mod encrypted;
mod entry;
mod error;
mod hashed;
mod header;
mod inspect;
mod layout;
mod owner;
mod read;
mod record;
mod seen;
mod unpack;
mod write;

#[cfg(test)]
mod tests;

pub use compression::Compression;
pub use encrypted::is_encrypted;
pub use entry::{Entry, EntryKind, PathBytes};
pub use error::{ArchiveError, Limited};
pub use inspect::{InspectedImage, inspect};
pub use owner::{IdRange, OwnerMap, OwnerMapError, Ownership};
pub use unpack::{Exclude, LeftOut, UnpackOptions, Unpacked, unpack};
pub use write::{ArchiveWriter, WriteOptions, Written, write};
