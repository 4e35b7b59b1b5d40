//! Bundles, run for real by the OCI runtimes of this machine.
//!
//! As root, `runc` and `crun` each run every bundle; where one of the two, or root,
//! is missing, the test says so. The program inside is `probe.c`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::print_stderr, reason = "a test that is skipped says so")]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use aci::{ImageId, ImageManifest};
use discovery::bundle::{self, AppChanges, Bundle, BundleOptions, Host, Network};
use serde_json::{Value, json};

/// The user and group called nobody on every Linux.
const NOBODY: u32 = 65534;

fn probe() -> &'static Path {
    static PROBE: OnceLock<PathBuf> = OnceLock::new();
    PROBE.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let program = folder.join("probe");
        let building = folder.join(format!("probe-{}", std::process::id()));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/probe.c");
        let built = Command::new("cc")
            .args(["-static", "-O1", "-o"])
            .arg(&building)
            .arg(source)
            .status()
            .expect("cc is needed, as for every Rust program");
        assert!(built.success(), "cc -static failed: the C library's static part is needed");
        fs::rename(building, &program).unwrap();
        program
    })
}

/// A folder with a rootfs that holds the probe, and what `fill` adds.
fn folder(fill: impl FnOnce(&Path)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let rootfs = folder.path().join("rootfs");
    fs::create_dir_all(rootfs.join("bin")).unwrap();
    fs::set_permissions(&rootfs, fs::Permissions::from_mode(0o755)).unwrap();
    fs::copy(probe(), rootfs.join("bin/probe")).unwrap();
    fill(&rootfs);
    folder
}

fn manifest(app: &Value) -> ImageManifest {
    let manifest = json!({"acKind": "ImageManifest", "acVersion": "0.8.11",
        "name": "example.com/team/hello", "labels": [{"name": "version", "value": "1.0.0"}],
        "app": app});
    ImageManifest::from_json(&serde_json::to_vec(&manifest).unwrap()).unwrap()
}

fn app(words: &[&str]) -> Value {
    let mut exec = vec!["probe"];
    exec.extend(words);
    json!({"exec": exec, "user": "0", "group": "0"})
}

fn write(folder: &Path, app: &Value, options: &BundleOptions, host: &Host) -> Bundle {
    bundle::write(folder, &manifest(app), &ImageId::of([1; 64]), options, host).unwrap()
}

/// A way to run a bundle.
#[derive(Debug, Clone)]
struct Runtime {
    command: Vec<String>,
}

impl Runtime {
    fn run(&self, folder: &Path) -> Output {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let id =
            format!("gantry-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let (program, first) = self.command.split_first().unwrap();
        Command::new(program)
            .args(first)
            .arg("--root")
            .arg(folder.join("state"))
            .args(["run", "--bundle"])
            .arg(folder)
            .arg(id)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The runtimes that can start a container on this machine as root.
fn runtimes() -> &'static [Runtime] {
    static FOUND: OnceLock<Vec<Runtime>> = OnceLock::new();
    FOUND.get_or_init(|| {
        if !is_root() {
            eprintln!("skipped: only root can run these containers");
            return Vec::new();
        }
        // Some crun refuse machines that have control groups of both versions. Without
        // the second one in its sight, such a crun runs.
        let one = "umount /sys/fs/cgroup/unified && exec crun \"$@\"";
        let candidates: [&[&str]; 3] =
            [&["runc"], &["crun"], &["unshare", "--mount", "sh", "-c", one, "crun"]];
        let mut found = Vec::<Runtime>::new();
        for command in candidates {
            let command: Vec<String> = command.iter().map(|&word| word.to_owned()).collect();
            let kind = command.last().unwrap().clone();
            if found.iter().any(|r| *r.command.last().unwrap() == kind) || !exists(&kind) {
                continue;
            }
            let runtime = Runtime { command };
            let folder = folder(|_| {});
            write(folder.path(), &app(&["exit", "0"]), &BundleOptions::default(), &Host::root());
            let output = runtime.run(folder.path());
            if output.status.success() {
                found.push(runtime);
            } else {
                let why = String::from_utf8_lossy(&output.stderr);
                eprintln!("{:?} cannot run a container here: {why}", runtime.command);
            }
        }
        if found.is_empty() {
            eprintln!("skipped: neither runc nor crun can run a container here");
        }
        // Where runc is, it must have passed, or these tests would test nothing.
        assert!(!exists("runc") || found[0].command == ["runc"]);
        found
    })
}

fn exists(program: &str) -> bool {
    discovery::runtime::program_in(OsStr::new("/usr/bin:/bin"), program).is_some()
}

/// Runs the app under every runtime and gives its output to `check`.
fn each(app: &Value, options: &BundleOptions, fill: impl Fn(&Path), check: impl Fn(&str, &Output)) {
    for runtime in runtimes() {
        let folder = folder(&fill);
        write(folder.path(), app, options, &Host::root());
        check(runtime.command.last().unwrap(), &runtime.run(folder.path()));
    }
}

fn text(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A line of `/proc/self/status`.
fn line<'a>(status: &'a str, name: &str) -> &'a str {
    let found = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    found.unwrap_or_else(|| panic!("no {name} in {status}")).trim()
}

#[test]
fn container_has_the_users_ids_and_the_default_capabilities() {
    let mut app = app(&["cat", "/proc/self/status"]);
    app["user"] = "alice".into();
    app["group"] = "staff".into();
    app["supplementaryGIDs"] = json!([77, 88]);
    let fill = |rootfs: &Path| {
        fs::create_dir(rootfs.join("etc")).unwrap();
        fs::write(rootfs.join("etc/passwd"), "alice:x:1000:1001::/home/alice:/bin/sh\n").unwrap();
        fs::write(rootfs.join("etc/group"), "staff:x:50:\n").unwrap();
    };
    each(&app, &BundleOptions::default(), fill, |runtime, output| {
        let status = text(output);
        assert_eq!(line(&status, "Uid"), "1000\t1000\t1000\t1000", "{runtime}");
        assert_eq!(line(&status, "Gid"), "50\t50\t50\t50", "{runtime}");
        assert_eq!(line(&status, "Groups").split_whitespace().collect::<Vec<_>>(), ["77", "88"]);
        // The fourteen of the spec, as bits of capabilities(7).
        assert_eq!(line(&status, "CapBnd"), "00000000a80425fb", "{runtime}");
        assert_eq!(line(&status, "CapEff"), "0000000000000000", "{runtime}");
        assert_eq!(line(&status, "CapInh"), "0000000000000000", "{runtime}");
        assert_eq!(line(&status, "CapAmb"), "0000000000000000", "{runtime}");
        assert_eq!(line(&status, "NoNewPrivs"), "0", "{runtime}");
        assert_eq!(line(&status, "Seccomp"), "2", "{runtime}");
    });
}

#[test]
fn container_has_the_capabilities_its_isolators_leave() {
    let cases = [
        ("os/linux/capabilities-retain-set", json!(["CAP_KILL", "CAP_CHOWN"]), "0000000000000021"),
        (
            "os/linux/capabilities-remove-set",
            json!(["CAP_KILL", "CAP_SYS_ADMIN"]),
            "00000000a80425db",
        ),
    ];
    for (name, set, expected) in cases {
        let mut app = app(&["cat", "/proc/self/status"]);
        app["isolators"] = json!([{"name": name, "value": {"set": set}},
            {"name": "os/linux/no-new-privileges", "value": true}]);
        each(
            &app,
            &BundleOptions::default(),
            |_| {},
            |runtime, output| {
                let status = text(output);
                for set in ["CapBnd", "CapEff", "CapPrm"] {
                    assert_eq!(line(&status, set), expected, "{runtime} {name} {set}");
                }
                assert_eq!(line(&status, "NoNewPrivs"), "1", "{runtime}");
            },
        );
    }
}

#[test]
fn container_gets_arguments_and_environment_exactly() {
    let odd = ["a b", "c,d", "\"e\"", "'f'", "$HOME", "", "\\n", "ä\n", "--", "-x"];
    let mut app = app(&["cat", "/proc/self/cmdline", "/proc/self/environ"]);
    app["environment"] = json!([{"name": "ODD", "value": " a=\"b\",'c'\n$d "},
        {"name": "PATH", "value": "/none:/bin"}]);
    // What follows is no file; only what stands in the process's own words counts.
    let arguments = odd.iter().map(|&word| word.to_owned()).collect();
    let changes = AppChanges { arguments, ..AppChanges::default() };
    let options = BundleOptions { changes, ..BundleOptions::default() };
    each(
        &app,
        &options,
        |_| {},
        |runtime, output| {
            let out = String::from_utf8(output.stdout.clone()).unwrap();
            let mut words: Vec<&str> = out.split('\0').collect();
            let mut expected = vec!["probe", "cat", "/proc/self/cmdline", "/proc/self/environ"];
            expected.extend(odd);
            let environment = words.split_off(expected.len());
            assert_eq!(words, expected, "{runtime}");
            for variable in [
                "ODD= a=\"b\",'c'\n$d ",
                "PATH=/none:/bin",
                "AC_APP_NAME=hello",
                "container=gantry",
                "HOME=/root",
                "USER=root",
                "LOGNAME=root",
                "SHELL=/bin/sh",
            ] {
                assert!(
                    environment.contains(&variable),
                    "{runtime}: {variable} in {environment:?}"
                );
            }
        },
    );
}

#[test]
fn container_starts_in_its_working_directory_and_passes_on_the_code() {
    let mut here = app(&["cwd"]);
    here["workingDirectory"] = "/srv/link".into();
    let fill = |rootfs: &Path| {
        fs::create_dir_all(rootfs.join("srv/data")).unwrap();
        std::os::unix::fs::symlink("/srv/data", rootfs.join("srv/link")).unwrap();
    };
    each(&here, &BundleOptions::default(), fill, |runtime, output| {
        assert_eq!(text(output), "/srv/data\n", "{runtime}");
    });
    each(
        &app(&["exit", "42"]),
        &BundleOptions::default(),
        |_| {},
        |runtime, output| {
            assert_eq!(output.status.code(), Some(42), "{runtime}");
        },
    );
}

#[test]
fn container_has_the_file_systems_and_devices_of_the_spec() {
    let mut words = vec!["stat"];
    let devices = ["null", "zero", "full", "random", "urandom", "tty", "console", "ptmx"];
    let devices = devices.map(|name| format!("/dev/{name}"));
    words.extend(devices.iter().map(String::as_str));
    words.extend(["/dev/pts", "/dev/shm", "/proc/self", "/sys/class"]);
    each(
        &app(&words),
        &BundleOptions::default(),
        |_| {},
        |runtime, output| {
            let found = text(output);
            assert!(!found.contains("absent"), "{runtime}: {found}");
            assert!(found.contains("/dev/console 2"), "{runtime}: {found}");
            assert!(found.contains("/dev/shm 41777"), "{runtime}: {found}");
        },
    );
    for path in ["/proc/sys/kernel/hostname", "/sys/class/x", "/proc/sysrq-trigger"] {
        each(
            &app(&["write", path]),
            &BundleOptions::default(),
            |_| {},
            |runtime, output| {
                assert!(!output.status.success(), "{runtime}: {path} can be written");
            },
        );
    }
    let hidden = app(&["cat", "/proc/kcore", "/proc/keys", "/proc/timer_list"]);
    each(
        &hidden,
        &BundleOptions::default(),
        |_| {},
        |runtime, output| {
            assert_eq!(output.stdout, b"", "{runtime}");
        },
    );
    each(
        &app(&["mount"]),
        &BundleOptions::default(),
        |_| {},
        |runtime, output| {
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(errors.contains("Operation not permitted"), "{runtime}: {errors}");
        },
    );
}

#[test]
fn container_has_no_network_unless_it_is_given_the_hosts() {
    let show = app(&["cat", "/proc/net/dev", "/proc/sys/kernel/hostname"]);
    each(
        &show,
        &BundleOptions::default(),
        |_| {},
        |runtime, output| {
            let found = text(output);
            let interfaces: Vec<&str> =
                found.lines().filter_map(|line| Some(line.split_once(':')?.0.trim())).collect();
            assert_eq!(interfaces, ["lo"], "{runtime}");
            assert_eq!(found.lines().last(), Some("hello"), "{runtime}");
        },
    );
    let host: usize = fs::read_to_string("/proc/net/dev").unwrap().lines().count();
    let options = BundleOptions { network: Network::Host, ..BundleOptions::default() };
    each(
        &app(&["cat", "/proc/net/dev"]),
        &options,
        |_| {},
        |runtime, output| {
            assert_eq!(text(output).lines().count(), host, "{runtime}");
        },
    );
}

#[test]
fn container_writes_to_its_volumes_and_not_to_read_only_ones() {
    let point = |path: &str, read_only: bool| json!([{"name": "data", "path": path, "readOnly": read_only}]);
    let fill = |rootfs: &Path| {
        fs::create_dir(rootfs.join("data")).unwrap();
        fs::write(rootfs.join("data/old"), "from the image").unwrap();
    };
    let mut app = app(&["write", "/data/new"]);
    app["mountPoints"] = point("/data", false);
    for runtime in runtimes() {
        let folder = folder(fill);
        write(folder.path(), &app, &BundleOptions::default(), &Host::root());
        text(&runtime.run(folder.path()));
        assert!(!folder.path().join("rootfs/data/new").exists(), "{runtime:?}");
    }
    app["mountPoints"] = point("/data", true);
    each(&app, &BundleOptions::default(), fill, |runtime, output| {
        assert!(!output.status.success(), "{runtime}");
    });
    app["exec"] = json!(["probe", "stat", "/data", "/data/old"]);
    app["mountPoints"] = point("/data", false);
    each(&app, &BundleOptions::default(), fill, |runtime, output| {
        assert_eq!(text(output), "/data 40755 0:0\n/data/old absent\n", "{runtime}");
    });
}

#[test]
fn container_of_a_converted_image_finds_its_files_in_the_volume() {
    let mut app = app(&["stat", "/data", "/data/old"]);
    app["mountPoints"] = json!([{"name": "data", "path": "/data"}]);
    let mut manifest = manifest(&app);
    manifest.annotations.push(aci::manifest::Annotation {
        name: "appc.io/docker/repository".parse().unwrap(),
        value: "library/hello".into(),
        extra: Default::default(),
    });
    for runtime in runtimes() {
        let folder = folder(|rootfs| {
            fs::create_dir(rootfs.join("data")).unwrap();
            fs::write(rootfs.join("data/old"), "from the image").unwrap();
            fs::set_permissions(rootfs.join("data"), fs::Permissions::from_mode(0o1770)).unwrap();
            chown(rootfs.join("data"), Some(33), Some(44)).unwrap();
        });
        let options = BundleOptions::default();
        let id = ImageId::of([1; 64]);
        bundle::write(folder.path(), &manifest, &id, &options, &Host::root()).unwrap();
        let found = text(&runtime.run(folder.path()));
        assert!(found.starts_with("/data 41770 33:44\n/data/old 100"), "{runtime:?}: {found}");
    }
}

#[test]
fn container_obeys_its_seccomp_sets() {
    let mut app = app(&["sync"]);
    let isolators = |name: &str, set: &[&str], errno: &str| json!([{"name": format!("os/linux/seccomp-{name}-set"), "value": {"set": set, "errno": errno}}]);
    app["isolators"] = isolators("remove", &["sync"], "");
    each(
        &app,
        &BundleOptions::default(),
        |_| {},
        |runtime, output| {
            // 128 and SIGSYS.
            assert_eq!(output.status.code(), Some(159), "{runtime}");
        },
    );
    app["exec"] = json!(["probe", "mount"]);
    app["isolators"] = isolators("remove", &["mount"], "E2BIG");
    each(
        &app,
        &BundleOptions::default(),
        |_| {},
        |runtime, output| {
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(errors.contains("Argument list too long"), "{runtime}: {errors}");
        },
    );
    // All that a static program and its exit code need.
    let needed = [
        "arch_prctl",
        "set_tid_address",
        "set_robust_list",
        "rseq",
        "prlimit64",
        "readlinkat",
        "readlink",
        "getrandom",
        "mprotect",
        "uname",
        "ioctl",
        "fstat",
        "newfstatat",
    ];
    app["exec"] = json!(["probe", "exit", "42"]);
    app["isolators"] = isolators("retain", &needed, "");
    each(
        &app,
        &BundleOptions::default(),
        |_| {},
        |runtime, output| {
            let errors = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(42), "{runtime}: {errors}");
        },
    );
    app["exec"] = json!(["probe", "sync"]);
    each(
        &app,
        &BundleOptions::default(),
        |_| {},
        |runtime, output| {
            assert_eq!(output.status.code(), Some(159), "{runtime}");
        },
    );
}

#[test]
fn container_is_held_to_its_limits() {
    let mut app = app(&["cat", "/proc/self/cgroup", "/proc/self/oom_score_adj"]);
    app["isolators"] = json!([{"name": "resource/memory", "value": {"limit": "64Mi"}},
        {"name": "resource/cpu", "value": {"limit": "500m", "request": "250m"}},
        {"name": "os/linux/oom-score-adj", "value": 500}]);
    each(
        &app,
        &BundleOptions::default(),
        |_| {},
        |runtime, output| {
            let found = text(output);
            assert_eq!(found.lines().last(), Some("500"), "{runtime}: {found}");
            // A namespace of its own: nothing of the host's groups shows.
            assert!(found.lines().any(|line| line.ends_with(":/")), "{runtime}: {found}");
        },
    );
}

#[test]
fn container_without_root_runs_as_its_caller() {
    if !is_root() || !exists("runc") || !exists("setpriv") {
        eprintln!("skipped: this test becomes another user as root, and needs runc and setpriv");
        return;
    }
    let folder = folder(|_| {});
    let host = Host::user(NOBODY, NOBODY);
    let app = app(&["cat", "/proc/self/status", "/proc/self/uid_map", "/proc/net/dev"]);
    write(folder.path(), &app, &BundleOptions::default(), &host);
    let owned = Command::new("chown").args(["-R", "65534:65534"]).arg(folder.path()).status();
    assert!(owned.unwrap().success());
    let command = "setpriv --reuid=65534 --regid=65534 --clear-groups runc";
    let runtime = Runtime { command: command.split(' ').map(str::to_owned).collect() };
    let found = text(&runtime.run(folder.path()));
    assert_eq!(line(&found, "Uid"), "0\t0\t0\t0");
    assert_eq!(line(&found, "CapBnd"), "00000000a80425fb");
    let map: Vec<&str> =
        found.lines().find(|l| l.ends_with(" 1")).unwrap().split_whitespace().collect();
    assert_eq!(map, ["0", "65534", "1"]);
    assert!(found.contains("lo:") && !found.contains("eth0:"), "{found}");

    let options = BundleOptions { network: Network::Host, ..BundleOptions::default() };
    write(folder.path(), &app, &options, &host);
    let found = text(&runtime.run(folder.path()));
    let interfaces = fs::read_to_string("/proc/net/dev").unwrap().lines().count();
    assert_eq!(
        found
            .lines()
            .filter(|line| line.contains(": ") && line.split_whitespace().count() == 17)
            .count()
            + 2,
        interfaces
    );
}
