//! What ignore patterns leave out.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use builder::{Ignore, PackError, PackOptions};

use crate::support::{below, entries, options, pack, refusal, tree};

fn ignore(lines: &str) -> Ignore {
    let mut ignore = Ignore::default();
    ignore.add_lines(lines.as_bytes());
    ignore
}

/// The paths that are left, and how many were left out.
fn left(files: &[&str], lines: &str) -> (Vec<String>, u64) {
    let tree = tree(files);
    left_of(tree.path(), &ignore(lines))
}

fn left_of(tree: &Path, ignore: &Ignore) -> (Vec<String>, u64) {
    let (bytes, packed) = pack(&PackOptions { ignore, ..options(tree) }).unwrap();
    (below(&bytes), packed.ignored)
}

#[test]
fn ignored_git_folder_is_left_out_wherever_it_is() {
    let (paths, count) = left(&[".git/HEAD", "a/.git/objects/x", "a/f", ".gitx"], ".git\n");
    assert_eq!((paths, count), (vec![".gitx".into(), "a".into(), "a/f".into()], 2));
}

#[test]
fn ignored_file_is_taken_back_by_a_later_pattern() {
    let (paths, count) = left(&["a.log", "keep.log", "x/keep.log"], "*.log\n!keep.log\n");
    assert_eq!(paths, ["keep.log", "x", "x/keep.log"]);
    assert_eq!(count, 1);
    let (paths, _) = left(&["keep.log"], "!keep.log\n*.log\n");
    assert_eq!(paths, Vec::<String>::new(), "the last one decides");
}

#[test]
fn ignored_folder_pattern_means_folders_alone() {
    let tree = tree(&["cache/f", "a/cache"]);
    symlink("../cache", tree.path().join("a/link")).unwrap();
    let (paths, count) = left_of(tree.path(), &ignore("cache/\nlink/\n"));
    assert_eq!(paths, ["a", "a/cache", "a/link"], "a link to a folder is none");
    assert_eq!(count, 1);
}

#[test]
fn ignored_by_two_stars_at_any_depth() {
    let files = ["a/x/b", "a/b", "a/x/y/b", "c/d/e", "tmp/f"];
    assert_eq!(
        left(&files, "a/**/b\n").0,
        ["a", "a/x", "a/x/y", "c", "c/d", "c/d/e", "tmp", "tmp/f"]
    );
    let all = ["a", "a/b", "a/x", "a/x/b", "a/x/y", "a/x/y/b", "c", "c/d", "tmp"];
    assert_eq!(left(&files, "**/e\ntmp/**\n").0, all);
}

#[test]
fn ignored_by_an_anchored_pattern_from_the_root_on() {
    let files = ["f", "a/f", "a/g", "b/a/g"];
    assert_eq!(left(&files, "/f\na/g\n").0, ["a", "a/f", "b", "b/a", "b/a/g"]);
}

#[test]
fn ignored_with_trailing_spaces_only_where_they_are_escaped() {
    let files = ["a", "a ", "b", "b "];
    assert_eq!(left(&files, "a  \nb\\ \n").0, ["a ", "b"]);
}

#[test]
fn ignored_parent_hides_what_a_pattern_would_take_back() {
    let files = ["a/keep", "a/f", "b/keep", "b/f"];
    let (paths, count) = left(&files, "a/\n!a/keep\nb/*\n!b/keep\n");
    assert_eq!(paths, ["b", "b/keep"]);
    assert_eq!(count, 2, "the folder a and the file b/f");
}

#[test]
fn ignored_braces_and_hashes_mean_themselves() {
    assert_eq!(left(&["a", "b", "{a,b}"], "{a,b}\n").0, ["a", "b"]);
    assert_eq!(left(&["#a", "!b", "c"], "# a comment\n\\#a\n\\!b\n").0, ["c"]);
}

#[test]
fn ignored_names_need_not_be_utf8() {
    let tree = tree(&["plain"]);
    for name in [&b"caf\xe9"[..], b"caf\xe8", b"\xff.log"] {
        fs::write(tree.path().join(OsStr::from_bytes(name)), "").unwrap();
    }
    let mut patterns = Ignore::default();
    patterns.add_lines(b"caf\xe9\n*.log\n");
    let options = PackOptions { ignore: &patterns, ..options(tree.path()) };
    let (bytes, packed) = pack(&options).unwrap();
    let paths: Vec<_> = entries(&bytes).into_iter().skip(2).map(|(path, _)| path).collect();
    assert_eq!(paths, [&b"rootfs/caf\xe8"[..], b"rootfs/plain"]);
    assert_eq!(packed.ignored, 2);
}

#[test]
fn ignore_file_of_the_tree_is_read_first_and_never_packed() {
    let tree = tree(&["a.log", "b.log", "x/.aciignore"]);
    fs::write(tree.path().join(".aciignore"), "*.log\r\n!.aciignore\n").unwrap();
    let (paths, count) = left_of(tree.path(), &Ignore::default());
    assert_eq!(paths, ["x", "x/.aciignore"], "only the one in the root is an ignore file");
    assert_eq!(count, 2);
    assert_eq!(left_of(tree.path(), &ignore("!b.log\n")).0, ["b.log", "x", "x/.aciignore"]);
}

#[test]
fn ignore_file_that_is_no_file_is_refused() {
    let tree = tree(&["f"]);
    let path = tree.path().join(".aciignore");
    symlink("f", &path).unwrap();
    let error = refusal(&options(tree.path()));
    assert!(matches!(&error, PackError::Ignore { path: named, .. } if *named == path), "{error}");
    fs::remove_file(&path).unwrap();
    fs::write(&path, vec![b'\n'; (1 << 20) + 1]).unwrap();
    assert!(matches!(refusal(&options(tree.path())), PackError::Ignore { .. }));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(refusal(&options(tree.path())), PackError::Ignore { .. }));
}

#[test]
fn ignore_rules_are_those_of_git() {
    if Command::new("git").arg("--version").output().is_err() {
        println!("skipped: git is not installed");
        return;
    }
    let files = [
        "a",
        "b",
        "ab",
        "a b",
        "a ",
        "#a",
        "!a",
        "{a,b}",
        "[a",
        "a]",
        "a-b",
        ".a",
        "x/a",
        "x/b",
        "x/y/a",
        "x/y/b",
        "x/y/z/a",
        "y/a",
        "y/x/a",
        "a\\",
        "x/ab/c",
        "ab.c/a",
        "x/*",
        "x/\u{e9}",
        "\u{e9}",
        "x/[ab]",
        "1",
        "x/1",
        "c/a/b",
        "c/b/a",
        "c/d/a/b/a",
    ];
    // Not two stars within a name: git's own documents and its program differ there.
    let atoms = [
        "a",
        "b",
        "x",
        "y",
        "*",
        "?",
        "/",
        "!",
        "\\",
        "[ab]",
        "[!a]",
        "[^b]",
        "{a,b}",
        " ",
        "#",
        ".",
        "[",
        "]",
        "[[:alpha:]]",
        "[[:digit:]]",
        "-",
        "[a-c]",
        "\u{e9}",
        "c",
        "/**\n",
        "\n**/",
        "[]a]",
        "[a/]",
        "/**/",
        "\t",
        "\n",
        "\n!",
        "/\n",
    ];
    let tree = tree(&files);
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.args(["-c", "core.excludesFile=/dev/null"]).args(arguments).current_dir(tree.path());
        git.env_remove("GIT_DIR").env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap()
    };
    assert!(git(&["init", "--quiet"]).status.success());
    let mut state = 7_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for _ in 0..100 {
        let lines: String = (0..2 + random(8)).map(|_| atoms[random(atoms.len())]).collect();
        fs::write(tree.path().join(".git/info/exclude"), &lines).unwrap();
        let listed = git(&["ls-files", "-z", "--others", "--exclude-standard"]).stdout;
        let mut wanted: Vec<_> = listed.split(|&b| b == 0).filter(|p| !p.is_empty()).collect();
        wanted.sort();
        // What git never looks at.
        let ignore = ignore(&format!("{lines}\n/.git\n"));
        let (bytes, _) = pack(&PackOptions { ignore: &ignore, ..options(tree.path()) }).unwrap();
        let all = entries(&bytes);
        let is_file = |kind: tar::EntryType| kind == tar::EntryType::Regular;
        let packed = all[2..].iter().filter(|(_, seen)| is_file(seen.kind));
        let mut found: Vec<_> = packed.map(|(path, _)| &path["rootfs/".len()..]).collect();
        found.sort();
        let text = |paths: &[&[u8]]| -> Vec<String> {
            paths.iter().map(|path| String::from_utf8_lossy(path).into_owned()).collect()
        };
        assert_eq!(text(&found), text(&wanted), "{lines:?}");
    }
}
