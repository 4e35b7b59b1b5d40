//! Images that are run, as root and as another user, through the runtimes of this machine.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::probe::probe;
use super::{Ended, GANTRY, Sandbox, tool};

/// Who runs the containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    Root,
    /// The user nobody, who has no subordinate IDs.
    Nobody,
}

/// A way to run containers here: as whom, and through what.
#[derive(Debug, Clone, Copy)]
pub struct Way {
    pub who: Who,
    pub runtime: &'static str,
}

/// The ways that work here; says which do not. Without root there are none: it takes root to
/// become another user.
pub fn ways() -> Vec<Way> {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can run these containers and become another user");
        return Vec::new();
    }
    let mut ways = Vec::new();
    for runtime in ["runc", "crun"].into_iter().filter(|name| tool(name)) {
        for who in [Who::Root, Who::Nobody] {
            if tool("setpriv") && tool("nsenter") && tool("unshare") {
                ways.push(Way { who, runtime });
            }
        }
    }
    ways
}

/// A sandbox that trusts its own key for `example.com`, whose files everybody may reach.
pub fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    let line = "\"$GANTRY\" -q key generate --user-id 'Example CI <ci@example.com>' \
        --secret key.asc --public key.pub.asc
        \"$GANTRY\" -q trust add --prefix example.com key.pub.asc";
    sandbox.shell(line).ok();
    // The binary may lie where other users cannot reach it.
    fs::copy(GANTRY, sandbox.path("gantry")).unwrap();
    sandbox
}

/// Puts an image of a folder into the store, and gives its image ID.
pub fn image(sandbox: &Sandbox, name: &str, app: &Value, folder: &str) -> String {
    let manifest = json!({"acKind": "ImageManifest", "acVersion": "0.8.11",
        "name": format!("example.com/{name}"),
        "labels": [{"name": "version", "value": "1.0.0"}], "app": app});
    sandbox.write(&format!("{folder}/manifest"), manifest.to_string());
    let line = format!(
        "\"$GANTRY\" -q pack {folder} -o {name}.aci >&2 && \"$GANTRY\" -q sign {name}.aci --key key.asc >&2 \
        && \"$GANTRY\" -q fetch ./{name}.aci"
    );
    sandbox.shell(&line).ok()
}

/// Puts an image of the probe into the store.
pub fn probe_image(sandbox: &Sandbox, name: &str, app: &Value) -> String {
    let folder = format!("image-{name}");
    let program = sandbox.write(&format!("{folder}/rootfs/bin/probe"), fs::read(probe()).unwrap());
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    image(sandbox, name, app, &folder)
}

impl Way {
    /// Whether this way works here at all, told where it does not. The store belongs to whoever
    /// runs containers from here on.
    pub fn works(self, sandbox: &Sandbox, image: &str) -> bool {
        if self.who == Who::Nobody {
            sandbox.shell("chown -R 65534:65534 . && chmod 755 .").ok();
        }
        let ended = self.gantry(
            sandbox,
            &["run", image, "--runtime", self.runtime, "--exec", "/bin/probe", "--", "exit", "0"],
        );
        let works = ended.code == 0;
        // runc must work where root is: otherwise these tests would test nothing.
        assert!(works || self.runtime != "runc", "{self:?}: {ended:?}");
        if !works {
            println!("skipped: {self:?} cannot run a container here: {}", ended.stderr);
        }
        works
    }

    /// `gantry` with these arguments, run this way.
    pub fn command(self, sandbox: &Sandbox, arguments: &[&str]) -> Command {
        let setpriv = "setpriv --reuid=65534 --regid=65534 --clear-groups";
        let become_user = if self.who == Who::Nobody { setpriv } else { "" };
        // Some crun refuse machines that have control groups of both versions; without the
        // second one in its sight, such a crun runs.
        let hide = if self.runtime == "crun" {
            "umount /sys/fs/cgroup/unified 2>/dev/null || true; "
        } else {
            ""
        };
        let line = format!("{hide}exec {become_user} ./gantry \"$@\"");
        let mut command = sandbox.command("unshare");
        command.args(["--mount", "sh", "-c", &line, "sh"]).args(arguments);
        command
    }

    /// Runs it to its end.
    pub fn gantry(self, sandbox: &Sandbox, arguments: &[&str]) -> Ended {
        Ended::of(self.command(sandbox, arguments).output().unwrap())
    }
}

/// Nothing but the lock is left of a run.
#[track_caller]
pub fn nothing_left(sandbox: &Sandbox) {
    let entries = fs::read_dir(sandbox.path("store/run")).unwrap();
    let names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["lock"]);
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// What a server on this machine says to `request`, once it says anything.
#[track_caller]
pub fn say(port: u16, request: &str) -> String {
    say_within(Duration::from_secs(10), port, request)
}

/// The same, with patience for a server that starts slowly.
#[track_caller]
pub fn say_within(patience: Duration, port: u16, request: &str) -> String {
    let begun = Instant::now();
    while begun.elapsed() < patience {
        let answer = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).and_then(|mut stream| {
            stream.set_read_timeout(Some(patience))?;
            stream.write_all(request.as_bytes())?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        });
        match answer {
            Ok(answer) if !answer.is_empty() => return answer,
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    }
    panic!("nobody answers on port {port}");
}

/// Puts a program of this machine and the libraries it needs into a folder.
pub fn install(program: &str, folder: &Path) {
    let needed = Command::new("ldd").arg(program).output().unwrap();
    let needed = String::from_utf8(needed.stdout).unwrap();
    let libraries = needed.split_whitespace().filter(|word| word.starts_with('/'));
    for file in libraries.chain([program]) {
        let target = folder.join(file.trim_start_matches('/'));
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(file, target).unwrap();
    }
}
