//! Contexts on disk: what changes make of them, and what a crash leaves.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::*;
use crate::manifest::Edit;
use crate::{Ignore, Overrides, Owner};

const PLATFORM: (&str, &str) = ("linux", "amd64");

const ALONE: Attend<'static> = Attend { waiting: &|| (), clear: &|_| Ok(()) };

struct Work(tempfile::TempDir);

impl Work {
    fn new() -> Self {
        let work = Self(tempfile::tempdir().unwrap());
        work.begin(Begin::Empty).unwrap();
        work
    }

    fn begin(&self, begin: Begin<'_>) -> Result<Began, ContextError> {
        let limits = Limits::default();
        let options = BeginOptions { limits: &limits, platform: PLATFORM };
        Context::begin(self.0.path(), begin, &options)
    }

    fn context(&self) -> Context {
        Context::open(self.0.path(), &ALONE).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn inside(&self, name: &str) -> PathBuf {
        self.path(".acbuild/currentaci/rootfs").join(name)
    }

    fn copy(&self, source: &Path, to: &str, merge: bool) -> Result<(), ContextError> {
        let (owner, overrides) = (Owner::of_caller(), Overrides::default());
        let ignore = Ignore::default();
        let options = CopyOptions { merge, ..CopyOptions::new(&owner, &overrides, &ignore) };
        let context = self.context();
        let mut change = context.change()?;
        change.copy(source, Path::new(to), &options)?;
        change.commit()
    }
}

fn mtime(path: &Path) -> i64 {
    fs::symlink_metadata(path).unwrap().mtime()
}

#[test]
fn copy_puts_a_file_where_it_is_to_be_and_tells_no_clock() {
    let work = Work::new();
    let file = work.file("a", "text");
    let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
    fs::File::open(&file).unwrap().set_modified(long_ago).unwrap();
    work.copy(&file, "/x/y/b", false).unwrap();
    assert_eq!(fs::read(work.inside("x/y/b")).unwrap(), b"text");
    for path in ["x", "x/y", "x/y/b"] {
        assert_eq!(mtime(&work.inside(path)), 1_000_000, "{path}");
    }
    assert_eq!(mtime(&work.inside("")), 0, "the root keeps its time");
    assert_eq!(fs::metadata(work.inside("x")).unwrap().mode() & 0o7777, 0o755);
    assert!(!work.path(".acbuild/change").exists());
}

#[test]
fn copy_replaces_files_and_no_folders() {
    let work = Work::new();
    let (one, two) = (work.file("one", "1"), work.file("two", "2"));
    let folder = work.file("d/in", "").parent().unwrap().to_owned();
    work.copy(&one, "/f", false).unwrap();
    work.copy(&two, "/f", false).unwrap();
    assert_eq!(fs::read(work.inside("f")).unwrap(), b"2");
    work.copy(&folder, "/d", false).unwrap();
    for (source, to) in
        [(&folder, "/d"), (&one, "/d"), (&folder, "/f"), (&one, "/d/"), (&one, "/f/x")]
    {
        assert!(work.copy(source, to, false).is_err(), "{source:?} {to}");
    }
    let more = work.file("e/more", "").parent().unwrap().to_owned();
    work.copy(&more, "/d", true).unwrap();
    assert!(work.inside("d/in").exists() && work.inside("d/more").exists());
    work.copy(&more, "/", true).unwrap();
    assert!(work.inside("more").exists());
}

#[test]
fn fault_escape_through_symlinks_and_dots() {
    let outside = tempfile::tempdir().unwrap();
    let work = Work::new();
    let file = work.file("f", "x");
    symlink(outside.path(), work.inside("link")).unwrap();
    fs::create_dir(work.inside("real")).unwrap();
    symlink("/real", work.inside("in")).unwrap();
    assert!(work.copy(&file, "/link/f", false).is_err(), "it leads to no folder of the image");
    assert!(work.copy(&file, "../../../f", false).is_err());
    work.copy(&file, "/in/f", false).unwrap();
    assert!(work.inside("real/f").exists());
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn fault_hard_links_broken_and_sockets() {
    let work = Work::new();
    let one = work.file("d/one", "x");
    fs::hard_link(&one, work.path("d/two")).unwrap();
    work.copy(&work.path("d"), "/d", false).unwrap();
    let inode = |name: &str| fs::metadata(work.inside(name)).unwrap().ino();
    assert_eq!(inode("d/one"), inode("d/two"));
    let _socket = std::os::unix::net::UnixListener::bind(work.path("d/socket")).unwrap();
    let error = work.copy(&work.path("d"), "/e", false).unwrap_err().to_string();
    assert!(error.contains("socket"), "{error}");
    assert!(!work.inside("e").exists() && !work.path(".acbuild/change").exists());
}

#[test]
fn copy_tells_all_problems_of_a_tree_at_once_and_leaves_nothing() {
    let work = Work::new();
    let sockets = ["tree/a", "tree/m/n", "tree/z"].map(|name| work.path(name));
    for number in 0..200 {
        work.file(&format!("tree/m/{number}/file"), "text");
    }
    for socket in &sockets {
        std::os::unix::net::UnixListener::bind(socket).unwrap();
    }
    let error = work.copy(&work.path("tree"), "/t", false).unwrap_err();
    let ContextError::Pack(crate::PackError::Problems(problems)) = error else { panic!("{error}") };
    let paths: Vec<_> = problems.iter().map(|problem| problem.path.clone()).collect();
    assert_eq!(paths, sockets);
    assert_eq!(fs::read_dir(work.inside("")).unwrap().count(), 0);
    assert!(!work.path(".acbuild/change").exists());
}

#[test]
fn change_that_counts_is_finished_and_one_that_does_not_is_thrown_away() {
    let work = Work::new();
    let change = work.path(".acbuild/change");
    for (counts, wanted) in [(false, false), (true, true)] {
        fs::create_dir_all(change.join("new/0")).unwrap();
        fs::create_dir(change.join("trash")).unwrap();
        fs::write(change.join("new/0/f"), "x").unwrap();
        let old = fs::read(work.path(".acbuild/currentaci/manifest")).unwrap();
        let new = Edit::SetName("example.com/new".to_owned()).apply(&old).unwrap();
        fs::write(change.join("manifest"), &new).unwrap();
        let place = journal::Operation::Place {
            source: b"0/f".to_vec().into(),
            path: b"f".to_vec().into(),
        };
        let journal = Journal { operations: vec![place], manifest: true, properties: false };
        let text = serde_json::to_vec(&journal).unwrap();
        fs::write(change.join(if counts { "journal" } else { "journal.part" }), text).unwrap();
        let context = work.context();
        assert_eq!(work.inside("f").exists(), wanted);
        assert_eq!(context.manifest().unwrap() == new, wanted);
        assert!(!change.exists());
    }
}

#[test]
fn journal_can_be_done_again_after_any_part_of_it() {
    let operations = |work: &Work| {
        let change = work.path(".acbuild/change");
        fs::create_dir_all(change.join("new/0/d")).unwrap();
        fs::create_dir(change.join("trash")).unwrap();
        fs::write(change.join("new/0/d/new"), "").unwrap();
        fs::create_dir(work.inside("d")).unwrap();
        fs::write(work.inside("d/old"), "").unwrap();
        let bytes = |text: &str| text.as_bytes().to_vec().into();
        vec![
            journal::Operation::Discard { path: bytes("d"), number: 7 },
            journal::Operation::Place { source: bytes("0/d"), path: bytes("d") },
            journal::Operation::MakeFolder { path: bytes("e") },
            journal::Operation::Set {
                path: bytes("e"),
                to: journal::Set { mode: Some(0o711), mtime: Some(5), ..Default::default() },
            },
        ]
    };
    for done in 0..=4 {
        let work = Work::new();
        let all = operations(&work);
        let folder = work.path(".acbuild");
        let part = |upto: usize| Journal { operations: all[..upto].to_vec(), ..Default::default() };
        part(done).apply(&folder).unwrap();
        part(4).apply(&folder).unwrap();
        assert!(work.inside("d/new").exists() && !work.inside("d/old").exists(), "{done}");
        let metadata = fs::metadata(work.inside("e")).unwrap();
        assert_eq!((metadata.permissions().mode() & 0o7777, metadata.mtime()), (0o711, 5));
    }
}

#[test]
fn end_leaves_nothing_and_whoever_waited_finds_no_context() {
    let work = Work::new();
    let context = work.context();
    let path = work.0.path().to_owned();
    let waiter = std::thread::spawn(move || Context::open(&path, &ALONE).map(|_| ()));
    std::thread::sleep(std::time::Duration::from_millis(100));
    context.end().unwrap();
    assert!(matches!(waiter.join().unwrap(), Err(ContextError::None(_))));
    assert_eq!(fs::read_dir(work.0.path()).unwrap().count(), 0);
}

#[test]
fn remove_of_what_is_absent_says_so() {
    let work = Work::new();
    let context = work.context();
    let mut change = context.change().unwrap();
    assert!(change.remove(Path::new("/none"), &[]).unwrap_err().is_absent());
    assert!(change.remove(Path::new("/"), &[]).is_err());
}

#[test]
fn remove_of_a_folder_and_of_what_is_in_it_leaves_a_build_that_works() {
    for paths in [["/a/b", "/a"], ["/a", "/a/b"], ["/a", "/a"]] {
        let work = Work::new();
        work.copy(&work.file("f", "x"), "/a/b/c", false).unwrap();
        let context = work.context();
        let mut change = context.change().unwrap();
        paths.iter().for_each(|path| change.remove(Path::new(path), &[]).unwrap());
        change.commit().unwrap();
        drop(context);
        assert!(!work.inside("a").exists(), "{paths:?}");
        work.context();
    }
}

#[test]
fn properties_that_cannot_be_given_leave_a_build_that_works() {
    let work = Work::new();
    work.copy(&work.file("f", "x"), "/f", false).unwrap();
    let context = work.context();
    let mut change = context.change().unwrap();
    let name = b"no-such-space.x".to_vec();
    let set = change.attributes(Path::new("/f"), &[(name, Some(b"x".to_vec()))]);
    if rustix::process::geteuid().is_root() {
        assert!(set.is_err());
    }
    drop(change);
    drop(context);
    work.context();
}

#[test]
fn kept_build_is_not_changed_by_what_is_made_of_it() {
    let work = Work::new();
    let file = work.file("f", "x");
    work.copy(&file, "/f", false).unwrap();
    fs::hard_link(work.inside("f"), work.inside("g")).unwrap();
    let kept = work.path("kept");
    work.context().freeze(&kept).unwrap();
    let other = tempfile::tempdir_in(work.0.path()).unwrap();
    Context::thaw(&kept, other.path()).unwrap();
    let context = Context::open(other.path(), &ALONE).unwrap();
    let mut change = context.change().unwrap();
    change.chmod(Path::new("/f"), 0o4711, false).unwrap();
    change.commit().unwrap();
    let inside = |folder: &Path, name: &str| {
        fs::metadata(folder.join(".acbuild/currentaci/rootfs").join(name)).unwrap()
    };
    assert_eq!(inside(&kept, "f").mode() & 0o7777, inside(work.0.path(), "f").mode() & 0o7777);
    assert_ne!(inside(&kept, "f").mode() & 0o7777, 0o4711);
    if rustix::process::geteuid().is_root() {
        assert_eq!(inside(other.path(), "f").mode() & 0o7777, 0o4711);
        assert_eq!(inside(other.path(), "f").ino(), inside(other.path(), "g").ino());
    }
}

#[test]
fn fault_lost_updates() {
    let work = Work::new();
    let path = work.0.path();
    std::thread::scope(|scope| {
        for at in 0..100 {
            scope.spawn(move || {
                let context = Context::open(path, &ALONE).unwrap();
                let mut change = context.change().unwrap();
                change.edit(&Edit::AddLabel(format!("l{at}"), "x".to_owned())).unwrap();
                change.commit().unwrap();
            });
        }
    });
    let manifest = work.context().manifest().unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest["labels"].as_array().unwrap().len(), 102);
}
