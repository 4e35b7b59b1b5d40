//! Trees on a real file system, packed and read back by another tar.

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::support::{MANIFEST, Seen, options, pack, paths};
use aci::stage::Existing;
use builder::{PackError, PackOptions, ProblemKind, Source};

/// Every entry as the `tar` crate reads it, by its path.
fn entries(bytes: &[u8]) -> Vec<(String, Seen)> {
    let text = |path| String::from_utf8(path).unwrap();
    crate::support::entries(bytes).into_iter().map(|(path, seen)| (text(path), seen)).collect()
}

fn set_time(path: &Path, time: SystemTime) {
    File::open(path).unwrap().set_times(FileTimes::new().set_modified(time)).unwrap();
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

#[test]
fn pack_orders_paths_segment_by_segment() {
    let tree = tempfile::tempdir().unwrap();
    for path in ["a/b", "a-b", "a.b", "a/z", "B", "a/b0"] {
        let path = tree.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }
    let (bytes, _) = pack(&options(tree.path())).unwrap();
    assert_eq!(
        paths(&bytes),
        [
            "manifest",
            "rootfs",
            "rootfs/B",
            "rootfs/a",
            "rootfs/a/b",
            "rootfs/a/b0",
            "rootfs/a/z",
            "rootfs/a-b",
            "rootfs/a.b"
        ]
    );
    let all = entries(&bytes);
    assert_eq!(all[0].1.content, MANIFEST, "the manifest's bytes are the author's");
}

#[test]
fn pack_cuts_times_and_clamps_them_to_the_epoch_given() {
    let tree = tempfile::tempdir().unwrap();
    for (name, time) in [("late", at(2000) + Duration::from_millis(900)), ("early", at(500))] {
        fs::write(tree.path().join(name), name).unwrap();
        set_time(&tree.path().join(name), time);
    }
    set_time(tree.path(), at(1000));
    let times = |bytes: &[u8]| -> Vec<u64> { entries(bytes).iter().map(|e| e.1.mtime).collect() };
    let (bytes, _) = pack(&options(tree.path())).unwrap();
    assert_eq!(times(&bytes), [2000, 1000, 500, 2000], "manifest, rootfs, early, late");
    let clamped = PackOptions { source_date_epoch: Some(700), ..options(tree.path()) };
    assert_eq!(times(&pack(&clamped).unwrap().0), [700, 700, 500, 700]);
}

#[test]
fn pack_keeps_hard_links_with_the_first_name_as_the_file() {
    let tree = tempfile::tempdir().unwrap();
    let path = |name: &str| tree.path().join(name);
    fs::create_dir(path("z")).unwrap();
    fs::write(path("z/two"), "data").unwrap();
    fs::hard_link(path("z/two"), path("one")).unwrap();
    symlink("nowhere", path("s1")).unwrap();
    rustix::fs::linkat(
        rustix::fs::CWD,
        path("s1"),
        rustix::fs::CWD,
        path("s2"),
        rustix::fs::AtFlags::empty(),
    )
    .unwrap();
    let outside = tempfile::tempdir_in(tree.path().parent().unwrap()).unwrap();
    fs::write(path("alone"), "only one name is in the tree").unwrap();
    fs::hard_link(path("alone"), outside.path().join("other")).unwrap();
    let (bytes, _) = pack(&options(tree.path())).unwrap();
    let all: BTreeMap<_, _> = entries(&bytes).into_iter().collect();
    assert_eq!(all["rootfs/one"].content, b"data");
    assert_eq!(all["rootfs/z/two"].kind, tar::EntryType::Link);
    assert_eq!(all["rootfs/z/two"].link.as_deref(), Some(&b"rootfs/one"[..]));
    assert_eq!(all["rootfs/s1"].kind, tar::EntryType::Symlink);
    assert_eq!(all["rootfs/s2"].kind, tar::EntryType::Link);
    assert_eq!(all["rootfs/alone"].kind, tar::EntryType::Regular);
}

#[test]
fn pack_names_every_file_that_cannot_be_packed() {
    let tree = tempfile::tempdir().unwrap();
    let _one = std::os::unix::net::UnixListener::bind(tree.path().join("one.sock")).unwrap();
    let _two = std::os::unix::net::UnixListener::bind(tree.path().join("two.sock")).unwrap();
    let error = pack(&options(tree.path())).unwrap_err();
    let PackError::Problems(problems) = &error else { panic!("{error}") };
    assert_eq!(problems.len(), 2);
    assert!(problems.iter().all(|problem| problem.kind == ProblemKind::Socket));
    assert!(error.to_string().contains("one.sock") && error.to_string().contains("two.sock"));
    let skipping = PackOptions { skip_sockets: true, ..options(tree.path()) };
    let (bytes, packed) = pack(&skipping).unwrap();
    assert_eq!(packed.sockets_left_out, 2);
    assert_eq!(paths(&bytes), ["manifest", "rootfs"]);
}

#[test]
fn pack_keeps_attributes_sorted_and_leaves_the_machines_own() {
    let tree = tempfile::tempdir().unwrap();
    let file = tree.path().join("f");
    fs::write(&file, "x").unwrap();
    let set = |name: &str, value: &[u8]| {
        rustix::fs::setxattr(&file, name, value, rustix::fs::XattrFlags::empty())
    };
    if set("user.zeta", b"1").is_err() {
        println!("skipped: this file system has no user attributes");
        return;
    }
    set("user.alpha", b"\0=\xff").unwrap();
    set("user.overlay.opaque", b"y").unwrap();
    let long = vec![b'v'; 3000];
    set("user.long", &long).unwrap();
    let (bytes, _) = pack(&options(tree.path())).unwrap();
    let all: BTreeMap<_, _> = entries(&bytes).into_iter().collect();
    let expected: BTreeMap<String, Vec<u8>> = [
        ("SCHILY.xattr.user.long".to_owned(), long),
        ("SCHILY.xattr.user.alpha".to_owned(), b"\0=\xff".to_vec()),
        ("SCHILY.xattr.user.zeta".to_owned(), b"1".to_vec()),
    ]
    .into();
    assert_eq!(all["rootfs/f"].pax, expected);
}

#[test]
fn pack_keeps_modes_and_empty_folders() {
    let tree = tempfile::tempdir().unwrap();
    fs::create_dir(tree.path().join("empty")).unwrap();
    fs::write(tree.path().join("su"), "x").unwrap();
    for (name, mode) in [("su", 0o4711), ("empty", 0o1777)] {
        fs::set_permissions(tree.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let (bytes, _) = pack(&options(tree.path())).unwrap();
    let all: BTreeMap<_, _> = entries(&bytes).into_iter().collect();
    assert_eq!((all["rootfs/su"].mode, all["rootfs/empty"].mode), (0o4711, 0o1777));
    assert_eq!(all["rootfs/empty"].kind, tar::EntryType::Directory);
}

#[test]
fn pack_file_is_there_whole_or_not_at_all() {
    let tree = tempfile::tempdir().unwrap();
    let out = tempfile::tempdir().unwrap();
    let target = out.path().join("a.aci");
    fs::write(tree.path().join("f"), "x").unwrap();
    let inside = tree.path().join("a.aci");
    let error = builder::pack_file(&inside, Existing::Refuse, &options(tree.path()), |_, _| Ok(()));
    assert!(matches!(error, Err(PackError::OutputInside { .. })));
    let refused = |_: &_, _: &_| Err(PackError::Write(io::ErrorKind::Other.into()));
    assert!(builder::pack_file(&target, Existing::Refuse, &options(tree.path()), refused).is_err());
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0);
    builder::pack_file(&target, Existing::Refuse, &options(tree.path()), |_, _| Ok(())).unwrap();
    let before = fs::read(&target).unwrap();
    fs::write(tree.path().join("f"), "changed").unwrap();
    let again = builder::pack_file(&target, Existing::Refuse, &options(tree.path()), |_, _| Ok(()));
    assert!(matches!(again, Err(PackError::Exists(_))));
    assert_eq!(fs::read(&target).unwrap(), before);
    builder::pack_file(&target, Existing::Replace, &options(tree.path()), |_, _| Ok(())).unwrap();
    assert_ne!(fs::read(&target).unwrap(), before);
}

#[test]
fn pack_refuses_a_file_that_grows_under_it() {
    let tree = tempfile::tempdir().unwrap();
    let path = tree.path().join("growing");
    fs::write(&path, vec![0; 4 << 20]).unwrap();
    struct Grow<'a>(&'a Path);
    impl builder::Progress for Grow<'_> {
        fn advance(&self, _: u64) {
            use std::io::Write;
            File::options().append(true).open(self.0).unwrap().write_all(b"more").unwrap();
        }
    }
    let growing = Grow(&path);
    let options = PackOptions { progress: &growing, ..options(tree.path()) };
    assert!(matches!(pack(&options), Err(PackError::Changed { .. })));
}

#[test]
fn pack_refuses_an_attribute_whose_name_no_archive_can_hold() {
    let tree = tempfile::tempdir().unwrap();
    let path = tree.path().join("f");
    fs::write(&path, "").unwrap();
    if let Err(error) =
        rustix::fs::setxattr(&path, "user.a=b", b"c", rustix::fs::XattrFlags::empty())
    {
        println!("skipped: no extended attributes on this file system: {error}");
        return;
    }
    let Err(error) = pack(&options(tree.path())) else { panic!("it is read as another one") };
    assert!(error.to_string().contains("user.a=b"), "{error}");
}

#[test]
fn source_tells_a_layout_from_a_root() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("rootfs")).unwrap();
    assert_eq!(Source::new(folder.path()).unwrap().rootfs(), folder.path());
    fs::write(folder.path().join("manifest"), MANIFEST).unwrap();
    let source = Source::new(folder.path()).unwrap();
    assert_eq!(source.manifest(), Some(MANIFEST));
    assert_eq!(source.rootfs(), folder.path().join("rootfs"));
    fs::write(folder.path().join("stranger"), "x").unwrap();
    assert!(Source::new(folder.path()).unwrap_err().to_string().contains("stranger"));
    assert!(Source::new(&folder.path().join("absent")).is_err());
    assert!(Source::new(&folder.path().join("manifest")).is_err());
}
