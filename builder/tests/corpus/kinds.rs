//! Sockets, pipes, devices, and modes.

use std::os::unix::net::UnixListener;

use builder::{PackOptions, ProblemKind};
use rustix::fs::FileType;

use crate::support::{
    as_somebody, below, kinds, make_node, options, pack, packed, problems, root_for, set_mode, tree,
};

#[test]
fn sockets_are_refused_all_at_once() {
    let tree = tree(&["a/", "f"]);
    let paths = ["a/one.sock", "two.sock"].map(|path| tree.path().join(path));
    let _listening = paths.each_ref().map(|path| UnixListener::bind(path).unwrap());
    let problems = problems(&options(tree.path()));
    let wanted: Vec<_> = paths.iter().map(|path| (path.as_path(), &ProblemKind::Socket)).collect();
    assert_eq!(kinds(&problems), wanted);
    assert!(problems[0].to_string().contains("--skip-sockets"));
}

#[test]
fn sockets_are_left_out_and_counted_where_that_is_wanted() {
    let tree = tree(&["a/", "f"]);
    let paths = ["a/one.sock", "two.sock"].map(|path| tree.path().join(path));
    let _listening = paths.each_ref().map(|path| UnixListener::bind(path).unwrap());
    let skipping = PackOptions { skip_sockets: true, ..options(tree.path()) };
    let (bytes, packed) = pack(&skipping).unwrap();
    assert_eq!(packed.sockets_left_out, 2);
    assert_eq!(below(&bytes), ["a", "f"]);
}

#[test]
fn fifo_is_kept_and_not_opened() {
    let tree = tree(&[]);
    make_node(&tree.path().join("pipe"), FileType::Fifo, (0, 0));
    let all = packed(&options(tree.path()));
    assert_eq!(all[&b"rootfs/pipe"[..]].kind, tar::EntryType::Fifo);
}

#[test]
fn character_device_is_kept() {
    if !root_for("make a device") {
        return;
    }
    let tree = tree(&[]);
    make_node(&tree.path().join("null"), FileType::CharacterDevice, (1, 3));
    let seen = &packed(&options(tree.path()))[&b"rootfs/null"[..]];
    assert_eq!((seen.kind, seen.device), (tar::EntryType::Char, Some((1, 3))));
}

#[test]
fn block_device_of_large_numbers_is_kept() {
    if !root_for("make a device") {
        return;
    }
    let tree = tree(&[]);
    let devices = [(8, 0), (259, 65_536), (4095, 1_048_575)];
    for (at, device) in devices.into_iter().enumerate() {
        make_node(&tree.path().join(at.to_string()), FileType::BlockDevice, device);
    }
    let all = packed(&options(tree.path()));
    for (at, device) in devices.into_iter().enumerate() {
        let seen = &all[format!("rootfs/{at}").as_bytes()];
        assert_eq!((seen.kind, seen.device), (tar::EntryType::Block, Some(device)));
    }
}

#[test]
fn character_device_0_0_is_refused_as_a_whiteout() {
    if !root_for("make a device") {
        return;
    }
    let tree = tree(&["f"]);
    let gone = tree.path().join("gone");
    make_node(&gone, FileType::CharacterDevice, (0, 0));
    let problems = problems(&options(tree.path()));
    assert_eq!(kinds(&problems), [(gone.as_path(), &ProblemKind::Whiteout)]);
}

#[test]
fn mode_with_set_id_and_sticky_bits_is_kept() {
    let tree = tree(&["uid", "gid", "both", "sticky/"]);
    let modes = [("uid", 0o4755), ("gid", 0o2711), ("both", 0o6700), ("sticky", 0o1777)];
    for (name, mode) in modes {
        set_mode(&tree.path().join(name), mode);
    }
    let all = packed(&options(tree.path()));
    for (name, mode) in modes {
        assert_eq!(all[format!("rootfs/{name}").as_bytes()].mode, mode);
    }
}

#[test]
fn mode_0000_of_file_and_folder_is_kept() {
    if !root_for("read what nobody may") {
        return;
    }
    let tree = tree(&["file", "folder/inside"]);
    for name in ["file", "folder"] {
        set_mode(&tree.path().join(name), 0);
    }
    let all = packed(&options(tree.path()));
    for name in ["rootfs/file", "rootfs/folder"] {
        assert_eq!(all[name.as_bytes()].mode, 0);
    }
    assert_eq!(all[&b"rootfs/folder/inside"[..]].content, b"folder/inside");
}

#[test]
fn unreadable_files_are_named_all_at_once() {
    if !as_somebody(this_test!()) {
        return;
    }
    let tree = tree(&["a/closed", "b/f", "c/list", "open", "shut"]);
    for (name, mode) in [("a/closed", 0), ("b", 0), ("c", 0o444), ("shut", 0o200)] {
        set_mode(&tree.path().join(name), mode);
    }
    let problems = problems(&options(tree.path()));
    for (name, mode) in [("b", 0o755), ("c", 0o755)] {
        set_mode(&tree.path().join(name), mode);
    }
    let found: Vec<_> = problems.iter().map(|problem| problem.path.as_path()).collect();
    let wanted = ["a/closed", "b", "c/list", "shut"].map(|name| tree.path().join(name));
    assert_eq!(found, wanted.each_ref().map(|path| path.as_path()));
    for problem in &problems {
        assert!(problem.to_string().to_lowercase().contains("permission denied"), "{problem}");
    }
}
