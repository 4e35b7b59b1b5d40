//! What a command is given, and how it ends.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::Stdio;

use builder::step::{Bytes, Fault};

use super::support::{Caller, Scene, text};

#[test]
fn command_has_its_arguments_exactly() {
    for caller in Caller::all() {
        let mut scene = Scene::new(caller);
        let words = ["busybox", "printf", "[%s]", "two,three", "a b", "line\nend", "", "ü", "--"];
        let mut words: Vec<&OsStr> = words.iter().map(OsStr::new).collect();
        words.push(OsStr::from_bytes(b"\xff\xfe"));
        let ended = scene.run(words);
        ended.good();
        let wanted = b"[two,three][a b][line\nend][][\xc3\xbc][--][\xff\xfe]";
        assert_eq!(ended.stdout, wanted, "{caller:?}");
        assert_eq!(ended.paths(), Vec::<String>::new(), "{caller:?}");
        assert_eq!(ended.faked, matches!(caller, Caller::Alone | Caller::Me), "{caller:?}");
    }
}

#[test]
fn command_has_its_environment_and_no_other() {
    for caller in Caller::all() {
        let mut scene = Scene::new(caller);
        scene.order.environment.push((text("FOO"), text("a,b=c\nd")));
        scene.order.environment.push((text("EMPTY"), text("")));
        scene.order.environment.push((text("RAW"), Bytes::from(b"\xff".to_vec())));
        let mut command = scene.prepare(["busybox", "env", "-0"]);
        let output = command.env("LEAK", "1").stdin(Stdio::null()).output().unwrap();
        let mut found: Vec<&[u8]> = output.stdout.split(|byte| *byte == 0).collect();
        found.sort();
        let wanted: [&[u8]; 5] = [b"", b"EMPTY=", b"FOO=a,b=c\nd", b"PATH=/bin", b"RAW=\xff"];
        assert_eq!(found, wanted, "{caller:?}");
        // Nor can it look into the first process of its namespace.
        let looked =
            scene.shell("cat /proc/1/environ /proc/1/maps || echo no; cat /proc/1/cmdline");
        assert!(!looked.text().contains("LEAK"), "{}", looked.text());
        assert!(looked.text().starts_with("no\n"), "{}", looked.text());
    }
}

#[test]
fn command_passes_its_code_on() {
    for caller in Caller::all() {
        for code in [0, 1, 7, 255] {
            let ended = Scene::new(caller).shell(&format!("exit {code}"));
            assert_eq!(ended.code, Some(code), "{caller:?}: {:?}", ended.error);
        }
        assert_eq!(Scene::new(caller).shell("kill -9 $$").code, Some(137));
        assert_eq!(Scene::new(caller).shell("kill -15 $$").code, Some(143));
    }
}

#[test]
fn command_that_is_not_there_is_no_command_that_failed() {
    for caller in Caller::all() {
        let mut scene = Scene::new(caller);
        let ended = scene.run(["absent"]);
        let path = Some("/bin".to_owned());
        assert_eq!(ended.fault, Some(Fault::NotFound { program: "absent".to_owned(), path }));
        assert_eq!(ended.code, Some(127));
        let ended = scene.run(["/no/absent"]);
        assert!(matches!(ended.fault, Some(Fault::NotFound { path: None, .. })));
        scene.write("bin/plain", "no program\n");
        assert_eq!(scene.run(["plain"]).code, Some(126));
        scene.write("bin/script", "#!/no/interpreter\n");
        let script = scene.root().join("bin/script");
        super::support::mode(&script, 0o755);
        let ended = scene.run(["script"]);
        assert!(ended.error.unwrap().contains("its interpreter is not in the image"));
        assert!(scene.run([""]).fault.is_some());
    }
}

#[test]
fn command_is_found_by_the_path_of_its_environment() {
    for caller in Caller::all() {
        let mut scene = Scene::new(caller);
        scene.order.environment = Vec::new();
        scene.run(["busybox", "true"]).good();
        scene.order.environment = vec![(text("PATH"), text("/other"))];
        assert_eq!(scene.run(["busybox", "true"]).code, Some(127));
        scene.run(["/bin/busybox", "true"]).good();
    }
}

#[test]
fn command_starts_in_its_working_directory() {
    for caller in Caller::all() {
        let mut scene = Scene::new(caller);
        scene.write("srv/a file", "");
        scene.order.working_directory = "/srv".into();
        assert_eq!(scene.run(["busybox", "pwd"]).good(), "/srv\n");
        assert_eq!(scene.shell("busybox ls").good(), "a file\n");
        scene.order.working_directory = "/none".into();
        let ended = scene.run(["busybox", "pwd"]);
        assert!(matches!(ended.fault, Some(Fault::WorkingDirectory { .. })), "{:?}", ended.fault);
    }
}

#[test]
fn command_inherits_nothing() {
    for caller in Caller::all() {
        let mut scene = Scene::new(caller);
        let line =
            "busybox ls /proc/self/fd; umask; busybox id -u; busybox id -g; busybox hostname";
        let found = with_inheritance(&mut scene, &["busybox", "sh", "-c", line]);
        // 3 is the list's own.
        assert_eq!(found, "0\n1\n2\n3\n0022\n0\n0\nstep\n", "{caller:?}");
        let found = with_inheritance(&mut scene, &["busybox", "cat", "/proc/self/status"]);
        let number = |name: &str| {
            let line = found.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            u64::from_str_radix(line.trim(), 16).unwrap()
        };
        let containers = 0xa804_25fb;
        for (name, wanted) in [("CapBnd:", containers), ("CapEff:", containers), ("CapInh:", 0)] {
            assert_eq!(number(name), wanted, "{caller:?} {name}");
        }
        assert_eq!((number("CapAmb:"), number("SigBlk:")), (0, 0), "{caller:?}");
        // The C library's own, 32 and 33, are ignored in whatever it starts.
        assert_eq!(number("SigIgn:") & 0x7fff_ffff, 0, "{caller:?}");
        if matches!(caller, Caller::Root | Caller::Ranges) {
            assert_eq!(scene.shell("busybox id -G").good(), "0\n", "{caller:?}");
        }
    }
}

/// Runs it with a file of the host, a mask and ignored signals to inherit.
fn with_inheritance(scene: &mut Scene, words: &[&str]) -> String {
    let inner = scene.prepare(words);
    let script = "exec 7</etc/passwd 9</; umask 077; trap '' HUP INT USR1; exec \"$0\" \"$@\"";
    let mut outer = std::process::Command::new("/bin/sh");
    outer.args(["-c", script]).arg(inner.get_program()).args(inner.get_args());
    outer.current_dir(scene.folder.path()).stdin(Stdio::null());
    String::from_utf8(outer.output().unwrap().stdout).unwrap()
}

#[test]
fn command_has_the_input_and_output_of_its_caller() {
    use std::io::Write;
    for caller in Caller::all() {
        let mut scene = Scene::new(caller);
        let mut command = scene.prepare(["busybox", "sh", "-c", "cat; echo bad >&2"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"over\n").unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.stdout, b"over\n", "{caller:?}");
        assert_eq!(output.stderr, b"bad\n", "{caller:?}");
    }
}

#[test]
fn command_takes_its_background_with_it() {
    for caller in Caller::all() {
        let mut scene = Scene::new(caller);
        let ended = scene.shell("busybox sleep 1000 >/dev/null 2>&1 & echo begun");
        assert_eq!(ended.good(), "begun\n");
    }
}
