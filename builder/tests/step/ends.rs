//! Ends that nobody asked for.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use builder::step::Fault;
use rustix::process::{Pid, Signal};

use super::support::{Caller, Scene, USER};

#[test]
fn killed_caller_leaves_no_process() {
    for caller in Caller::all() {
        for signal in [Signal::KILL, Signal::TERM, Signal::INT] {
            let mut scene = Scene::new(caller);
            let mark = format!("10{}{}", std::process::id(), signal.as_raw());
            let line = format!(
                "echo >/made; busybox chown 5:5 /made; busybox mkdir -m 0 /shut
                busybox setsid busybox sleep {mark} & busybox sleep {mark}"
            );
            let mut child = scene.prepare(["busybox", "sh", "-c", &line]).spawn().unwrap();
            wait_for(|| sleepers(&mark) == 2);
            send(&child, signal);
            child.wait().unwrap();
            wait_for(|| sleepers(&mark) == 0);
            wait_for(|| holders(scene.folder.path()) == 0);
            assert!(scene.upper().join("made").exists(), "{caller:?}");
            let cleared = scene.command(&["remove", "scratch"]).output().unwrap();
            assert!(cleared.status.success(), "{cleared:?}");
            assert!(fs::read_dir(scene.path("scratch")).unwrap().next().is_none(), "{caller:?}");
        }
    }
}

#[test]
fn killed_helper_is_told_to_the_caller() {
    for caller in Caller::all() {
        for whom in ["holder", "init"] {
            let mut scene = Scene::new(caller);
            let mark = format!("11{}", std::process::id());
            let mut command = scene.prepare(["busybox", "sleep", &mark]);
            let mut child = command.stdin(Stdio::null()).spawn().unwrap();
            wait_for(|| sleepers(&mark) == 1);
            let mut helpers = processes_with(scene.folder.path(), "child");
            helpers.sort();
            let victim = if whom == "holder" { helpers[0] } else { helpers[1] };
            rustix::process::kill_process(Pid::from_raw(victim).unwrap(), Signal::KILL).unwrap();
            child.wait().unwrap();
            wait_for(|| sleepers(&mark) == 0);
            let result = fs::read_to_string(scene.path("result.json")).unwrap();
            assert!(result.contains("ended"), "{caller:?} {whom}: {result}");
        }
    }
}

#[test]
fn overlay_on_an_overlay_says_what_to_do() {
    for caller in Caller::among(&[Caller::Root]) {
        let mut scene = Scene::new(caller);
        for name in ["low", "up", "work", "there"] {
            fs::create_dir(scene.path(name)).unwrap();
        }
        scene.order.scratch = scene.path("there/scratch");
        scene.prepare(["busybox", "true"]);
        fs::create_dir(scene.path("up/scratch")).unwrap();
        let line = "mount -t overlay overlay -o lowerdir=low,upperdir=up,workdir=work there
            exec ./step_child run order.json result.json";
        let mut command = std::process::Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "/bin/sh", "-ec", line]);
        let output = command.current_dir(scene.folder.path()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let result = fs::read_to_string(scene.path("result.json")).unwrap();
        assert!(result.contains("cannot mount an overlay on"), "{result}");
        assert!(result.contains("(overlay)"), "{result}");
    }
}

fn send(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

#[track_caller]
fn wait_for(mut it: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !it() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it does not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// How many processes sleep for this long.
fn sleepers(mark: &str) -> usize {
    commands()
        .filter(|(_, words)| words.iter().any(|word| word == mark) && words.len() == 3)
        .count()
}

/// How many processes of the example in this folder there are.
fn holders(folder: &Path) -> usize {
    processes_with(folder, "child").len()
}

fn processes_with(folder: &Path, word: &str) -> Vec<i32> {
    let program = folder.join("step_child").display().to_string();
    let ours = |words: &[String]| words == [program.clone(), word.to_owned()];
    commands().filter(|(_, words)| ours(words)).map(|(pid, _)| pid).collect()
}

fn commands() -> impl Iterator<Item = (i32, Vec<String>)> {
    fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let text = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
        let words = line.strip_suffix(b"\0")?.split(|byte| *byte == 0).map(text).collect();
        Some((pid, words))
    })
}

#[test]
fn scratch_of_another_user_is_not_cleared() {
    for caller in Caller::among(&[Caller::Alone]) {
        let scene = Scene::new(caller);
        let others = scene.path("others");
        fs::create_dir_all(others.join("upper")).unwrap();
        assert_ne!(rustix::process::geteuid().as_raw(), USER);
        let output = scene.command(&["remove", "others"]).output().unwrap();
        assert!(!output.status.success() && others.join("upper").exists());
    }
}

#[test]
fn folders_too_deep_for_a_path_are_told_and_removed() {
    for caller in Caller::all() {
        let mut scene = Scene::new(caller);
        let name = "x".repeat(250);
        let line = format!(
            "i=0; while [ $i -lt 40 ]; do
            busybox mkdir {name}; cd -P {name} 2>/dev/null || :; i=$((i+1)); done"
        );
        let ended = scene.run(["busybox", "sh", "-c", &line]);
        assert!(
            matches!(ended.fault, Some(Fault::Changes { .. })),
            "{caller:?}: {:?}",
            ended.error
        );
        assert!(fs::read_dir(scene.path("scratch")).unwrap().next().is_none(), "{caller:?}");
    }
}

#[test]
fn scratch_with_something_in_it_is_not_used() {
    for caller in Caller::all() {
        let mut scene = Scene::new(caller);
        let mut command = scene.prepare(["busybox", "true"]);
        fs::create_dir(scene.upper()).unwrap();
        assert!(command.status().unwrap().success());
        let result = fs::read_to_string(scene.path("result.json")).unwrap();
        assert!(result.contains("a scratch folder is to be empty"), "{caller:?} {result}");
        assert!(scene.upper().exists(), "{caller:?}");
    }
}
