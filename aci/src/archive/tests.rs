//! Archives made by hand, honest and hostile, read by the one reader.

use std::fs;
use std::io::{self, Read, Write};
use std::num::NonZeroUsize;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;
use crate::limits::Limits;

pub(crate) const MANIFEST: &[u8] =
    br#"{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/a"}"#;

/// One raw tar header with a right checksum.
fn raw(name: &[u8], kind: u8, size: u64, link: &[u8]) -> [u8; 512] {
    let mut block = [0; 512];
    block[..name.len()].copy_from_slice(name);
    block[100..107].copy_from_slice(b"0000755");
    block[108..115].copy_from_slice(b"0000000");
    block[116..123].copy_from_slice(b"0000000");
    block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    block[136..147].copy_from_slice(b"00000000000");
    block[156] = kind;
    block[157..157 + link.len()].copy_from_slice(link);
    block[257..265].copy_from_slice(b"ustar\x0000");
    seal(&mut block);
    block
}

fn seal(block: &mut [u8; 512]) {
    let sum = format!("{:06o}\0 ", header::checksum(block));
    block[148..156].copy_from_slice(sum.as_bytes());
}

/// A tar made entry by entry.
#[derive(Clone, Default)]
pub(super) struct Tar(Vec<u8>);

impl Tar {
    pub(super) fn image() -> Self {
        Self::default().file("manifest", MANIFEST).directory("rootfs")
    }

    fn block(mut self, block: [u8; 512]) -> Self {
        self.0.extend_from_slice(&block);
        self
    }

    fn content(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(super) fn file(self, name: &str, bytes: &[u8]) -> Self {
        self.block(raw(name.as_bytes(), b'0', bytes.len() as u64, b"")).content(bytes)
    }

    pub(super) fn directory(self, name: &str) -> Self {
        self.block(raw(name.as_bytes(), b'5', 0, b""))
    }

    pub(super) fn link(self, name: &str, kind: u8, target: &str) -> Self {
        self.block(raw(name.as_bytes(), kind, 0, target.as_bytes()))
    }

    pub(super) fn extended(self, records: &[u8]) -> Self {
        self.block(raw(b"PaxHeaders.0/1", b'x', records.len() as u64, b"")).content(records)
    }

    pub(super) fn global(self, records: &[u8]) -> Self {
        self.block(raw(b"pax_global_header", b'g', records.len() as u64, b"")).content(records)
    }

    pub(super) fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn read(bytes: &[u8]) -> Result<InspectedImage, ArchiveError> {
    inspect(bytes, &Limits::default())
}

/// The code of the refusal, and that inspecting and unpacking agree on it.
fn refusal(bytes: &[u8]) -> String {
    let target = tempfile::tempdir().unwrap();
    let options = UnpackOptions::new(Ownership::Caller);
    let one = read(bytes).map(|_| ()).expect_err("accepted");
    let other = unpack(bytes, target.path(), &options, &Limits::default());
    let other = other.map(|_| ()).expect_err("unpacked");
    assert_eq!(one.to_string(), other.to_string());
    let refusal = crate::Refuse::refusal(&one);
    for text in [&refusal.wanted, &refusal.found, &refusal.rule, &refusal.next] {
        assert!(!text.is_empty());
    }
    refusal.code
}

fn options(compression: Compression, threads: usize) -> WriteOptions {
    WriteOptions { compression, threads: NonZeroUsize::new(threads).unwrap() }
}

fn entry(path: &str, kind: EntryKind) -> Entry {
    Entry { path: path.into(), kind, mode: 0o755, uid: 0, gid: 0, mtime: 1, xattrs: Vec::new() }
}

/// A small image of every kind of entry, with content that spans several blocks.
fn sample(compression: Compression, threads: usize) -> (Vec<u8>, Written) {
    // A few blocks; of xz, whose blocks are large and slow, a little more than one.
    let blocks = if compression == Compression::Xz { 5 } else { 13 };
    let words = (compress::block_bytes(compression) / 4 * blocks / 4) as u32;
    let big: Vec<u8> = (0..words).flat_map(|n| (n / 7).to_le_bytes()).collect();
    let mut out = Vec::new();
    let written = write(&mut out, &options(compression, threads), |archive| {
        archive.manifest(MANIFEST, 0)?;
        archive.entry(&entry("rootfs", EntryKind::Directory))?;
        archive.entry(&entry("rootfs/a", EntryKind::Directory))?;
        let file = entry("rootfs/a/big", EntryKind::File { size: big.len() as u64 });
        archive.file(&file, &mut big.as_slice())?;
        let link = EntryKind::HardLink { target: "rootfs/a/big".into() };
        archive.entry(&entry("rootfs/a/hard", link))?;
        let long = "n".repeat(200);
        let mut odd = entry(&format!("rootfs/{long}"), EntryKind::File { size: 3 });
        odd.mtime = -5;
        odd.uid = 4_000_000_000;
        odd.xattrs = vec![(b"user.b".to_vec(), b"\0=".to_vec())];
        archive.file(&odd, &mut &b"abc"[..])?;
        let mut bytes = entry("", EntryKind::Fifo);
        bytes.path = PathBytes(b"rootfs/\xff\xfe".to_vec());
        archive.entry(&bytes)?;
        let target = "t".repeat(150);
        let link = EntryKind::Symlink { target: target.as_str().into() };
        archive.entry(&entry("rootfs/sym", link))?;
        archive.entry(&entry("rootfs/tty", EntryKind::Character { device: (4, 64) }))
    });
    (out, written.map_err(|e: io::Error| e).unwrap())
}

const ALL: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Bzip2, Compression::Xz, Compression::Zstd];

#[test]
fn writer_and_reader_agree_in_every_compression() {
    for compression in ALL {
        let (bytes, written) = sample(compression, 2);
        let image = read(&bytes).unwrap();
        assert_eq!(image.image_id(), &written.image_id);
        assert_eq!(Some(image.file_digest()), written.file_digest.as_ref());
        assert_eq!(
            (image.file_bytes(), image.tar_bytes(), image.entries()),
            (written.file_bytes, written.tar_bytes, 8)
        );
        assert_eq!(image.compression(), compression);
        assert_eq!(image.manifest_bytes(), MANIFEST);
    }
}

#[test]
fn writer_bytes_do_not_depend_on_threads() {
    for compression in ALL {
        let one = sample(compression, 1);
        for threads in [2, 5] {
            assert!(sample(compression, threads) == one, "{compression}, {threads} threads");
        }
    }
}

#[test]
fn writer_is_read_alike_by_another_tar() {
    let (bytes, _) = sample(Compression::None, 1);
    let mut other = tar::Archive::new(bytes.as_slice());
    let mut names = Vec::new();
    for entry in other.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        names.push(entry.path_bytes().into_owned());
        if entry.path_bytes().ends_with(b"nnn") {
            assert_eq!(content, b"abc");
            assert_eq!(entry.header().as_ustar().unwrap().typeflag, [b'0']);
            let extensions = entry.pax_extensions().unwrap().unwrap();
            let records: Vec<_> =
                extensions.map(|e| e.unwrap()).map(|e| e.key().unwrap().to_owned()).collect();
            assert_eq!(records, ["SCHILY.xattr.user.b", "mtime", "path", "uid"]);
        }
    }
    assert_eq!(names.len(), 9);
    assert_eq!(names[0], b"manifest");
    assert_eq!(names[6], b"rootfs/\xff\xfe");
}

#[test]
fn writer_never_pads_or_cuts_a_file() {
    for content in [&b"ab"[..], b"abcd"] {
        let mut out = Vec::new();
        let result = write(&mut out, &options(Compression::Gzip, 1), |archive| {
            archive.file(&entry("rootfs/f", EntryKind::File { size: 3 }), &mut &*content)
        });
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}

#[test]
fn writer_reports_a_full_disk() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    for compression in ALL {
        let error = write(&mut Full, &options(compression, 2), |archive| {
            let size = 40_000_000;
            let file = entry("rootfs/f", EntryKind::File { size });
            archive.file(&file, &mut io::repeat(b'x').take(size))
        });
        assert_eq!(error.map_err(|e: io::Error| e.kind()), Err(io::ErrorKind::StorageFull));
    }
}

#[test]
fn reader_takes_gnu_v7_and_padded_archives() {
    let mut gnu = Tar::image();
    let long = format!("rootfs/{}", "x".repeat(150));
    gnu = gnu
        .block(raw(b"././@LongLink", b'L', 158, b""))
        .content(&[long.as_bytes(), b"\0"].concat());
    gnu = gnu.file("rootfs/short", b"content");
    let mut padded = gnu.end();
    padded.resize(10240, 0);
    assert_eq!(read(&padded).unwrap().entries(), 2);

    let mut v7 = Tar::default();
    for (name, kind, bytes) in [("./manifest", 0, MANIFEST), ("./rootfs/", b'5', b"")] {
        let mut block = raw(name.as_bytes(), kind, bytes.len() as u64, b"");
        block[257..265].fill(0);
        seal(&mut block);
        v7 = v7.block(block).content(bytes);
    }
    assert!(read(&v7.end()).is_ok());
    let global = raw(b"pax_global_header", b'g', 12, b"");
    let git = Tar::default().block(global).content(b"12 comment=\n");
    assert!(read(&git.file("manifest", MANIFEST).directory("rootfs").end()).is_ok());
    assert!(
        read(&Tar::default().directory("./").file("manifest", MANIFEST).directory("rootfs").end())
            .is_ok()
    );
}

#[test]
fn reader_takes_streams_of_several_members() {
    let tar = Tar::image().file("rootfs/f", &[7; 5000]).end();
    let (start, end) = tar.split_at(1000);
    let several = [gzip(start), gzip(end)].concat();
    assert_eq!(read(&several).unwrap().image_id(), read(&tar).unwrap().image_id());
}

#[test]
fn reader_does_not_need_its_bytes_at_once() {
    struct Slow<'a>(&'a [u8]);
    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let one = buffer.len().min(1);
            self.0.read(&mut buffer[..one])
        }
    }
    let tar = Tar::image().end();
    for file in [gzip(&tar), tar] {
        let image = inspect(Slow(&file), &Limits::default()).unwrap();
        assert_eq!(image.file_digest(), read(&file).unwrap().file_digest());
    }
}

#[test]
fn layout_refuses_what_is_not_manifest_and_rootfs() {
    let image = Tar::image;
    for bad in [
        Tar::default().directory("rootfs"),
        Tar::default().file("manifest", MANIFEST),
        Tar::default().file("manifest", MANIFEST).file("rootfs/f", b""),
        image().file("other", b""),
        image().file("rootfsevil", b""),
        image().directory("rootfsevil"),
        Tar::default().file("manifest", MANIFEST).link("rootfs", b'2', "/tmp"),
        Tar::default().file("manifest", MANIFEST).file("rootfs", b""),
        Tar::default().directory("rootfs").link("manifest", b'2', "/etc/passwd"),
        Tar::default().directory("rootfs").directory("manifest"),
        Tar::default()
            .directory("rootfs")
            .file("rootfs/m", MANIFEST)
            .link("manifest", b'1', "rootfs/m"),
    ] {
        assert_eq!(refusal(&bad.end()), "image-layout");
    }
    for bad in [
        image().file("manifest", MANIFEST),
        image().directory("rootfs"),
        image().file("rootfs/a", b"").file("rootfs/a", b""),
        image().directory("rootfs/a").link("rootfs/a", b'2', "/etc"),
        image().file("rootfs/a/b", b"").link("rootfs/a", b'2', "/etc"),
        image().directory("rootfs/a/").directory("./rootfs/a"),
    ] {
        assert_eq!(refusal(&bad.end()), "image-duplicate");
    }
}

#[test]
fn layout_refuses_paths_that_leave_the_image() {
    for path in [
        "../etc/passwd",
        "rootfs/../etc/passwd",
        "rootfs/a/../../../b",
        "/rootfs/a",
        "/etc/passwd",
        "rootfs//a",
        "rootfs/./a",
        "rootfs/a/.",
        "rootfs/..",
        "",
        "././rootfs/a",
        "rootfs/f/",
    ] {
        let bad = Tar::image().file(path, b"x");
        assert_eq!(refusal(&bad.end()), "image-path", "{path:?}");
    }
    let through = Tar::image().link("rootfs/l", b'2', "/etc").file("rootfs/l/passwd", b"x");
    assert_eq!(refusal(&through.end()), "image-path");
    let deep = Tar::image().link("rootfs/l", b'2', "/etc").file("rootfs/l/a/b", b"x");
    assert_eq!(refusal(&deep.end()), "image-path");
    let file = Tar::image().file("rootfs/f", b"").file("rootfs/f/g", b"x");
    assert_eq!(refusal(&file.end()), "image-path");
    let nul = Tar::image().extended(b"17 path=rootfs/\0\n").file("rootfs/a", b"");
    assert_eq!(refusal(&nul.end()), "image-tar");
}

#[test]
fn layout_refuses_hard_links_out_of_the_rootfs() {
    let image = || Tar::image().file("rootfs/f", b"x").directory("rootfs/d");
    for target in ["rootfs/absent", "manifest", "rootfs/d", "rootfs", "rootfs/l", "etc/passwd"] {
        let bad = image().link("rootfs/l", b'1', target).file("rootfs/absent", b"later");
        assert_eq!(refusal(&bad.end()), "image-hard-link", "{target:?}");
    }
    for target in ["../etc/passwd", "/etc/passwd", "rootfs/../../etc/passwd"] {
        assert_eq!(
            refusal(&image().link("rootfs/l", b'1', target).end()),
            "image-path",
            "{target:?}"
        );
    }
    assert!(read(&image().link("rootfs/l", b'1', "rootfs/f").end()).is_ok());
}

#[test]
fn reader_refuses_headers_that_read_two_ways() {
    let image = Tar::image;
    let mut wrong = raw(b"rootfs/a", b'0', 0, b"");
    wrong[0] = b'x';
    let mut number = raw(b"rootfs/a", b'0', 0, b"");
    number[124..136].copy_from_slice(b"0000000009 \0");
    seal(&mut number);
    for (bad, why) in [
        (image().block(wrong), "checksum"),
        (image().block(number), "a size that is no number"),
        (
            image().block(raw(b"rootfs/d", b'5', 512, b"")).content(&[0; 512]),
            "a directory with content",
        ),
        (
            image().block(raw(b"rootfs/l", b'2', 512, b"t")).content(&[0; 512]),
            "a link with content",
        ),
        (image().extended(b"10 size=1\n").file("rootfs/a", b""), "another size than the header"),
        (image().extended(b"9 path=a\n9 path=b\n").file("rootfs/a", b""), "a record twice"),
        (image().extended(b"99 path=a\n").file("rootfs/a", b""), "a record that lies"),
        (image().extended(b"22 GNU.sparse.major=1\n").file("rootfs/a", b""), "sparse"),
        (
            image().extended(b"9 path=a\n").extended(b"9 path=b\n").file("rootfs/a", b""),
            "two in a row",
        ),
        (image().extended(b"9 path=a\n"), "extending nothing"),
        (
            image()
                .extended(b"16 path=rootfs/x\n")
                .block(raw(b"l", b'L', 2, b""))
                .content(b"a\0")
                .file("rootfs/a", b""),
            "both kinds of long name",
        ),
        (
            image().block(raw(b"g", b'g', 9, b"")).content(b"9 path=a\n").file("rootfs/a", b""),
            "a global path",
        ),
    ] {
        assert_eq!(refusal(&bad.end()), "image-tar", "{why}");
    }
    for kind in [b'7', b'A', b'S', b'V', b'M', b'Z', b'D'] {
        let bad = image().block(raw(b"rootfs/a", kind, 0, b""));
        assert_eq!(refusal(&bad.end()), "image-entry-type");
    }
    assert!(read(&image().block(raw(b"g", b'g', 12, b"")).content(b"12 comment=\n").end()).is_ok());
}

#[test]
fn reader_refuses_numbers_that_other_tools_stumble_over() {
    // In every header, of whatever kind: mode, owner, group, time, device numbers, and where
    // star has signed it, its two times.
    for at in [100, 108, 116, 136, 329, 337] {
        for kind in [b'0', b'5', b'x', b'L'] {
            let mut header = raw(b"rootfs/a", kind, 0, b"");
            header[at..at + 7].copy_from_slice(b"00000x0");
            seal(&mut header);
            let bad = Tar::image().block(header).file("rootfs/b", b"");
            assert_eq!(refusal(&bad.end()), "image-tar", "{at} {}", char::from(kind));
        }
    }
    let mut star = raw(b"rootfs/a", b'0', 0, b"");
    star[508..512].copy_from_slice(b"tar\0");
    seal(&mut star);
    assert!(read(&Tar::image().block(star).end()).is_ok());
    star[476..480].copy_from_slice(b"time");
    seal(&mut star);
    assert_eq!(refusal(&Tar::image().block(star).end()), "image-tar");
    for record in [&b"11 atime=x\n"[..], b"12 ctime=1e\n", b"11 uname=\0\n", b"8 k\0=v\n"] {
        let bad = Tar::image().extended(record).file("rootfs/a", b"");
        assert_eq!(refusal(&bad.end()), "image-tar", "{record:?}");
    }
    let sound = Tar::image().extended(b"13 atime=1.5\n").file("rootfs/a", b"");
    assert!(read(&sound.end()).is_ok());
}

#[test]
fn reader_refuses_early_ends_and_late_guests() {
    let tar = Tar::image().file("rootfs/f", b"content").end();
    for cut in [0, 1, 100, 512, 600, 1024, tar.len() - 1024, tar.len() - 512, tar.len() - 1] {
        let code = refusal(&tar[..cut]);
        assert!(["image-truncated", "image-format"].contains(&code.as_str()), "{cut}: {code}");
    }
    let packed = gzip(&tar);
    for cut in 2..packed.len() {
        let code = refusal(&packed[..cut]);
        assert_eq!(code, "image-truncated", "{cut}");
    }
    assert_eq!(refusal(&[tar.clone(), b"x".to_vec()].concat()), "image-tar");
    assert_eq!(refusal(&[tar.clone(), tar.clone()].concat()), "image-tar");
    assert_eq!(refusal(&[packed.clone(), b"guest".to_vec()].concat()), "image-truncated");
    assert_eq!(refusal(b"<!DOCTYPE html>"), "image-format");
    assert_eq!(refusal(&gzip(&packed)), "image-format");
}

#[test]
fn reader_sees_every_flipped_bit_of_a_compressed_image() {
    for compression in [Compression::Gzip, Compression::Bzip2, Compression::Xz, Compression::Zstd] {
        let mut out = Vec::new();
        let written = write(&mut out, &options(compression, 1), |archive| {
            archive.manifest(MANIFEST, 0)?;
            archive.entry(&entry("rootfs", EntryKind::Directory))
        })
        .map_err(|e: io::Error| e)
        .unwrap();
        for bit in 0..out.len() * 8 {
            let mut flipped = out.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // Some bits mean nothing (a gzip header's time): the image ID is then the
            // same, and the file's digest, which is what a signature covers, is not.
            if let Ok(image) = read(&flipped) {
                assert_eq!(image.image_id(), &written.image_id, "{compression}, bit {bit}");
                assert_ne!(Some(image.file_digest()), written.file_digest.as_ref());
            }
        }
    }
}

#[test]
fn reader_refuses_bombs_before_they_go_off() {
    let zeros = 300 << 20;
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    bomb.write_all(&Tar::image().0).unwrap();
    bomb.write_all(&raw(b"rootfs/zeros", b'0', zeros, b"")).unwrap();
    io::copy(&mut io::repeat(0).take(zeros + 1024), &mut bomb).unwrap();
    assert_eq!(refusal(&bomb.finish().unwrap()), "image-bomb");
}

#[test]
fn reader_keeps_every_limit() {
    let tar = Tar::image()
        .file("rootfs/a/b/c", &[0; 2000])
        .extended(b"9 x.y=zz\n")
        .file("rootfs/d", b"")
        .end();
    let sound = Limits::default();
    assert!(inspect(tar.as_slice(), &sound).is_ok());
    for tight in [
        Limits { file_bytes: 2000, ..sound.clone() },
        Limits { tar_bytes: 2000, ..sound.clone() },
        Limits { entries: 3, ..sound.clone() },
        Limits { manifest_bytes: 10, ..sound.clone() },
        Limits { path_bytes: 10, ..sound.clone() },
        Limits { path_depth: 3, ..sound.clone() },
        Limits { header_bytes: 8, ..sound.clone() },
    ] {
        let error = inspect(tar.as_slice(), &tight).unwrap_err();
        assert!(matches!(error, ArchiveError::Limit { .. }), "{tight:?}: {error}");
    }
    assert!(matches!(
        inspect(
            tar.as_slice(),
            &Limits { file_bytes: tar.len() as u64, tar_bytes: tar.len() as u64, ..sound }
        ),
        Ok(image) if image.file_bytes() == tar.len() as u64
    ));
}

#[test]
fn unpack_gives_the_tree_back() {
    let (bytes, written) = sample(Compression::Gzip, 1);
    let target = tempfile::tempdir().unwrap();
    let options = UnpackOptions::new(Ownership::Caller);
    let unpacked = unpack(bytes.as_slice(), target.path(), &options, &Limits::default()).unwrap();
    assert_eq!(unpacked.image.image_id(), &written.image_id);
    assert_eq!(unpacked.left_out.devices, 1);
    let rootfs = target.path().join("rootfs");
    assert_eq!(fs::read(target.path().join("manifest")).unwrap(), MANIFEST);
    let big = fs::metadata(rootfs.join("a/big")).unwrap();
    assert_eq!(big.len(), 1_703_936);
    assert_eq!(big.ino(), fs::metadata(rootfs.join("a/hard")).unwrap().ino());
    assert_eq!(big.permissions().mode() & 0o7777, 0o755);
    assert_eq!(fs::metadata(&rootfs).unwrap().mtime(), 1, "a folder's time is set last");
    assert_eq!(fs::metadata(rootfs.join("n".repeat(200))).unwrap().mtime(), -5);
    assert_eq!(fs::read_link(rootfs.join("sym")).unwrap().as_os_str().len(), 150);
}

#[test]
fn unpack_fills_folders_that_shut_themselves_off() {
    let mut shut = raw(b"rootfs/shut", b'5', 0, b"");
    shut[100..107].copy_from_slice(b"0000000");
    seal(&mut shut);
    let tar = Tar::image()
        .file("rootfs/shut/inner/f", b"x")
        .block(shut)
        .directory("rootfs/shut/inner")
        .end();
    let target = tempfile::tempdir().unwrap();
    let options = UnpackOptions::new(Ownership::Caller);
    unpack(tar.as_slice(), target.path(), &options, &Limits::default()).unwrap();
    let shut = target.path().join("rootfs/shut");
    assert_eq!(fs::metadata(&shut).unwrap().permissions().mode() & 0o7777, 0);
    fs::set_permissions(&shut, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(fs::read(shut.join("inner/f")).unwrap(), b"x");
}

#[test]
fn unpack_drops_set_id_bits_with_the_owner() {
    let mut set_id = raw(b"rootfs/su", b'0', 0, b"");
    set_id[100..107].copy_from_slice(b"0004755");
    seal(&mut set_id);
    let tar = Tar::image().block(set_id).end();
    let target = tempfile::tempdir().unwrap();
    let options = UnpackOptions::new(Ownership::Caller);
    let unpacked = unpack(tar.as_slice(), target.path(), &options, &Limits::default()).unwrap();
    assert_eq!(unpacked.left_out.set_id, 1);
    let mode = fs::metadata(target.path().join("rootfs/su")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o755);
}
