//! Which extended attributes go into an image, and in which form (profile v1).

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use aci::archive::move_attribute_ids;
use rustix::io::Errno;

use crate::capability::NAME as CAPABILITY;

/// Where attributes are read from.
pub(crate) enum From<'a> {
    /// Something open: what is read is what is packed.
    Open(BorrowedFd<'a>),
    /// A path, its last segment not followed.
    Path(&'a Path),
}

/// The attributes that belong into an image, sorted by name.
pub(crate) fn read(from: &From<'_>) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let names = match sized(|buffer| from.list(buffer)) {
        // A file system without attributes.
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        other => other?,
    };
    let mut all = Vec::new();
    for name in names.split(|&b| b == 0).filter(|name| belongs(name)) {
        // The key of an extended header ends at its first "=": what follows it would be read
        // as the beginning of the value.
        if name.contains(&b'=') {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "its extended attribute \"{}\" has a \"=\" in its name, which no archive can hold",
                    name.escape_ascii()
                ),
            ));
        }
        let value = sized(|buffer| from.value(name, buffer))?;
        all.push((name.to_vec(), if name == CAPABILITY { as_version_2(value) } else { value }));
    }
    all.sort();
    Ok(all)
}

/// File capabilities, POSIX access lists and the user's own attributes belong to a
/// file. Labels of the host's security modules, and what overlayfs and rootless
/// tools note for themselves, belong to the machine it lies on.
pub(crate) fn belongs(name: &[u8]) -> bool {
    name == CAPABILITY
        || name == b"system.posix_acl_access"
        || name == b"system.posix_acl_default"
        || (name.starts_with(b"user.")
            && !name.starts_with(b"user.overlay.")
            && name != b"user.rootlesscontainers")
}

/// A version 3 capability whose root is 0 says the same as a version 2 one
/// (linux/capability.h): which of the two the kernel hands out depends on who
/// wrote it, and would leak into the image.
fn as_version_2(value: Vec<u8>) -> Vec<u8> {
    match move_attribute_ids(CAPABILITY, &value, Some, Some) {
        Some(same) => same.into_owned(),
        None => value,
    }
}

impl From<'_> {
    fn list(&self, buffer: &mut [u8]) -> rustix::io::Result<usize> {
        match self {
            Self::Open(open) => rustix::fs::flistxattr(open, buffer),
            Self::Path(path) => rustix::fs::llistxattr(*path, buffer),
        }
    }

    fn value(&self, name: &[u8], buffer: &mut [u8]) -> rustix::io::Result<usize> {
        match self {
            Self::Open(open) => rustix::fs::fgetxattr(open, name, buffer),
            Self::Path(path) => rustix::fs::lgetxattr(*path, name, buffer),
        }
    }
}

/// Gives the call more room until all fits. The kernel's own limit is 64 KiB.
fn sized(
    mut call: impl FnMut(&mut [u8]) -> rustix::io::Result<usize>,
) -> rustix::io::Result<Vec<u8>> {
    let mut bytes = vec![0; 1024];
    loop {
        match call(&mut bytes) {
            Err(Errno::RANGE) if bytes.len() < 1 << 20 => bytes.resize(bytes.len() * 4, 0),
            Err(error) => return Err(error),
            Ok(got) => {
                bytes.truncate(got);
                return Ok(bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capability_of_version_3_becomes_version_2_where_they_say_the_same() {
        let mut v3 = vec![0; 24];
        v3[3] = 3;
        v3[0] = 1;
        let v2 = as_version_2(v3.clone());
        assert_eq!((v2.len(), v2[3], v2[0]), (20, 2, 1));
        v3[20] = 1;
        assert_eq!(as_version_2(v3.clone()), v3, "another root is another meaning");
    }

    #[test]
    fn attributes_of_the_machine_stay_there() {
        for name in [
            "security.selinux",
            "security.ima",
            "trusted.overlay.opaque",
            "user.overlay.x",
            "user.rootlesscontainers",
            "",
        ] {
            assert!(!belongs(name.as_bytes()), "{name}");
        }
        for name in ["security.capability", "user.note", "system.posix_acl_default"] {
            assert!(belongs(name.as_bytes()), "{name}");
        }
    }
}
