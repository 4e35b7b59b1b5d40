//! The two entries an image has at its top, and what else was found there.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::{
    MANIFEST, Tar, accepted, actool_accepts, changed, header, image, image_of, refused,
};

fn with_manifest() -> Tar {
    Tar::default().file("manifest", MANIFEST)
}

fn with_rootfs() -> Tar {
    Tar::default().directory("rootfs")
}

#[test]
fn rootfs_as_a_symlink_is_refused() {
    let link = with_manifest().symlink("rootfs", "/tmp").file("rootfs/x", b"x");
    refused(&link.end(), "image-layout");
}

#[test]
fn rootfs_as_a_file_is_refused() {
    refused(&with_manifest().file("rootfs", b"x").end(), "image-layout");
}

#[test]
fn rootfs_absent_is_refused() {
    refused(&with_manifest().end(), "image-layout");
    // Only paths below it name it: its mode and owner stand nowhere.
    refused(&with_manifest().file("rootfs/x", b"x").end(), "image-layout");
    assert_ne!(actool_accepts(&with_manifest().end()), Some(true));
}

#[test]
fn rootfs_twice_is_refused() {
    refused(&image().directory("rootfs").end(), "image-duplicate");
    refused(&image().directory("./rootfs/").end(), "image-duplicate");
}

#[test]
fn rootfs_of_mode_0000_is_filled_and_then_shut() {
    let shut = changed(header(b"rootfs/", b'5', 0, b""), 100, b"0000000");
    let (_, place) = accepted(&with_manifest().block(shut).file("rootfs/d/x", b"x").end());
    let mode = fs::metadata(place.rootfs("")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0);
    fs::set_permissions(place.rootfs(""), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(fs::read(place.rootfs("d/x")).unwrap(), b"x");
}

#[test]
fn rootfs_as_the_beginning_of_a_name_is_refused() {
    refused(&image().file("rootfsevil", b"x").end(), "image-layout");
    refused(&image().file("rootfsevil/x", b"x").end(), "image-layout");
}

#[test]
fn manifest_as_a_symlink_is_refused() {
    refused(&with_rootfs().symlink("manifest", "/etc/passwd").end(), "image-layout");
}

#[test]
fn manifest_as_a_directory_is_refused() {
    refused(&with_rootfs().directory("manifest").end(), "image-layout");
}

#[test]
fn manifest_as_a_hard_link_is_refused() {
    let link = with_rootfs().file("rootfs/m", MANIFEST).hard_link("manifest", "rootfs/m");
    refused(&link.end(), "image-layout");
}

#[test]
fn manifest_twice_is_refused() {
    refused(&image().file("manifest", MANIFEST).end(), "image-duplicate");
}

#[test]
fn manifest_last_is_accepted() {
    let last = with_rootfs().file("rootfs/x", b"x").file("manifest", MANIFEST).end();
    let (inspected, place) = accepted(&last);
    assert_eq!(inspected.manifest_bytes(), MANIFEST);
    assert_eq!(fs::read(place.target().join("manifest")).unwrap(), MANIFEST);
    assert_ne!(actool_accepts(&last), Some(false));
}

#[test]
fn manifest_absent_is_refused() {
    refused(&with_rootfs().end(), "image-layout");
    assert_ne!(actool_accepts(&with_rootfs().end()), Some(true));
}

#[test]
fn manifest_of_more_than_16_mib_is_refused() {
    let padded = [&b" ".repeat(17 << 20)[..], MANIFEST].concat();
    refused(&image_of(&padded), "manifest-too-large");
}

#[test]
fn manifest_with_a_byte_order_mark_is_refused() {
    let marked = image_of(&[b"\xef\xbb\xbf", MANIFEST].concat());
    refused(&marked, "manifest-invalid");
    assert_ne!(actool_accepts(&marked), Some(true));
}

#[test]
fn manifest_in_utf_16_is_refused() {
    let text = std::str::from_utf8(MANIFEST).unwrap();
    let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    refused(&image_of(&[&b"\xff\xfe"[..], &wide].concat()), "manifest-invalid");
    refused(&image_of(&wide), "manifest-invalid");
}

fn with_more(more: &str) -> Vec<u8> {
    let text = std::str::from_utf8(MANIFEST).unwrap();
    image_of(text.replace('}', &format!(",{more}}}")).as_bytes())
}

#[test]
fn manifest_with_duplicate_keys_is_refused() {
    refused(&with_more(r#""name":"example.com/b""#), "manifest-invalid");
}

#[test]
fn manifest_with_keys_of_the_wrong_case_is_refused() {
    refused(&with_more(r#""Name":"example.com/b""#), "manifest-invalid");
}

#[test]
fn manifest_with_nan_is_refused() {
    refused(&with_more(r#""extra":NaN"#), "manifest-invalid");
}

#[test]
fn manifest_nested_without_end_is_refused() {
    let deep = ["[".repeat(200_000), "]".repeat(200_000)].concat();
    refused(&with_more(&format!(r#""extra":{deep}"#)), "manifest-invalid");
}

#[test]
fn manifest_with_something_behind_it_is_refused() {
    refused(&image_of(&[MANIFEST, b"x"].concat()), "manifest-invalid");
    refused(&image_of(&[MANIFEST, MANIFEST].concat()), "manifest-invalid");
    refused(&image_of(&[MANIFEST, b"\0"].concat()), "manifest-invalid");
}
