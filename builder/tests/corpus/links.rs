//! Hard links.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType};

use crate::support::{
    entries, keeping, make_node, mount, options, pack, packed, root_for, set_attribute, tree,
    with_own_mounts,
};

fn link(from: &Path, to: &Path) {
    rustix::fs::linkat(CWD, from, CWD, to, AtFlags::empty()).unwrap();
}

#[test]
fn hard_links_of_two_and_three_names_share_one_content() {
    let tree = tree(&["a", "b"]);
    let path = |name: &str| tree.path().join(name);
    link(&path("a"), &path("a2"));
    link(&path("b"), &path("b2"));
    link(&path("b"), &path("b3"));
    let all = packed(&options(tree.path()));
    for (name, target) in [("a2", "rootfs/a"), ("b2", "rootfs/b"), ("b3", "rootfs/b")] {
        let seen = &all[format!("rootfs/{name}").as_bytes()];
        assert_eq!((seen.kind, seen.content.len()), (tar::EntryType::Link, 0));
        assert_eq!(seen.link.as_deref(), Some(target.as_bytes()));
    }
    assert_eq!(all[&b"rootfs/b"[..]].content, b"b");
}

#[test]
fn hard_link_across_folders_names_the_first_in_order() {
    let tree = tree(&["z/file", "a/", "a/b/"]);
    let path = |name: &str| tree.path().join(name);
    link(&path("z/file"), &path("a/b/file"));
    link(&path("z/file"), &path("a-file"));
    set_attribute(&path("z/file"), "user.note", b"once").unwrap();
    let all = packed(&options(tree.path()));
    let first = &all[&b"rootfs/a/b/file"[..]];
    assert_eq!(first.content, b"z/file");
    assert_eq!(first.attribute("user.note"), Some(&b"once"[..]));
    for name in ["rootfs/a-file", "rootfs/z/file"] {
        let seen = &all[name.as_bytes()];
        assert_eq!(seen.link.as_deref(), Some(&b"rootfs/a/b/file"[..]));
        assert!(seen.pax.is_empty(), "attributes stand once");
    }
}

#[test]
fn hard_link_to_a_name_outside_the_tree_is_a_file() {
    let outside = tree(&["shared"]);
    let tree = tree(&["a/"]);
    link(&outside.path().join("shared"), &tree.path().join("a/inside"));
    let seen = &packed(&options(tree.path()))[&b"rootfs/a/inside"[..]];
    assert_eq!((seen.kind, seen.content.as_slice()), (tar::EntryType::Regular, &b"shared"[..]));
}

#[test]
fn hard_link_of_three_names_with_two_outside_is_a_file() {
    let outside = tree(&["shared"]);
    let tree = tree(&[]);
    link(&outside.path().join("shared"), &outside.path().join("more"));
    link(&outside.path().join("shared"), &tree.path().join("inside"));
    assert_eq!(tree.path().join("inside").metadata().unwrap().nlink(), 3);
    let seen = &packed(&options(tree.path()))[&b"rootfs/inside"[..]];
    assert_eq!(seen.kind, tar::EntryType::Regular);
}

#[test]
fn hard_link_to_a_symlink_is_kept() {
    let tree = tree(&[]);
    symlink("target", tree.path().join("s1")).unwrap();
    link(&tree.path().join("s1"), &tree.path().join("s2"));
    let all = packed(&options(tree.path()));
    assert_eq!(all[&b"rootfs/s1"[..]].kind, tar::EntryType::Symlink);
    let second = &all[&b"rootfs/s2"[..]];
    assert_eq!(second.kind, tar::EntryType::Link);
    assert_eq!(second.link.as_deref(), Some(&b"rootfs/s1"[..]));
}

#[test]
fn hard_link_to_a_device_is_kept() {
    if !root_for("make a device") {
        return;
    }
    let tree = tree(&[]);
    make_node(&tree.path().join("null"), FileType::CharacterDevice, (1, 3));
    link(&tree.path().join("null"), &tree.path().join("void"));
    let all = packed(&options(tree.path()));
    assert_eq!(all[&b"rootfs/null"[..]].device, Some((1, 3)));
    assert_eq!(all[&b"rootfs/void"[..]].link.as_deref(), Some(&b"rootfs/null"[..]));
}

#[test]
fn hard_link_whose_first_name_is_ignored_becomes_the_file() {
    let tree = tree(&["a"]);
    link(&tree.path().join("a"), &tree.path().join("b"));
    link(&tree.path().join("a"), &tree.path().join("c"));
    let mut ignore = builder::Ignore::default();
    ignore.add("/a").unwrap();
    let all = packed(&builder::PackOptions { ignore: &ignore, ..options(tree.path()) });
    assert_eq!(all[&b"rootfs/b"[..]].content, b"a");
    assert_eq!(all[&b"rootfs/c"[..]].link.as_deref(), Some(&b"rootfs/b"[..]));
    assert_eq!(all.len(), 4);
}

/// Mounts two new file systems, in which inode numbers begin anew.
fn two_file_systems(tree: &Path) -> [std::path::PathBuf; 2] {
    ["one", "two"].map(|name| {
        let folder = tree.join(name);
        fs::create_dir(&folder).unwrap();
        mount(&["-t", "tmpfs", "-o", "inode64", "tmpfs"], &folder);
        folder
    })
}

#[test]
fn inode_number_on_two_file_systems_is_two_files() {
    if !with_own_mounts(this_test!()) {
        return;
    }
    let tree = tree(&[]);
    let [one, two] = two_file_systems(tree.path());
    for folder in [&one, &two] {
        fs::write(folder.join("f"), folder.as_os_str().as_encoded_bytes()).unwrap();
        // Files of one name are no case for who looks at the number of names first.
        link(&folder.join("f"), &folder.join("g"));
    }
    let number = |path: &Path| path.join("f").metadata().unwrap().ino();
    assert_eq!(number(&one), number(&two), "the case is there");
    let all = packed(&options(tree.path()));
    for (folder, name) in [(&one, "one"), (&two, "two")] {
        let file = &all[format!("rootfs/{name}/f").as_bytes()];
        assert_eq!(file.content, folder.as_os_str().as_encoded_bytes());
        let other = &all[format!("rootfs/{name}/g").as_bytes()];
        assert_eq!(other.link, Some(format!("rootfs/{name}/f").into_bytes()));
    }
}

#[test]
fn inode_number_of_a_folder_and_a_file_is_two_things() {
    if !with_own_mounts(this_test!()) {
        return;
    }
    let tree = tree(&[]);
    let [one, two] = two_file_systems(tree.path());
    fs::create_dir(one.join("x")).unwrap();
    fs::write(one.join("x/f"), "in the folder").unwrap();
    fs::write(two.join("x"), "the file").unwrap();
    link(&two.join("x"), &two.join("y"));
    let number = |path: &Path| path.join("x").metadata().unwrap().ino();
    assert_eq!(number(&one), number(&two), "the case is there");
    let (bytes, _) = pack(&keeping(tree.path())).unwrap();
    let paths: Vec<_> = entries(&bytes).into_iter().map(|(path, _)| path).collect();
    let wanted = ["one", "one/x", "one/x/f", "two", "two/x", "two/y"];
    assert_eq!(paths[2..], wanted.map(|path| format!("rootfs/{path}").into_bytes()));
    assert_eq!(entries(&bytes)[6].1.content, b"the file");
}
