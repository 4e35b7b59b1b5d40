//! File systems mounted in the tree, and outputs in it.

use std::fs;
use std::path::Path;

use aci::stage::Existing;
use builder::{Ignore, PackError, PackOptions, ProblemKind, Warning};

use crate::support::{
    below, is_root, kinds, mount, options, pack, problems, refusal, tree, with_own_mounts, write,
};

fn one_file_system(tree: &Path) -> PackOptions<'_> {
    PackOptions { one_file_system: true, ..options(tree) }
}

#[test]
fn tree_mounted_into_itself_is_refused() {
    if !with_own_mounts(this_test!()) {
        return;
    }
    let tree = tree(&["a/b/", "f"]);
    let inside = tree.path().join("a/b");
    mount(&["--bind", tree.path().to_str().unwrap()], &inside);
    let refused = problems(&options(tree.path()));
    let cycle = ProblemKind::Cycle(tree.path().to_owned());
    assert_eq!(kinds(&refused), [(inside.as_path(), &cycle)]);
    let (bytes, _) = pack(&one_file_system(tree.path())).unwrap();
    assert_eq!(below(&bytes), ["a", "a/b", "f"]);
}

#[test]
fn folder_of_the_tree_mounted_below_itself_with_its_mounts_is_refused() {
    if !with_own_mounts(this_test!()) {
        return;
    }
    let tree = tree(&["a/b/c/", "a/b/f"]);
    let inside = tree.path().join("a/b/c");
    mount(&["--rbind", tree.path().join("a").to_str().unwrap()], &inside);
    let refused = problems(&options(tree.path()));
    let cycle = ProblemKind::Cycle(tree.path().join("a"));
    assert_eq!(kinds(&refused), [(inside.as_path(), &cycle)]);
}

#[test]
fn output_inside_the_tree_is_refused() {
    let tree = tree(&["f", "out/"]);
    for target in ["a.aci", "out/a.aci"] {
        let target = tree.path().join(target);
        let packed =
            builder::pack_file(&target, Existing::Refuse, &options(tree.path()), |_, _| Ok(()));
        let error = packed.unwrap_err();
        assert!(matches!(error, PackError::OutputInside { .. }), "{error}");
        assert!(!target.exists());
    }
}

#[test]
fn output_in_a_folder_left_out_is_written() {
    let tree = tree(&["f", "out/"]);
    let mut ignore = Ignore::default();
    ignore.add("/out/").unwrap();
    let options = PackOptions { ignore: &ignore, ..options(tree.path()) };
    let target = tree.path().join("out/a.aci");
    builder::pack_file(&target, Existing::Refuse, &options, |_, _| Ok(())).unwrap();
    assert_eq!(below(&fs::read(&target).unwrap()), ["f"]);
}

#[test]
fn output_whose_folder_is_mounted_into_the_tree_is_refused() {
    if !with_own_mounts(this_test!()) {
        return;
    }
    let tree = tree(&["f", "there/"]);
    let out = self::tree(&[]);
    mount(&["--bind", out.path().to_str().unwrap()], &tree.path().join("there"));
    let target = out.path().join("a.aci");
    let packed =
        builder::pack_file(&target, Existing::Refuse, &options(tree.path()), |_, _| Ok(()));
    assert!(matches!(packed.unwrap_err(), PackError::OutputInside { .. }));
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0);
}

#[test]
fn build_context_in_the_tree_is_warned_of() {
    let tree = tree(&[".acbuild/currentaci/manifest", "f"]);
    let (bytes, packed) = pack(&options(tree.path())).unwrap();
    assert_eq!(packed.warnings, [Warning::BuildContext]);
    assert_eq!(below(&bytes).len(), 4);
    let mut ignore = Ignore::default();
    ignore.add("/.acbuild").unwrap();
    let (bytes, packed) = pack(&PackOptions { ignore: &ignore, ..options(tree.path()) }).unwrap();
    assert_eq!((below(&bytes), packed.ignored), (vec!["f".to_owned()], 1));
    assert_eq!(packed.warnings, []);
}

#[test]
fn mount_points_are_packed_empty_on_one_file_system() {
    if !with_own_mounts(this_test!()) {
        return;
    }
    let tree = tree(&["same/hidden", "other/hidden", "f"]);
    let elsewhere = self::tree(&["shown"]);
    mount(&["--bind", elsewhere.path().to_str().unwrap()], &tree.path().join("same"));
    mount(&["-t", "tmpfs", "tmpfs"], &tree.path().join("other"));
    write(&tree.path().join("other/shown"), b"x");
    let (bytes, _) = pack(&options(tree.path())).unwrap();
    assert_eq!(below(&bytes), ["f", "other", "other/shown", "same", "same/shown"]);
    let (bytes, _) = pack(&one_file_system(tree.path())).unwrap();
    assert_eq!(below(&bytes), ["f", "other", "same"]);
}

#[test]
fn proc_and_sys_below_the_root_are_refused() {
    if !is_root() {
        println!("skipped: only root may mount these");
        return;
    }
    if !with_own_mounts(this_test!()) {
        return;
    }
    let tree = tree(&["f", "proc/", "sys/"]);
    for name in ["proc", "sys"] {
        let kind = if name == "proc" { "proc" } else { "sysfs" };
        mount(&["-t", kind, kind], &tree.path().join(name));
    }
    let (proc, sys) = (tree.path().join("proc"), tree.path().join("sys"));
    let refused = problems(&options(tree.path()));
    let pseudo = &ProblemKind::PseudoFileSystem;
    assert_eq!(kinds(&refused), [(proc.as_path(), pseudo), (sys.as_path(), pseudo)]);
    assert!(refused[0].to_string().contains("--one-file-system"));
    let (bytes, _) = pack(&one_file_system(tree.path())).unwrap();
    assert_eq!(below(&bytes), ["f", "proc", "sys"]);
}

#[test]
fn file_with_more_than_its_size_says_is_refused() {
    if !with_own_mounts(this_test!()) {
        return;
    }
    let tree = tree(&["version"]);
    let path = tree.path().join("version");
    // A file of no bytes, by its size, from a file system of the kernel.
    mount(&["--bind", "/proc/version"], &path);
    assert_eq!(path.metadata().unwrap().len(), 0);
    let error = refusal(&options(tree.path()));
    assert!(matches!(&error, PackError::Changed { path: named } if *named == path), "{error}");
}
