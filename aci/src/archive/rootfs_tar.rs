//! A plain tar of a root file system: what debootstrap, `docker export` and tar itself make.
//!
//! The same strict reader and the same rules as for images, but for the layout: all that is in the
//! archive is the rootfs. Paths may begin with `./`; each entry is shown as `rootfs/…`.

use std::io::Read;

use super::decompress::{Hashing, from_io};
use super::entry::{Entry, EntryKind, PathBytes};
use super::inspect::{Content, close, open};
use super::layout::Layout;
use super::read::TarReader;
use super::{ArchiveError, Compression};
use crate::digest::FileDigest;
use crate::limits::Limits;

/// A plain tar that was read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootfsTar {
    /// SHA-512 of the file as it was read.
    pub file_digest: FileDigest,
    /// Bytes of the file as it was read.
    pub file_bytes: u64,
    /// How it is compressed.
    pub compression: Compression,
}

/// Reads a plain tar of a root file system, and shows each entry as one of a rootfs. An entry for
/// the root itself comes first, also where the archive has none. What `visit` leaves of an entry's
/// content is skipped.
pub fn read_rootfs_tar<E: From<ArchiveError>>(
    file: impl Read,
    limits: &Limits,
    mut visit: impl FnMut(Entry, &mut Content<'_>) -> Result<(), E>,
) -> Result<RootfsTar, E> {
    let (archive, compression) = open(file, Hashing::Wanted, limits)?;
    let mut tar = TarReader::new(archive, limits);
    let mut layout = Layout::new(limits);
    let cause = |error| match error {
        ArchiveError::Io(error) => from_io(error, compression),
        other => other,
    };
    let mut has_root = false;
    while let Some(mut entry) = tar.next().map_err(cause)? {
        entry.path = below_rootfs(&entry.path)?;
        if let EntryKind::HardLink { target } = &entry.kind {
            entry.kind = EntryKind::HardLink { target: below_rootfs(target)? };
        }
        if !has_root {
            has_root = true;
            let mut root = Entry::root();
            if layout_path(&entry.path) != root.path.0 {
                layout.admit(&mut root)?;
                visit(root, &mut Content(&mut |_| Ok(0)))?;
            }
        }
        layout.admit(&mut entry)?;
        visit(entry, &mut Content(&mut |buffer| tar.read_content(buffer).map_err(cause)))?;
    }
    layout.finish()?;
    let sums = close(tar.into_inner(), None)?;
    Ok(RootfsTar { file_digest: sums.file_digest, file_bytes: sums.file_bytes, compression })
}

fn layout_path(path: &PathBytes) -> &[u8] {
    path.0.strip_suffix(b"/").unwrap_or(&path.0)
}

/// `rootfs/bin/sh` for `./bin/sh`. What is wrong with the rest of the path, the layout rules tell.
fn below_rootfs(path: &PathBytes) -> Result<PathBytes, ArchiveError> {
    // A tar may have been made with absolute names; where they lead is not for the archive to say.
    if path.0.starts_with(b"/") {
        return Err(ArchiveError::Path { path: path.clone(), fault: "is absolute" });
    }
    let below = path.0.strip_prefix(b"./").unwrap_or(&path.0);
    if below.is_empty() || below == b"." {
        return Ok("rootfs".into());
    }
    Ok(PathBytes([b"rootfs/", below].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(names: &[(&str, tar::EntryType)]) -> Result<Vec<String>, ArchiveError> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, kind) in names {
            let mut header = tar::Header::new_ustar();
            header.set_entry_type(*kind);
            header.set_size(0);
            header.set_mode(0o755);
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            builder.append(&header, std::io::empty()).unwrap();
        }
        let bytes = builder.into_inner().unwrap();
        let mut seen = Vec::new();
        read_rootfs_tar(bytes.as_slice(), &Limits::default(), |entry, _| {
            seen.push(entry.path.to_string());
            Ok::<(), ArchiveError>(())
        })?;
        Ok(seen)
    }

    #[test]
    fn entries_are_those_of_a_rootfs_with_its_root_first() {
        use tar::EntryType::{Directory, Regular};
        let wanted = ["rootfs", "rootfs/etc", "rootfs/etc/a"];
        let with_root = [("./", Directory), ("./etc/", Directory), ("./etc/a", Regular)];
        assert_eq!(entries(&with_root).unwrap(), wanted);
        assert_eq!(entries(&[("etc/", Directory), ("etc/a", Regular)]).unwrap(), wanted);
    }

    #[test]
    fn paths_that_lead_out_are_refused() {
        for bad in ["/etc/passwd", "../x", "a/../../x", "a//b"] {
            let found = entries(&[(bad, tar::EntryType::Regular)]);
            assert!(matches!(found, Err(ArchiveError::Path { .. })), "{bad}: {found:?}");
        }
    }
}
