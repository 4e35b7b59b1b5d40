//! Symbolic and hard links that lead elsewhere.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::support::{Tar, accepted, changed, header, image, refused};

#[test]
fn symlink_relative_written_through_is_refused() {
    refused(&image().symlink("rootfs/l", "../..").file("rootfs/l/x", b"x").end(), "image-path");
}

#[test]
fn symlink_absolute_written_through_is_refused() {
    refused(&image().symlink("rootfs/l", "/tmp").file("rootfs/l/x", b"x").end(), "image-path");
    let deep = image().symlink("rootfs/l", "/tmp").file("rootfs/l/a/b", b"x");
    refused(&deep.end(), "image-path");
}

#[test]
fn symlink_chain_written_through_is_refused() {
    let chain = image()
        .symlink("rootfs/a", "b")
        .symlink("rootfs/b", "c")
        .directory("rootfs/c")
        .file("rootfs/a/x", b"x");
    refused(&chain.end(), "image-path");
}

#[test]
fn symlink_in_the_place_of_the_top_is_refused() {
    refused(&image().symlink("/.", "/tmp").end(), "image-path");
    refused(&image().symlink(".", "/tmp").end(), "image-path");
    refused(&image().symlink("./", "/tmp").end(), "image-path");
    refused(&image().symlink("rootfs/.", "/tmp").end(), "image-path");
}

#[test]
fn symlink_replaced_by_a_directory_is_refused() {
    let shut = changed(header(b"rootfs/l", b'5', 0, b""), 100, b"0000000");
    refused(&image().symlink("rootfs/l", "/tmp").block(shut).end(), "image-duplicate");
}

#[test]
fn directory_replaced_by_a_symlink_is_refused() {
    let replaced = image().directory("rootfs/d").symlink("rootfs/d", "/tmp");
    refused(&replaced.file("rootfs/d/x", b"x").end(), "image-duplicate");
    // The folder has no entry of its own.
    let implied = image().file("rootfs/d/x", b"x").symlink("rootfs/d", "/tmp");
    refused(&implied.end(), "image-duplicate");
}

#[test]
fn parent_that_is_a_file_is_refused() {
    refused(&image().file("rootfs/f", b"x").file("rootfs/f/g", b"x").end(), "image-path");
    refused(&image().file("manifest/x", b"x").end(), "image-layout");
}

fn linked(target: &str) -> Vec<u8> {
    let tar = image().file("rootfs/f", b"x").directory("rootfs/d").symlink("rootfs/s", "f");
    tar.hard_link("rootfs/l", target).file("rootfs/later", b"x").end()
}

#[test]
fn hard_link_out_of_the_rootfs_is_refused() {
    refused(&linked("etc/passwd"), "image-hard-link");
    refused(&linked("manifest"), "image-hard-link");
}

#[test]
fn hard_link_to_an_absolute_path_is_refused() {
    refused(&linked("/etc/passwd"), "image-path");
}

#[test]
fn hard_link_that_climbs_out_is_refused() {
    refused(&linked("../etc/passwd"), "image-path");
    refused(&linked("rootfs/../../etc/passwd"), "image-path");
}

#[test]
fn hard_link_to_a_symlink_is_the_symlink() {
    let (_, place) = accepted(&linked("rootfs/s"));
    let inode = |name: &str| fs::symlink_metadata(place.rootfs(name)).unwrap().ino();
    assert_eq!(inode("l"), inode("s"));
    // Through the link is another matter.
    let through = image().symlink("rootfs/s", "/etc").hard_link("rootfs/l", "rootfs/s/passwd");
    refused(&through.end(), "image-hard-link");
}

#[test]
fn hard_link_to_a_directory_is_refused() {
    refused(&linked("rootfs/d"), "image-hard-link");
    refused(&linked("rootfs"), "image-hard-link");
}

#[test]
fn hard_link_to_itself_is_refused() {
    refused(&linked("rootfs/l"), "image-hard-link");
}

#[test]
fn hard_link_to_a_later_entry_is_refused() {
    refused(&linked("rootfs/later"), "image-hard-link");
}

#[test]
fn hard_link_to_nothing_is_refused() {
    refused(&linked("rootfs/absent"), "image-hard-link");
    let empty = Tar(image().0).hard_link("rootfs/l", "");
    refused(&empty.end(), "image-path");
}
