//! Limits on what is read of an image for its bill of materials.

/// How much of each thing is read. Passed in by whoever reads, as [`aci::Limits`] are.
///
/// A database of packages that is beyond one of them is named as not read; it never becomes a
/// shorter list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SbomLimits {
    /// What the image may have.
    pub image: aci::Limits,
    /// Bytes of one database of packages, or of one list of files.
    pub database_bytes: u64,
    /// Bytes of all of them together: so much memory is taken, and at worst a few times that for
    /// what they say.
    pub databases_bytes: u64,
    /// Bytes of one line of a text database.
    pub line_bytes: usize,
    /// Packages of one database.
    pub packages: usize,
    /// Regular files and symbolic links of the image, where files are listed.
    pub files: usize,
    /// Files that the packages of one database have, one of several packages counted for each.
    pub owned_files: usize,
}

impl Default for SbomLimits {
    /// 128 MiB a database and 256 MiB together, lines of 1 MiB, 100,000 packages, 1,000,000 files
    /// and links, 2,000,000 files of packages.
    fn default() -> Self {
        const MIB: u64 = 1 << 20;
        Self {
            image: aci::Limits::default(),
            database_bytes: 128 * MIB,
            databases_bytes: 256 * MIB,
            line_bytes: 1 << 20,
            packages: 100_000,
            files: 1_000_000,
            owned_files: 2_000_000,
        }
    }
}
