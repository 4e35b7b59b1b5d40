//! Limits on everything that comes from outside.

use std::time::Duration;

/// How much of each thing an image may have. Passed in by whoever reads, never assumed.
///
/// The defaults hold every image seen in the wild with room to spare; a server
/// or a client with other needs passes its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the image file as it lies on disk or comes over the wire.
    pub file_bytes: u64,
    /// Bytes of the uncompressed archive.
    pub tar_bytes: u64,
    /// Uncompressed bytes for each compressed one, judged once `ratio_floor` is passed.
    pub ratio: u64,
    /// Uncompressed bytes up to which no ratio is judged.
    pub ratio_floor: u64,
    /// Bytes that undoing the compression may keep: the window of zstd, the memory of xz.
    pub decoder_bytes: u64,
    /// Entries of the archive, and folders that only the paths below them name.
    pub entries: u64,
    /// Bytes of the image manifest.
    pub manifest_bytes: u64,
    /// Bytes of one path or link target.
    pub path_bytes: usize,
    /// Segments of one path.
    pub path_depth: usize,
    /// Bytes of one segment of a path.
    pub name_bytes: usize,
    /// Bytes of one extended header: its long names and extended attributes together.
    pub header_bytes: u64,
    /// Images that depend on each other in one line, from the one that is rendered down.
    pub dependency_depth: usize,
    /// Dependencies that are looked at to render an image, one that several images name
    /// counted as often.
    pub dependencies: u64,
    /// Entries that are looked at to render an image with its dependencies, and paths that
    /// this gives.
    pub plan_entries: u64,
    /// Bytes of one extended attribute's value.
    pub xattr_bytes: usize,
    /// How long reading an image may take, where somebody set a limit: a slow line is no
    /// fault of the image. Looked at between two reads.
    pub time: Option<Duration>,
    /// Bytes of a detached signature file.
    pub signature_bytes: u64,
    /// Bytes of a file of public keys.
    pub key_bytes: u64,
    /// Bytes of one discovery page.
    pub page_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: u64 = 1 << 20;
        Self {
            file_bytes: 16 << 30,
            tar_bytes: 64 << 30,
            ratio: 200,
            ratio_floor: 64 * MIB,
            // What `xz -9` needs and more, and what zstd accepts without being told otherwise.
            decoder_bytes: 128 * MIB,
            entries: 2_000_000,
            manifest_bytes: MIB,
            // What Linux takes: PATH_MAX less its NUL, NAME_MAX, XATTR_SIZE_MAX.
            path_bytes: 4095,
            path_depth: 2048,
            name_bytes: 255,
            header_bytes: MIB,
            dependency_depth: 256,
            dependencies: 1000,
            plan_entries: 4_000_000,
            xattr_bytes: 64 << 10,
            time: None,
            signature_bytes: 256 << 10,
            key_bytes: MIB,
            page_bytes: MIB,
        }
    }
}
