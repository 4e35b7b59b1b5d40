//! `gantry extract`: from an image file to a folder, whole or not at all.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use support::hostile::Tar;
use support::{Sandbox, listing, tool};

const NAME: &str = "example.com/team/hello";

fn image() -> Tar {
    Tar::image(NAME, "1.0.0")
        .directory("rootfs/bin")
        .file("rootfs/bin/hello", b"#!/bin/sh\n")
        .directory("rootfs/usr")
        .file("rootfs/usr/doc", b"text")
        .symlink("rootfs/link", "bin/hello")
}

#[test]
fn extract_makes_manifest_and_rootfs() {
    let sandbox = Sandbox::new();
    sandbox.write("hello.aci", image().gzip());
    let told = sandbox.gantry(["extract", "hello.aci", "new/hello", "--json"]).ok();
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let inspected = sandbox.gantry(["inspect", "hello.aci", "--json"]).ok();
    let inspected: serde_json::Value = serde_json::from_str(&inspected).unwrap();
    assert_eq!(told["imageId"], inspected["imageId"]);
    assert_eq!((told["name"].as_str(), told["folder"].as_str()), (Some(NAME), Some("new/hello")));
    let folder = sandbox.path("new/hello");
    assert_eq!(fs::read(folder.join("rootfs/bin/hello")).unwrap(), b"#!/bin/sh\n");
    assert_eq!(fs::read_link(folder.join("rootfs/link")).unwrap(), Path::new("bin/hello"));
    assert_eq!(names(&folder), ["manifest", "rootfs"]);
    assert_eq!(names(&sandbox.path("new")), ["hello"]);
    // What was extracted is a layout that can be packed: to the same image.
    sandbox.gantry(["pack", "new/hello", "-o", "again.aci"]).ok();
    sandbox.gantry(["extract", "again.aci", "rootfs", "--rootfs-only"]).ok();
    assert_eq!(names(&sandbox.path("rootfs")), ["bin", "link", "usr"]);
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn extract_refused_leaves_nothing_behind() {
    let sandbox = Sandbox::new();
    let hostile = image().file("rootfs/shut/f", b"x").file("../escape", b"x");
    sandbox.write("evil.aci", hostile.gzip());
    sandbox.write("cut.aci", &image().gzip()[..100]);
    sandbox.write("page.aci", "<!DOCTYPE html>");
    let before = listing(&sandbox.path(""));
    for (file, code) in
        [("evil.aci", "image-path"), ("cut.aci", "image-truncated"), ("page.aci", "image-format")]
    {
        sandbox.gantry(["extract", file, "out"]).refused(5);
        sandbox.gantry(["extract", file, "new/folder/out"]).refused(5);
        let told = sandbox.gantry(["extract", file, "out", "--json"]);
        assert!(told.stderr.contains(&format!("\"code\":\"{code}\"")), "{told:#?}");
    }
    assert_eq!(sandbox.gantry(["extract", "absent.aci", "out"]).code, 4);
    assert_eq!(listing(&sandbox.path("")), before);
}

#[test]
fn extract_replaces_nothing() {
    let sandbox = Sandbox::new();
    sandbox.write("hello.aci", image().gzip());
    fs::create_dir(sandbox.path("inside")).unwrap();
    for folder in [".", "inside/.", "inside/.."] {
        let ended = sandbox.gantry(["extract", "hello.aci", folder]);
        assert_eq!(ended.code, 1, "{ended:?}");
        assert!(ended.stderr.contains("name the folder from outside of it"), "{ended:?}");
    }
    sandbox.write("hello.aci", image().gzip());
    sandbox.write("full/file", "kept");
    fs::create_dir(sandbox.path("elsewhere")).unwrap();
    symlink("elsewhere", sandbox.path("link")).unwrap();
    let before = listing(&sandbox.path(""));
    for target in ["full", "link", "hello.aci"] {
        sandbox.gantry(["extract", "hello.aci", target]).refused(1);
    }
    assert_eq!(listing(&sandbox.path("")), before);
    // An empty folder is as good as none.
    fs::create_dir(sandbox.path("empty")).unwrap();
    sandbox.gantry(["extract", "hello.aci", "empty"]).ok();
    assert_eq!(names(&sandbox.path("empty")), ["manifest", "rootfs"]);
}

#[test]
fn extract_gives_the_same_modes_under_any_umask() {
    let sandbox = Sandbox::new();
    let tar = image().file("rootfs/implied/f", b"x").entry("rootfs/pipe", b'6', "", b"");
    sandbox.write("hello.aci", tar.gzip());
    let mut seen = Vec::new();
    for umask in ["000", "022", "077", "777"] {
        sandbox
            .shell(&format!("umask {umask}; \"$GANTRY\" extract hello.aci out-{umask} --quiet"))
            .ok();
        let folder = sandbox.path(format!("out-{umask}"));
        let mode = |path: &str| {
            fs::symlink_metadata(folder.join(path)).unwrap().permissions().mode() & 0o7777
        };
        seen.push(
            ["manifest", "rootfs", "rootfs/bin/hello", "rootfs/implied", "rootfs/pipe"].map(mode),
        );
    }
    assert_eq!(seen, [[0o644, 0o755, 0o755, 0o755, 0o755]; 4]);
}

#[test]
fn extract_excludes_by_the_rules_of_gitignore() {
    let sandbox = Sandbox::new();
    sandbox.write("hello.aci", image().gzip());
    let told = sandbox
        .gantry([
            "extract",
            "hello.aci",
            "out",
            "--exclude",
            "/usr",
            "--exclude",
            "hello",
            "--json",
        ])
        .ok();
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["leftOut"]["excluded"], 3);
    assert_eq!(names(&sandbox.path("out/rootfs")), ["bin", "link"]);
    assert_eq!(names(&sandbox.path("out/rootfs/bin")), Vec::<String>::new());
}

#[test]
fn extract_keeps_to_the_limits_it_is_given() {
    let sandbox = Sandbox::new();
    sandbox.write("hello.aci", image().file("rootfs/large", &[7; 100_000]).gzip());
    for (flag, value, code) in [
        ("--max-file", "100", "image-too-large"),
        ("--max-unpacked", "50K", "image-unpacked-too-large"),
        ("--max-entries", "3", "image-too-many-entries"),
        ("--max-depth", "2", "image-path-too-deep"),
        ("--max-path", "10", "image-path-too-long"),
        ("--max-name", "4", "image-name-too-long"),
        ("--max-time", "1ns", "image-time"),
    ] {
        for command in [&["extract", "hello.aci", "out"][..], &["inspect", "hello.aci"]] {
            let arguments = command.iter().copied().chain([flag, value, "--json"]);
            let told = sandbox.gantry(arguments);
            assert_eq!(told.code, 5, "{flag}: {told:#?}");
            assert!(told.stderr.contains(&format!("\"code\":\"{code}\"")), "{flag}: {told:#?}");
        }
        assert!(!sandbox.path("out").exists(), "{flag}");
    }
    sandbox.write("bomb.aci", Tar::image(NAME, "1").gzip_with_zeros(100 << 20));
    sandbox.gantry(["extract", "bomb.aci", "out"]).refused(5);
    let bomb = ["extract", "bomb.aci", "out", "--max-ratio", "2000"];
    sandbox.gantry(bomb).ok();
    assert_eq!(fs::metadata(sandbox.path("out/rootfs/zeros")).unwrap().len(), 100 << 20);
    assert_eq!(sandbox.gantry(["extract", "hello.aci", "x", "--max-file", "many"]).code, 3);
}

const AS_ANOTHER: &str = "setpriv --reuid 4321 --regid 4321 --clear-groups";

/// Another user may write in the sandbox, and run the program from it.
fn open_to_others(sandbox: &Sandbox) {
    fs::copy(support::GANTRY, sandbox.path("gantry")).unwrap();
    fs::set_permissions(sandbox.path(""), fs::Permissions::from_mode(0o777)).unwrap();
}

#[test]
fn extract_says_whose_the_files_are() {
    let sandbox = Sandbox::new();
    sandbox.write("hello.aci", image().gzip());
    let extract = |more: &[&str]| sandbox.gantry(["extract", "hello.aci"].iter().chain(more)).code;
    assert_eq!(extract(&["a", "--ownership", "record"]), 0);
    assert!(sandbox.path("a/left-out.jsonl").exists());
    assert_eq!(extract(&["b", "--ownership", "record", "--rootfs-only"]), 3);
    assert_eq!(extract(&["b", "--owner-map", "0:1"]), 3);
    assert_eq!(extract(&["b", "--owner-map", "0:5:10", "--owner-map", "u:3:9:1"]), 3);
    assert_eq!(extract(&["b", "--owner-map", "0:5:10", "--ownership", "caller"]), 3);
    assert!(!sandbox.path("b").exists());
    if !rustix::process::geteuid().is_root() {
        assert_eq!(extract(&["b", "--ownership", "restore"]), 1);
        return;
    }
    assert_eq!(extract(&["c", "--owner-map", "u:0:5000:1", "--owner-map", "g:0:6000:1"]), 0);
    let owner = fs::metadata(sandbox.path("c/rootfs/bin/hello")).unwrap();
    assert_eq!((owner.uid(), owner.gid()), (5000, 6000));
    // Another user gets files of his own, and is told.
    if tool("setpriv") {
        open_to_others(&sandbox);
        let told = sandbox.shell(&format!("{AS_ANOTHER} ./gantry extract hello.aci d"));
        assert_eq!(told.code, 0, "{told:#?}");
        assert!(told.stderr.contains("all files belong to you"), "{told:#?}");
        assert_eq!(fs::metadata(sandbox.path("d/rootfs/bin/hello")).unwrap().uid(), 4321);
    }
}

#[test]
fn extract_gives_a_rootfs_nobody_may_write_in_to_its_caller() {
    let sandbox = Sandbox::new();
    let shut = Tar::default()
        .file("manifest", &support::hostile::manifest(NAME, "1"))
        .entry_of_mode("rootfs", b'5', 0o555)
        .file("rootfs/f", b"x");
    sandbox.write("shut.aci", shut.gzip());
    open_to_others(&sandbox);
    let root = rustix::process::geteuid().is_root() && tool("setpriv");
    let other = if root { AS_ANOTHER } else { "" };
    sandbox.shell(&format!("{other} ./gantry extract shut.aci out --rootfs-only")).ok();
    let mode = fs::metadata(sandbox.path("out")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o555);
    assert_eq!(fs::read(sandbox.path("out/f")).unwrap(), b"x");
    fs::set_permissions(sandbox.path("out"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn extract_removes_what_a_killed_one_left() {
    let sandbox = Sandbox::new();
    sandbox.write("hello.aci", image().gzip());
    fs::create_dir(sandbox.path("out")).unwrap();
    fs::create_dir_all(sandbox.path("out/.gantry-stage-0123456789abcdef/rootfs/a")).unwrap();
    sandbox.gantry(["extract", "hello.aci", "out/hello"]).ok();
    assert_eq!(names(&sandbox.path("out")), ["hello"]);
}

/// The most memory, in bytes, that `gantry` with these arguments had.
fn peak(sandbox: &Sandbox, arguments: &[&str]) -> u64 {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/peak_memory.py");
    let mut command = sandbox.command("python3");
    command.arg(script).arg(support::GANTRY).args(arguments);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

#[test]
fn extract_and_inspect_of_many_entries_stay_small() {
    if Command::new("python3").arg("--version").output().is_err() || !tool("python3") {
        return;
    }
    // A part of the million that `make bench` measures, all of them folders, which have to
    // wait for their modes. Paths alone would take more, were they kept.
    const ENTRIES: u32 = 30_000;
    const MOST: u64 = 5 << 20;
    let sandbox = Sandbox::new();
    sandbox.write("small.aci", image().gzip());
    let many = (0..ENTRIES).fold(image(), |tar, n| tar.directory(&format!("rootfs/{n:085}")));
    sandbox.write("many.aci", many.gzip());
    for (small, many) in [
        (&["inspect", "small.aci"][..], &["inspect", "many.aci"][..]),
        (&["extract", "small.aci", "small"], &["extract", "many.aci", "many"]),
    ] {
        let (base, peak) = (peak(&sandbox, small), peak(&sandbox, many));
        assert!(peak < base + MOST, "{many:?}: {base} and {peak} bytes");
    }
}
