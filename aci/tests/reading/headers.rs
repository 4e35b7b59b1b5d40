//! Numbers and checksums of headers, and the forms of tar.

use std::fs;
use std::os::unix::fs::MetadataExt;

use aci::archive::Ownership;

use crate::support::{
    Block, MANIFEST, Place, Tar, accepted, actool_accepts, changed, gzip, header, image, is_root,
    put, refused, sealed, shell, tool,
};

#[test]
fn size_negative_is_refused() {
    let octal = changed(header(b"rootfs/a", b'0', 0, b""), 124, b"-0000000001\0");
    refused(&image().block(octal).end(), "image-tar");
    let base_256 = changed(header(b"rootfs/a", b'0', 0, b""), 124, &[0xff; 12]);
    refused(&image().block(base_256).end(), "image-tar");
}

#[test]
fn size_of_base_256_that_is_huge_is_refused() {
    let mut field = [0xff; 12];
    field[0] = 0x80;
    let huge = changed(header(b"rootfs/a", b'0', 0, b""), 124, &field);
    refused(&image().block(huge).end(), "image-tar");
    field[1..4].fill(0);
    let largest = changed(header(b"rootfs/a", b'0', 0, b""), 124, &field);
    refused(&image().block(largest).end(), "image-truncated");
    // As a number like any other it is taken.
    let small = changed(header(b"rootfs/a", b'0', 0, b""), 124, b"\x80\0\0\0\0\0\0\0\0\0\0\x01");
    accepted(&image().block(small).content(b"x").end());
}

#[test]
fn size_of_a_directory_is_refused() {
    let tar = image().block(header(b"rootfs/d", b'5', 512, b"")).content(&[b'x'; 512]);
    refused(&tar.end(), "image-tar");
}

#[test]
fn size_of_a_link_is_refused() {
    for kind in [b'1', b'2', b'3', b'4', b'6'] {
        let link = header(b"rootfs/l", kind, 512, b"rootfs/f");
        let tar = image().file("rootfs/f", b"x").block(link).content(&[b'x'; 512]);
        refused(&tar.end(), "image-tar");
    }
}

#[test]
fn mtime_of_no_sense_is_refused_and_any_other_kept() {
    let mtime =
        |field: &[u8]| image().block(changed(header(b"rootfs/a", b'0', 0, b""), 136, field)).end();
    refused(&mtime(b"garbage\0\0\0\0\0"), "image-tar");
    refused(&mtime(b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), "image-tar");
    refused(&image().records(&[("mtime", b"1e9")]).file("rootfs/a", b"").end(), "image-tar");
    for (field, wanted) in [
        (&b"00000000000\0"[..], 0),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", -1),
        (b"77777777777\0", 0o77_777_777_777),
    ] {
        let (_, place) = accepted(&mtime(field));
        assert_eq!(fs::metadata(place.rootfs("a")).unwrap().mtime(), wanted);
    }
}

#[test]
fn owner_of_no_sense_is_refused_and_any_other_kept() {
    let owner =
        |field: &[u8]| image().block(changed(header(b"rootfs/a", b'0', 0, b""), 108, field)).end();
    refused(&owner(b"nobody\0\0"), "image-tar");
    refused(&owner(b"\xff\xff\xff\xff\xff\xff\xff\xff"), "image-tar");
    refused(&owner(b"\x80\0\0\x01\0\0\0\0"), "image-tar");
    let extended = |id: &[u8]| image().records(&[("uid", id)]).file("rootfs/a", b"").end();
    refused(&extended(b"-1"), "image-tar");
    refused(&extended(b"4294967296"), "image-tar");
    // To chown(2) this is "leave it as it is": root's.
    refused(&extended(b"4294967295"), "image-tar");
    accepted(&extended(b"4294967294"));
    if is_root() {
        let place = Place::new();
        place.unpack(&extended(b"4294967294"), Ownership::Restore).unwrap();
        assert_eq!(fs::metadata(place.rootfs("a")).unwrap().uid(), 4_294_967_294);
    }
}

#[test]
fn checksum_wrong_is_refused() {
    let mut wrong = header(b"rootfs/a", b'0', 0, b"");
    wrong[0] = b'R';
    refused(&image().block(wrong).end(), "image-tar");
    let none = changed(header(b"rootfs/a", b'0', 0, b""), 0, b"rootfs/b");
    let mut none: Block = none;
    none[148..156].fill(0);
    refused(&image().block(none).end(), "image-tar");
}

#[test]
fn checksum_in_base_256_is_refused() {
    let mut block = header(b"rootfs/a", b'0', 0, b"");
    put(&mut block, 148, b"        ");
    let sum: u64 = block.iter().map(|&b| u64::from(b)).sum();
    put(&mut block, 148, &(sum | 1 << 63).to_be_bytes());
    refused(&image().block(block).end(), "image-tar");
}

#[test]
fn prefix_that_some_readers_see_is_refused() {
    for magic in [&b"ustar  \0"[..], b"ustarABC", b"\0\0\0\0\0\0\0\0"] {
        let block = changed(header(b"rootfs/a", b'0', 0, b""), 257, magic);
        accepted(&image().block(block).end());
        let block = changed(block, 345, b"rootfs/etc");
        refused(&image().block(block).end(), "image-tar");
    }
    // Times of GNU's that are numbers are no prefix.
    let block = changed(header(b"rootfs/a", b'0', 0, b""), 257, b"ustar  \0");
    accepted(&image().block(changed(block, 345, b"00000000001\x0000000000001\0")).end());
}

#[test]
fn checksum_of_signed_bytes_is_refused() {
    let block = header(b"rootfs/\xc3\xa9", b'0', 0, b"");
    accepted(&image().block(block).end());
    let mut signed = block;
    put(&mut signed, 148, b"        ");
    let sum: i64 = signed.iter().map(|&b| i64::from(b as i8)).sum();
    put(&mut signed, 148, format!("{sum:06o}\0 ").as_bytes());
    refused(&image().block(signed).end(), "image-tar");
}

/// Has the real tar write an image in one of its formats.
fn made_by_tar(format: &str) -> Option<Vec<u8>> {
    tool("tar").then(|| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("manifest"), MANIFEST).unwrap();
        shell(
            folder.path(),
            &format!(
                "mkdir -p rootfs/d; echo x >rootfs/d/f; ln rootfs/d/f rootfs/h; ln -s d rootfs/s;
                 tar --format={format} -cf image manifest rootfs"
            ),
        );
        fs::read(folder.path().join("image")).unwrap()
    })
}

/// An archive of the real tar is read as it is meant, also by the reference tool.
fn reads_as_made(format: &str) {
    let Some(bytes) = made_by_tar(format) else { return };
    let (inspected, place) = accepted(&bytes);
    assert_eq!(inspected.entries(), 5, "{format}");
    let inode = |name: &str| fs::symlink_metadata(place.rootfs(name)).unwrap().ino();
    assert_eq!(fs::read(place.rootfs("d/f")).unwrap(), b"x\n");
    assert_eq!(inode("d/f"), inode("h"));
    assert_eq!(fs::read_link(place.rootfs("s")).unwrap().to_str(), Some("d"));
    // Uncompressed, the reference tool knows an archive by the magic that v7 has not.
    assert_ne!(actool_accepts(&gzip(&bytes)), Some(false), "{format}");
}

#[test]
fn form_of_v7_is_read() {
    reads_as_made("v7");
}

#[test]
fn form_of_ustar_is_read() {
    reads_as_made("ustar");
    let mut prefixed = header(b"name", b'0', 1, b"");
    put(&mut prefixed, 345, b"rootfs/prefix");
    let (_, place) = accepted(&image().block(sealed(prefixed)).content(b"x").end());
    assert_eq!(fs::read(place.rootfs("prefix/name")).unwrap(), b"x");
}

#[test]
fn form_of_gnu_is_read() {
    reads_as_made("gnu");
    reads_as_made("oldgnu");
    // GNU keeps times where POSIX has the beginning of the path.
    let mut times = header(b"rootfs/a", b'0', 1, b"");
    put(&mut times, 257, b"ustar  \0");
    put(&mut times, 345, b"00000000001");
    let (_, place) = accepted(&image().block(sealed(times)).content(b"x").end());
    assert_eq!(fs::read(place.rootfs("a")).unwrap(), b"x");
}

#[test]
fn form_of_star_is_read_but_where_posix_reads_another_path() {
    let star = |prefix: &[u8]| {
        let mut block = header(b"name", b'0', 1, b"");
        put(&mut block, 345, prefix);
        put(&mut block, 476, b"00000000001\x0000000000002\0");
        put(&mut block, 508, b"tar\0");
        image().block(sealed(block)).content(b"x").end()
    };
    let (_, place) = accepted(&star(b"rootfs/prefix"));
    assert_eq!(fs::read(place.rootfs("prefix/name")).unwrap(), b"x");
    let full = ["rootfs/", &"p".repeat(124)].concat();
    refused(&star(full.as_bytes()), "image-tar");
}

#[test]
fn form_of_posix_is_read() {
    reads_as_made("posix");
}

#[test]
fn unused_tar_is_sound() {
    // What the cases above change is accepted unchanged.
    accepted(&Tar(image().0).end());
}
