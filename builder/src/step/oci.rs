//! The command in an OCI runtime: crun or runc, started in the namespaces of the step.

use std::fs;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};

use aci::isolator::DEFAULT_CAPABILITIES;
use discovery::bundle::{MASKED, READ_ONLY};
use serde_json::{Value, json};

use super::error::Fault;
use super::order::{Bytes, Engine, Run};
use super::root::Root;
use super::{faked, furnish, printable, process};

/// Runs the command in the runtime.
pub(super) fn run(run: &Run, root: &Root, input: OwnedFd) -> Result<u8, Fault> {
    let engine = match run.engine {
        Engine::Runc => "runc",
        _ => "crun",
    };
    let program = run.program.as_ref().map(Bytes::path).unwrap_or_else(|| engine.into());
    let failed = |why: String| Fault::Engine { engine: engine.to_owned(), why };
    process::program(run, &root.merged)?;
    let bundle = run.scratch("bundle");
    // A name that no other step of this machine has, for the runtime's control group.
    let own = fs::read_link("/proc/self").map_err(Fault::setup("read /proc/self"))?;
    let id = format!("gantry-step-{}", own.display());
    let config = config(run, root, engine)?;
    write(&bundle, &config).map_err(Fault::setup("write the engine's config.json"))?;
    // The runtime is in the PID namespace of the step, and so must be what it reads of itself.
    furnish::processes(Path::new("/")).map_err(Fault::setup("mount /proc for the engine"))?;
    let (log, started) = (bundle.join("log"), bundle.join("pid"));
    let mut command = Command::new(program);
    command.env_clear().arg("--root").arg(bundle.join("state"));
    command.arg("--log").arg(&log).args(["--log-format", "json"]);
    if run.engine == Engine::Crun {
        furnish::hide_hybrid_groups().map_err(Fault::setup("hide control groups"))?;
        command.arg("--cgroup-manager=disabled");
    }
    command.args(["run", "--bundle"]).arg(&bundle).arg("--pid-file").arg(&started).arg(&id);
    let child = command
        .stdin(Stdio::from(input))
        .spawn()
        .map_err(|error| failed(format!("{}: {error}", "it cannot be started")))?;
    drop(command);
    let code = process::wait(child.id()).map_err(Fault::setup("wait for the engine"))?;
    // The runtime writes it when the command starts.
    if !started.exists() {
        return Err(failed(words(&log)));
    }
    Ok(code)
}

fn write(bundle: &Path, config: &Value) -> std::io::Result<()> {
    fs::create_dir(bundle)?;
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).open(bundle.join("config.json"))?;
    file.write_all(&serde_json::to_vec(config)?)
}

/// What the runtime says last in its log.
fn words(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let last = text.lines().rev().find_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        line.get("msg")?.as_str().map(str::to_owned)
    });
    printable(last.unwrap_or_else(|| "it ended before that, and said nothing".to_owned()))
}

fn config(run: &Run, root: &Root, engine: &str) -> Result<Value, Fault> {
    let text = |bytes: &Bytes| {
        String::from_utf8(bytes.as_slice().to_vec()).map_err(|_| Fault::NotText {
            engine: engine.to_owned(),
            text: printable(bytes.text()),
        })
    };
    let mut arguments = run.command.iter().map(text).collect::<Result<Vec<_>, _>>()?;
    if let (Some(first), Ok(found)) = (arguments.first_mut(), process::program(run, &root.merged)) {
        // Not every runtime looks where the environment says.
        *first = text(&found.into())?;
    }
    let pair = |(name, value): &(Bytes, Bytes)| Ok(format!("{}={}", text(name)?, text(value)?));
    let environment = run.environment.iter().map(pair).collect::<Result<Vec<_>, Fault>>()?;
    let kept = DEFAULT_CAPABILITIES.iter().filter(|name| may_have(run, name));
    let capabilities = json!(kept.collect::<Vec<_>>());
    let mut config = json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": { "uid": 0, "gid": 0, "umask": 0o022 },
            "args": arguments,
            "env": environment,
            "cwd": text(&run.working_directory)?,
            "capabilities": {
                "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
                "inheritable": [],
            },
            "noNewPrivileges": run.alone,
        },
        "root": { "path": text(&root.merged.as_path().into())?, "readonly": false },
        "hostname": run.hostname,
        "mounts": mounts(run, root, &text)?,
        "linux": {
            // Network, IPC and names are the step's.
            "namespaces": [
                { "type": "mount" }, { "type": "pid" }, { "type": "ipc" }, { "type": "uts" },
            ],
            "maskedPaths": MASKED,
            "readonlyPaths": READ_ONLY,
        },
    });
    if let Some(linux) = config.get_mut("linux").and_then(Value::as_object_mut) {
        if run.alone {
            linux.insert("seccomp".to_owned(), seccomp());
        }
        if !run.user && run.engine == Engine::Runc {
            let none = json!({ "devices": [{ "allow": false, "access": "rwm" }] });
            linux.insert("resources".to_owned(), none);
        }
    }
    Ok(config)
}

/// Root may make devices. Attack: one that opens a disk of the machine, made in the container's
/// `/dev`. runc holds them off with a control group; crun is given none, and so not the capability.
fn may_have(run: &Run, capability: &str) -> bool {
    run.user || run.engine == Engine::Runc || capability != "CAP_MKNOD"
}

fn mounts(
    run: &Run,
    root: &Root,
    text: &impl Fn(&Bytes) -> Result<String, Fault>,
) -> Result<Vec<Value>, Fault> {
    let mount = |place: &str, kind: &str, source: &str, options: &str| {
        let options: Vec<&str> = options.split(' ').collect();
        json!({ "destination": place, "type": kind, "source": source, "options": options })
    };
    let mut mounts = Vec::new();
    for placed in &root.points.mounts {
        let place = text(&Path::new("/").join(&placed.place).into())?;
        let source = text(&placed.source.clone().into())?;
        let access = if placed.read_only { "ro" } else { "rw" };
        mounts.push(mount(&place, "bind", &source, &format!("rbind nosuid nodev {access}")));
    }
    let pts = "nosuid noexec newinstance ptmxmode=0666 mode=0620";
    let pts = if run.alone { pts.to_owned() } else { format!("{pts} gid=5") };
    mounts.extend([
        mount("/proc", "proc", "proc", "nosuid noexec nodev"),
        mount("/dev", "tmpfs", "tmpfs", "nosuid noexec mode=755 size=65536k"),
        mount("/dev/pts", "devpts", "devpts", &pts),
        mount("/dev/shm", "tmpfs", "shm", "nosuid noexec nodev mode=1777 size=65536k"),
        if run.user && run.host_network {
            mount("/sys", "tmpfs", "tmpfs", "nosuid noexec nodev ro mode=755 size=0k")
        } else {
            mount("/sys", "sysfs", "sysfs", "nosuid noexec nodev ro")
        },
    ]);
    Ok(mounts)
}

/// Success for changes of owners, as [`faked`] makes for the built-in engine. Only devices are
/// not made.
fn seccomp() -> Value {
    const TYPE: u32 = 0o170_000;
    let device = |name: &str, index: u32, kind: u32| {
        json!({
            "names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": 0,
            "args": [
                { "index": index, "value": TYPE, "valueTwo": kind, "op": "SCMP_CMP_MASKED_EQ" },
            ],
        })
    };
    let others: Vec<&str> =
        faked::NAMES.into_iter().filter(|name| !name.starts_with("mknod")).collect();
    let mut calls = vec![json!({
        "names": others, "action": "SCMP_ACT_ERRNO", "errnoRet": 0,
    })];
    for kind in [0o020_000, 0o060_000] {
        calls.push(device("mknod", 1, kind));
        calls.push(device("mknodat", 2, kind));
    }
    json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": calls })
}
