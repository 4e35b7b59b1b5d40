//! Trees of every kind of entry, and more of them than fit in memory.

use std::io;
use std::num::NonZeroUsize;

use super::*;
use crate::archive::{Compression, WriteOptions, write};

const MANIFEST: &[u8] =
    br#"{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/a"}"#;

fn entry(path: &str, kind: EntryKind) -> Entry {
    Entry { path: path.into(), kind, mode: 0o755, uid: 0, gid: 0, mtime: 1, xattrs: Vec::new() }
}

fn image(files: &[(Entry, &[u8])]) -> Vec<u8> {
    let options = WriteOptions { compression: Compression::None, threads: NonZeroUsize::MIN };
    let mut out = Vec::new();
    write::<_, io::Error>(&mut out, &options, |archive| {
        archive.manifest(MANIFEST, 0)?;
        archive.entry(&entry("rootfs", EntryKind::Directory))?;
        files.iter().try_for_each(|(entry, content)| archive.file(entry, &mut &**content))
    })
    .unwrap();
    out
}

fn tree(image: &[u8]) -> Tree {
    let folder = tempfile::tempdir().unwrap();
    Tree::read(image, &Limits::default(), folder.path()).unwrap()
}

/// The changes, one line each.
fn changes(old: &[(Entry, &[u8])], new: &[(Entry, &[u8])], ignore: &[Ignore]) -> Vec<String> {
    let mut lines = Vec::new();
    let value = |value: Option<Value>| value.map_or("-".to_owned(), |value| value.to_string());
    trees::<DiffError>(tree(&image(old)), tree(&image(new)), ignore, |change| {
        match change {
            TreeChange::Added(entry) => lines.push(format!("+ {}", entry.path)),
            TreeChange::Removed(entry) => lines.push(format!("- {}", entry.path)),
            TreeChange::Changed { path, fields } => {
                lines.extend(fields.into_iter().map(|one| {
                    format!("{path} {} {} {}", one.field, value(one.old), value(one.new))
                }))
            }
        }
        Ok(())
    })
    .unwrap();
    lines
}

fn file(path: &str, content: &'static [u8]) -> (Entry, &'static [u8]) {
    (entry(path, EntryKind::File { size: content.len() as u64 }), content)
}

fn other(path: &str, kind: EntryKind) -> (Entry, &'static [u8]) {
    (entry(path, kind), b"")
}

#[test]
fn trees_in_another_order_are_equal() {
    let (a, b, c) = (file("rootfs/a", b"1"), file("rootfs/b", b"2"), file("rootfs/b-c", b"3"));
    let one = [a.clone(), b.clone(), c.clone()];
    assert!(changes(&one, &[c, a, b], &[]).is_empty());
}

#[test]
fn trees_differ_by_what_was_added_and_removed() {
    let old = [file("rootfs/a", b"1"), other("rootfs/d", EntryKind::Directory)];
    let new =
        [other("rootfs/d", EntryKind::Directory), file("rootfs/d/x", b""), file("rootfs/e", b"")];
    assert_eq!(changes(&old, &new, &[]), ["- rootfs/a", "+ rootfs/d/x", "+ rootfs/e"]);
}

#[test]
fn trees_differ_by_every_field() {
    let link = |target: &str| EntryKind::Symlink { target: target.into() };
    let old = [
        file("rootfs/content", b"a"),
        file("rootfs/kind", b""),
        other("rootfs/link", link("a")),
        other("rootfs/node", EntryKind::Character { device: (1, 3) }),
        other("rootfs/rest", EntryKind::Fifo),
    ];
    let mut rest = entry("rootfs/rest", EntryKind::Fifo);
    (rest.mode, rest.uid, rest.gid, rest.mtime) = (0o4700, 1, 2, -1);
    rest.xattrs = vec![(b"user.a".to_vec(), b"\xff".to_vec())];
    let new = [
        file("rootfs/content", b"b"),
        other("rootfs/kind", EntryKind::Directory),
        other("rootfs/link", link("b")),
        other("rootfs/node", EntryKind::Character { device: (1, 5) }),
        (rest, &b""[..]),
    ];
    let found = changes(&old, &new, &[]);
    let (content, others): (Vec<_>, Vec<_>) =
        found.iter().partition::<Vec<&String>, _>(|line| line.contains("sha512-"));
    assert!(content[0].starts_with("rootfs/content content \"sha512-"), "{content:?}");
    assert!(content[1].starts_with("rootfs/kind content \"sha512-"), "{content:?}");
    assert_eq!(
        others,
        [
            r#"rootfs/kind type "file" "directory""#,
            r#"rootfs/kind size 0 -"#,
            r#"rootfs/link target "a" "b""#,
            r#"rootfs/node device [1,3] [1,5]"#,
            r#"rootfs/rest mode "0755" "4700""#,
            "rootfs/rest uid 0 1",
            "rootfs/rest gid 0 2",
            "rootfs/rest mtime 1 -1",
            r#"rootfs/rest xattr:user.a - "ff""#,
        ]
    );
    let ignore = [Ignore::Mtime, Ignore::Owner, Ignore::Mode, Ignore::Xattrs];
    assert!(!changes(&old, &new, &ignore).iter().any(|line| line.starts_with("rootfs/rest")));
}

#[test]
fn trees_tell_long_attributes_apart_by_their_end() {
    let with = |last: u8| {
        let mut file = file("rootfs/a", b"");
        let mut value = vec![b'v'; 5000];
        value.push(last);
        file.0.xattrs = vec![(b"user.long".to_vec(), value)];
        file
    };
    assert_eq!(changes(&[with(1)], &[with(2)], &[]).len(), 1);
    assert!(changes(&[with(1)], &[with(1)], &[]).is_empty());
}

#[test]
fn sorter_puts_aside_what_does_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let mut sorter = Sorter::holding(folder.path(), 10_000);
    // A permutation of 0..5000, for 1663 and 5000 have no factor in common.
    let path = |n: u64| format!("rootfs/{}/{:05}", n / 100, n);
    for n in (0..5000).map(|n| n * 1663 % 5000) {
        let mut entry = entry(&path(n), EntryKind::File { size: n });
        entry.xattrs = vec![(b"user.n".to_vec(), vec![0; (n % 50) as usize])];
        sorter.push(&Record { entry, content: Some([n as u8; 64]) }).unwrap();
    }
    let mut sorted = sorter.finish().unwrap();
    let mut before: Option<Record> = None;
    let mut count = 0;
    while let Some(record) = sorted.next().unwrap() {
        let EntryKind::File { size } = record.entry.kind else { panic!("{record:?}") };
        assert_eq!(record.entry.path.to_string(), path(size));
        assert_eq!(record.content, Some([size as u8; 64]));
        assert_eq!(record.entry.xattrs[0].1.len() as u64, size % 50);
        let follows = before.is_none_or(|before| {
            record::order(&before.entry.path.0, &record.entry.path.0) == Ordering::Less
        });
        assert!(follows, "{record:?}");
        before = Some(record);
        count += 1;
    }
    assert_eq!(count, 5000);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn record_reads_back_as_it_was() {
    let kinds = [
        EntryKind::File { size: u64::MAX },
        EntryKind::Directory,
        EntryKind::Symlink { target: "a".into() },
        EntryKind::HardLink { target: "rootfs/b".into() },
        EntryKind::Character { device: (u32::MAX, 1) },
        EntryKind::Block { device: (1, u32::MAX) },
        EntryKind::Fifo,
    ];
    for (at, kind) in kinds.into_iter().enumerate() {
        let mut entry = entry("rootfs/\n", kind);
        entry.mtime = i64::MIN;
        entry.xattrs = vec![(b"a".to_vec(), Vec::new()), (b"b".to_vec(), vec![0; 9])];
        let record = Record { entry, content: (at == 0).then_some([7; 64]) };
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        assert_eq!(Record::decode(&bytes), Some(record));
        assert_eq!(Record::decode(&bytes[..bytes.len() - 1]), None);
    }
}
