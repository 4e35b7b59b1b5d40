//! The same tree gives the same bytes, whatever is different around it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use support::{Ended, GANTRY, Sandbox, tool};

/// A file or a link of the tree: path, content, mode.
const FILES: &[(&str, &str, u32)] = &[
    ("a/b", "one", 0o644),
    ("a/script", "#!/bin/sh\n", 0o755),
    ("a-b", "two", 0o600),
    ("usr/bin/su", "three", 0o4755),
    ("usr/share/Z", "four", 0o444),
    ("usr/share/\u{e9}t\u{e9}", "five", 0o644),
    ("empty", "", 0o640),
];
const LINKS: &[(&str, &str)] = &[("usr/share/again", "a/b"), ("0first", "usr/share/Z")];

/// Makes the tree in this order, as this owner, with attributes set in this order.
fn make(root: &Path, backwards: bool, owner: Option<u32>) {
    fs::create_dir_all(root).unwrap();
    let mut files: Vec<_> = FILES.to_vec();
    let mut links: Vec<_> = LINKS.to_vec();
    let mut attributes = vec![("user.one", "1"), ("user.two", "2"), ("user.three", "3")];
    if backwards {
        files.reverse();
        links.reverse();
        attributes.reverse();
    }
    for (path, content, _) in &files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    // A big file, so that several threads have something to do.
    let big: Vec<u8> = (0..1_500_000_u32).flat_map(|n| (n / 3).to_le_bytes()).collect();
    fs::write(root.join("usr/share/big"), big).unwrap();
    for (link, target) in links {
        fs::hard_link(root.join(target), root.join(link)).unwrap();
    }
    symlink("../a/b", root.join("usr/link")).unwrap();
    for (name, value) in attributes {
        let flags = rustix::fs::XattrFlags::empty();
        // Both trees have them, or neither: the caller looks.
        let _ = rustix::fs::setxattr(root.join("a/b"), name, value.as_bytes(), flags);
    }
    if let Some(owner) = owner {
        for (path, _, _) in FILES {
            chown(root.join(path), Some(owner), Some(owner + 1)).unwrap();
        }
    }
    for (path, _, mode) in FILES {
        fs::set_permissions(root.join(path), fs::Permissions::from_mode(*mode)).unwrap();
    }
    settle(root, root);
}

/// Gives everything a mode and a time that depend on its path alone.
fn settle(top: &Path, path: &Path) {
    let metadata = path.symlink_metadata().unwrap();
    if metadata.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            settle(top, &entry.unwrap().path());
        }
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let below = path.strip_prefix(top).unwrap().as_os_str().len() as u64;
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_500_000_000 + below, 999_999_999);
    if metadata.is_symlink() {
        let stamp = rustix::fs::Timespec { tv_sec: 1_500_000_000, tv_nsec: 5 };
        let times = rustix::fs::Timestamps { last_access: stamp, last_modification: stamp };
        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::utimensat(rustix::fs::CWD, path, &times, flags).unwrap();
    } else {
        // Hard links share an inode: the time of the last path set wins, in readdir order,
        // so it must not depend on the path.
        let time = if metadata.is_file() {
            SystemTime::UNIX_EPOCH + Duration::new(1_400_000_000, 700_000_000)
        } else {
            time
        };
        File::open(path).unwrap().set_times(FileTimes::new().set_modified(time)).unwrap();
    }
}

/// Packs `root` by a line of shell before the command, and gives the file's bytes.
fn pack(sandbox: &Sandbox, root: &Path, before: &str, options: &str) -> Vec<u8> {
    let out = sandbox.path("out.aci");
    let _ = fs::remove_file(&out);
    let line = format!(
        "{before} \"$GANTRY\" pack '{}' -o '{}' --name example.com/same --version 1 \
         --exec /usr/bin/su {options}",
        root.display(),
        out.display()
    );
    sandbox.shell(&line).ok();
    fs::read(&out).unwrap()
}

fn attributes_work(path: &Path) -> bool {
    let mut buffer = [0; 16];
    rustix::fs::getxattr(path.join("a/b"), "user.one", &mut buffer).is_ok()
}

#[test]
fn same_tree_gives_the_same_bytes() {
    let sandbox = Sandbox::new();
    let root = rustix::process::geteuid().is_root();
    let first = sandbox.path("first/tree");
    make(&first, false, None);
    let expected = pack(&sandbox, &first, "", "");
    assert_eq!(
        sandbox.gantry(["inspect", "out.aci"]).code,
        0,
        "what is compared below is a sound image"
    );

    // Creation order, attribute order, owner, another path.
    let second = sandbox.path("another/place/2");
    make(&second, true, root.then_some(4242));
    assert_eq!(attributes_work(&first), attributes_work(&second));
    assert!(pack(&sandbox, &second, "", "") == expected, "creation order and owner");

    for before in [
        "umask 077;",
        "umask 000;",
        "TZ=Pacific/Kiritimati",
        "TZ=America/St_Johns LC_ALL=C.UTF-8 LANG=C.UTF-8",
        "LC_ALL=tr_TR.UTF-8 LANG=tr_TR.UTF-8",
        "USER=somebody HOSTNAME=elsewhere TMPDIR=/dev/shm",
    ] {
        assert!(pack(&sandbox, &second, before, "") == expected, "{before}");
    }
    for threads in 1..=8 {
        let options = format!("--threads {threads}");
        assert!(pack(&sandbox, &first, "", &options) == expected, "{options}");
    }
    if tool("faketime") {
        for clock in ["1971-02-03 04:05:06", "2037-12-31 23:59:59"] {
            let before = format!("faketime '{clock}'");
            assert!(pack(&sandbox, &first, &before, "") == expected, "{before}");
        }
    }
}

#[test]
fn same_tree_gives_the_same_bytes_to_another_user() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can become another user");
        return;
    }
    let sandbox = Sandbox::new();
    fs::set_permissions(sandbox.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    // What another user cannot read, another user cannot pack.
    let tree = sandbox.path("tree");
    make(&tree, false, None);
    fs::set_permissions(tree.join("a-b"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(tree.join("empty"), fs::Permissions::from_mode(0o644)).unwrap();
    let expected = pack(&sandbox, &tree, "", "");
    let out = sandbox.path("theirs");
    fs::create_dir(&out).unwrap();
    chown(&out, Some(65534), Some(65534)).unwrap();
    // The binary may lie in a folder that only its owner may enter.
    let binary = sandbox.path("gantry");
    fs::copy(GANTRY, &binary).unwrap();
    let mut command = sandbox.command("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&binary).args([
        "pack",
        "tree",
        "-o",
        "theirs/out.aci",
        "--name",
        "example.com/same",
        "--version",
        "1",
        "--exec",
        "/usr/bin/su",
    ]);
    Ended::of(command.output().unwrap()).ok();
    assert!(fs::read(out.join("out.aci")).unwrap() == expected);
}

#[test]
fn same_tree_gives_the_same_bytes_on_another_file_system() {
    let sandbox = Sandbox::new();
    let here = sandbox.path("tree");
    make(&here, false, None);
    // A file system of our own where we may mount one, else the shared memory every Linux has.
    let mounted = sandbox.path("mounted");
    fs::create_dir(&mounted).unwrap();
    let script = format!(
        "mount -t tmpfs tmpfs '{0}' && cp -a '{1}' '{0}/tree' && '{GANTRY}' pack '{0}/tree' \
         -o there.aci --name example.com/same --version 1 --exec /usr/bin/su",
        mounted.display(),
        here.display()
    );
    let how = if rustix::process::geteuid().is_root() { "-m" } else { "-rm" };
    let mut command = sandbox.command("unshare");
    let ended = Ended::of(command.args([how, "/bin/sh", "-ec", &script]).output().unwrap());
    if ended.stderr.contains("unshare failed") || ended.stderr.contains("ermission denied") {
        println!("skipped: no file system may be mounted here: {}", ended.stderr);
        return;
    }
    ended.ok();
    let expected = pack(&sandbox, &here, "", "");
    assert!(fs::read(sandbox.path("there.aci")).unwrap() == expected);
}

#[test]
fn every_compression_gives_the_same_image_id() {
    let sandbox = Sandbox::new();
    let tree = sandbox.path("tree");
    make(&tree, false, None);
    let mut ids = Vec::new();
    for compression in ["gzip", "none", "bzip2", "xz", "zstd"] {
        let options = format!("--compression {compression}");
        let one = pack(&sandbox, &tree, "", &format!("{options} --threads 1"));
        let many = pack(&sandbox, &tree, "", &format!("{options} --threads 7"));
        assert!(one == many, "{compression}");
        ids.push(
            sandbox
                .shell("\"$GANTRY\" inspect --json out.aci | grep -o '\"imageId\":\"[^\"]*'")
                .ok(),
        );
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:#?}");
}
