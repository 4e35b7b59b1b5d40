//! The App Container Image (ACI) format, specification 0.8.11.
//!
//! Everything here is synchronous and works on `Read` and `Write`. There is no network and no
//! command line in this crate, so whoever builds, serves, fetches and runs images shares it
//! whole.
//!
//! # What an image is
//!
//! A tar archive, compressed or not, of exactly two things (aci.md, "Image Layout"):
//!
//! ```text
//! manifest        a JSON document: name, labels, what to run, on top of what
//! rootfs/         the root file system
//! ```
//!
//! - Its **name** is an [`Identifier`] that begins with a host, `example.com/team/hello`
//!   ([`Name`]). Whoever owns the host answers for the name.
//! - Its **labels** tell one build of a name from another: `version`, `os`, `arch`, and the
//!   author's own ([`Labels`]). Name and labels together are a [`Reference`]:
//!   `example.com/team/hello:1.0.0,os=linux,arch=amd64`.
//! - Its **image ID** is `sha512-` and the SHA-512 of the uncompressed archive ([`ImageId`]).
//!   Compressing an image in another way changes the file, not the ID.
//! - Its **signature** is a detached OpenPGP signature over the file as it is, in a second file.
//! - Its **manifest** says how to run it: program, user, environment, mount points, ports and
//!   isolators ([`manifest::App`]), which images lie below it ([`manifest::Dependency`]), and
//!   which paths of all that are to remain ([`plan`]).
//!
//! # A worked example
//!
//! An image is written entry by entry, in one pass, and read the same way:
//!
//! ```
//! use aci::archive::{Compression, Entry, EntryKind, WriteOptions, inspect, write};
//! use aci::{ImageManifest, Limits};
//!
//! let manifest = br#"{"acKind": "ImageManifest", "acVersion": "0.8.11",
//!     "name": "example.com/hello",
//!     "labels": [{"name": "os", "value": "linux"}, {"name": "arch", "value": "amd64"}],
//!     "app": {"exec": ["/hello"], "user": "0", "group": "0"}}"#;
//! ImageManifest::from_json(manifest)?;
//!
//! let entry = |path: &str, mode, kind| Entry {
//!     path: path.into(), kind, mode, uid: 0, gid: 0, mtime: 0, xattrs: Vec::new(),
//! };
//! let program = b"#!/bin/sh\necho hello\n";
//! let options = WriteOptions { compression: Compression::Gzip, threads: 2.try_into()? };
//! let mut file = Vec::new();
//! let written = write(&mut file, &options, |archive| {
//!     archive.manifest(manifest, 0)?;
//!     archive.entry(&entry("rootfs", 0o755, EntryKind::Directory))?;
//!     let kind = EntryKind::File { size: program.len() as u64 };
//!     archive.file(&entry("rootfs/hello", 0o755, kind), &mut &program[..])
//! })?;
//!
//! let image = inspect(file.as_slice(), &Limits::default())?;
//! assert_eq!(image.image_id(), &written.image_id);
//! assert_eq!(image.manifest_bytes(), manifest);
//! assert_eq!((image.compression(), image.entries()), (Compression::Gzip, 2));
//! // These bytes are for ever: profile v1 is frozen.
//! assert_eq!(&image.image_id().as_str()[..15], "sha512-738a1dd2");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A manifest is judged whole, each fault with its place and a stable code:
//!
//! ```
//! let bad = br#"{"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/hello",
//!   "app": {"user": "0", "Group": "0",
//!     "ports": [{"name": "http", "protocol": "tcp", "port": 80800}]}}"#;
//! let findings = aci::ImageManifest::check(bad).findings;
//! let told: Vec<String> = findings.iter().map(|f| format!("{} {} {}", f.line, f.path, f.code)).collect();
//! assert_eq!(told, ["2 app.Group key-case", "3 app.ports[0].port range"]);
//! ```
//!
//! # Writing: profile v1
//!
//! What the specification leaves open, a reproducible build closes. [`archive::write()`] turns
//! the same entries into the same bytes on every machine:
//!
//! - `manifest`, then `rootfs`, then everything below it depth first, names compared as bytes;
//!   each directory before what is in it
//! - POSIX ustar headers, a PAX header before one only for what does not fit into it; no global
//!   headers, no GNU forms; user and group names empty
//! - modes with all twelve bits; times in whole seconds, no later than `SOURCE_DATE_EPOCH`; the
//!   extended attributes that belong to a file, not those of the machine
//! - two zero blocks, and nothing after them
//! - compressed in blocks of a fixed size, each a member of its own, so that the number of
//!   threads does not matter
//!
//! # Reading: what is refused
//!
//! Archives of other tools need not follow the profile: ustar, PAX and GNU headers, any order,
//! any compression of the specification and zstd, known by its first bytes. Refused is what
//! reads in two ways, or reaches out: paths with `..`, hard links to what is not an earlier file
//! of the rootfs, entries twice or below a file, a third thing at the top, headers that
//! contradict each other, data after the end; and in manifests keys given twice or in another
//! case. [`archive::unpack`] opens every path inside its folder with `openat2`.
//!
//! # Limits
//!
//! Reading is one pass in memory that hardly grows with the image: some 40 bytes for each entry.
//! How much an image may have is the caller's to say, in [`Limits`]; by default:
//!
//! | | |
//! |---|---:|
//! | file | 16 GiB |
//! | uncompressed archive | 64 GiB |
//! | growth, once 64 MiB have come out | 200 times |
//! | entries | 2,000,000 |
//! | manifest | 1 MiB, 128 levels |
//! | path | 4,095 bytes, 2,048 segments of 255 bytes |
//! | extended header of one entry | 1 MiB, 64 KiB an attribute |
//! | dependencies | 1,000, 256 one below the other |
//! | time | none |
//!
//! A name has at most 512 bytes. The specification sets no limits of its own.

// Tests may read the clock and write files as they like; nothing else may: clippy.toml.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

pub mod archive;
mod content;
pub mod diff;
mod digest;
mod finding;
pub mod isolator;
mod json;
mod labels;
mod limits;
pub mod manifest;
mod name;
pub mod plan;
pub mod push;
mod quantity;
mod reference;
mod refusal;
pub mod root;
mod sha512;
pub mod stage;
mod template;
mod types;
pub mod yank;

pub use content::{ContentDigest, ContentHash};
pub use digest::{DigestError, FileDigest, ImageId, ImageIdPrefix};
pub use finding::{Checked, Finding, Severity};
pub use json::{Document, EditError, JsonPath, PathError};
pub use labels::{Label, LabelError, Labels};
pub use limits::Limits;
pub use manifest::{ImageManifest, ManifestError, PodManifest};
pub use name::{Identifier, Name, NameError};
pub use quantity::{Quantity, QuantityError, QuantityFormat, QuantityParts};
pub use reference::{Reference, ReferenceError};
pub use refusal::{Refusal, Refuse};
pub use sha512::Sha512;
pub use template::{Extension, Template, TemplateError};
pub use types::{
    AcKind, AcKindError, AcName, AcNameError, AcVersion, AcVersionError, GoPlatform, Timestamp,
    TimestampError, Uuid, UuidError, WebUrl, WebUrlError, host_platform,
};
