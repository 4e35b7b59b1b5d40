//! Compressed streams: several of them, broken ones, and what hides in their headers.

use std::fs;
use std::io::Write;

use aci::archive::Compression;

use crate::support::{accepted, changed, gzip, header, image, refused, shell, tool};

fn whole() -> Vec<u8> {
    image().file("rootfs/f", &[7; 5000]).end()
}

#[test]
fn gzip_of_several_members_is_one_archive() {
    let tar = whole();
    let several: Vec<u8> = tar.chunks(700).flat_map(gzip).collect();
    let (inspected, _) = accepted(&several);
    assert_eq!(inspected.image_id(), accepted(&tar).0.image_id());
    assert_eq!(inspected.file_bytes(), several.len() as u64);
}

#[test]
fn gzip_with_garbage_behind_it_is_refused() {
    for garbage in [&b"garbage"[..], b"\x1f", &[0; 512]] {
        refused(&[&gzip(&whole())[..], garbage].concat(), "image-truncated");
    }
}

/// A gzip header with these flags and fields, and the rest of a sound stream.
fn gzip_with(flags: u8, fields: &[u8]) -> Vec<u8> {
    let plain = gzip(&whole());
    let mut bytes = plain[..10].to_vec();
    bytes[3] = flags;
    bytes.extend_from_slice(fields);
    bytes.extend_from_slice(&plain[10..]);
    bytes
}

#[test]
fn gzip_with_a_large_extra_field_is_read_past_it() {
    let extra = [&[0xff, 0xff][..], &[b'x'; 0xffff]].concat();
    let (inspected, _) = accepted(&gzip_with(4, &extra));
    assert_eq!(inspected.compression(), Compression::Gzip);
    // Any number of members with such a field are bytes of the file, which has a limit.
    let limits = aci::Limits { file_bytes: 1 << 20, ..aci::Limits::default() };
    let mut empty = gzip(b"");
    empty[3] = 4;
    empty.splice(10..10, extra);
    let many = [empty.repeat(40), gzip(&whole())].concat();
    crate::support::refused_within(&many, &limits, "image-too-large");
}

#[test]
fn gzip_with_a_name_without_end_is_refused() {
    let name = |bytes: usize| [&b"n".repeat(bytes)[..], b"\0"].concat();
    accepted(&gzip_with(8, &name(100)));
    refused(&gzip_with(8, &name(10 << 20)), "image-truncated");
    refused(&gzip_with(16, &name(10 << 20)), "image-truncated");
}

#[test]
fn gzip_with_a_wrong_crc_is_refused() {
    let mut bytes = gzip(&whole());
    let at = bytes.len() - 8;
    bytes[at] ^= 1;
    refused(&bytes, "image-truncated");
}

#[test]
fn gzip_with_a_wrong_length_is_refused() {
    let mut bytes = gzip(&whole());
    let at = bytes.len() - 4;
    bytes[at] ^= 1;
    refused(&bytes, "image-truncated");
}

#[test]
fn gzip_cut_off_anywhere_is_refused() {
    let bytes = gzip(&whole());
    for cut in (2..bytes.len()).step_by(7).chain([bytes.len() - 8, bytes.len() - 1]) {
        refused(&bytes[..cut], "image-truncated");
    }
}

#[test]
fn gzip_in_gzip_is_refused() {
    refused(&gzip(&gzip(&whole())), "image-format");
    refused(&gzip(b"BZh91AY&SY"), "image-format");
}

/// Two halves, each compressed by the real tool, one after another.
fn two_streams(program: &str) -> Option<Vec<u8>> {
    tool(program).then(|| {
        let folder = tempfile::tempdir().unwrap();
        let (start, end) = (whole(), whole());
        fs::write(folder.path().join("start"), &start[..1000]).unwrap();
        fs::write(folder.path().join("end"), &end[1000..]).unwrap();
        shell(folder.path(), &format!("{program} -c start >both; {program} -c end >>both"));
        fs::read(folder.path().join("both")).unwrap()
    })
}

#[test]
fn xz_of_several_streams_is_one_archive() {
    let Some(bytes) = two_streams("xz") else { return };
    assert_eq!(accepted(&bytes).0.image_id(), accepted(&whole()).0.image_id());
    // Padding between streams is allowed by the format in fours alone.
    accepted(&[&bytes[..], &[0; 4]].concat());
    refused(&[&bytes[..], b"guest"].concat(), "image-truncated");
}

#[test]
fn bzip2_of_several_streams_is_one_archive() {
    let Some(bytes) = two_streams("bzip2") else { return };
    assert_eq!(accepted(&bytes).0.image_id(), accepted(&whole()).0.image_id());
    refused(&[&bytes[..], b"guest"].concat(), "image-truncated");
}

#[test]
fn xz_that_wants_4_gib_of_memory_is_refused() {
    if !tool("xz") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tar"), whole()).unwrap();
    shell(folder.path(), "xz -c -9 tar >sound");
    accepted(&fs::read(folder.path().join("sound")).unwrap());
    // The dictionary's size stands in one byte of the block header; its CRC follows.
    let mut bytes = fs::read(folder.path().join("sound")).unwrap();
    let length = (usize::from(bytes[12]) + 1) * 4;
    let at = (12..12 + length - 4).find(|&at| bytes[at..at + 2] == [0x21, 1]).unwrap();
    bytes[at + 2] = 40;
    let mut crc = flate2::Crc::new();
    crc.update(&bytes[12..12 + length - 4]);
    bytes[12 + length - 4..12 + length].copy_from_slice(&crc.sum().to_le_bytes());
    let output = std::process::Command::new("xz")
        .args(["-t", "--memlimit-decompress=1GiB"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .and_then(|mut xz| {
            xz.stdin.take().unwrap().write_all(&bytes).ok();
            xz.wait()
        });
    assert!(!output.unwrap().success(), "the real xz had enough memory");
    refused(&bytes, "image-truncated");
}

#[test]
fn magic_of_two_formats_is_refused() {
    // A tar whose first name is also the beginning of another format.
    for magic in [&b"BZh"[..], b"\x1f\x8b\x08", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"] {
        let first = changed(header(b"      ", b'0', 0, b""), 0, magic);
        let tar = [&first[..], &whole()].concat();
        refused(&tar, "image-format");
    }
    // Both at once: the gzip header's extra field is the rest of a tar header.
    let mut both = header(b"", b'0', 0, b"");
    both[..12].copy_from_slice(b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\xf4\x01");
    let both = changed(both, 20, b"rootfs");
    let stream = [&both[..], &gzip(&whole())[10..]].concat();
    refused(&stream, "image-format");
    // A name says nothing.
    refused(b"image.aci", "image-format");
}
