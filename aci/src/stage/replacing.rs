//! A file that takes the place of another one has what that one had besides its content.

use std::ffi::CStr;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;

use rustix::fs::XattrFlags;
use rustix::io::Errno;

use super::{Existing, StagedFile, folder_of};

const ACCESS_LIST: &CStr = c"system.posix_acl_access";
/// Attributes that say something of the content.
const OF_CONTENT: [&CStr; 3] = [c"security.capability", c"security.evm", c"security.ima"];

impl StagedFile {
    /// A new empty file that will be named `target`, with mode 0644 (less the umask). Where it
    /// replaces a file, it has what a write into that one would keep: the mode, the access list and
    /// other attributes, and, as far as the caller may give files away, owner and group. Nobody
    /// may read it who could not read that one.
    pub fn new_for(target: &Path, existing: Existing) -> io::Result<Self> {
        existing.check(target)?;
        let is_there = target.symlink_metadata().is_ok();
        let mut staged = Self::new_in(folder_of(target), if is_there { 0o600 } else { 0o644 })?;
        staged.takes_over = existing == Existing::Replace;
        staged.take_over(target)?;
        Ok(staged)
    }

    /// Gives the file what the one of this name has, where there is one.
    pub(super) fn take_over(&self, target: &Path) -> io::Result<()> {
        let Ok(old) = target.symlink_metadata() else { return Ok(()) };
        let file = self.file();
        let (uid, gid) = (old.uid(), old.gid());
        let mut mode = old.mode() & 0o777;
        if fchown(file, Some(uid), Some(gid)).is_err() && fchown(file, None, Some(gid)).is_err() {
            // Whoever was of the group is one of all others now, and the other way about.
            let both = mode >> 3 & mode & 0o007;
            mode = mode & 0o700 | both << 3 | both;
        }
        if !copy_attributes(target, file)? {
            mode &= 0o700;
        }
        file.set_permissions(Permissions::from_mode(mode))
    }
}

/// Copies what the file system, and the caller's rights, let one copy. `false` where the access list
/// is not among it, without which a mode means something else.
fn copy_attributes(old: &Path, new: &File) -> io::Result<bool> {
    // The one that the folder gives to new files is not that of the old file.
    match rustix::fs::fremovexattr(new, ACCESS_LIST) {
        Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
        Err(error) => return Err(error.into()),
    }
    // As much as the kernel gives of either (xattr(7)).
    let (mut names, mut value) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    let mut whole = true;
    let length = rustix::fs::llistxattr(old, names.as_mut_slice()).unwrap_or(0);
    for name in names[..length].split_inclusive(|&byte| byte == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
        if OF_CONTENT.contains(&name) {
            continue;
        }
        let copied = rustix::fs::lgetxattr(old, name, value.as_mut_slice())
            .and_then(|got| rustix::fs::fsetxattr(new, name, &value[..got], XattrFlags::empty()));
        whole &= copied.is_ok() || name != ACCESS_LIST;
    }
    Ok(whole)
}
