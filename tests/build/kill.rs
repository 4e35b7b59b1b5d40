//! `kill -9` at points spread over each kind of command: the build is the old one or the new one.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::{busybox, rootfs, run, sandbox};
use crate::support::{GANTRY, Sandbox};

const POINTS: u32 = 30;

/// All of a build: the manifest, and what each file is.
fn state(sandbox: &Sandbox) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let read =
        |path: &Path| fs::read(path).map(|bytes| format!("{:?}", md(&bytes))).unwrap_or_default();
    let manifest = run(sandbox, "acbuild cat-manifest");
    all.insert("manifest".to_owned(), format!("{} {}", manifest.code, manifest.stdout));
    let root = rootfs(sandbox);
    let mut left = vec![root.clone()];
    while let Some(folder) = left.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            let metadata = fs::symlink_metadata(&path).unwrap();
            let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
            let what = (metadata.mode(), metadata.uid(), metadata.gid());
            all.insert(
                name,
                format!(
                    "{what:?} {}",
                    if metadata.is_file() { read(&path) } else { String::new() }
                ),
            );
            if metadata.is_dir() {
                left.push(path);
            }
        }
    }
    all
}

fn md(bytes: &[u8]) -> (usize, u64) {
    (
        bytes.len(),
        bytes.iter().fold(7, |sum, &b| (sum ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)),
    )
}

/// Kills `line` at points of its duration; before each, `before` makes the old state.
fn kill(name: &str, sandbox: &Sandbox, before: &str, words: &[&str]) {
    run(sandbox, before).ok();
    let old = state(sandbox);
    let started = Instant::now();
    let status = sandbox
        .command(GANTRY)
        .arg("build")
        .args(words)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(status.unwrap().success(), "{name}");
    let usual = started.elapsed();
    let new = state(sandbox);
    let mut found = [0_u32; 2];
    for point in 0..POINTS {
        run(sandbox, before).ok();
        let mut child = sandbox
            .command(GANTRY)
            .arg("build")
            .args(words)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(usual * point / POINTS + Duration::from_micros(u64::from(point) * 50));
        let _ = child.kill();
        child.wait().unwrap();
        let now = state(sandbox);
        let which = usize::from(now != old);
        assert!(now == old || now == new, "{name} at {point}: {now:#?}");
        found[which] += 1;
        // What was left is cleared by the next command.
        assert!(!sandbox.path(".acbuild/change").exists(), "{name} at {point}");
    }
    super::tell(format_args!(
        "{name}: killed at {POINTS} points of {usual:?}: {} times the old build, {} times the new one",
        found[0], found[1]
    ));
}

fn tree(sandbox: &Sandbox, name: &str, files: u32) {
    for at in 0..files {
        sandbox.write(&format!("{name}/{}/{at}", at % 20), vec![b'x'; at as usize % 5000]);
    }
}

const BEGIN: &str = "rm -rf .acbuild && acbuild begin && acbuild set-name example.com/a";

#[test]
fn kill_of_an_edit() {
    let sandbox = sandbox();
    kill("label add", &sandbox, BEGIN, &["label", "add", "a", "b"]);
    let text = r#"{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/n"}"#;
    sandbox.write("m.json", text);
    kill("replace-manifest", &sandbox, BEGIN, &["replace-manifest", "m.json"]);
}

#[test]
fn kill_of_a_copy_and_of_a_removal() {
    let sandbox = sandbox();
    tree(&sandbox, "tree", 500);
    kill("copy", &sandbox, BEGIN, &["copy", "tree", "/a/b/tree"]);
    let filled = format!("{BEGIN} && acbuild copy tree /tree");
    kill(
        "copy --merge",
        &sandbox,
        &filled,
        &["copy", "tree", "/tree", "--merge", "--mode", "*=0600"],
    );
    kill("remove", &sandbox, &filled, &["remove", "/tree"]);
    kill("chmod -R", &sandbox, &filled, &["chmod", "-R", "0700", "/tree"]);
}

#[test]
fn kill_of_a_run() {
    let sandbox = sandbox();
    if !busybox(&sandbox.path("bb")) {
        return;
    }
    tree(&sandbox, "bb/tree", 200);
    let before = "rm -rf .acbuild && acbuild begin ./bb";
    let script = "rm -r /tree/1 /tree/2; mkdir /tree/1; for i in 1 2 3 4 5 6 7 8 9; do echo $i > /tree/1/$i; done; chmod 700 /tree/3";
    kill("run", &sandbox, before, &["run", "--", "/bin/sh", "-c", script]);
}

#[test]
fn kill_of_a_beginning() {
    let sandbox = sandbox();
    tree(&sandbox, "tree", 500);
    kill("begin", &sandbox, "rm -rf .acbuild", &["begin", "./tree"]);
    let left: Vec<_> =
        fs::read_dir(sandbox.path(".")).unwrap().map(|e| e.unwrap().file_name()).collect();
    run(&sandbox, "rm -rf .acbuild && acbuild begin && acbuild end").ok();
    let after: Vec<_> =
        fs::read_dir(sandbox.path(".")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(
        after.iter().all(|name| !name.to_string_lossy().starts_with(".gantry")),
        "{left:?} {after:?}"
    );
}
