//! Removing a tree of somebody else's making: of any depth, with folders that are shut.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags};
use rustix::io::Errno;

const FOLDER: OFlags =
    OFlags::DIRECTORY.union(OFlags::RDONLY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Removes a folder and all below it, following no link.
///
/// An image may hold folders that nobody may enter, two thousand of them one in another:
/// more than a process may have open. So the folders inside a folder are brought up to the
/// top before it is removed, and the tree never gets deeper than two.
pub(super) fn remove_tree(path: &Path) -> io::Result<()> {
    let top = open(CWD, path)?;
    let mut number = 0_u64;
    each(&top, |name| {
        if unlink(&top, name)? {
            return Ok(());
        }
        let folder = open(&top, name.as_c_str())?;
        each(&folder, |child| match unlink(&folder, child)? {
            true => Ok(()),
            false => raise(&folder, child, &top, &mut number),
        })?;
        Ok(rustix::fs::unlinkat(&top, name, AtFlags::REMOVEDIR)?)
    })?;
    Ok(rustix::fs::rmdir(path)?)
}

/// Names taken at a time: a folder may hold a million.
const NAMES: usize = 10_000;

/// Has every entry of a folder taken out of it, those that come in meanwhile included.
fn each(folder: &OwnedFd, mut take_out: impl FnMut(&CString) -> io::Result<()>) -> io::Result<()> {
    loop {
        let names = names(folder)?;
        if names.is_empty() {
            return Ok(());
        }
        names.iter().try_for_each(&mut take_out)?;
    }
}

/// Opens a folder with all rights the caller can give himself.
fn open(parent: impl AsFd, name: impl rustix::path::Arg) -> io::Result<OwnedFd> {
    let name = name.into_c_str()?;
    let folder = match rustix::fs::openat(&parent, &*name, FOLDER, Mode::empty()) {
        Err(Errno::ACCESS) => {
            // By way of an open folder: a link may have been put in the place of the name.
            let handle = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let handle = rustix::fs::openat(&parent, &*name, handle, Mode::empty())?;
            let opened = format!("/proc/self/fd/{}", handle.as_raw_fd());
            rustix::fs::chmodat(CWD, opened, Mode::RWXU, AtFlags::empty())?;
            rustix::fs::openat(&parent, &*name, FOLDER, Mode::empty())?
        }
        other => other?,
    };
    let mode = rustix::fs::fstat(&folder)?.st_mode;
    if mode & 0o700 != 0o700 {
        rustix::fs::fchmod(&folder, Mode::RWXU)?;
    }
    Ok(folder)
}

fn names(folder: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        if names.len() == NAMES {
            break;
        }
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}

/// Removes what is no folder; `false` where it is one.
fn unlink(parent: &OwnedFd, name: &CString) -> io::Result<bool> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::ISDIR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Gives a folder a new name at the top. Its own rights are needed for that, too.
fn raise(parent: &OwnedFd, name: &CString, top: &OwnedFd, number: &mut u64) -> io::Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Err(Errno::NOTEMPTY | Errno::EXIST | Errno::ACCESS) => {}
        other => return Ok(other?),
    }
    drop(open(parent, name.as_c_str())?);
    loop {
        *number += 1;
        let flags = rustix::fs::RenameFlags::NOREPLACE;
        match rustix::fs::renameat_with(parent, name, top, format!("{number}"), flags) {
            Err(Errno::EXIST) => {}
            other => return Ok(other?),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn remove_takes_a_tree_of_any_depth_and_follows_no_link() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().join("top");
        fs::create_dir(&top).unwrap();
        fs::create_dir(folder.path().join("kept")).unwrap();
        fs::write(folder.path().join("kept/file"), b"x").unwrap();
        let mut deep = open(CWD, &top).unwrap();
        for n in 0..3000 {
            fs::write(format!("/proc/self/fd/{}/file", deep.as_raw_fd()), b"x").unwrap();
            // A name that raising gives out, too.
            let name = if n % 2 == 0 { "1" } else { "d" };
            rustix::fs::mkdirat(&deep, name, Mode::RWXU).unwrap();
            deep = open(&deep, name).unwrap();
        }
        drop(deep);
        std::os::unix::fs::symlink(folder.path().join("kept"), top.join("link")).unwrap();
        let shut = top.join("shut");
        fs::create_dir_all(shut.join("inner/inner")).unwrap();
        fs::set_permissions(&shut, fs::Permissions::from_mode(0o000)).unwrap();
        remove_tree(&top).unwrap();
        assert!(!top.exists());
        assert!(folder.path().join("kept/file").exists());
    }
}
