//! Extended headers that lie, contradict, or are too many; sparse files.

use aci::archive::Compression;
use aci::{Limits, archive};

use crate::support::{Tar, accepted, header, image, record, refused, shell, tool};

#[test]
fn pax_size_other_than_the_header_is_refused() {
    let smaller = image().records(&[("size", b"0")]).file("rootfs/a", b"content");
    refused(&smaller.end(), "image-tar");
    let larger = image().records(&[("size", b"1024")]).file("rootfs/a", b"x");
    refused(&larger.end(), "image-tar");
    // Hidden in the content of one reader are the headers of another.
    let hidden = image().file("rootfs/hidden", b"x").0;
    let smuggled = image().records(&[("size", b"0")]).file("rootfs/a", &hidden[1536..]);
    refused(&smuggled.end(), "image-tar");
    accepted(&image().records(&[("size", b"7")]).file("rootfs/a", b"content").end());
}

#[test]
fn pax_header_of_a_gnu_long_name_is_refused() {
    let one = image()
        .records(&[("path", b"rootfs/x")])
        .entry("././@LongLink", b'L', b"rootfs/l\0")
        .file("rootfs/a", b"x");
    refused(&one.end(), "image-tar");
    let other = image()
        .entry("././@LongLink", b'L', b"rootfs/l\0")
        .records(&[("size", b"1")])
        .file("rootfs/a", b"x");
    refused(&other.end(), "image-tar");
}

/// A sparse file as the real tar writes it.
fn sparse(version: &str) {
    if !tool("tar") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("manifest"), crate::support::MANIFEST).unwrap();
    shell(
        folder.path(),
        &format!(
            "mkdir rootfs; truncate -s 8M rootfs/s; printf x | dd of=rootfs/s bs=1 seek=4M \
             conv=notrunc status=none; \
             tar --format=posix -S --sparse-version={version} -cf image manifest rootfs"
        ),
    );
    let bytes = std::fs::read(folder.path().join("image")).unwrap();
    assert!(bytes.len() < 1 << 20, "the real tar wrote no sparse file");
    refused(&bytes, "image-tar");
}

#[test]
fn sparse_of_version_0_0_is_refused() {
    sparse("0.0");
    let map = [("GNU.sparse.size", &b"9"[..]), ("GNU.sparse.offset", b"0")];
    refused(&image().records(&map).file("rootfs/s", b"").end(), "image-tar");
}

#[test]
fn sparse_of_version_0_1_is_refused() {
    sparse("0.1");
    let map = [("GNU.sparse.map", &b"0,1"[..])];
    refused(&image().records(&map).file("rootfs/s", b"x").end(), "image-tar");
}

#[test]
fn sparse_of_version_1_0_is_refused() {
    sparse("1.0");
    let map = [("GNU.sparse.major", &b"1"[..]), ("GNU.sparse.minor", b"0")];
    refused(&image().records(&map).file("rootfs/s", b"").end(), "image-tar");
}

#[test]
fn sparse_of_a_real_size_without_end_is_refused() {
    let bomb = [("GNU.sparse.realsize", &b"9223372036854775807"[..])];
    refused(&image().records(&bomb).file("rootfs/s", b"").end(), "image-tar");
}

fn extended(records: &[u8]) -> Vec<u8> {
    image().extended(records).file("rootfs/a", b"").end()
}

#[test]
fn pax_length_that_lies_is_refused() {
    refused(&extended(b"99 path=rootfs/b\n"), "image-tar");
    refused(&extended(b"18 path=rootfs/b\n"), "image-tar");
    refused(&extended(b"10 path=rootfs/b\n"), "image-tar");
    refused(&extended(b"path=rootfs/b\n"), "image-tar");
    refused(&extended(b"-17 path=rootfs/b\n"), "image-tar");
    refused(&extended(b"+17 path=rootfs/b\n"), "image-tar");
    accepted(&extended(b"17 path=rootfs/b\n"));
}

#[test]
fn pax_length_0_is_refused() {
    refused(&extended(b"0 path=rootfs/b\n"), "image-tar");
    refused(&extended(b"0 \n"), "image-tar");
}

#[test]
fn pax_length_that_overflows_is_refused() {
    refused(&extended(b"18446744073709551633 path=rootfs/b\n"), "image-tar");
    refused(&extended(b"99999999999999999999999999 path=rootfs/b\n"), "image-tar");
}

#[test]
fn pax_record_without_newline_is_refused() {
    refused(&extended(b"16 path=rootfs/b"), "image-tar");
    refused(&extended(b"17 path=rootfs/bc"), "image-tar");
}

#[test]
fn pax_header_of_1_gib_is_refused() {
    let tar = image().block(header(b"PaxHeaders.0/1", b'x', 1 << 30, b""));
    refused(&tar.end(), "image-header-too-large");
}

#[test]
fn pax_records_without_number_are_refused() {
    let million: Vec<u8> = (0..1_000_000).flat_map(|n| record(&format!("k{n}"), b"")).collect();
    refused(&extended(&million), "image-header-too-large");
    let many: Vec<u8> = (0..70_000).flat_map(|n| record(&format!("k{n}"), b"")).collect();
    refused(&extended(&many), "image-tar");
}

#[test]
fn xattr_of_1_mib_is_refused() {
    let xattr = |bytes: usize| {
        image().records(&[("SCHILY.xattr.user.x", &vec![b'v'; bytes])]).file("rootfs/a", b"").end()
    };
    refused(&xattr(1 << 20), "image-header-too-large");
    refused(&xattr((64 << 10) + 1), "image-xattr-too-large");
    let largest = archive::inspect(xattr(64 << 10).as_slice(), &Limits::default()).unwrap();
    assert_eq!(largest.compression(), Compression::None);
}

#[test]
fn xattrs_without_number_are_refused() {
    let many = |count: u32| -> Vec<u8> {
        let one = |n| record(&format!("SCHILY.xattr.user.{n}"), b"");
        extended(&(0..count).flat_map(one).collect::<Vec<_>>())
    };
    refused(&many(100_000), "image-header-too-large");
    refused(&many(2000), "image-tar");
}

#[test]
fn pax_key_repeated_is_refused() {
    refused(&extended(b"17 path=rootfs/b\n17 path=rootfs/c\n"), "image-tar");
    let xattr = record("SCHILY.xattr.user.x", b"1");
    refused(&extended(&[xattr.clone(), xattr].concat()), "image-tar");
}

#[test]
fn pax_header_for_all_is_refused() {
    for records in [record("path", b"rootfs/b"), record("uid", b"0"), record("size", b"9")] {
        let tar = Tar(image().0).entry("g", b'g', &records).file("rootfs/a", b"");
        refused(&tar.end(), "image-tar");
    }
}
