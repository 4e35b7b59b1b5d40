use std::fs;
use std::os::unix::fs::symlink;

use super::*;

/// Finds the only file of a tree, changes the tree, and goes on with what was found.
fn packed_after(change: impl FnOnce(&Path)) -> Result<(), PackError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    fs::write(&path, "content").unwrap();
    let (owner, overrides, ignore) = (Owner::Keep, Overrides::default(), Ignore::default());
    let tree = Tree {
        root: folder.path(),
        owner: &owner,
        overrides: &overrides,
        only: None,
        recorded: None,
        keeps_ignore_file: false,
        ignore: &ignore,
        latest: None,
        skip_sockets: false,
        one_file_system: false,
        destination: None,
        output: None,
    };
    let found = tree.walk().last().unwrap().unwrap();
    assert_eq!(found.below, b"f");
    change(&path);
    let packed = tree.file(found, &mut |_, content| content.unwrap().read(|_| Ok(())));
    if let Err(error) = &packed {
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
    packed
}

#[test]
fn file_that_stays_is_packed() {
    packed_after(|_| ()).unwrap();
}

#[test]
fn file_that_vanishes_before_it_is_opened_is_refused() {
    let error = packed_after(|path| fs::remove_file(path).unwrap()).unwrap_err();
    let PackError::Read { source, .. } = error else { panic!("{error}") };
    assert_eq!(source.kind(), io::ErrorKind::NotFound);
}

#[test]
fn file_replaced_by_a_symlink_is_refused() {
    let error = packed_after(|path| {
        fs::rename(path, path.with_file_name("g")).unwrap();
        symlink("g", path).unwrap();
    });
    assert!(matches!(error, Err(PackError::Read { .. })), "{error:?}");
}

#[test]
fn file_replaced_by_a_fifo_is_refused() {
    let error = packed_after(|path| {
        fs::remove_file(path).unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o644);
        rustix::fs::mknodat(rustix::fs::CWD, path, FileType::Fifo, mode, 0).unwrap();
    });
    assert!(matches!(error, Err(PackError::Changed { .. })), "{error:?}");
}

#[test]
fn file_replaced_by_another_is_refused() {
    let error = packed_after(|path| {
        let other = path.with_file_name("g");
        fs::write(&other, "content").unwrap();
        fs::rename(other, path).unwrap();
    });
    assert!(matches!(error, Err(PackError::Changed { .. })), "{error:?}");
}
