//! Modification times.

use std::os::unix::fs::MetadataExt;

use builder::PackOptions;

use crate::support::{mount, options, pack, packed, set_time, tree, with_own_mounts};

const YEAR_2400: i64 = 13_569_465_600;

/// Times of files, named by their place here, on a file system that takes every one.
const TIMES: [(i64, i64); 10] = [
    (-1, 0),
    (0, 0),
    (1 << 31, 0),
    (1 << 33, 0),
    (YEAR_2400, 0),
    (1_000_000_000, 500_000_000),
    (1_000_000_000, 999_999_999),
    (-2, 500_000_000),
    (i64::MAX, 999_999_999),
    (i64::MIN, 1),
];

fn stamped() -> tempfile::TempDir {
    let tree = tree(&[]);
    mount(&["-t", "tmpfs", "tmpfs"], tree.path());
    for (at, (seconds, nanoseconds)) in TIMES.into_iter().enumerate() {
        let path = tree.path().join(at.to_string());
        std::fs::write(&path, "").unwrap();
        set_time(&path, seconds, nanoseconds);
    }
    tree
}

#[test]
fn time_is_exact_to_the_second_and_never_rounded_up() {
    if !with_own_mounts(this_test!()) {
        return;
    }
    let tree = stamped();
    let all = packed(&options(tree.path()));
    for (at, (seconds, _)) in TIMES.into_iter().enumerate() {
        let seen = &all[format!("rootfs/{at}").as_bytes()];
        assert_eq!(seen.real_mtime(), seconds, "{at}");
        let fits = (0..1 << 33).contains(&seconds);
        assert_eq!(seen.pax("mtime").is_none(), fits, "{at}");
    }
    assert_eq!(all[&b"manifest"[..]].real_mtime(), i64::MAX, "the newest of all");
}

#[test]
fn time_is_clamped_to_the_epoch_given() {
    if !with_own_mounts(this_test!()) {
        return;
    }
    let tree = stamped();
    let epoch = 1_000_000_000;
    let all = packed(&PackOptions { source_date_epoch: Some(epoch), ..options(tree.path()) });
    for (at, (seconds, _)) in TIMES.into_iter().enumerate() {
        assert_eq!(all[format!("rootfs/{at}").as_bytes()].real_mtime(), seconds.min(epoch));
    }
    assert_eq!(all[&b"manifest"[..]].real_mtime(), epoch);
}

#[test]
fn source_keeps_its_access_times() {
    if !with_own_mounts(this_test!()) {
        return;
    }
    let tree = tree(&[]);
    // Every look at a file would be a new access time.
    mount(&["-t", "tmpfs", "-o", "strictatime", "tmpfs"], tree.path());
    let paths = ["", "a", "a/f", "g"].map(|path| tree.path().join(path));
    std::fs::create_dir(&paths[1]).unwrap();
    std::fs::write(&paths[2], "f").unwrap();
    std::fs::write(&paths[3], "g").unwrap();
    for path in paths.iter().rev() {
        set_time(path, 1_000_000, 0);
    }
    let state = || {
        paths.each_ref().map(|path| {
            let m = path.symlink_metadata().unwrap();
            (m.atime(), m.atime_nsec(), m.mtime(), m.ctime(), m.ctime_nsec(), m.mode())
        })
    };
    let before = state();
    assert_eq!(before[0].0, 1_000_000);
    pack(&options(tree.path())).unwrap();
    assert_eq!(state(), before);
    std::fs::read(&paths[2]).unwrap();
    std::fs::read_dir(&paths[1]).unwrap().count();
    let after = state();
    assert!(after[1] != before[1] && after[2] != before[2], "it would have been seen");
}

#[test]
fn source_that_is_read_only_is_packed() {
    if !with_own_mounts(this_test!()) {
        return;
    }
    let tree = tree(&[]);
    mount(&["-t", "tmpfs", "tmpfs"], tree.path());
    std::fs::write(tree.path().join("f"), "f").unwrap();
    let (before, _) = pack(&options(tree.path())).unwrap();
    mount(&["-o", "remount,bind,ro"], tree.path());
    assert!(std::fs::write(tree.path().join("new"), "").is_err());
    assert!(pack(&options(tree.path())).unwrap().0 == before);
}
