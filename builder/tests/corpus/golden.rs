//! One tree whose image ID is frozen. `aci`'s own golden archives have the kinds of entries that
//! only root can make.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use builder::PackOptions;

use crate::support::{options, pack, set_attribute, set_mode, set_time, tree};

/// Profile v1: this never changes. A change of the bytes is a profile v2.
const FROZEN: &str = "sha512-bb467087554e3d14fe5d156bf7aab1b96349bf40c6371ff1b12213a51ecd7482\
     6f4343c0a16bbb3cd4d7488b879f21c36f1963636b43144a5d6e42752d76a99f";

#[test]
fn golden_tree_has_its_frozen_image_id() {
    let tree = tree(&["bin/tool", "bin-extra", "etc/empty/", "srv/data"]);
    let path = |name: &str| tree.path().join(name);
    let long = "n".repeat(120);
    std::fs::write(path(&long), "long").unwrap();
    std::fs::write(path("srv").join(std::ffi::OsStr::from_bytes(b"caf\xe9")), "bytes").unwrap();
    std::fs::write(path("srv/large"), vec![b'x'; 1 << 20]).unwrap();
    std::fs::hard_link(path("srv/data"), path("again")).unwrap();
    symlink("../bin/tool", path("etc/link")).unwrap();
    symlink("t".repeat(200), path("etc/far")).unwrap();
    for (name, value) in [("user.b", &b"\0\xff="[..]), ("user.a", b"first")] {
        set_attribute(&path("bin/tool"), name, value).unwrap();
    }
    let mut all: Vec<_> = entries_of(tree.path());
    all.sort();
    // Folders after what is in them.
    for (at, path) in all.iter().enumerate().rev() {
        if !path.is_symlink() {
            let tool = path.ends_with("bin/tool");
            set_mode(path, if path.is_dir() || tool { 0o755 } else { 0o644 });
        }
        set_time(path, 1_500_000_000 + at as i64, 999_999_999);
    }
    set_time(&path("bin-extra"), -5, 0);
    set_time(&path("srv/data"), 1_400_000_000, 0);
    set_time(tree.path(), 1_600_000_000, 0);
    let manifest =
        br#"{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/golden"}"#;
    let (_, packed) = pack(&PackOptions { manifest, ..options(tree.path()) }).unwrap();
    assert_eq!(packed.written.image_id.to_string(), FROZEN);
}

fn entries_of(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            all.extend(entries_of(&path));
        }
        all.push(path);
    }
    all
}
