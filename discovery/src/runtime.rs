//! Running a bundle through the runtime that is there: crun, runc or systemd-nspawn.
//!
//! ```text
//! STORE/run/                  for its owner alone
//!   lock                      held while folders here are made or cleared away
//!   gantry-8f1c2d3e4f5a6b7c/  one container; the name is also the container's
//!     lock                    held as long as the container's process lives
//!     bundle/                 config.json, manifest, rootfs/
//!     state/                  the runtime's own
//!     runner.json             which runtime runs it, in which process
//!     trial/, nspawn/         config.json, as a trial or systemd-nspawn needs it
//!     pid                     written by the runtime when the container starts
//!     log                     the runtime's own words
//! ```
//!
//! A killed process leaves its folder, and perhaps its container; the kernel frees
//! its lock, and the next run stops the container and removes the folder.

mod child;
mod folder;
mod nspawn;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use aci::stage::{self, Existing};
use aci::{Refusal, Refuse};
use serde::{Deserialize, Serialize};

use crate::bundle::{Bundle, Host, Note};
use crate::error::{Kind as ErrorKind, printable, refusal};

pub use folder::RunFolder;

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
            Self::NoRuntime { .. } => ErrorKind::NotFound,
            Self::NotStarted(_) | Self::Io { .. } => ErrorKind::Failed,
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

/// Runs the bundle in `folder` with the caller's input and output, and waits for its
/// end. Signals that ask for an end are passed on; ten seconds later the container is
/// killed. A runtime that cannot start a container at all makes room for the next one.
///
/// # Errors
/// [`RunError::NotStarted`] where none of `runtimes` could start it.
pub async fn run(
    folder: &RunFolder,
    bundle: &Bundle,
    runtimes: &[Runtime],
    host: &Host,
) -> Result<Ended, RunError> {
    let mut failed = Vec::new();
    for (at, runtime) in runtimes.iter().enumerate() {
        // What a runtime says of itself goes where the program's own words go. Only the
        // last one is let loose untried.
        let last = at + 1 == runtimes.len();
        if !last && let Err(message) = attempt(folder, bundle, runtime, host).await? {
            failed.push(Attempt { runtime: runtime.kind, message });
            continue;
        }
        let arguments = match runtime.kind {
            Kind::Nspawn => nspawn::arguments(folder, bundle)?,
            kind => oci_arguments(kind, "run", folder.bundle(), folder, host),
        };
        let status = child::run(runtime, &arguments, folder).await?;
        // systemd-nspawn does not tell its own failures from the program's.
        if status.success() || runtime.kind == Kind::Nspawn || folder.has_started() {
            let code = child::code(status);
            return Ok(Ended { code, runtime: runtime.kind, failed });
        }
        let messages = folder.messages();
        let message = if messages.is_empty() { status.to_string() } else { messages.join("; ") };
        failed.push(Attempt { runtime: runtime.kind, message });
        folder.forget_attempt(runtime)?;
    }
    Err(RunError::NotStarted(failed))
}

/// Creates the container with a runtime, without starting its program, and deletes it.
async fn attempt(
    folder: &RunFolder,
    bundle: &Bundle,
    runtime: &Runtime,
    host: &Host,
) -> Result<Result<(), String>, RunError> {
    let trial = folder.path().join("trial");
    fs::create_dir_all(&trial).map_err(RunError::io("create", &trial))?;
    let mut config = bundle.config().clone();
    // A terminal would need somebody at its other end.
    config.process.terminal = false;
    config.root.path = folder.bundle().join("rootfs").display().to_string();
    let file = trial.join("config.json");
    let written = serde_json::to_vec(&config)
        .map_err(io::Error::from)
        .and_then(|bytes| stage::write(&file, &bytes, 0o600, Existing::Replace));
    written.map_err(RunError::io("write", &file))?;
    let arguments = oci_arguments(runtime.kind, "create", trial, folder, host);
    let result = child::attempt(runtime, &arguments, folder).await?;
    folder.forget_attempt(runtime)?;
    Ok(result)
}

/// What a runtime has no place for, beyond what the bundle itself could not say.
pub fn notes(kind: Kind, bundle: &Bundle) -> Vec<Note> {
    if kind == Kind::Nspawn { nspawn::notes(bundle) } else { Vec::new() }
}

fn oci_arguments(
    kind: Kind,
    verb: &str,
    bundle: PathBuf,
    folder: &RunFolder,
    host: &Host,
) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["--root".into(), folder.state().into()];
    arguments.extend(["--log".into(), folder.log().into()]);
    arguments.extend(["--log-format", "json"].map(OsString::from));
    // Without root there are no control groups to manage. As root they stay: they are
    // what keeps a container from the machine's devices.
    if kind == Kind::Crun && !host.is_root() {
        arguments.push("--cgroup-manager=disabled".into());
    }
    arguments.extend([verb.into(), "--bundle".into(), bundle.into()]);
    arguments.extend(["--pid-file".into(), folder.pid_file().into(), folder.id().into()]);
    arguments
}

#[cfg(test)]
mod tests;
