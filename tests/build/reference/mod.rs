//! Every command of acbuild, and every new one, with each of its options and exit codes.
//!
//! The rows are text: `LINE => CODE CHECK`. What a line needs is made by lines that begin with `$`;
//! `? CHECK` asks one thing more of the row above; `== TITLE [TAGS]` begins a scene in a folder of
//! its own. Tags: `plain` where options of all commands stand in the rows already, `run` where a
//! command runs, `root` and `user` for one of them alone, and names of tools.
//!
//! Checks, of what is true afterwards:
//!
//! ```text
//! /app/exec/0 "/bin/a"    this is at that place of the manifest; `none` where nothing is
//! in TEXT, not TEXT       the manifest holds this text, or does not
//! has PATH, no PATH       the build has this file, or has not
//! entry PATH TEXT         the line of this path in the image that would be written has this text
//! out TEXT                standard output, which is `out` alone where there is none
//! says TEXT               a part of what is said on standard error
//! sh LINE                 a line for the shell, which succeeds
//! ```

mod beginning;
mod files;
mod list;
mod manifests;
mod metadata;
mod names;
mod recipe;
mod running;
mod scripts;
mod writing;

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use super::busybox;
use super::users::User;
use crate::support::{Ended, Sandbox, tool};

/// Those in which it may make a difference who builds.
const OF_FILES: &[&str] = &[
    beginning::SCENES,
    files::SCENES,
    running::SCENES,
    writing::SCENES,
    scripts::SCENES,
    recipe::SCENES,
];

/// All scenes.
const SCENES: &[&str] = &[
    names::SCENES,
    beginning::SCENES,
    metadata::SCENES,
    manifests::SCENES,
    files::SCENES,
    running::SCENES,
    writing::SCENES,
    scripts::SCENES,
    recipe::SCENES,
];

/// A line that is set up, tried or asked.
enum Step {
    Setup(&'static str),
    Row { line: &'static str, code: i32 },
    Check(&'static str),
}

struct Scene {
    title: &'static str,
    tags: Vec<&'static str>,
    steps: Vec<Step>,
}

fn scenes(texts: &[&'static str]) -> Vec<Scene> {
    let mut scenes: Vec<Scene> = Vec::new();
    for line in texts.iter().flat_map(|text| text.lines()).map(str::trim) {
        if let Some(title) = line.strip_prefix("== ") {
            let (title, tags) = title.trim_end_matches(']').split_once(" [").unwrap_or((title, ""));
            scenes.push(Scene { title, tags: tags.split_whitespace().collect(), steps: vec![] });
        } else if let Some(scene) = scenes.last_mut() {
            scene.steps.extend(steps(line));
        }
    }
    scenes
}

fn steps(line: &'static str) -> Vec<Step> {
    if line.is_empty() {
        vec![]
    } else if let Some(line) = line.strip_prefix("$ ") {
        vec![Step::Setup(line)]
    } else if let Some(check) = line.strip_prefix("? ") {
        vec![Step::Check(check)]
    } else {
        let (line, end) = line.split_once("=> ").unwrap_or_else(|| panic!("no code in {line:?}"));
        let (code, check) = end.split_once(' ').unwrap_or((end, ""));
        let row = Step::Row { line: line.trim(), code: code.parse().unwrap() };
        if check.is_empty() { vec![row] } else { vec![row, Step::Check(check.trim())] }
    }
}

/// Who tries the rows, by which name, with which options before each.
struct Pass {
    user: User,
    name: &'static str,
    options: &'static str,
    sandbox: Sandbox,
}

const SCENE: &str = "scene";

impl Pass {
    /// Tries all rows; gives what was wrong, and how many there were.
    fn go(&self, texts: &[&'static str]) -> (Vec<String>, usize) {
        let (mut wrong, mut rows) = (Vec::new(), 0);
        for scene in scenes(texts).iter().filter(|scene| self.may(scene)) {
            self.sandbox.shell("rm -rf scene && cp -a files scene").ok();
            let mut last = None;
            for step in &scene.steps {
                let fault = match step {
                    Step::Setup(line) => {
                        let ended = self.user.run(&self.sandbox, SCENE, line);
                        (ended.code != 0).then(|| format!("$ {line}: {ended:#?}"))
                    }
                    Step::Row { line, code } => {
                        rows += 1;
                        let whole = format!("{} {} {line}", self.name, self.options);
                        let ended = self.user.run(&self.sandbox, SCENE, &whole);
                        let fault = (ended.code != *code || ended.stderr.contains("panicked"))
                            .then(|| format!("{line} => {code}, but: {ended:#?}"));
                        last = Some((*line, ended));
                        fault
                    }
                    Step::Check(check) => last.as_ref().and_then(|(line, ended)| {
                        self.check(check, ended).err().map(|is| format!("{line}: {check}: {is}"))
                    }),
                };
                wrong.extend(fault.map(|fault| format!("[{}] {fault}", scene.title)));
            }
        }
        (wrong, rows)
    }

    fn may(&self, scene: &Scene) -> bool {
        scene.tags.iter().all(|tag| match *tag {
            "plain" => self.options.is_empty(),
            "root" => self.user == User::Me && rustix::process::geteuid().is_root(),
            "user" => self.user != User::Me || !rustix::process::geteuid().is_root(),
            "run" => self.sandbox.path("bb").exists(),
            name => tool(name),
        })
    }

    fn check(&self, check: &str, ended: &Ended) -> Result<(), String> {
        let (kind, text) = check.split_once(' ').unwrap_or((check, ""));
        let text = text.trim();
        let context = self.sandbox.path("scene/.acbuild/currentaci");
        let manifest = || fs::read_to_string(context.join("manifest")).unwrap_or_default();
        let there = || context.join("rootfs").join(text).symlink_metadata().is_ok();
        let (is, found) = match kind {
            "in" => (manifest().contains(text), manifest()),
            "not" => (!manifest().contains(text), manifest()),
            "has" => (there(), String::new()),
            "no" => (!there(), String::new()),
            "out" => (ended.stdout.trim_end() == text, format!("{ended:#?}")),
            "says" => (ended.stderr.contains(text), format!("{ended:#?}")),
            "entry" => self.entry(text),
            "sh" => {
                let ended = self.user.run(&self.sandbox, SCENE, text);
                (ended.code == 0, format!("{ended:#?}"))
            }
            pointer => {
                assert!(pointer.starts_with('/'), "{check}: no such check");
                let all: Value = serde_json::from_str(&manifest()).unwrap_or_default();
                let wanted = (text != "none").then(|| serde_json::from_str::<Value>(text).unwrap());
                (all.pointer(pointer) == wanted.as_ref(), format!("{all:#}"))
            }
        };
        if is { Ok(()) } else { Err(found) }
    }

    /// Whether the line of a path has a text, among the entries of the image.
    fn entry(&self, text: &str) -> (bool, String) {
        let (path, text) = text.split_once(' ').unwrap();
        let line = "acbuild write ../entry.aci --overwrite --compression none >/dev/null 2>&1 \
            && \"$GANTRY\" inspect --entries ../entry.aci";
        let ended = self.user.run(&self.sandbox, SCENE, line);
        let is = ended.stdout.lines().any(|line| {
            let mut words = line.split_whitespace();
            words.any(|word| word == path) && line.contains(text)
        });
        (is, format!("{ended:#?}"))
    }
}

/// Files that every scene has beside it, and a signed image in the store.
fn prepare(user: User) -> Sandbox {
    let sandbox = Sandbox::new();
    for (name, text) in list::FILES {
        sandbox.write(&format!("files/{name}"), text);
    }
    fs::create_dir(sandbox.path("files/sockets")).unwrap();
    sandbox.write("files/sockets/file", "x");
    std::os::unix::net::UnixListener::bind(sandbox.path("files/sockets/socket")).unwrap();
    User::Me.own(&sandbox);
    let with_shell = busybox(&sandbox.path("bb"));
    sandbox.write("base/rootfs/keep", "k");
    sandbox.write("base/rootfs/gone/a", "g");
    if with_shell {
        sandbox.shell("cp -a bb/. base/rootfs").ok();
    }
    let line = list::PREPARE.replace('\n', " && ");
    User::Me.run(&sandbox, ".", line.trim_matches([' ', '&'])).ok();
    fs::remove_dir_all(sandbox.path("bin")).unwrap();
    fs::remove_file(sandbox.path("gantry")).unwrap();
    user.own(&sandbox);
    sandbox
}

/// Tries all rows by this name, with these options before each row's own.
fn go(name: &'static str, options: &'static str) {
    go_as(User::Me, name, options, SCENES);
}

fn go_as(user: User, name: &'static str, options: &'static str, scenes: &[&'static str]) {
    if !user.is_here() {
        return;
    }
    let pass = Pass { user, name, options, sandbox: prepare(user) };
    let (wrong, rows) = pass.go(scenes);
    super::tell(format_args!("{user:?}, {name} {options}: {rows} rows"));
    assert!(wrong.is_empty(), "{} of {rows}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn reference_holds_for_acbuild() {
    go("acbuild", "");
}

#[test]
fn reference_holds_for_gantry_build() {
    go("\"$GANTRY\" build", "");
}

#[test]
fn reference_holds_for_a_user_with_one_id() {
    go_as(User::Alone, "acbuild", "", SCENES);
}

#[test]
fn reference_holds_for_a_user_with_subordinate_ids() {
    go_as(User::Ranges, "\"$GANTRY\" build", "", OF_FILES);
}

#[test]
fn reference_holds_with_options_of_all_commands() {
    go("acbuild", "--debug --no-history --work-path .");
}

/// The command, the options and the exit code of each row are among those that the reference
/// lists, and all that it lists have a row.
#[test]
fn reference_is_complete() {
    let wanted: BTreeSet<list::Triple> = list::triples().collect();
    let all = scenes(SCENES);
    let mut found = BTreeSet::new();
    let mut rows = 0;
    for step in all.iter().flat_map(|scene| &scene.steps) {
        if let Step::Row { line, code } = step {
            rows += 1;
            found.extend(list::triples_of(line, *code));
        }
    }
    let commands: BTreeSet<&str> = wanted.iter().map(|one| one.0.as_str()).collect();
    let options: BTreeSet<_> = wanted.iter().map(|one| (&one.0, &one.1)).collect();
    let codes: BTreeSet<_> = wanted.iter().map(|one| (&one.0, one.2)).collect();
    super::tell(format_args!(
        "{rows} rows in {} scenes: {} commands, {} options of them, {} pairs of command and exit \
         code, {} of command, option and exit code",
        all.len(),
        commands.len(),
        options.iter().filter(|one| !one.1.is_empty()).count(),
        codes.len(),
        wanted.len(),
    ));
    let missing: Vec<_> = wanted.difference(&found).collect();
    let unlisted: Vec<_> = found.difference(&wanted).collect();
    assert!(
        missing.is_empty() && unlisted.is_empty(),
        "no row: {missing:#?}\nno list: {unlisted:#?}"
    );
}

/// The list has every command and every option that the help shows.
#[test]
fn reference_lists_all_that_there_is() {
    let sandbox = prepare(User::Me);
    let listed: BTreeSet<(String, String)> =
        list::triples().map(|(command, option, _)| (command, option)).collect();
    let help = |command: &str| {
        let text = User::Me.run(&sandbox, ".", &format!("acbuild {command} --help")).ok();
        text.split("Options of all build commands:").next().unwrap_or_default().to_owned()
    };
    let has = |command: &str, option: &str| {
        let one = (command.to_owned(), option.to_owned());
        assert!(listed.contains(&one), "{command} {option}: no row");
    };
    let mut left = vec![String::new()];
    while let Some(command) = left.pop() {
        let help = help(&command);
        let mut lines = help.lines();
        for line in lines.by_ref().skip_while(|line| *line != "Commands:").skip(1) {
            let Some(name) = line.split_whitespace().next() else { break };
            // What is told of a command may go on in the next line.
            if name != "help" && line.starts_with("  ") && !line.starts_with("   ") {
                let whole = format!("{command} {name}").trim().to_owned();
                has(&whole, "");
                left.push(whole);
            }
        }
        for line in help.lines().map(str::trim).filter(|line| line.starts_with('-')) {
            let words = line.split([' ', ',', '[', '=']).filter(|word| word.starts_with("--"));
            for option in words.filter(|word| *word != "--help") {
                has(&command, option);
            }
        }
    }
}
