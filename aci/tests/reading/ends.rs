//! How archives end, and how they are cut off.

use std::fs;

use crate::support::{gzip, image, refused, shell, tool};

fn whole() -> Vec<u8> {
    image().file("rootfs/f", b"content").end()
}

#[test]
fn end_without_blocks_is_refused() {
    let tar = whole();
    refused(&tar[..tar.len() - 1024], "image-truncated");
    refused(&gzip(&tar[..tar.len() - 1024]), "image-truncated");
}

#[test]
fn end_of_one_block_is_refused() {
    let tar = whole();
    refused(&tar[..tar.len() - 512], "image-truncated");
    let then_an_entry = image().block([0; 512]).file("rootfs/f", b"x").end();
    refused(&then_an_entry, "image-tar");
}

#[test]
fn data_after_the_end_is_refused() {
    for guest in [&b"x"[..], &[b'x'; 512], MANY_ZEROS_THEN_ONE] {
        refused(&[&whole()[..], guest].concat(), "image-tar");
        refused(&gzip(&[&whole()[..], guest].concat()), "image-tar");
    }
    // Blocks are counted in twenties by many tools.
    crate::support::accepted(&[whole(), vec![0; 9 * 512]].concat());
}

const MANY_ZEROS_THEN_ONE: &[u8] = &{
    let mut bytes = [0; 40_000];
    bytes[39_999] = 1;
    bytes
};

#[test]
fn archives_one_after_another_are_refused() {
    refused(&[whole(), whole()].concat(), "image-tar");
    refused(&[gzip(&whole()), gzip(&whole())].concat(), "image-tar");
    if tool("tar") {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.tar"), whole()).unwrap();
        shell(folder.path(), "cat a.tar a.tar >both.tar; test $(tar -tif both.tar | wc -l) = 6");
        refused(&fs::read(folder.path().join("both.tar")).unwrap(), "image-tar");
    }
}

#[test]
fn cut_off_in_a_header_is_refused() {
    let tar = whole();
    refused(&tar[..1536 + 100], "image-truncated");
    refused(&gzip(&tar[..1536 + 511]), "image-truncated");
}

#[test]
fn cut_off_in_content_is_refused() {
    let tar = whole();
    refused(&tar[..2048 + 3], "image-truncated");
    refused(&gzip(&tar[..512 + 10]), "image-truncated");
}

#[test]
fn cut_off_in_padding_is_refused() {
    let tar = whole();
    refused(&tar[..2048 + 7], "image-truncated");
    refused(&gzip(&tar[..2048 + 511]), "image-truncated");
}

#[test]
fn file_of_nothing_is_refused() {
    refused(b"", "image-format");
}

#[test]
fn gzip_of_nothing_is_refused() {
    refused(&gzip(b""), "image-truncated");
    refused(&b"\x1f\x8b"[..], "image-truncated");
}
