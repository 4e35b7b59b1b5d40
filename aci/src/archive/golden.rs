//! Golden vectors: the image IDs of fixed archives, and the bytes of one. Profile v1 is frozen: a
//! change that makes one of these tests fail makes other images of the same trees, and is a
//! profile v2.

use std::num::NonZeroUsize;

use super::entry::{Entry, EntryKind, PathBytes};
use super::{Compression, WriteOptions, header, inspect, write};
use crate::digest::ImageId;
use crate::limits::Limits;

const MANIFEST: &[u8] =
    br#"{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/golden"}"#;

fn entry(path: &[u8], kind: EntryKind) -> Entry {
    let mode = if kind == EntryKind::Directory { 0o755 } else { 0o644 };
    Entry { path: path.into(), kind, mode, uid: 0, gid: 0, mtime: 1_500_000_000, xattrs: vec![] }
}

fn file(path: &[u8]) -> Entry {
    entry(path, EntryKind::File { size: path.len() as u64 })
}

/// Writes the manifest, `rootfs` and these; files have their path for content.
fn archive(entries: &[Entry]) -> (Vec<u8>, ImageId) {
    let mut out = Vec::new();
    let options = WriteOptions { compression: Compression::None, threads: NonZeroUsize::MIN };
    let written = write(&mut out, &options, |archive| {
        archive.manifest(MANIFEST, 1_500_000_000)?;
        archive.entry(&entry(b"rootfs", EntryKind::Directory))?;
        entries.iter().try_for_each(|entry| match entry.kind {
            EntryKind::File { .. } => archive.file(entry, &mut entry.path.0.as_slice()),
            _ => archive.entry(entry),
        })
    });
    let id = written.map(|written: super::Written| written.image_id).unwrap();
    // Names longer than file systems have are read where somebody wants them.
    let limits = Limits { name_bytes: 4095, ..Limits::default() };
    let read = inspect(&mut out.as_slice(), &limits).unwrap();
    assert_eq!(*read.image_id(), id, "a golden archive that our own reader refuses is none");
    (out, id)
}

#[track_caller]
fn frozen(entries: &[Entry], id: &str) {
    assert_eq!(archive(entries).1.to_string(), format!("sha512-{id}"));
}

#[test]
fn golden_archive_of_nothing_has_its_bytes() {
    let (bytes, _) = archive(&[]);
    let mut expected = Vec::new();
    for (name, mode, size, kind, sum) in
        [("manifest", "0000644", 75, b'0', "007520"), ("rootfs", "0000755", 0, b'5', "007231")]
    {
        let mut block = Vec::new();
        block.extend(name.as_bytes());
        block.resize(100, 0);
        block.extend(format!("{mode}\x000000000\x000000000\0{size:011o}\x0013132027400\0").bytes());
        block.extend(format!("{sum}\0 {}", char::from(kind)).bytes());
        block.resize(257, 0);
        block.extend(b"ustar\x0000");
        block.resize(512, 0);
        expected.extend(block);
        if size > 0 {
            expected.extend(MANIFEST);
            expected.resize(1024, 0);
        }
    }
    expected.resize(expected.len() + 1024, 0);
    let first = bytes.iter().zip(&expected).position(|(found, wanted)| found != wanted);
    assert_eq!((first, bytes.len()), (None, expected.len()));
}

#[test]
fn golden_archive_of_every_kind_has_its_id() {
    let target = |path: &str| PathBytes::from(path);
    let mut set_id = file(b"rootfs/su");
    (set_id.mode, set_id.uid, set_id.gid) = (0o6755, 1000, 2000);
    frozen(
        &[
            entry(b"rootfs/block", EntryKind::Block { device: (259, 65_536) }),
            entry(b"rootfs/char", EntryKind::Character { device: (1, 3) }),
            entry(b"rootfs/dir", EntryKind::Directory),
            file(b"rootfs/dir/file"),
            entry(b"rootfs/fifo", EntryKind::Fifo),
            entry(b"rootfs/hard", EntryKind::HardLink { target: target("rootfs/dir/file") }),
            set_id,
            entry(b"rootfs/symlink", EntryKind::Symlink { target: target("../outside") }),
        ],
        "1116fa499d9306c5b6d54edaf084cac63c3fffe9fe9c5bf35d2c251a450e0f71\
         ba988086f16f2a061e7fcbf0451e7b411bdca69eddecac2a13e69f83ad5ddb2d",
    );
}

#[test]
fn golden_archive_of_long_paths_has_its_id() {
    let long = |length: usize| [&b"rootfs/"[..], &vec![b'p'; length]].concat();
    let split = [&b"rootfs/"[..], &[b'd'; 120], b"/", &[b'f'; 100]].concat();
    let folder = split[..127].to_vec();
    let target = |length: usize| PathBytes(vec![b't'; length]);
    frozen(
        &[
            entry(&folder, EntryKind::Directory),
            file(&split),
            file(&long(93)),
            file(&long(94)),
            file(&long(255)),
            // No file system has names this long; the format does.
            file(&long(4088)),
            entry(b"rootfs/s100", EntryKind::Symlink { target: target(100) }),
            entry(b"rootfs/s101", EntryKind::Symlink { target: target(101) }),
            entry(b"rootfs/s4095", EntryKind::Symlink { target: target(4095) }),
            entry(b"rootfs/z", EntryKind::HardLink { target: PathBytes(long(255)) }),
        ],
        "4f9a9f02ee49ca9d55771e023a99609243d507188b08ff0a6be7f3b2b25920c0\
         b25d51114a7f942576d8b4700f31b3ebdaf3d007164866e7a3f0b84f48e680a8",
    );
}

#[test]
fn golden_archive_of_names_has_its_id() {
    let target = PathBytes(b"caf\xe9".to_vec());
    frozen(
        &[
            file(b"rootfs/ lead"),
            file(b"rootfs/.wh.gone"),
            file(b"rootfs/back\\slash"),
            file(b"rootfs/caf\xe9"),
            file("rootfs/e\u{301}".as_bytes()),
            file(b"rootfs/manifest"),
            file(b"rootfs/new\nline"),
            entry(b"rootfs/to-bytes", EntryKind::Symlink { target: target.clone() }),
            entry(b"rootfs/\xc3\x28", EntryKind::Symlink { target }),
            file("rootfs/\u{e9}".as_bytes()),
        ],
        "df22e3b98050be9d237c4d881e938a3803a6d38b91829cd088c70a2353f176c5\
         a867dc723bb6f48bb6f84a916c139ac096248e50492f3947df5f6ddec37de96d",
    );
}

#[test]
fn golden_archive_of_numbers_has_its_id() {
    let mut entries = Vec::new();
    for (at, id) in [(1 << 21) - 1, 1 << 21, 1 << 31, u32::MAX - 1].into_iter().enumerate() {
        let mut entry = file(format!("rootfs/a{at}").as_bytes());
        (entry.uid, entry.gid) = (id, u32::MAX - 1 - id);
        entries.push(entry);
    }
    let times = [-1, 0, (1 << 33) - 1, 1 << 33, 13_569_465_600, i64::MAX, i64::MIN];
    for (at, mtime) in times.into_iter().enumerate() {
        let mut entry = file(format!("rootfs/b{at}").as_bytes());
        entry.mtime = mtime;
        entries.push(entry);
    }
    frozen(
        &entries,
        "2499e2ed4c4507bc03ad3541362cc9b7c38ddc82be8d931f3c4ea4feae38285f\
         2d4ebe186951777c6bae629df8432acf4500608e364e14d0d5ea3f259d4244ce",
    );
}

#[test]
fn golden_archive_of_attributes_has_its_id() {
    let attribute = |name: &str, value: &[u8]| (name.as_bytes().to_vec(), value.to_vec());
    let mut many = file(b"rootfs/many");
    many.xattrs = vec![
        attribute(
            "security.capability",
            &[1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ),
        attribute("user.binary", &(0..=255).collect::<Vec<u8>>()),
        attribute("user.empty", b""),
        attribute("user.large", &[b'x'; 64 << 10]),
        attribute("user.text", "a=b\ngr\u{fc}n".as_bytes()),
    ];
    let mut both = file(&[&b"rootfs/"[..], &[0xff; 120]].concat());
    both.xattrs = vec![attribute("system.posix_acl_access", b"\x02\0\0\0")];
    (both.uid, both.mtime) = (1 << 22, -1);
    frozen(
        &[many, both],
        "ee134b54526e4f6a6257667048d3a6d5ba8ae2b2860efbb76329b2f5b23781a1\
         b66cc53cc80143907cc9425d236c2ed9622c36a4fe12a66acaa97589914b7f61",
    );
}

#[test]
fn golden_header_of_8_gib_has_its_bytes() {
    let mut found = Vec::new();
    for size in [(8 << 30) - 1, 8 << 30, (8 << 30) + 1, u64::MAX] {
        header::encode(&entry(b"rootfs/f", EntryKind::File { size }), 7, &mut found);
    }
    // One block of ustar; then three times header, records, header.
    assert_eq!(found.len(), 512 * (1 + 3 * 3));
    assert_eq!(&found[124..136], b"77777777777\0");
    assert_eq!(&found[512..512 + 14], b"PaxHeaders.0/7");
    assert_eq!(&found[1024..1024 + 19], b"19 size=8589934592\n");
    assert_eq!(
        ImageId::of(sha512(&found)).to_string(),
        "sha512-4315995441de031e84ea1dfc18dfe466af6d0c75c255d1d89849c6c1eb11990c\
         5e3704da66431884d7e1ea778c9e9c0ed2e2612a75766def63d09e5279f89c04"
    );
}

fn sha512(bytes: &[u8]) -> [u8; 64] {
    use sha2::Digest;
    sha2::Sha512::digest(bytes).into()
}

#[test]
fn component_longer_than_file_systems_have_is_written() {
    for length in [256, 300, 4000] {
        let name = [&b"rootfs/"[..], &vec![b'c'; length]].concat();
        let (bytes, _) = archive(&[file(&name)]);
        let mut archive = tar::Archive::new(bytes.as_slice());
        let last = archive.entries().unwrap().last().unwrap().unwrap();
        assert_eq!(last.path_bytes(), name);
    }
}
