//! What the user of a packed image should know.

use std::fmt;

use crate::exec::ExecWarning;

/// Something that is no error, and perhaps not what was meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// So many names begin with `.wh.`, which layered formats take for deletions.
    WhiteoutNames(u64),
    /// So many extended attributes are empty, which some readers take for absent.
    EmptyAttributes(u64),
    /// So many files belong to the user that stands for all unknown ones in this user namespace.
    UnknownOwners(u64),
    /// There is a context of acbuild in the tree.
    BuildContext,
    /// Readers with the default limits take the image for a compression bomb.
    LooksLikeABomb,
    /// The program that the manifest names cannot be run.
    Exec(ExecWarning),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WhiteoutNames(count) => write!(
                f,
                "{count} names begin with \".wh.\": layered image formats take them for deletions"
            ),
            Self::EmptyAttributes(count) => write!(
                f,
                "{count} extended attributes are empty: some readers take them for absent"
            ),
            Self::UnknownOwners(count) => write!(
                f,
                "{count} files seem to belong to somebody that this user namespace has no ID for: \
                 give --owner or --owner-map if the image must not have them as \"nobody\""
            ),
            Self::BuildContext => f.write_str(
                "the tree has a build context, .acbuild, which was packed: give --ignore /.acbuild \
                 to leave it out",
            ),
            Self::LooksLikeABomb => f.write_str(
                "the image unpacks to so many more bytes than it has that readers will take it for \
                 a compression bomb; pack it with --compression none",
            ),
            Self::Exec(warning) => write!(f, "{warning}"),
        }
    }
}
