//! Why a step did not happen.

use std::io;
use std::path::{Path, PathBuf};

use aci::{Refusal, Refuse};
use discovery::runtime::RunError;
use serde::{Deserialize, Serialize};

use super::printable;

/// Why a step did not happen.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The process that holds the step could not be started, or not be spoken to.
    #[error("cannot run {} again: {source}", program.display())]
    Helper {
        /// Its program.
        program: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A path of the caller's that is not there.
    #[error("cannot use {}: {source}", path.display())]
    Path {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The user namespace did not get its IDs.
    #[error(transparent)]
    Ids(RunError),
    /// Something ended the step's processes.
    #[error("the step was interrupted: its process was ended from outside")]
    Interrupted,
    /// It failed in its namespaces.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl StepError {
    /// The code a shell would end with: 127 where there is no such command, 126 where it cannot be
    /// executed.
    pub fn code(&self) -> Option<u8> {
        match self {
            Self::Fault(Fault::NotFound { .. }) => Some(127),
            Self::Fault(Fault::NotExecutable { .. }) => Some(126),
            _ => None,
        }
    }
}

/// What failed in the namespaces of a step. Paths are those inside, made safe to print.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Fault {
    /// No command was given.
    #[error("there is no command to run")]
    NoCommand,
    /// An argument that no system call can carry.
    #[error("the argument {text} holds a zero byte")]
    Text {
        /// Which.
        text: String,
    },
    /// An environment variable that cannot be one.
    #[error("{name:?} cannot be an environment variable")]
    Variable {
        /// Its name.
        name: String,
    },
    /// The kernel gives this caller no namespaces.
    #[error("this user may not make namespaces: {why}")]
    NoNamespaces {
        /// What the system said.
        why: String,
    },
    /// The root file system could not be put together.
    #[error("cannot mount an overlay on {scratch} ({file_system}): {why}")]
    Overlay {
        /// Where its upper folder was to be.
        scratch: String,
        /// What file system that is on.
        file_system: String,
        /// What the system said.
        why: String,
    },
    /// Something cannot be mounted where it was wanted.
    #[error("nothing can be mounted at {path}: {why}")]
    MountPoint {
        /// Where.
        path: String,
        /// Why.
        why: String,
    },
    /// An owner, mode or attribute of the image could not be given to a file.
    #[error("cannot make {path} what it is in the image: {why}")]
    Owner {
        /// Which file.
        path: String,
        /// What the system said.
        why: String,
    },
    /// There is no such program.
    #[error("{program}: no such command in the image{}", searched(.path))]
    NotFound {
        /// What was given.
        program: String,
        /// Where it was looked for, if it had no slash.
        path: Option<String>,
    },
    /// There is one, and it cannot be executed.
    #[error("cannot execute {program}: {why}")]
    NotExecutable {
        /// Where it is.
        program: String,
        /// Why.
        why: String,
    },
    /// The command cannot start where it was to.
    #[error("cannot start in {path}: {why}")]
    WorkingDirectory {
        /// Where.
        path: String,
        /// Why.
        why: String,
    },
    /// The engine cannot carry this text.
    #[error("{engine} takes only UTF-8, and this is not: {text}")]
    NotText {
        /// Which.
        engine: String,
        /// The text.
        text: String,
    },
    /// The engine did not start the command.
    #[error("{engine} could not start the command: {why}")]
    Engine {
        /// Which.
        engine: String,
        /// Its own words.
        why: String,
    },
    /// What the command changed could not be read, or not be written down.
    #[error("cannot take down what the command changed, at {path}: {why}")]
    Changes {
        /// Which file.
        path: String,
        /// What the system said.
        why: String,
    },
    /// A step on the way.
    #[error("cannot {doing}: {why}")]
    Setup {
        /// What was being done.
        doing: String,
        /// What the system said.
        why: String,
    },
}

impl Fault {
    pub(super) fn setup(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |error| Self::Setup { doing, why: error.to_string() }
    }

    pub(super) fn no_namespaces(error: io::Error) -> Self {
        Self::NoNamespaces { why: error.to_string() }
    }

    pub(super) fn mount_point(path: &Path, why: impl ToString) -> Self {
        Self::MountPoint { path: printable(path), why: why.to_string() }
    }

    pub(super) fn owner(path: &Path, error: io::Error) -> Self {
        Self::Owner { path: printable(path), why: error.to_string() }
    }

    pub(super) fn changes(path: &Path, error: io::Error) -> Self {
        Self::Changes { path: printable(path), why: error.to_string() }
    }
}

fn searched(path: &Option<String>) -> String {
    path.as_ref().map(|path| format!(" (looked in {path})")).unwrap_or_default()
}

impl Refuse for StepError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Fault(fault) => fault.refusal(),
            Self::Ids(error) => error.refusal(),
            Self::Helper { source, .. } | Self::Path { source, .. } => told(
                "step-io",
                self,
                "files and processes of this machine that can be used",
                &source.to_string(),
                "a step is held by a process of this program",
                "mend what the system says",
            ),
            Self::Interrupted => told(
                "step-interrupted",
                self,
                "to wait for the command",
                "the process that holds it has ended",
                "nothing of a step outlives its processes",
                "run it again",
            ),
        }
    }
}

impl Refuse for Fault {
    fn refusal(&self) -> Refusal {
        let (code, wanted, rule, next) = match self {
            Self::NoCommand | Self::Text { .. } | Self::Variable { .. } => (
                "step-command",
                "a program, arguments and variables without zero bytes",
                "arguments and variables end with a zero byte (execve(2))",
                "give another",
            ),
            Self::NoNamespaces { .. } => (
                "step-namespaces",
                "a user namespace, or root with CAP_SYS_ADMIN",
                "a command of a build runs in namespaces of its own (namespaces(7))",
                "allow user namespaces (sysctl user.max_user_namespaces, and \
                 kernel.apparmor_restrict_unprivileged_userns where there is one), or build as root",
            ),
            Self::Overlay { .. } => (
                "step-overlay",
                "a file system that can be the upper layer of an overlay, and Linux 5.11 or later \
                 without root",
                "the image's files are not written while a command runs; what it writes goes to an \
                 overlay (overlayfs: upper and work need extended attributes and whiteouts)",
                "build on ext4, xfs or btrfs; not on an overlay (the root of a container), nor on a \
                 file system of the network",
            ),
            Self::MountPoint { .. } => (
                "step-mount-point",
                "a file for a file, a folder for a folder, or nothing in its place",
                "links are followed inside the image, and /proc, /dev and /sys are the command's own",
                "mount it elsewhere",
            ),
            Self::Owner { .. } => (
                "step-owner",
                "to give files the owners they have in the image",
                "a command sees the image as it will be",
                "mend what the system says",
            ),
            Self::NotFound { .. } | Self::NotExecutable { .. } => (
                "step-program",
                "a program of the image",
                "a program without a slash is looked for in the PATH that the command is given, \
                 inside the image",
                "install it in the image, or name the one that is there",
            ),
            Self::WorkingDirectory { .. } => (
                "step-working-directory",
                "a folder of the image",
                "a command starts in the working directory",
                "make it first, or give another",
            ),
            Self::NotText { .. } => (
                "step-not-text",
                "UTF-8",
                "the engine reads its order as JSON",
                "use the built-in engine",
            ),
            Self::Engine { .. } => (
                "step-engine",
                "an engine that starts the command",
                "the engine was asked for",
                "mend what it says, or use the built-in engine",
            ),
            Self::Changes { .. } => (
                "step-changes",
                "to read what the command changed, and to list it beside the build",
                "what a command changes is listed when it has ended",
                "mend what the system says; where there is no space left, make room where the build \
                 is",
            ),
            Self::Setup { .. } => (
                "step-setup",
                "a kernel that does what a container needs",
                "a command of a build runs in namespaces of its own (namespaces(7))",
                "mend what the system says",
            ),
        };
        told(code, self, wanted, &self.to_string(), rule, next)
    }
}

fn told(
    code: &str,
    message: &impl ToString,
    wanted: &str,
    found: &str,
    rule: &str,
    next: &str,
) -> Refusal {
    Refusal {
        code: code.to_owned(),
        message: message.to_string(),
        wanted: wanted.to_owned(),
        found: found.to_owned(),
        rule: rule.to_owned(),
        next: next.to_owned(),
    }
}
