//! Running a bundle through the runtime that is there: crun, runc or systemd-nspawn.
//!
//! ```text
//! STORE/run/                  for its owner alone
//!   lock                      held while folders here are made or cleared away
//!   gantry-8f1c2d3e4f5a6b7c/  one container; the name is also the container's
//!     lock                    held as long as the container's process lives
//!     bundle/                 config.json, manifest, rootfs/
//!     state/                  the runtime's own
//!     runner.json             which runtime runs it, in which processes
//!     trial/, nspawn/         config.json, as a trial or systemd-nspawn needs it
//!     ID.pid                  written by the runtime when that container starts
//!     log                     the runtime's own words
//! ```
//!
//! A killed process leaves its folder, and perhaps its container; the kernel frees
//! its lock, and the next run stops the container and removes the folder.

mod child;
mod folder;
mod forward;
mod hold;
mod nspawn;
mod run;
mod sandbox;

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use aci::{Refusal, Refuse};
use serde::{Deserialize, Serialize};

use crate::bundle::{Bundle, Host, Note};
use crate::error::{Kind as ErrorKind, printable, refusal};

pub use folder::RunFolder;
pub use hold::{hold, init, loopback_up, unshare};
pub use run::{AppRun, run};
pub use sandbox::{Forward, Helper, Protocol, Sandbox, Tools, map_ids};

/// The runtimes that can be used, in the order they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// crun.
    #[serde(rename = "crun")]
    Crun,
    /// runc.
    #[serde(rename = "runc")]
    Runc,
    /// systemd-nspawn, for root only.
    #[serde(rename = "systemd-nspawn")]
    Nspawn,
}

impl Kind {
    /// All, in the order they are tried.
    pub const ALL: [Self; 3] = [Self::Crun, Self::Runc, Self::Nspawn];

    /// The program's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Crun => "crun",
            Self::Runc => "runc",
            Self::Nspawn => "systemd-nspawn",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| format!("{text:?} is not one of crun, runc, systemd-nspawn"))
    }
}

/// A runtime on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runtime {
    kind: Kind,
    program: PathBuf,
}

impl Runtime {
    /// Which one it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its program.
    pub fn program(&self) -> &Path {
        &self.program
    }
}

/// Where a program is in a `PATH`, and where administrators' programs are besides.
pub fn program_in(path: &OsStr, name: &str) -> Option<PathBuf> {
    // Users' PATHs often lack these two, and runc lives there on some distributions.
    let more = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(path).chain(more).filter(|folder| folder.is_absolute()).find_map(
        |folder| {
            let program = folder.join(name);
            let access = rustix::fs::access(&program, rustix::fs::Access::EXEC_OK);
            (access.is_ok() && program.is_file()).then_some(program)
        },
    )
}

/// The runtimes found in a `PATH` that this caller can use, in the order they are
/// tried; only `wanted`, where one is named.
pub fn installed(
    path: &OsStr,
    wanted: Option<Kind>,
    host: &Host,
) -> Result<Vec<Runtime>, RunError> {
    let usable = |kind: &Kind| wanted.is_none_or(|wanted| wanted == *kind);
    let runtimes: Vec<Runtime> = Kind::ALL
        .into_iter()
        .filter(usable)
        .filter(|kind| host.is_root() || *kind != Kind::Nspawn)
        .filter_map(|kind| Some(Runtime { kind, program: program_in(path, kind.as_str())? }))
        .collect();
    if runtimes.is_empty() {
        let wanted = Kind::ALL.into_iter().filter(usable).collect();
        return Err(RunError::NoRuntime { wanted, root: host.is_root() });
    }
    Ok(runtimes)
}

/// How a container ended.
#[derive(Debug)]
pub struct Ended {
    /// The program's exit code; 128 and the signal where a signal ended it.
    pub code: u8,
    /// Each app and its code, in the order in which they ended.
    pub apps: Vec<(String, u8)>,
    /// Which runtime ran it.
    pub runtime: Kind,
    /// Runtimes that were tried before and could not start a container, and why.
    pub failed: Vec<Attempt>,
}

/// A runtime that could not start a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Which one.
    pub runtime: Kind,
    /// Its own words.
    pub message: String,
}

/// Why a bundle was not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No runtime is installed.
    #[error("no container runtime is installed")]
    NoRuntime {
        /// Which would do.
        wanted: Vec<Kind>,
        /// Whether the caller is root.
        root: bool,
    },
    /// Nothing to run.
    #[error("there is no app to run")]
    NoApps,
    /// A program that this way of running needs.
    #[error("{0} is not installed")]
    NoTool(&'static str),
    /// The namespaces that the apps share could not be made.
    #[error("cannot {doing}: {why}")]
    Sandbox {
        /// What was being done.
        doing: String,
        /// What the system said.
        why: String,
    },
    /// None of the runtimes could start the container.
    #[error("the container could not be started: {}", said(.0))]
    NotStarted(Vec<Attempt>),
    /// A file, a folder or a process of the run.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

fn said(attempts: &[Attempt]) -> String {
    // A runtime may repeat what the image says.
    let one = |attempt: &Attempt| format!("{}: {}", attempt.runtime, printable(&attempt.message));
    attempts.iter().map(one).collect::<Vec<_>>().join("; ")
}

impl RunError {
    pub(crate) fn io(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoRuntime { .. } | Self::NoTool(_) => ErrorKind::NotFound,
            Self::NoApps => ErrorKind::Usage,
            Self::NotStarted(_) | Self::Sandbox { .. } | Self::Io { .. } => ErrorKind::Failed,
        }
    }
}

impl Refuse for RunError {
    fn refusal(&self) -> Refusal {
        let bundle = "gantry image bundle makes a folder that any OCI runtime runs";
        match self {
            Self::NoRuntime { wanted, root } => {
                let names: Vec<&str> = wanted.iter().map(|kind| kind.as_str()).collect();
                refusal(
                    "runtime-absent",
                    self,
                    format!("one of {} in PATH", names.join(", ")),
                    if *root { "none" } else { "none that can be used without root" },
                    "images are run by the runtime of the machine; none is built in",
                    format!("install crun or runc, or see to it yourself: {bundle}"),
                )
            }
            Self::NoApps => refusal(
                "pod-empty",
                self,
                "at least one app",
                "a pod without apps",
                "a pod is a list of apps that run together (pods.md)",
                "name images: gantry pod create NAME… -o POD.json",
            ),
            Self::NoTool(tool) => refusal(
                "tool-absent",
                self,
                format!("{tool} in PATH"),
                "none",
                "without root, shared namespaces are entered with nsenter (package util-linux)",
                format!("install {tool}"),
            ),
            Self::Sandbox { doing, why } => refusal(
                "sandbox",
                self,
                format!("to {doing}"),
                printable(why),
                "apps that share namespaces need somebody who holds them",
                "mend what the system says; a port that is taken needs another: --port NAME:HOSTPORT",
            ),
            Self::NotStarted(attempts) => refusal(
                "container-not-started",
                self,
                "a runtime that can start the container",
                said(attempts),
                "the runtimes are tried in the order crun, runc, systemd-nspawn",
                format!("mend what the runtime says, or try elsewhere: {bundle}"),
            ),
            Self::Io { path, source, .. } => refusal(
                "run-io",
                self,
                "a store this user can write, and processes to be had",
                format!("{}: {source}", path.display()),
                "containers live below STORE/run while they run",
                "check who owns the store and how full its disk is, or give another with --store",
            ),
        }
    }
}

/// What a runtime has no place for, beyond what the bundle itself could not say.
pub fn notes(kind: Kind, bundle: &Bundle) -> Vec<Note> {
    if kind == Kind::Nspawn { nspawn::notes(bundle) } else { Vec::new() }
}

#[cfg(test)]
mod tests;
