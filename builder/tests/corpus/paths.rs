//! Paths, names and the targets of symlinks.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use builder::{Source, Warning};
use rustix::fs::FileType;

use crate::support::{DeepTree, below, entries, make_node, options, pack, packed, tree};

#[test]
fn path_length_uses_ustar_fields_then_pax() {
    // In the archive, with `rootfs/` before them: 100, 101, 155 + 100, 256 bytes, and a name of
    // 101, which has no slash to be split at.
    let split = format!("{}/{}", "d".repeat(147), "f".repeat(100));
    let over = format!("{}/{}", "e".repeat(149), "f".repeat(99));
    let cases = [
        ("a".repeat(93), false),
        (format!("d/{}", "b".repeat(92)), false),
        (split, false),
        (over, true),
        ("c".repeat(101), true),
    ];
    let lengths: Vec<_> = cases.iter().map(|(path, _)| 7 + path.len()).collect();
    assert_eq!(lengths, [100, 101, 255, 256, 108]);
    let files: Vec<_> = cases.iter().map(|(path, _)| path.as_str()).collect();
    let tree = tree(&files);
    let all = packed(&options(tree.path()));
    for (path, is_pax) in &cases {
        let seen = &all[format!("rootfs/{path}").as_bytes()];
        assert_eq!(seen.content, path.as_bytes());
        assert_eq!(seen.pax("path").is_some(), *is_pax, "{path}");
        assert_eq!(seen.pax.len(), usize::from(*is_pax), "{path}");
    }
}

#[test]
fn path_of_4095_bytes_is_packed() {
    // Longer than what the kernel takes at once, with the tree's own path before it.
    let name = "n".repeat(254);
    let tree = DeepTree::new((0..15).map(|_| name.as_str()), &"f".repeat(255));
    let (bytes, _) = pack(&options(tree.path())).unwrap();
    let (path, seen) = entries(&bytes).pop().unwrap();
    assert_eq!(path.len(), 7 + 15 * 255 + 255);
    assert_eq!(path.len(), 4087);
    assert_eq!(seen.content, b"deep");

    let tree = DeepTree::new((0..15).map(|_| name.as_str()).chain(["1234567"]), &"f".repeat(255));
    let (bytes, _) = pack(&options(tree.path())).unwrap();
    let (path, _) = entries(&bytes).pop().unwrap();
    assert_eq!(path.len(), 4095);
    aci::archive::inspect(&*bytes, &aci::Limits::default()).unwrap();

    let tree = DeepTree::new((0..15).map(|_| name.as_str()).chain(["12345678"]), &"f".repeat(255));
    let error = pack(&options(tree.path())).map(|_| ()).unwrap_err().to_string();
    assert!(error.ends_with("has more than 4095 bytes, or more than 2048 folders"), "{error}");
}

#[test]
fn symlink_target_over_100_bytes_is_in_pax() {
    let tree = tree(&[]);
    for length in [100, 101, 4000] {
        symlink("t".repeat(length), tree.path().join(length.to_string())).unwrap();
    }
    symlink(OsStr::from_bytes(b"caf\xe9"), tree.path().join("bytes")).unwrap();
    let all = packed(&options(tree.path()));
    for length in [100, 101, 4000] {
        let seen = &all[format!("rootfs/{length}").as_bytes()];
        assert_eq!(seen.link.as_deref(), Some("t".repeat(length).as_bytes()));
        assert_eq!(seen.pax("linkpath").is_some(), length > 100);
    }
    let bytes = &all[&b"rootfs/bytes"[..]];
    assert_eq!(bytes.pax["linkpath"], b"caf\xe9");
    assert_eq!(bytes.pax("hdrcharset"), Some("BINARY"));
}

/// Packs files of these names, each holding its name, and finds them again.
fn kept(names: &[&[u8]]) {
    let tree = tree(&[]);
    for name in names {
        fs::write(tree.path().join(OsStr::from_bytes(name)), name).unwrap();
    }
    let all = packed(&options(tree.path()));
    assert_eq!(all.len(), 2 + names.len());
    for name in names {
        let seen = &all[&[b"rootfs/", *name].concat()];
        assert_eq!(seen.content, *name);
        let binary = std::str::from_utf8(name).is_err().then_some("BINARY");
        assert_eq!(seen.pax("hdrcharset"), binary, "{name:?}");
    }
}

#[test]
fn name_that_is_not_utf8_keeps_its_bytes() {
    kept(&[b"caf\xe9", b"\xff", b"a\xf0\x28\x8c\x28", b"\xed\xa0\x80"]);
}

#[test]
fn name_with_odd_characters_keeps_its_bytes() {
    let names: [&[u8]; 12] = [
        b"new\nline",
        b"tab\t",
        b"\x01\x1b[31m",
        b"\x7f",
        b"back\\slash",
        b"-rf",
        b"*",
        b"?[a]",
        b" lead",
        b"trail ",
        b"\"'",
        b"...",
    ];
    kept(&names);
}

#[test]
fn name_in_two_unicode_forms_is_two_files() {
    kept(&["\u{e9}".as_bytes(), "e\u{301}".as_bytes(), "\u{212b}".as_bytes(), "\u{c5}".as_bytes()]);
}

#[test]
fn name_in_two_cases_is_two_files() {
    kept(&[b"readme", b"README", b"ReadMe", "\u{df}".as_bytes(), "SS".as_bytes()]);
}

#[test]
fn name_of_a_whiteout_is_kept_and_warned_of() {
    let tree = tree(&[".wh.gone", "a/.wh..wh..opq", "a/.why"]);
    let (bytes, packed) = pack(&options(tree.path())).unwrap();
    assert_eq!(below(&bytes), [".wh.gone", "a", "a/.wh..wh..opq", "a/.why"]);
    assert_eq!(packed.warnings, [Warning::WhiteoutNames(2)]);
    assert!(packed.warnings[0].to_string().contains(".wh."));
}

#[test]
fn name_manifest_in_the_rootfs_is_a_file() {
    let tree = tree(&["manifest", "a/manifest", "rootfs"]);
    // Both names at the top would be an image layout; the root file system below it is packed.
    let layout = self::tree(&["rootfs/manifest"]);
    fs::write(layout.path().join("manifest"), crate::support::MANIFEST).unwrap();
    let source = Source::new(layout.path()).unwrap();
    assert_eq!(below(&pack(&options(source.rootfs())).unwrap().0), ["manifest"]);
    let all = packed(&options(tree.path()));
    assert_eq!(all[&b"rootfs/manifest"[..]].content, b"manifest");
    assert_eq!(all[&b"rootfs/rootfs"[..]].content, b"rootfs");
    assert_eq!(all[&b"manifest"[..]].content, crate::support::MANIFEST);
}

#[test]
fn symlink_is_stored_as_it_is() {
    let tree = tree(&["etc/passwd"]);
    let links = [
        ("absolute", "/etc/shadow"),
        ("dangling", "nowhere/at/all"),
        ("loop", "loop"),
        ("one", "two"),
        ("two", "one"),
        ("out", "../../../../etc/shadow"),
        ("folder", "etc"),
        ("dot", "."),
    ];
    for (name, target) in links {
        symlink(target, tree.path().join(name)).unwrap();
    }
    let all = packed(&options(tree.path()));
    assert_eq!(all.len(), 4 + links.len(), "nothing was followed");
    for (name, target) in links {
        let seen = &all[format!("rootfs/{name}").as_bytes()];
        assert_eq!(seen.kind, tar::EntryType::Symlink);
        assert_eq!(seen.link.as_deref(), Some(target.as_bytes()));
        assert_eq!(seen.mode, 0o777);
    }
}

#[test]
fn layout_with_a_link_for_its_rootfs_is_refused() {
    let layout = tree(&["real/f"]);
    fs::write(layout.path().join("manifest"), crate::support::MANIFEST).unwrap();
    symlink("real", layout.path().join("rootfs")).unwrap();
    let error = Source::new(layout.path()).unwrap_err().to_string();
    assert!(error.contains("\"rootfs\" is no directory"), "{error}");
}

#[test]
fn layout_whose_manifest_is_no_file_is_refused() {
    for make in [
        |path: &Path| symlink("/etc/passwd", path).unwrap(),
        |path: &Path| fs::create_dir(path).unwrap(),
        |path: &Path| make_node(path, FileType::Fifo, (0, 0)),
    ] {
        let layout = tree(&["rootfs/f"]);
        make(&layout.path().join("manifest"));
        let error = Source::new(layout.path()).unwrap_err().to_string();
        assert!(error.contains("\"manifest\" is no regular file"), "{error}");
    }
}

#[test]
fn tree_named_by_a_link_is_the_tree() {
    let tree = tree(&["f"]);
    let beside = self::tree(&[]);
    let link = beside.path().join("link");
    symlink(tree.path(), &link).unwrap();
    let through = pack(&options(&link)).unwrap().0;
    assert!(through == pack(&options(tree.path())).unwrap().0);
}
