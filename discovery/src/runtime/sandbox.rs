//! Namespaces that several containers share, held by a process of ours.
//!
//! ```text
//! this process ── pipe ── holder            namespaces: user (without root), network, IPC, UTS
//!                           │  forwards ports of the host into the network namespace
//!                           └─ pipe ── init  the first process of the PID namespace
//! ```
//!
//! Whoever dies closes a pipe, and the next one ends: with init the kernel ends everything in the
//! PID namespace. So nothing outlives a pod, even where this process was killed.
//!
//! Ports need no firewall and no root: the holder opens them on the host, then leaves the host's
//! network; a connection goes on from inside, to 127.0.0.1. See [`super::forward`].

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use serde::{Deserialize, Serialize};

use super::RunError;
use crate::bundle::{Host, IdMapping, Network, Shared};

/// A program that calls [`super::hold`] or [`super::init`] with its standard input and output.
#[derive(Debug, Clone)]
pub struct Helper {
    /// The program.
    pub program: PathBuf,
    /// Its arguments, so that it calls [`super::hold`].
    pub hold: Vec<OsString>,
    /// Its arguments, so that it calls [`super::init`].
    pub init: Vec<OsString>,
}

/// Programs of the machine that are used where they are.
#[derive(Debug, Clone, Default)]
pub struct Tools {
    /// `newuidmap` and `newgidmap`, for subordinate IDs.
    pub mappers: Option<(PathBuf, PathBuf)>,
    /// `slirp4netns`, the way out of a network of its own.
    pub slirp: Option<PathBuf>,
    /// `nsenter`, without which a user has no pods.
    pub nsenter: Option<PathBuf>,
}

/// What a port speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A port of the host that leads to one inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// What it speaks.
    pub protocol: Protocol,
    /// The address of the host to listen on.
    pub address: Ipv4Addr,
    /// The port of the host.
    pub host_port: u16,
    /// The port inside.
    pub port: u16,
}

/// What the holder is to do; a line of JSON on its input.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    /// Whether it makes a user namespace.
    pub(super) user: bool,
    /// Whether it makes a network namespace.
    pub(super) network: bool,
    pub(super) forwards: Vec<Forward>,
    pub(super) init: (PathBuf, Vec<OsString>),
}

/// What the holder says; lines of JSON on its output.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Said {
    /// It is in its user namespace, and waits for its IDs and a line.
    Unshared,
    /// All is there. The number of init.
    Ready(u32),
    /// It cannot: what it was doing, and why not.
    Failed(String, String),
}

/// Held namespaces. Dropped, they are gone, and all that runs in them.
#[derive(Debug)]
pub struct Sandbox {
    holder: Child,
    alive: Option<ChildStdin>,
    init: u32,
    network: bool,
    user: bool,
    nsenter: Option<PathBuf>,
    slirp: Option<(Child, ChildStdin)>,
    /// Why there is no way out of the network.
    shut: Option<String>,
}

impl Sandbox {
    /// Makes the namespaces: always IPC, UTS and PID; a network where it is not the host's; a
    /// user namespace where the caller is not root.
    pub fn start(
        helper: &Helper,
        network: Network,
        forwards: &[Forward],
        tools: &Tools,
        host: &Host,
    ) -> Result<Self, RunError> {
        let user = !host.is_root();
        if user && tools.nsenter.is_none() {
            return Err(RunError::NoTool("nsenter"));
        }
        let io = |source| RunError::Io { doing: "run", path: helper.program.clone(), source };
        // Not of the terminal's group: what is typed there is not for it.
        let mut holder = Command::new(&helper.program)
            .args(&helper.hold)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(io)?;
        let (alive, heard) = (holder.stdin.take(), holder.stdout.take());
        let (Some(alive), Some(heard)) = (alive, heard) else {
            return Err(io(io::ErrorKind::BrokenPipe.into()));
        };
        let mut sandbox = Self {
            holder,
            alive: Some(alive),
            init: 0,
            network: network != Network::Host,
            user,
            nsenter: tools.nsenter.clone(),
            slirp: None,
            shut: None,
        };
        let order = Order {
            user,
            network: sandbox.network,
            forwards: forwards.to_vec(),
            init: (helper.program.clone(), helper.init.clone()),
        };
        let line = serde_json::to_string(&order).map_err(|error| io(error.into()))?;
        sandbox.tell(&line).map_err(io)?;
        let mut heard = BufReader::new(heard);
        loop {
            match listen(&mut heard).map_err(io)? {
                Said::Unshared => {
                    map_ids(sandbox.holder.id(), host, tools)?;
                    sandbox.tell("mapped").map_err(io)?;
                }
                Said::Ready(init) => {
                    sandbox.init = init;
                    break;
                }
                Said::Failed(doing, why) => return Err(RunError::Sandbox { doing, why }),
            }
        }
        if network == Network::Private {
            // Ports lead in all the same.
            sandbox.shut = match &tools.slirp {
                Some(slirp) => sandbox.connect(slirp).err(),
                None => Some("slirp4netns is not installed".to_owned()),
            };
        }
        Ok(sandbox)
    }

    fn tell(&mut self, line: &str) -> io::Result<()> {
        let Some(pipe) = &mut self.alive else { return Ok(()) };
        writeln!(pipe, "{line}").and_then(|()| pipe.flush())
    }

    /// Starts the way out, and waits until it is there; in words where it cannot be.
    fn connect(&mut self, slirp: &Path) -> Result<(), String> {
        let io = |error: io::Error| format!("{}: {error}", slirp.display());
        let fixed = ["--configure", "--mtu=65520", "--disable-host-loopback"];
        let mut child = Command::new(slirp)
            .process_group(0)
            .args(fixed)
            // It ends when its input does, and says when it is ready.
            .args(["--exit-fd=0", "--ready-fd=1"])
            .args([&self.holder.id().to_string(), "tap0"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(io)?;
        let (alive, ready) = (child.stdin.take(), child.stdout.take());
        let mut byte = [0];
        let ready = ready.map_or(Ok(0), |mut ready| ready.read(&mut byte)).map_err(io)?;
        let (Some(alive), 1) = (alive, ready) else {
            let mut why = String::new();
            let _ = child.kill();
            if let Some(mut errors) = child.stderr.take() {
                let _ = errors.read_to_string(&mut why);
            }
            let _ = child.wait();
            let first = why.lines().next().unwrap_or("it ended").trim();
            return Err(format!("slirp4netns: {first}"));
        };
        self.slirp = Some((child, alive));
        Ok(())
    }

    /// Why there is no way out of a network of its own, where there is none.
    pub fn shut(&self) -> Option<&str> {
        self.shut.as_deref()
    }

    /// The namespaces, for a bundle that joins them.
    pub fn shared(&self) -> Shared {
        let at = |kind, pid: u32, name| (kind, PathBuf::from(format!("/proc/{pid}/ns/{name}")));
        let holder = self.holder.id();
        let mut namespaces =
            vec![at("ipc", holder, "ipc"), at("uts", holder, "uts"), at("pid", self.init, "pid")];
        if self.network {
            namespaces.push(at("network", holder, "net"));
        }
        Shared { namespaces, inside_user: self.user, supervised: true }
    }

    /// A command that starts `program` inside the user namespace, where there is one.
    pub(super) fn enter(&self, program: &Path) -> Command {
        match &self.nsenter {
            Some(nsenter) if self.user => {
                let mut command = Command::new(nsenter);
                command.arg(format!("--user=/proc/{}/ns/user", self.holder.id()));
                command.args(["--preserve-credentials", "--"]).arg(program);
                command
            }
            _ => Command::new(program),
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.alive = None;
        let _ = self.holder.wait();
        if let Some((mut child, alive)) = self.slirp.take() {
            drop(alive);
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn listen(heard: &mut impl BufRead) -> io::Result<Said> {
    let mut line = String::new();
    if heard.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    serde_json::from_str(&line).map_err(io::Error::from)
}

/// Gives the user namespace of process `pid` the IDs that this host's user has: with the mapping
/// tools the subordinate ones too, without them the user alone, who is root inside.
pub fn map_ids(pid: u32, host: &Host, tools: &Tools) -> Result<(), RunError> {
    let (uids, gids) = (host.uids().unwrap_or_default(), host.gids().unwrap_or_default());
    if let (Some((newuidmap, newgidmap)), true) = (&tools.mappers, host.has_subordinate_ids()) {
        for (tool, ids) in [(newuidmap, uids), (newgidmap, gids)] {
            map_with(tool, pid, ids)?;
        }
        return Ok(());
    }
    // The caller may be root inside, and nobody else (user_namespaces(7)).
    let map = |ids: &[IdMapping]| {
        ids.first().map(|one| format!("{} {} 1\n", one.container, one.host)).unwrap_or_default()
    };
    for (name, text) in
        [("setgroups", "deny".to_owned()), ("uid_map", map(uids)), ("gid_map", map(gids))]
    {
        let path = format!("/proc/{pid}/{name}");
        fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(RunError::io("write", path))?;
    }
    Ok(())
}

fn map_with(tool: &Path, pid: u32, ids: &[IdMapping]) -> Result<(), RunError> {
    let numbers = ids.iter().flat_map(|one| [one.container, one.host, one.size]);
    let output = Command::new(tool)
        .arg(pid.to_string())
        .args(numbers.map(|number| number.to_string()))
        .stdin(Stdio::null())
        .output()
        .map_err(RunError::io("run", tool))?;
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(RunError::Sandbox { doing: format!("map IDs with {}", tool.display()), why })
}
