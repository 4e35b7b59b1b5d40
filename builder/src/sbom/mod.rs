//! A bill of materials: what a finished image holds, as SPDX 2.3 in JSON.
//!
//! An image is read once, from its first byte to its last, and what is in it is taken from the
//! databases that the package managers of distributions leave there:
//!
//! | | |
//! |---|---|
//! | dpkg | `var/lib/dpkg/status`, `var/lib/dpkg/status.d/*` |
//! | apk | `lib/apk/db/installed`, `usr/lib/apk/db/installed` |
//! | rpm | `rpmdb.sqlite` in `var/lib/rpm`, `usr/lib/sysimage/rpm` or `usr/share/rpm` |
//!
//! ```
//! use aci::archive::{Compression, Entry, EntryKind, WriteOptions, write};
//! use builder::sbom::{Sbom, SbomLimits, SbomOptions};
//!
//! let manifest = br#"{"acKind": "ImageManifest", "acVersion": "0.8.11",
//!     "name": "example.com/hello", "labels": [{"name": "version", "value": "1.0.0"}]}"#;
//! let status = b"Package: hello\nStatus: install ok installed\nVersion: 2.10-3\n";
//! let entry = |path: &str, mode, kind| Entry {
//!     path: path.into(), kind, mode, uid: 0, gid: 0, mtime: 0, xattrs: Vec::new(),
//! };
//! let options = WriteOptions { compression: Compression::None, threads: 1.try_into()? };
//! let mut file = Vec::new();
//! write(&mut file, &options, |archive| {
//!     archive.manifest(manifest, 0)?;
//!     for folder in ["rootfs", "rootfs/var", "rootfs/var/lib", "rootfs/var/lib/dpkg"] {
//!         archive.entry(&entry(folder, 0o755, EntryKind::Directory))?;
//!     }
//!     let kind = EntryKind::File { size: status.len() as u64 };
//!     archive.file(&entry("rootfs/var/lib/dpkg/status", 0o644, kind), &mut &status[..])
//! })?;
//!
//! let options = SbomOptions { created: 1_700_000_000.try_into()?, files: false };
//! let sbom = Sbom::of_image(file.as_slice(), &SbomLimits::default(), &options)?;
//! let json = String::from_utf8(sbom.to_json()?)?;
//! assert!(json.contains("\"name\":\"example.com/hello:1.0.0\""));
//! assert!(json.contains("pkg:deb/debian/hello@2.10-3"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What the document says
//!
//! - The image is the package `SPDXRef-Image`, which the document describes. Its checksum is the
//!   image ID.
//! - It contains every package of every database. What stands in two databases with all the same
//!   fields is listed once.
//! - It depends on the images that its manifest names, as far as the manifest knows them.
//! - Where files are listed, every regular file is there, hard links as files of their own, with
//!   SHA-1 (which SPDX demands) and SHA-256. A file is contained in each package that says so and
//!   is in the image under that path; the others are contained in the image. Links, folders and
//!   devices are not listed.
//! - A package has `filesAnalyzed` and a verification code where it has files in the document.
//!   The image's own code is that of all files, those of packages too.
//! - A path is written as everywhere in Gantry: what is not UTF-8 as `\xff`, a control character
//!   as `\n` or `\u{1}`, and a backslash twice, so that no two paths become one.
//! - A licence is declared where the database has one, apk and rpm, or a machine-readable
//!   copyright file lies in `usr/share/doc`, dpkg; what SPDX has no name for is quoted. Nothing is
//!   concluded.
//! - What could not be read is an annotation of the document, and a [`SbomWarning`].
//!
//! The same image gives the same bytes, as long as the options are the same. The namespace of a
//! document is made of the image's name, its ID, and whether files are listed; not of the time.

mod apk;
mod collect;
mod copyright;
mod document;
mod dpkg;
mod fault;
mod files;
mod inventory;
mod license;
mod limits;
mod lines;
mod os_release;
mod package;
mod rpm;
mod spdx;
mod sums;

#[cfg(test)]
mod tests;

use std::io::Read;

use aci::archive::{InspectedImage, read_entries};

use crate::utc_time::UtcTime;
use collect::Collector;
use inventory::Inventory;

pub use fault::{DatabaseFault, SbomError, SbomWarning};
pub use limits::SbomLimits;

/// How a bill of materials is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SbomOptions {
    /// When the document is made, as it says itself.
    pub created: UtcTime,
    /// Whether each file is listed, and to which package it belongs.
    pub files: bool,
}

/// A bill of materials.
#[derive(Debug)]
pub struct Sbom {
    document: spdx::Document,
    image: InspectedImage,
    packages: usize,
    warnings: Vec<SbomWarning>,
}

impl Sbom {
    /// Reads an image file to its end, as [`aci::archive::inspect`] does, and lists what is in it.
    pub fn of_image(
        file: impl Read,
        limits: &SbomLimits,
        options: &SbomOptions,
    ) -> Result<Self, SbomError> {
        let mut collector = Collector::new(options.files, limits);
        let image =
            read_entries(file, &limits.image, |entry, content| collector.visit(entry, content))?;
        let inventory = Inventory::of(collector.finish(), limits);
        let document = document::document(&image, &inventory, options.created);
        let Inventory { packages, warnings, .. } = inventory;
        Ok(Self { document, image, packages: packages.len(), warnings })
    }

    /// The document: SPDX 2.3 in JSON, compact, without a newline at its end.
    pub fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&self.document)
    }

    /// The image that was read.
    pub fn image(&self) -> &InspectedImage {
        &self.image
    }

    /// How many packages of distributions are listed.
    pub fn packages(&self) -> usize {
        self.packages
    }

    /// How many files are listed.
    pub fn files(&self) -> usize {
        self.document.files.len()
    }

    /// What is in the image and not in the document, which says so itself.
    pub fn warnings(&self) -> &[SbomWarning] {
        &self.warnings
    }
}
