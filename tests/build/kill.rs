//! `kill -9` at points spread over each kind of command: what was there is the old or the new one,
//! whole, and the next command works and clears what was left.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::busybox;
use super::users::User;
use crate::support::Sandbox;

const POINTS: u32 = 30;

/// A kind of command, and what is done before and after it is killed.
struct Kind {
    name: &'static str,
    /// What makes the old state, in an empty folder.
    before: &'static str,
    /// The command.
    line: &'static str,
    /// A command that must work afterwards, and clear what was left.
    next: &'static str,
}

/// An edit of a build of 120 files.
const fn edit(name: &'static str, line: &'static str) -> Kind {
    Kind { name, before: BUILD, line, next: "acbuild label add next x" }
}

const BUILD: &str = "acbuild begin ../tree && acbuild set-name example.com/a";
const AGAIN: &str = "rm -rf .acbuild && acbuild begin && acbuild end";

const EDITS: &[Kind] = &[
    edit("label add", "acbuild label add a b"),
    edit("set-exec", "acbuild set-exec -- /bin/a --b"),
    edit("replace-manifest", "acbuild replace-manifest ../m.json"),
    edit("isolator add", "acbuild isolator add resource/memory ../limit.json"),
    edit("dependency add", "acbuild dependency add example.com/b:1"),
];

const FILES: &[Kind] = &[
    edit("copy", "acbuild copy ../tree /a/b/tree"),
    edit("copy --merge", "acbuild copy ../tree / --merge --mode *=0600"),
    edit("copy-to-dir", "acbuild copy-to-dir ../tree ../m.json /to"),
    edit("remove", "acbuild remove /1 /2 /3/3"),
    edit("chmod -R", "acbuild chmod -R 0700 /"),
    edit("chown -R", "acbuild chown -R 33:34 /"),
];

/// What an image depends on becomes its own.
const SQUASH: Kind = Kind {
    name: "squash",
    before: "acbuild begin && acbuild set-name example.com/b \
        && acbuild dependency add --local ../a.aci && acbuild remove /1",
    line: "acbuild squash",
    next: "acbuild label add next x",
};

const BEGINNINGS: &[Kind] = &[
    Kind { name: "begin, a folder", before: "true", line: "acbuild begin ../tree", next: AGAIN },
    Kind { name: "begin, a tar", before: "true", line: "acbuild begin ../tree.tar", next: AGAIN },
    Kind { name: "begin, an image", before: "true", line: "acbuild begin ../a.aci", next: AGAIN },
    Kind { name: "end", before: BUILD, line: "acbuild end", next: AGAIN },
];

const WRITTEN: &str = "acbuild begin ../tree && acbuild set-name example.com/a \
    && acbuild write a.aci --sign ../key.asc && acbuild label add a b";

const IMAGES: &[Kind] = &[
    Kind {
        name: "write",
        before: WRITTEN,
        line: "acbuild write a.aci --overwrite",
        next: "acbuild write a.aci --overwrite",
    },
    Kind {
        name: "write --sign",
        before: WRITTEN,
        line: "acbuild write a.aci --overwrite --sign ../key.asc",
        next: "acbuild write a.aci --overwrite --sign ../key.asc && gantry -q verify a.aci",
    },
    Kind {
        name: "script",
        before: "cp ../a.aci .",
        line: "acbuild script ../s.acb",
        next: "acbuild script ../s.acb",
    },
    Kind {
        name: "recipe",
        before: "cp ../a.aci .",
        line: "acbuild recipe ../r.toml --no-cache --output-dir .",
        next: "acbuild recipe ../r.toml --no-cache --output-dir .",
    },
    Kind {
        name: "--modify",
        before: "cp ../a.aci .",
        line: "acbuild --modify a.aci copy ../tree /more",
        next: "acbuild --modify a.aci label add next x",
    },
];

const RUN: Kind = Kind {
    name: "run",
    before: "acbuild begin ../bb && acbuild set-name example.com/a && acbuild chown -R 33:34 /tree",
    line: "acbuild run -- /bin/sh -c 'rm -r /tree/1 /tree/2; mkdir /tree/1; chmod 700 /tree/3; \
        for i in 1 2 3 4 5 6 7 8 9; do echo $i > /tree/1/$i; done; echo x >> /tree/4/4'",
    next: "acbuild run -- /bin/sh -c 'echo x > /next'",
};

/// The same where the files are those of a dependency.
const RUN_ABOVE: Kind = Kind {
    name: "run, above a dependency",
    before: "acbuild begin && acbuild set-name example.com/b \
        && acbuild dependency add --local ../base.aci && acbuild remove /tree/5/5",
    ..RUN
};

/// Files for all kinds, and the user's program.
fn prepare(user: User) -> Sandbox {
    let sandbox = Sandbox::new();
    for at in 0..120_usize {
        sandbox.write(&format!("tree/{}/{at}", at % 20), vec![b'x'; at * 17 % 3000]);
    }
    sandbox.write(
        "m.json",
        r#"{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/n"}"#,
    );
    sandbox.write("limit.json", "{\"limit\": \"512M\"}");
    let script = "begin ../tree\nset-name example.com/s\nlabel add a b\nwrite a.aci --overwrite\n";
    sandbox.write("s.acb", script);
    let recipe = "name = \"example.com/r\"\n[[step]]\ncopy = \"tree\"\nto = \"/t\"\n\
        [[output]]\nfile = \"a.aci\"\n";
    sandbox.write("r.toml", recipe);
    if busybox(&sandbox.path("bb")) {
        sandbox.shell("mkdir bb/tree && cp -a tree/[1-5] bb/tree").ok();
    }
    user.own(&sandbox);
    std::os::unix::fs::symlink("../gantry", sandbox.path("bin/gantry")).unwrap();
    let line = "gantry -q key generate --user-id ci --secret key.asc --public key.pub.asc \
        && gantry -q trust add --prefix example.com key.pub.asc && tar -cf tree.tar -C tree . \
        && acbuild begin ./tree && acbuild set-name example.com/a && acbuild write a.aci \
        && acbuild end && gantry -q sign a.aci --key key.asc && gantry -q fetch ./a.aci";
    user.run(&sandbox, ".", line).ok();
    if sandbox.path("bb").exists() {
        let line = "acbuild begin ./bb && acbuild set-name example.com/base \
            && acbuild write base.aci \
            && acbuild end && gantry -q sign base.aci --key key.asc && gantry -q fetch ./base.aci";
        user.run(&sandbox, ".", line).ok();
    }
    sandbox
}

/// All there is in the folder `w`: the build, once a command has looked at it, and images.
fn state(sandbox: &Sandbox, user: User) -> BTreeMap<PathBuf, String> {
    if sandbox.path("w/.acbuild").exists() {
        user.run(sandbox, "w", "acbuild cat-manifest").ok();
        assert!(!sandbox.path("w/.acbuild/change").exists());
    }
    let mut all = BTreeMap::new();
    let top = sandbox.path("w");
    let mut left = vec![top.clone()];
    while let Some(folder) = left.pop() {
        for path in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            let below = path.strip_prefix(&top).unwrap().to_owned();
            let name = below.to_string_lossy();
            // What no image has of it: staged files, whose names begin so, signatures, the lock.
            let is_file_of_the_image = name.contains("/rootfs/");
            let is_staged = path.file_name().unwrap().to_string_lossy().starts_with(".gantry");
            let other = is_staged || name.ends_with("/lock") || name.ends_with(".asc");
            if other && !is_file_of_the_image {
                continue;
            }
            let metadata = fs::symlink_metadata(&path).unwrap();
            let what = (metadata.mode(), metadata.uid(), metadata.gid(), content(&path));
            all.insert(below, format!("{what:?}"));
            if metadata.is_dir() {
                left.push(path);
            }
        }
    }
    all
}

/// What is in a file; lines of the build's list of properties have no order.
fn content(path: &Path) -> u64 {
    let bytes = if path.is_file() { fs::read(path).unwrap() } else { Vec::new() };
    let mut lines: Vec<&[u8]> = bytes.split(|&b| b == b'\n').collect();
    if path.ends_with("properties.jsonl") {
        lines.sort_unstable();
    }
    let mut hasher = DefaultHasher::new();
    lines.hash(&mut hasher);
    hasher.finish()
}

fn restore(sandbox: &Sandbox) {
    sandbox.shell("rm -rf w && cp -a saved w").ok();
}

/// How long a line takes.
fn time(sandbox: &Sandbox, user: User, line: &str) -> Duration {
    let started = Instant::now();
    user.run(sandbox, "w", &format!("exec {line}")).ok();
    started.elapsed()
}

/// Kills a command at points of its duration; gives how often the old and the new state was found.
fn kill(sandbox: &Sandbox, user: User, kind: &Kind) {
    let Kind { name, before, line, next } = kind;
    sandbox.shell("rm -rf w saved && mkdir w").ok();
    user.take(sandbox);
    user.run(sandbox, "w", before).ok();
    sandbox.shell("mv w saved").ok();
    restore(sandbox);
    let old = state(sandbox, user);
    let start = time(sandbox, user, "acbuild version") / 2;
    let whole = time(sandbox, user, line).max(start);
    let new = state(sandbox, user);
    assert_ne!(old, new, "{name}");
    let mut found = [0_u32; 2];
    for point in 0..POINTS {
        restore(sandbox);
        let mut command = user.line(sandbox, "w", &format!("exec {line}"));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // A little longer than it takes, for the time is not the same each time.
        std::thread::sleep(start + (whole - start) * 5 / 4 * point / POINTS);
        let _ = child.kill();
        child.wait().unwrap();
        let at = format!("{name}, {user:?}, at {point} of {POINTS}");
        let now = state(sandbox, user);
        assert!(now == old || now == new, "{at}: {}", difference(&now, &old, &new));
        found[usize::from(now != old)] += 1;
        user.run(sandbox, "w", next).ok();
        nothing_left(sandbox, &at);
    }
    super::tell(format_args!(
        "{name}, {user:?}: killed at {POINTS} points of {whole:?}: {} old, {} new",
        found[0], found[1]
    ));
}

fn difference(
    now: &BTreeMap<PathBuf, String>,
    old: &BTreeMap<PathBuf, String>,
    new: &BTreeMap<PathBuf, String>,
) -> String {
    let unlike = |other: &BTreeMap<PathBuf, String>| -> Vec<PathBuf> {
        let paths = now.keys().chain(other.keys());
        paths.filter(|path| now.get(*path) != other.get(*path)).cloned().collect()
    };
    format!("unlike the old one {:?}, unlike the new one {:?}", unlike(old), unlike(new))
}

/// No staged file, no change that waits, and nothing mounted.
fn nothing_left(sandbox: &Sandbox, at: &str) {
    let line = "find w -name '.gantry*' -o -path '*/.acbuild/change*'";
    assert_eq!(sandbox.shell(line).ok(), "", "{at}");
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(&*sandbox.path("w").to_string_lossy()), "{at}: {mounts}");
}

fn kill_all(user: User, kinds: &[Kind]) {
    if user.is_here() {
        let sandbox = prepare(user);
        for kind in kinds {
            kill(&sandbox, user, kind);
        }
    }
}

/// What was killed while it removed its own staged files leaves them under such a name.
#[test]
fn staged_files_in_a_build_are_cleared() {
    let sandbox = prepare(User::Me);
    let line = "acbuild begin && mkdir -p .acbuild/.gantry-stage-dead/trash/0 \
        && touch .acbuild/currentaci/.gantry-stage-dead && acbuild label add a b \
        && find .acbuild -name '.gantry*'";
    assert_eq!(User::Me.run(&sandbox, ".", line).ok(), "");
}

#[test]
fn kill_of_an_edit() {
    kill_all(User::Me, EDITS);
}

#[test]
fn kill_of_a_change_of_files() {
    kill_all(User::Me, FILES);
    kill_all(User::Me, &[SQUASH]);
}

#[test]
fn kill_of_a_change_of_files_of_a_user() {
    kill_all(User::Alone, FILES);
}

#[test]
fn kill_of_a_beginning_and_of_an_end() {
    kill_all(User::Me, BEGINNINGS);
}

#[test]
fn kill_of_what_writes_images() {
    kill_all(User::Me, IMAGES);
}

fn kill_run(user: User) {
    if user.is_here() {
        let sandbox = prepare(user);
        if sandbox.path("bb").exists() {
            kill(&sandbox, user, &RUN);
            kill(&sandbox, user, &RUN_ABOVE);
        }
    }
}

#[test]
fn kill_of_a_run_of_root() {
    kill_run(User::Me);
}

#[test]
fn kill_of_a_run_of_a_user_with_one_id() {
    kill_run(User::Alone);
}

#[test]
fn kill_of_a_run_of_a_user_with_subordinate_ids() {
    kill_run(User::Ranges);
}
