//! Image archives: the canonical writer, the streaming reader, the unpacker.
//!
//! An image archive is a tar of `manifest` and `rootfs/…`, compressed or not
//! (spec: aci.md, "Image Archives").

mod attribute_ids;
mod compress;
mod compression;
mod container;
mod decompress;
mod describe;
mod directories;
mod dress;
mod encrypted;
mod entry;
mod error;
mod gzip;
mod hashed;
mod header;
mod index;
mod inspect;
mod layout;
mod memory;
mod names;
mod owner;
mod parts;
mod read;
mod record;
mod rewrite;
mod rootfs_tar;
mod seen;
pub(crate) mod tree;
mod unpack;
mod validate;
mod write;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;

pub use attribute_ids::move_attribute_ids;
pub use compression::Compression;
pub use container::{ContainerReader, ContainerWriter};
pub use encrypted::is_encrypted;
pub use entry::{Entry, EntryKind, PathBytes};
pub use error::{ArchiveError, Limited};
pub use gzip::AccessPoint;
pub use index::{
    ContentAt, ContentSink, IndexEntry, IndexReader, IndexRecord, IndexSeal,
    inspect_hashed_indexed, inspect_indexed,
};
pub use inspect::{Content, InspectedImage, inspect, inspect_hashed, read_entries};
pub use memory::{DECODER_HEAD_BYTES, decoder_bytes};
pub use owner::{IdRange, OwnerMap, OwnerMapError, Ownership};
pub use parts::ArchiveParts;
pub use rewrite::{RewriteOptions, Rewritten, rewrite};
pub use rootfs_tar::{RootfsTar, read_rootfs_tar};
pub use tree::{FileContent, Linked, NewFile, TreeBuilder, Undone, tree_threads};
pub use unpack::{Exclude, LeftOut, UnpackOptions, Unpacked, unpack};
pub use validate::{
    ImageFinding, Spot, Validated, validate, validate_layout, validate_manifest,
    validate_pod_manifest,
};
pub use write::{
    ArchiveWriter, Besides, KeptBlocks, WriteOptions, Written, compress_archive, write, write_with,
};
