//! Image archives: the canonical writer, the streaming reader, the unpacker.
//!
//! An image archive is a tar of `manifest` and `rootfs/…`, compressed or not
//! (spec: aci.md, "Image Archives").

mod compression;
mod error;
mod inspect;

pub use compression::Compression;
pub use error::ArchiveError;
pub use inspect::{InspectedImage, inspect};
