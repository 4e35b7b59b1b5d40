//! Everything that can be wrong with an image archive.

use std::fmt;
use std::io;
use std::time::Duration;

use super::{Compression, PathBytes};
use crate::manifest::ManifestError;
use crate::refusal::{Refusal, Refuse};

/// Why an image archive was not accepted, or could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Reading or writing failed; nothing is said about the image.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The first bytes are those of no format an image may have.
    #[error("the file is no image: it begins with {}", hex(.0))]
    UnknownFormat(Vec<u8>),
    /// It is encrypted, so that nobody without its passphrase can say what is in it.
    #[error("the image is encrypted")]
    Encrypted,
    /// A compressed stream inside a compressed stream.
    #[error("the {outer} stream holds a {inner} stream, not a tar")]
    Nested {
        /// The compression of the file.
        outer: Compression,
        /// What was found inside.
        inner: Compression,
    },
    /// The first bytes are those of two formats.
    #[error("the file begins both as {0} and as a plain tar")]
    Ambiguous(Compression),
    /// The compressed stream is broken.
    #[error("the {compression} stream is broken: {source}")]
    Compressed {
        /// Which compression.
        compression: Compression,
        /// What the decompressor says.
        #[source]
        source: io::Error,
    },
    /// A limit was passed.
    #[error("the image has more than {allowed} {what}")]
    Limit {
        /// What there is too much of.
        what: Limited,
        /// The limit.
        allowed: u64,
    },
    /// So few bytes unpack to so many that it can only be a bomb.
    #[error("{packed} bytes of the file unpack to more than {unpacked} bytes: a compression bomb")]
    Bomb {
        /// Bytes of the file read so far.
        packed: u64,
        /// Bytes of the archive they gave.
        unpacked: u64,
    },
    /// Reading took too long.
    #[error("reading the image took longer than {} seconds", .allowed.as_secs_f64())]
    Time {
        /// The limit.
        allowed: Duration,
    },
    /// The archive ends before it is complete.
    #[error("the archive ends early, at byte {at}, in {within}")]
    Truncated {
        /// Bytes of the archive read so far.
        at: u64,
        /// What was being read.
        within: &'static str,
    },
    /// Something follows the end of the archive.
    #[error("something follows the end of the archive, at byte {at}")]
    TrailingData {
        /// Offset in the archive.
        at: u64,
    },
    /// A header's checksum is wrong.
    #[error("the tar header at byte {at} has a wrong checksum")]
    Checksum {
        /// Offset in the archive.
        at: u64,
    },
    /// A header field holds no number, or one out of range.
    #[error("the tar header at byte {at} has no valid {field}")]
    Number {
        /// Offset in the archive.
        at: u64,
        /// Which field.
        field: &'static str,
    },
    /// An extended header is malformed, or says what no honest archive says.
    #[error("the extended tar header at byte {at} {fault}")]
    ExtendedHeader {
        /// Offset in the archive.
        at: u64,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// A type of entry that images do not have.
    #[error("{path} is of tar type {:?}, which no image may hold", char::from(*.kind))]
    EntryType {
        /// Which entry.
        path: PathBytes,
        /// Its type flag.
        kind: u8,
    },
    /// A character device 0:0, which overlay file systems take for "removed".
    #[error("{path} is the character device 0:0: an overlay's mark for a removed file")]
    Whiteout {
        /// Which entry.
        path: PathBytes,
    },
    /// A size on an entry that has no content.
    #[error("{path} has no content, but its header says {size} bytes")]
    SizeWithoutContent {
        /// Which entry.
        path: PathBytes,
        /// The size.
        size: u64,
    },
    /// A path that leaves the image, or is written in a way that tools read differently.
    #[error("the path {path} {fault}")]
    Path {
        /// The path.
        path: PathBytes,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// A path leads through an entry that is no directory, as a symlink.
    #[error("the path {path} leads through {through}, which is no directory")]
    ThroughNonDirectory {
        /// The path.
        path: PathBytes,
        /// The entry on its way.
        through: PathBytes,
    },
    /// One path twice.
    #[error("{path} is in the archive twice")]
    Duplicate {
        /// The path.
        path: PathBytes,
    },
    /// A hard link to nothing, or to something no hard link may name.
    #[error("{path} is a hard link to {target}, which {fault}")]
    HardLink {
        /// The link.
        path: PathBytes,
        /// Its target.
        target: PathBytes,
        /// What is wrong with the target.
        fault: &'static str,
    },
    /// A hard link to a file that is to be left out.
    #[error("{path} is a hard link to {target}, which is to be left out")]
    ExcludedTarget {
        /// The link.
        path: PathBytes,
        /// The file that is left out.
        target: PathBytes,
    },
    /// A top-level entry besides `manifest` and `rootfs`.
    #[error("{path} is neither \"manifest\" nor in \"rootfs\"")]
    TopLevel {
        /// The path.
        path: PathBytes,
    },
    /// `manifest` or `rootfs` is something else than it must be.
    #[error("{path} is {found}, not {wanted}")]
    LayoutType {
        /// `manifest` or `rootfs`.
        path: PathBytes,
        /// What it must be.
        wanted: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// `manifest` or `rootfs` is absent.
    #[error("the archive has no {0:?}")]
    Absent(&'static str),
    /// The manifest is not acceptable.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// What there can be too much of. Each has a code of its own in a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limited {
    /// Bytes of the file.
    FileBytes,
    /// Bytes of the uncompressed archive.
    TarBytes,
    /// Entries, and folders that only paths name.
    Entries,
    /// Bytes of the manifest.
    ManifestBytes,
    /// Bytes of one path or link target.
    PathBytes,
    /// Segments of one path.
    PathDepth,
    /// Bytes of one segment of a path.
    NameBytes,
    /// Bytes of one extended header.
    HeaderBytes,
    /// Bytes of one extended attribute's value.
    XattrBytes,
}

impl Limited {
    fn code(self) -> &'static str {
        match self {
            Self::FileBytes => "image-too-large",
            Self::TarBytes => "image-unpacked-too-large",
            Self::Entries => "image-too-many-entries",
            Self::ManifestBytes => "manifest-too-large",
            Self::PathBytes => "image-path-too-long",
            Self::PathDepth => "image-path-too-deep",
            Self::NameBytes => "image-name-too-long",
            Self::HeaderBytes => "image-header-too-large",
            Self::XattrBytes => "image-xattr-too-large",
        }
    }
}

impl fmt::Display for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FileBytes => "bytes in its file",
            Self::TarBytes => "bytes when unpacked",
            Self::Entries => "entries, folders that only paths name included",
            Self::ManifestBytes => "bytes in its manifest",
            Self::PathBytes => "bytes in one path",
            Self::PathDepth => "segments in one path",
            Self::NameBytes => "bytes in one segment of a path",
            Self::HeaderBytes => "bytes in one extended header",
            Self::XattrBytes => "bytes in one extended attribute",
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "nothing at all".to_owned();
    }
    bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" ")
}

const ASK_AUTHOR: &str = "do not use this file; fetch it again, or ask its author for a sound one";

impl Refuse for ArchiveError {
    fn refusal(&self) -> Refusal {
        use ArchiveError as E;
        let (code, wanted, rule, next) = match self {
            E::Io(_) => (
                "io",
                "a file that can be read, and room for what is written",
                "reading comes before judging: nothing is said about the image",
                "see to what the system says, then try again",
            ),
            E::Encrypted => (
                "image-encrypted",
                "an image that whoever takes it in can read: name, labels and content",
                "an image is verified before it is visible (spec: aci.md, Image Archives)",
                "decrypt it with gpg -d, or name its passphrase where the command takes one",
            ),
            E::UnknownFormat(_) | E::Nested { .. } | E::Ambiguous(_) => (
                "image-format",
                "a tar, plain or compressed by gzip, bzip2, xz or zstd",
                "the first bytes tell the format, never the name (spec: aci.md, Image Archives)",
                "check that this is an image and not an error page or a signature",
            ),
            E::Compressed { .. } | E::Truncated { .. } => (
                "image-truncated",
                "a whole archive, to its last byte",
                "an image is read to its end before any of it is used",
                "fetch it again; if it stays so, ask its author for a sound one",
            ),
            E::Limit { what, .. } => (
                what.code(),
                "an image within the limits of whoever reads it",
                "everything from outside has a limit",
                "make the image smaller, or raise the limit where you trust the author",
            ),
            E::Bomb { .. } => (
                "image-bomb",
                "an archive that unpacks to a sensible size",
                "the ratio of unpacked to packed bytes is limited",
                ASK_AUTHOR,
            ),
            E::Time { .. } => (
                "image-time",
                "an image that can be read in the time given",
                "who reads an image may say how long it may take",
                "allow more time where the line or the disk is slow",
            ),
            E::TrailingData { .. }
            | E::Checksum { .. }
            | E::Number { .. }
            | E::ExtendedHeader { .. }
            | E::SizeWithoutContent { .. } => (
                "image-tar",
                "a tar archive that every tool reads the same way",
                "what two tools read differently is refused (POSIX pax; spec: aci.md)",
                ASK_AUTHOR,
            ),
            E::EntryType { .. } | E::Whiteout { .. } => (
                "image-entry-type",
                "files, directories, links, devices and pipes",
                "other tar types, and an overlay's marks, have no meaning in an image",
                "pack the tree again: mounted, without sparse or multi-volume options",
            ),
            E::Path { .. } | E::ThroughNonDirectory { .. } => (
                "image-path",
                "relative paths of plain segments, through directories only",
                "no path of an image may lead out of it",
                ASK_AUTHOR,
            ),
            E::Duplicate { .. } => (
                "image-duplicate",
                "each path once",
                "an archive has no duplicate entries (spec: aci.md, Image Archives)",
                "pack the tree again",
            ),
            E::HardLink { .. } => (
                "image-hard-link",
                "hard links to earlier files of the same image",
                "no link of an image may lead out of it",
                ASK_AUTHOR,
            ),
            E::ExcludedTarget { .. } => (
                "excluded-link-target",
                "patterns that leave out all names of a file or none",
                "the content stands in the archive once, at the name that is left out",
                "exclude the link as well, or neither",
            ),
            E::TopLevel { .. } | E::LayoutType { .. } | E::Absent(_) => (
                "image-layout",
                "a regular file \"manifest\" and a directory \"rootfs\", and nothing else beside them",
                "an image has two top-level entries (spec: aci.md, Image Archives)",
                "pack it with `gantry pack`, or ask its author for a sound one",
            ),
            E::Manifest(_) => (
                "manifest-invalid",
                "an image manifest that every tool reads the same way",
                "the manifest is checked before anything in it is believed (spec: aci.md)",
                "correct the manifest and pack the image again",
            ),
        };
        Refusal {
            code: code.to_owned(),
            message: match self {
                E::Io(error) => format!("reading or writing failed: {error}"),
                _ => "the image was refused".to_owned(),
            },
            wanted: wanted.to_owned(),
            found: self.to_string(),
            rule: rule.to_owned(),
            next: next.to_owned(),
        }
    }
}
