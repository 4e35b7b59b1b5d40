//! Images of the store as folders, as bundles, and running.
//!
//! As root, containers are really run through the runtimes of this machine; where one
//! is missing, the test says so. The program inside is `discovery/tests/probe.c`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "a test that is skipped says so")]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use serde_json::{Value, json};
use support::probe::probe;
use support::site::Site;
use support::{Ended, GANTRY, Sandbox, tool};

/// A sandbox with an image of this app in its store: `example.com/probe`.
fn sandbox_with(app: Value) -> Sandbox {
    let sandbox = Sandbox::new();
    let program = fs::read(probe()).unwrap();
    let program = sandbox.write("image/rootfs/bin/probe", program);
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    let open = sandbox.path("image/rootfs/open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(open, fs::Permissions::from_mode(0o1777)).unwrap();
    let mut manifest = json!({"acKind": "ImageManifest", "acVersion": "0.8.11",
        "name": "example.com/probe", "labels": [{"name": "version", "value": "1.0.0"}]});
    if !app.is_null() {
        manifest["app"] = app;
    }
    import(&sandbox, &manifest);
    sandbox
}

fn sandbox() -> Sandbox {
    sandbox_with(json!({"exec": ["probe"], "user": "0", "group": "0"}))
}

fn import(sandbox: &Sandbox, manifest: &Value) {
    sandbox.write("image/manifest", manifest.to_string());
    let line = "\"$GANTRY\" -q key generate --user-id 'Example CI <ci@example.com>' \
        --secret key.asc --public key.pub.asc
        \"$GANTRY\" -q pack image -o probe.aci
        \"$GANTRY\" -q sign probe.aci --key key.asc
        \"$GANTRY\" -q trust add --prefix example.com key.pub.asc
        \"$GANTRY\" -q fetch ./probe.aci";
    sandbox.shell(line).ok();
}

/// Whether containers can be run here as root; says so where not.
fn containers() -> bool {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can run these containers");
        return false;
    }
    tool("runc")
}

fn run(sandbox: &Sandbox, words: &[&str]) -> Ended {
    sandbox.gantry([&["-q", "run", "example.com/probe"], words].concat())
}

/// Nothing but the lock is left of a run.
#[track_caller]
fn nothing_left(sandbox: &Sandbox) {
    let names: Vec<_> = fs::read_dir(sandbox.path("store/run"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["lock"]);
}

/// A container that has said "ready".
fn started(sandbox: &Sandbox, words: &[&str]) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = sandbox
        .command(GANTRY)
        .args([&["-q", "run", "example.com/probe", "--runtime", "runc", "--"], words].concat())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    (child, out)
}

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// Whether a process with this word among its arguments lives.
fn lives(word: &str) -> bool {
    fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let arguments = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        arguments.split(|&byte| byte == 0).any(|argument| argument == word.as_bytes())
    })
}

#[test]
fn run_passes_on_arguments_input_output_and_code() {
    if !containers() {
        return;
    }
    let sandbox = sandbox();
    let odd = ["a b", "c,d", "\"e\"", "", "--net", "ä"];
    let words = [&["--", "cat", "-", "/proc/self/cmdline"][..], &odd].concat();
    let mut child = sandbox
        .command(GANTRY)
        .args([&["-q", "run", "example.com/probe"], words.as_slice()].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"input\0").unwrap();
    let ended = Ended::of(child.wait_with_output().unwrap());
    let mut expected = vec!["input", "probe", "cat", "-", "/proc/self/cmdline"];
    expected.extend(odd);
    assert_eq!(ended.stdout.trim_end_matches('\0'), expected.join("\0"), "{ended:?}");
    // The odd words are no files, and the program says so.
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("c,d: No such file"), "{ended:?}");
    nothing_left(&sandbox);

    assert_eq!(run(&sandbox, &["--", "exit", "42"]).code, 42);
    let ended = run(&sandbox, &["--exec", "/bin/probe", "--", "exit", "0"]);
    assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (0, "", ""));
    nothing_left(&sandbox);
}

#[test]
fn run_has_no_network_and_no_terminal_unless_there_is_one() {
    if !containers() {
        return;
    }
    let sandbox = sandbox();
    let devices = run(&sandbox, &["--", "cat", "/proc/net/dev"]).ok();
    let names: Vec<&str> =
        devices.lines().filter_map(|line| Some(line.split_once(':')?.0.trim())).collect();
    assert_eq!(names, ["lo"]);
    let devices = run(&sandbox, &["--net", "host", "--", "cat", "/proc/net/dev"]).ok();
    assert_eq!(
        devices.lines().count(),
        fs::read_to_string("/proc/net/dev").unwrap().lines().count()
    );
    assert_eq!(run(&sandbox, &["--", "tty"]).ok(), "0 0");
    if tool("script") {
        let line = "script -qec \"$GANTRY -q run example.com/probe -- tty\" /dev/null </dev/null";
        // The terminal itself shows the end of the input, before or after.
        let shown = sandbox.shell(line).ok();
        assert!(shown.contains("1 1"), "{shown:?}");
    }
    nothing_left(&sandbox);
}

#[test]
fn run_turns_to_the_next_runtime_without_a_word_on_the_programs_channels() {
    if !containers() {
        return;
    }
    let sandbox = sandbox();
    let fake = sandbox.write("tools/crun", "#!/bin/sh\necho noise; echo noise >&2; exit 1\n");
    fs::set_permissions(&fake, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", fake.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let with = |words: &[&str]| {
        let mut command = sandbox.command(GANTRY);
        command.args(["run", "example.com/probe"]).args(words).env("PATH", &path);
        Ended::of(command.output().unwrap())
    };
    let ended = with(&["--", "cwd"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "/\n"), "{ended:?}");
    assert!(
        ended.stderr.contains("crun could not start") && !ended.stderr.contains("noise"),
        "{ended:?}"
    );
    let ended = with(&["--runtime", "crun", "--", "cwd"]).refused(1);
    assert!(ended.stderr.contains("crun: exit status: 1"), "{ended:?}");
    nothing_left(&sandbox);
}

#[test]
fn run_passes_signals_on_to_the_program() {
    if !containers() {
        return;
    }
    let sandbox = sandbox();
    for (which, number) in [(Signal::TERM, 15), (Signal::INT, 2), (Signal::USR1, 10)] {
        let (mut child, mut out) = started(&sandbox, &["trap"]);
        signal(&child, which);
        let mut rest = String::new();
        out.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, format!("signal {number}\n"));
        assert_eq!(child.wait().unwrap().code(), Some(40 + number));
        nothing_left(&sandbox);
    }
}

#[test]
fn run_kills_a_program_that_does_not_end_when_asked() {
    if !containers() {
        return;
    }
    let sandbox = sandbox();
    let word = format!("deaf-{}", std::process::id());
    let (mut child, _out) = started(&sandbox, &["wait", &word]);
    let asked = Instant::now();
    signal(&child, Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(137));
    assert!(asked.elapsed() > Duration::from_secs(8));
    assert!(!lives(&word));
    nothing_left(&sandbox);
}

#[test]
fn run_clears_away_what_a_killed_run_has_left() {
    if !containers() {
        return;
    }
    let sandbox = sandbox();
    let word = format!("orphan-{}", std::process::id());
    let (mut child, _out) = started(&sandbox, &["wait", &word]);
    signal(&child, Signal::KILL);
    child.wait().unwrap();
    assert!(lives(&word));
    assert_eq!(fs::read_dir(sandbox.path("store/run")).unwrap().count(), 2);
    // A run that goes on at the same time is not touched.
    let (mut living, _living_out) = started(&sandbox, &["trap"]);
    assert!(!lives(&word));
    run(&sandbox, &["--", "cwd"]).ok();
    signal(&living, Signal::TERM);
    assert_eq!(living.wait().unwrap().code(), Some(55));
    nothing_left(&sandbox);
}

#[test]
fn run_through_crun_passes_on_signals_and_code() {
    if !containers() || !tool("crun") || !tool("unshare") {
        return;
    }
    let sandbox = sandbox();
    // Some crun refuse machines that have control groups of both versions; without the
    // second one in its sight, such a crun runs.
    let hide = "umount /sys/fs/cgroup/unified 2>/dev/null; exec \"$@\"";
    let crun = |words: &[&str]| {
        let mut command = sandbox.command("unshare");
        command.args(["--mount", "sh", "-c", hide, "sh", GANTRY]);
        command.args(["-q", "run", "example.com/probe", "--runtime", "crun", "--"]).args(words);
        command
    };
    let ended = Ended::of(crun(&["exit", "42"]).output().unwrap());
    if ended.stderr.contains("cgroup") {
        println!("skipped: crun cannot run a container here: {}", ended.stderr);
        return;
    }
    assert_eq!(ended.code, 42, "{ended:?}");
    let mut child = crun(&["trap"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    signal(&child, Signal::TERM);
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\nsignal 15\n");
    assert_eq!(child.wait().unwrap().code(), Some(55));
    nothing_left(&sandbox);
}

#[test]
fn run_through_systemd_nspawn_is_the_same_but_for_what_it_tells() {
    if !containers() || !tool("systemd-nspawn") {
        return;
    }
    let sandbox = sandbox_with(json!({"exec": ["probe"], "user": "1000", "group": "50",
        "workingDirectory": "/bin", "environment": [{"name": "ODD", "value": "a b,\"c\""}],
        "mountPoints": [{"name": "data", "path": "/data"}]}));
    let nspawn =
        |words: &[&str]| run(&sandbox, &[&["--runtime", "systemd-nspawn", "--"], words].concat());
    let status = nspawn(&["cat", "/proc/self/status", "/proc/net/dev"]).ok();
    assert!(status.contains("Uid:\t1000\t1000\t1000\t1000"), "{status}");
    assert!(status.contains("Gid:\t50\t50\t50\t50"), "{status}");
    // The default fourteen, less CAP_MKNOD.
    assert!(status.contains("CapBnd:\t00000000a00425fb"), "{status}");
    assert!(!status.contains("eth0:"), "{status}");
    let environment = nspawn(&["cat", "/proc/self/environ"]).ok();
    assert!(environment.split('\0').any(|variable| variable == "ODD=a b,\"c\""), "{environment}");
    assert_eq!(nspawn(&["cwd"]).ok(), "/bin");
    assert!(nspawn(&["stat", "/data"]).ok().starts_with("/data 40755"));
    assert_eq!(nspawn(&["exit", "42"]).code, 42);
    nothing_left(&sandbox);
}

#[test]
fn run_without_root_runs_as_its_caller() {
    if !containers() || !tool("setpriv") {
        return;
    }
    let sandbox = sandbox();
    // The binary may lie where other users cannot reach it.
    let gantry = sandbox.path("gantry");
    fs::copy(GANTRY, &gantry).unwrap();
    sandbox.shell("chown -R 65534:65534 .").ok();
    let run = |words: &[&str]| {
        let mut command = sandbox.command("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&gantry);
        command.args(["run", "example.com/probe", "--runtime", "runc"]).args(words);
        Ended::of(command.output().unwrap())
    };
    let ended = run(&["--", "cat", "/proc/self/uid_map"]);
    assert!(ended.stderr.contains("all files belong to you"), "{ended:?}");
    let map: Vec<String> = ended.ok().split_whitespace().map(str::to_owned).collect();
    assert_eq!(map, ["0", "65534", "1"]);
    assert_eq!(run(&["--", "exit", "42"]).code, 42);
    nothing_left(&sandbox);
}

#[test]
fn run_without_root_uses_subordinate_ids_and_removes_their_files() {
    if !containers() || !tool("setpriv") || !tool("unshare") || !tool("newuidmap") {
        return;
    }
    if !Path::new("/etc/subuid").exists() || !Path::new("/etc/subgid").exists() {
        println!("skipped: there are no files for subordinate IDs to put others in the place of");
        return;
    }
    let sandbox = sandbox_with(json!({"exec": ["probe"], "user": "1000", "group": "50",
        "supplementaryGIDs": [77], "workingDirectory": "/open"}));
    let gantry = sandbox.path("gantry");
    fs::copy(GANTRY, &gantry).unwrap();
    sandbox.write("ranges", "65534:100000:65536\n");
    sandbox.shell("chown -R 65534:65534 . && chmod 755 . && chmod 644 ranges").ok();
    let line = "mount --bind ranges /etc/subuid && mount --bind ranges /etc/subgid && \
        exec setpriv --reuid=65534 --regid=65534 --clear-groups ./gantry -q run \
        example.com/probe --runtime runc -- \"$@\"";
    let run = |words: &[&str]| {
        let mut command = sandbox.command("unshare");
        command.args(["--mount", "sh", "-c", line, "sh"]).args(words);
        Ended::of(command.output().unwrap())
    };
    let status = run(&["cat", "/proc/self/status", "/proc/self/uid_map"]).ok();
    assert!(status.contains("Uid:\t1000\t1000\t1000\t1000"), "{status}");
    assert!(status.ends_with("1     100000      65536"), "{status}");
    // Folders of a user that the caller cannot be outside of that namespace.
    run(&["nest", "mine"]).ok();
    nothing_left(&sandbox);
}

#[test]
fn run_fetches_what_is_not_there() {
    if !containers() {
        return;
    }
    let sandbox = sandbox();
    let site = Site::start("example.com", &sandbox.path(""));
    let template =
        "<meta name=ac-discovery content='example.com https://example.com/{name}.{ext}'>";
    site.set("/", template);
    for end in ["aci", "aci.asc"] {
        let file = fs::read(sandbox.path(format!("probe.{end}"))).unwrap();
        site.set(&format!("/example.com/probe.{end}"), file);
    }
    let config = format!(
        "ca-file = {:?}\n[[override]]\nprefix = \"example.com\"\nconnect = \"{}\"\n",
        site.ca_file(),
        site.address()
    );
    sandbox.write("home/.config/gantry/config.toml", config);
    sandbox.gantry(["image", "rm", "example.com/probe"]).ok();
    assert_eq!(run(&sandbox, &["--", "exit", "42"]).code, 42);
    assert!(site.asked().contains(&"/example.com/probe.aci".to_owned()));
    // Now it is there, and nobody is asked.
    assert_eq!(run(&sandbox, &["--", "exit", "42"]).code, 42);
    assert_eq!(site.asked(), Vec::<String>::new());
}

#[test]
fn run_of_what_is_not_there_says_what_to_do() {
    let sandbox = sandbox();
    let ended = sandbox.gantry(["run", "--pull", "never", "example.com/other"]).refused(4);
    assert!(ended.stderr.contains("gantry fetch example.com/other"), "{ended:?}");
    if !containers() {
        return;
    }
    let ended = run(&sandbox, &["--exec", "/bin/none"]).refused(1);
    assert!(ended.stderr.contains("/bin/none"), "{ended:?}");
    nothing_left(&sandbox);
    if ["/usr/sbin/crun", "/usr/local/sbin/crun"].iter().any(|path| Path::new(path).exists()) {
        println!("skipped: crun is where it is found without PATH");
        return;
    }
    let mut command = sandbox.command(GANTRY);
    command.args(["run", "example.com/probe", "--runtime", "crun"]).env("PATH", "/none");
    let ended = Ended::of(command.output().unwrap()).refused(4);
    assert!(ended.stderr.contains("gantry image bundle"), "{ended:?}");
}

#[test]
fn bundle_runs_where_it_was_made_for() {
    let sandbox = sandbox_with(json!({"exec": ["probe", "cat"], "user": "0", "group": "0",
        "isolators": [{"name": "resource/network-bandwidth", "value": {"default": true, "limit": "1G"}}]}));
    let ended = sandbox.gantry([
        "--json",
        "image",
        "bundle",
        "example.com/probe",
        "bundle",
        "--",
        "/proc/self/cmdline",
    ]);
    // "An executor MUST make information about which isolators were ignored […] available".
    assert!(ended.stderr.contains("resource/network-bandwidth ignored"), "{ended:?}");
    let value: Value = serde_json::from_str(&ended.ok()).unwrap();
    assert_eq!(value["program"], "/bin/probe");
    assert_eq!(value["notes"][0]["outcome"], "ignored");
    if containers() {
        let line = "runc --root state run --bundle bundle gantry-journey-$$";
        assert_eq!(sandbox.shell(line).ok(), "probe\0cat\0/proc/self/cmdline\0");
    }
    sandbox.gantry(["image", "bundle", "example.com/probe", "bundle"]).refused(1);
}

#[test]
fn render_and_extract_make_the_folder_that_was_asked_for() {
    let sandbox = sandbox();
    sandbox.gantry(["image", "render", "example.com/probe", "rendered"]).ok();
    let manifest = fs::read(sandbox.path("rendered/manifest")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&manifest).unwrap()["name"], "example.com/probe");
    assert_eq!(
        fs::read(sandbox.path("rendered/rootfs/bin/probe")).unwrap(),
        fs::read(probe()).unwrap()
    );
    sandbox.gantry(["image", "extract", "example.com/probe", "rootfs", "--rootfs-only"]).ok();
    assert!(sandbox.path("rootfs/bin/probe").exists());
    let ended = sandbox.gantry(["image", "render", "example.com/probe", "rootfs"]).refused(1);
    assert!(ended.stderr.contains("rootfs exists"), "{ended:?}");
    let hidden = fs::read_dir(sandbox.path("")).unwrap().flatten();
    let hidden: Vec<_> = hidden
        .map(|e| e.file_name())
        .filter(|n| n.to_string_lossy().starts_with(".gantry"))
        .collect();
    assert!(hidden.is_empty(), "{hidden:?}");
}
