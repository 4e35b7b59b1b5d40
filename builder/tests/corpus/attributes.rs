//! Extended attributes, capabilities and access lists.

use std::path::Path;

use builder::Warning;

use crate::support::{
    Seen, entries, mount, options, pack, root_for, set_attribute, tree, with_own_mounts,
};

/// `security.capability` of version 2, permitted and effective: `cap_net_bind_service`.
const VERSION_2: [u8; 20] = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// The same for a root user of its own.
fn version_3(root: u32) -> Vec<u8> {
    let mut bytes = [&VERSION_2[..], &root.to_le_bytes()].concat();
    bytes[3] = 3;
    bytes
}

/// The only file of a tree, packed, and what is warned of.
fn file(tree: &Path) -> (Seen, Vec<Warning>) {
    let (bytes, packed) = pack(&options(tree)).unwrap();
    (entries(&bytes).pop().unwrap().1, packed.warnings)
}

#[test]
fn capability_of_version_2_is_kept() {
    if !root_for("give a file capabilities") {
        return;
    }
    let tree = tree(&["f"]);
    set_attribute(&tree.path().join("f"), "security.capability", &VERSION_2).unwrap();
    assert_eq!(file(tree.path()).0.attribute("security.capability"), Some(&VERSION_2[..]));
}

#[test]
fn capability_of_version_3_is_kept_with_its_root_user() {
    if !root_for("give a file capabilities") {
        return;
    }
    let tree = tree(&["f"]);
    let path = tree.path().join("f");
    set_attribute(&path, "security.capability", &version_3(1000)).unwrap();
    assert_eq!(file(tree.path()).0.attribute("security.capability"), Some(&*version_3(1000)));
    set_attribute(&path, "security.capability", &version_3(0)).unwrap();
    assert_eq!(file(tree.path()).0.attribute("security.capability"), Some(&VERSION_2[..]));
}

#[test]
fn attribute_of_the_user_is_kept_bytes_and_all() {
    let tree = tree(&["f"]);
    let path = tree.path().join("f");
    let binary: Vec<u8> = (0..=255).collect();
    set_attribute(&path, "user.text", "gr\u{fc}n".as_bytes()).unwrap();
    set_attribute(&path, "user.binary", &binary).unwrap();
    let (seen, warnings) = file(tree.path());
    assert_eq!(seen.attribute("user.text"), Some("gr\u{fc}n".as_bytes()));
    assert_eq!(seen.attribute("user.binary"), Some(&*binary));
    assert_eq!((seen.pax.len(), warnings), (2, vec![]));
}

#[test]
fn attribute_that_is_empty_is_kept_and_warned_of() {
    let tree = tree(&["f"]);
    set_attribute(&tree.path().join("f"), "user.flag", b"").unwrap();
    let (seen, warnings) = file(tree.path());
    assert_eq!(seen.attribute("user.flag"), Some(&b""[..]));
    assert_eq!(warnings, [Warning::EmptyAttributes(1)]);
}

#[test]
fn attribute_of_64_kib_is_kept() {
    if !with_own_mounts(this_test!()) {
        return;
    }
    let tree = tree(&[]);
    mount(&["-t", "tmpfs", "tmpfs"], tree.path());
    std::fs::write(tree.path().join("f"), "").unwrap();
    let large: Vec<u8> = (0..64_u32 << 10).map(|n| n.to_le_bytes()[usize::from(n > 999)]).collect();
    set_attribute(&tree.path().join("f"), "user.large", &large).unwrap();
    assert_eq!(file(tree.path()).0.attribute("user.large"), Some(&*large));
}

#[test]
fn attribute_of_the_machine_is_left_out() {
    let tree = tree(&["f"]);
    let path = tree.path().join("f");
    set_attribute(&path, "user.kept", b"1").unwrap();
    set_attribute(&path, "user.overlay.opaque", b"y").unwrap();
    set_attribute(&path, "user.rootlesscontainers", b"x").unwrap();
    if root_for("label files") {
        set_attribute(&path, "security.selinux", b"system_u:object_r:bin_t:s0\0").unwrap();
        set_attribute(&path, "trusted.overlay.opaque", b"y").unwrap();
        set_attribute(&path, "trusted.note", b"y").unwrap();
        // Where the kernel checks these itself, it takes no made-up one.
        let _ = set_attribute(&path, "security.ima", b"\x04made up");
        let _ = set_attribute(&path, "security.evm", b"\x02made up");
    }
    let (seen, _) = file(tree.path());
    assert_eq!(seen.pax.keys().collect::<Vec<_>>(), ["SCHILY.xattr.user.kept"]);
}

/// An access list: owner rwx, user 33 r-x, group r-x, mask r-x, others none. Version 2, then tag,
/// permissions and ID of each (linux/posix_acl_xattr.h).
fn access_list() -> Vec<u8> {
    let no_id = u32::MAX;
    let list = [(1_u16, 7_u16, no_id), (2, 5, 33), (4, 5, no_id), (16, 5, no_id), (32, 0, no_id)];
    let mut value = vec![2, 0, 0, 0];
    for (tag, permissions, id) in list {
        value.extend(tag.to_le_bytes());
        value.extend(permissions.to_le_bytes());
        value.extend(id.to_le_bytes());
    }
    value
}

#[test]
fn access_list_of_a_file_is_kept() {
    let tree = tree(&["f"]);
    set_attribute(&tree.path().join("f"), "system.posix_acl_access", &access_list()).unwrap();
    let (seen, _) = file(tree.path());
    assert_eq!(seen.attribute("system.posix_acl_access"), Some(&*access_list()));
    assert_eq!(seen.mode & 0o777, 0o750);
}

#[test]
fn access_list_by_default_of_a_folder_is_kept() {
    let tree = tree(&["folder/"]);
    set_attribute(&tree.path().join("folder"), "system.posix_acl_default", &access_list()).unwrap();
    let (seen, _) = file(tree.path());
    assert_eq!(seen.attribute("system.posix_acl_default"), Some(&*access_list()));
}

#[test]
fn attribute_of_what_cannot_be_opened_is_kept() {
    let tree = tree(&[]);
    let pipe = tree.path().join("pipe");
    crate::support::make_node(&pipe, rustix::fs::FileType::Fifo, (0, 0));
    set_attribute(&pipe, "system.posix_acl_access", &access_list()).unwrap();
    let (seen, _) = file(tree.path());
    assert_eq!(seen.kind, tar::EntryType::Fifo);
    assert_eq!(seen.attribute("system.posix_acl_access"), Some(&*access_list()));
}
