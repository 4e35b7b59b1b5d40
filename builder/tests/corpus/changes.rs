//! Trees that change while they are packed, and outputs that cannot be written.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Mutex;

use aci::stage::Existing;
use builder::{PackError, PackOptions, ProblemKind, Progress};
use rustix::fs::FileType;

use crate::support::{
    DeepTree, below, entries, make_node, mount, options, pack, refusal, set_time, tree,
    with_own_mounts,
};

/// Does something when the first bytes of the tree have been read.
struct Then<F: FnOnce()>(Mutex<Option<F>>);

impl<F: FnOnce()> Then<F> {
    fn new(act: F) -> Self {
        Self(Mutex::new(Some(act)))
    }
}

impl<F: FnOnce() + Send> Progress for Then<F> {
    fn advance(&self, _: u64) {
        if let Some(act) = self.0.lock().unwrap().take() {
            act();
        }
    }
}

/// A file that is read in several pieces.
fn large(tree: &Path) -> std::path::PathBuf {
    let path = tree.join("large");
    fs::write(&path, vec![0; 4 << 20]).unwrap();
    set_time(&path, 1_000_000, 0);
    path
}

/// Packs a tree with one large file, which changes when its first bytes have been read: that must
/// be noticed, and nothing be left behind.
#[track_caller]
fn changed_by(act: impl FnOnce(&Path) + Send) {
    let tree = tree(&[]);
    let path = large(tree.path());
    let then = Then::new(|| act(&path));
    let error = refusal(&PackOptions { progress: &then, ..options(tree.path()) });
    assert!(matches!(&error, PackError::Changed { path: named } if *named == path), "{error}");
}

#[test]
fn file_that_grows_is_refused() {
    changed_by(|path| File::options().append(true).open(path).unwrap().write_all(b"x").unwrap());
}

#[test]
fn file_that_shrinks_is_refused_and_never_padded() {
    changed_by(|path| File::options().write(true).open(path).unwrap().set_len(1 << 20).unwrap());
}

#[test]
fn file_that_is_written_in_place_is_refused() {
    changed_by(|path| File::options().write(true).open(path).unwrap().write_all(b"x").unwrap());
}

#[test]
fn file_that_another_takes_the_place_of_is_refused() {
    changed_by(|path| {
        let other = path.with_file_name("other");
        fs::write(&other, vec![0; 4 << 20]).unwrap();
        set_time(&other, 1_000_000, 0);
        fs::rename(other, path).unwrap();
    });
}

#[test]
fn file_that_vanishes_is_refused_by_its_path() {
    let tree = tree(&["later"]);
    large(tree.path());
    let later = tree.path().join("later");
    let then = Then::new(|| fs::remove_file(&later).unwrap());
    let error = refusal(&PackOptions { progress: &then, ..options(tree.path()) });
    let PackError::Problems(problems) = &error else { panic!("{error}") };
    assert_eq!(problems[0].path, later);
    assert!(matches!(problems[0].kind, ProblemKind::Unreadable(_)), "{error}");
}

#[test]
fn folder_replaced_by_a_link_leads_nowhere_else() {
    let secret = tree(&["second", "third"]);
    let tree = tree(&["d/second"]);
    let folder = tree.path().join("d");
    fs::write(folder.join("first"), vec![0; 4 << 20]).unwrap();
    let then = Then::new(|| {
        fs::rename(&folder, secret.path().join("moved")).unwrap();
        symlink(secret.path(), &folder).unwrap();
    });
    // The folder that was found is read to its end, wherever it is now.
    let options = PackOptions { progress: &then, ..options(tree.path()) };
    let (bytes, _) = pack(&options).unwrap();
    assert_eq!(below(&bytes), ["d", "d/first", "d/second"]);
    assert_eq!(entries(&bytes)[4].1.content, b"d/second");
}

#[test]
fn folder_moved_away_far_above_is_noticed() {
    let deep = DeepTree::new((0..200).map(|_| "d"), "z");
    let aside = tempfile::tempdir_in(deep.path().parent().unwrap()).unwrap();
    // The way back leads to another folder than the one it came from.
    let high = deep.path().join(["d"; 10].join("/"));
    let then = Then::new(|| {
        let low = high.join(["d"; 5].join("/"));
        fs::rename(&low, aside.path().join("low")).unwrap();
    });
    let error = refusal(&PackOptions { progress: &then, ..options(deep.path()) });
    let PackError::Problems(problems) = &error else { panic!("{error}") };
    assert!(matches!(problems[0].kind, ProblemKind::Moved), "{error}");
    let low = aside.path().join("low");
    let _ = std::process::Command::new("rm").arg("-rf").arg(low).status();
}

#[test]
fn folder_replaced_by_a_fifo_is_packed_as_one() {
    let tree = tree(&["later/f"]);
    large(tree.path());
    let later = tree.path().join("later");
    let then = Then::new(|| {
        fs::remove_dir_all(&later).unwrap();
        make_node(&later, FileType::Fifo, (0, 0));
    });
    let (bytes, _) = pack(&PackOptions { progress: &then, ..options(tree.path()) }).unwrap();
    assert_eq!(entries(&bytes).pop().unwrap().1.kind, tar::EntryType::Fifo);
}

#[test]
fn full_disk_leaves_nothing() {
    if !with_own_mounts(this_test!()) {
        return;
    }
    let tree = tree(&[]);
    fs::write(tree.path().join("f"), vec![7; 4 << 20]).unwrap();
    let small = self::tree(&[]);
    mount(&["-t", "tmpfs", "-o", "size=1m", "tmpfs"], small.path());
    let target = small.path().join("a.aci");
    let packing = options(tree.path());
    let error = builder::pack_file(&target, Existing::Refuse, &packing, |_, _| Ok(())).unwrap_err();
    let PackError::Write(cause) = &error else { panic!("{error}") };
    assert_eq!(cause.kind(), std::io::ErrorKind::StorageFull, "{error}");
    assert_eq!(fs::read_dir(small.path()).unwrap().count(), 0);
    // What was there before stays.
    fs::write(&target, "old").unwrap();
    builder::pack_file(&target, Existing::Replace, &packing, |_, _| Ok(())).unwrap_err();
    assert_eq!(fs::read(&target).unwrap(), b"old");
    assert_eq!(fs::read_dir(small.path()).unwrap().count(), 1);
}

#[test]
fn closed_pipe_is_an_error_and_no_panic() {
    let tree = tree(&[]);
    large(tree.path());
    let (reader, mut writer) = std::io::pipe().unwrap();
    drop(reader);
    let error = builder::pack(&mut writer, &options(tree.path())).unwrap_err();
    let PackError::Write(cause) = &error else { panic!("{error}") };
    assert_eq!(cause.kind(), std::io::ErrorKind::BrokenPipe, "{error}");
}
