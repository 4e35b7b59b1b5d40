//! Why an image cannot be handed to a runtime.

use std::io;
use std::path::PathBuf;

use aci::isolator::IsolatorError;
use aci::{Refusal, Refuse};

use crate::error::refusal;

/// Why no bundle was made.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Reading the rootfs, or writing the bundle, failed.
    #[error("cannot use {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// The image is for another operating system.
    #[error("the image is for os {0:?}, and only linux images can be run here")]
    OperatingSystem(String),
    /// The image says nothing about how to run it.
    #[error("the image has no app section, so it does not say what to run")]
    NoApp,
    /// The app section names no program.
    #[error("the image's app section names no program to run")]
    NoProgram,
    /// A NUL byte, which ends a text for the kernel.
    #[error("{0} holds a NUL byte")]
    Nul(String),
    /// An environment variable nobody could read back.
    #[error("the environment variable name {0:?} is empty or holds \"=\"")]
    VariableName(String),
    /// The program is not in the rootfs.
    #[error("the program {program:?} is not in the image")]
    ProgramMissing {
        /// As the image or the caller wrote it.
        program: String,
        /// Where it was looked for.
        searched: Vec<String>,
    },
    /// The program is there and cannot be executed.
    #[error("{0} is no executable file")]
    NotExecutable(String),
    /// The working directory is absent, no folder, or not an absolute path.
    #[error("the working directory {path:?} {fault}")]
    WorkingDirectory {
        /// As the image wrote it.
        path: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// A user or group name the image does not know.
    #[error("the {kind} {text:?} is neither in the image's {file} nor a number")]
    Unknown {
        /// `user` or `group`.
        kind: &'static str,
        /// As the image wrote it.
        text: String,
        /// Where it was looked up.
        file: &'static str,
    },
    /// A number no user or group can have.
    #[error("the {kind} {text:?} is out of range")]
    OutOfRange {
        /// `user` or `group`.
        kind: &'static str,
        /// As the image wrote it.
        text: String,
    },
    /// The file whose owner was asked for is absent.
    #[error("the {kind} is said to be the owner of {path:?}, which is not in the image")]
    OwnerOfNothing {
        /// `user` or `group`.
        kind: &'static str,
        /// The path.
        path: String,
    },
    /// The owner of a file was asked for, and owners were not restored.
    #[error("the {kind} is said to be the owner of {path:?}, and only root can restore owners")]
    OwnerLost {
        /// `user` or `group`.
        kind: &'static str,
        /// The path.
        path: String,
    },
    /// An ID that the caller's user namespace does not have.
    #[error("the image runs as {kind} {id}, which your user namespace does not have")]
    Unmapped {
        /// `user` or `group`.
        kind: &'static str,
        /// The number.
        id: u32,
    },
    /// An isolator whose value is not what the spec describes, or that cannot stand
    /// beside another.
    #[error("the isolator {0}")]
    Isolator(#[from] IsolatorError),
    /// An isolator that the spec allows and no kernel can enforce.
    #[error("the isolator {name} cannot be enforced: {fault}")]
    Unenforceable {
        /// Its name.
        name: String,
        /// Why not.
        fault: String,
    },
    /// A mount point whose path cannot be used.
    #[error("the mount point {name:?} has the path {path:?}, which {fault}")]
    MountPath {
        /// The mount point's name.
        name: String,
        /// Its path.
        path: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// A mount of a volume that nobody has described.
    #[error("the volume {name:?}, to be mounted at {path}, is not described anywhere")]
    VolumeAbsent {
        /// The volume's name.
        name: String,
        /// Where it was to be mounted.
        path: String,
    },
    /// A path of the host that cannot be mounted.
    #[error("the volume source {path:?} {fault}")]
    VolumeSource {
        /// The path.
        path: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// An empty volume of somebody else's, made without root.
    #[error("the volume {name:?} is to belong to {uid}:{gid}, and only root can give folders away")]
    VolumeOwner {
        /// The volume's name.
        name: String,
        /// The user it is for.
        uid: u32,
        /// The group it is for.
        gid: u32,
    },
    /// Two mounts, one of which lies in the other.
    #[error("the mount point {name:?} at {path} overlaps {other}")]
    MountOverlap {
        /// The mount point's name.
        name: String,
        /// Its path, links resolved.
        path: String,
        /// What it overlaps.
        other: String,
    },
}

/// wanted, found, rule, next.
type Told = (String, String, &'static str, &'static str);

const ASK_AUTHOR: &str = "tell the image's author, or render the image and look";
const RUN_AS_ROOT: &str = "run the same command as root, or install newuidmap and newgidmap \
(package uidmap) and give yourself ranges in /etc/subuid and /etc/subgid";

impl BundleError {
    fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "bundle-io",
            Self::OperatingSystem(_) => "os-unsupported",
            Self::NoApp | Self::NoProgram => "nothing-to-run",
            Self::Nul(_) | Self::VariableName(_) => "app-malformed",
            Self::ProgramMissing { .. } | Self::NotExecutable(_) => "program-missing",
            Self::WorkingDirectory { .. } => "working-directory-missing",
            Self::Unknown { .. } | Self::OutOfRange { .. } | Self::OwnerOfNothing { .. } => {
                "user-unknown"
            }
            Self::OwnerLost { .. } | Self::Unmapped { .. } | Self::VolumeOwner { .. } => {
                "needs-root"
            }
            Self::VolumeAbsent { .. } => "volume-absent",
            Self::VolumeSource { .. } => "volume-source",
            Self::Isolator(_) | Self::Unenforceable { .. } => "isolator-malformed",
            Self::MountPath { .. } | Self::MountOverlap { .. } => "mount-point-malformed",
        }
    }

    fn told(&self) -> Told {
        match self {
            Self::Io { path, source } => (
                "a folder that can be read and written".into(),
                format!("{}: {source}", path.display()),
                "a bundle is a folder with config.json and rootfs (OCI runtime specification)",
                "check that the file system is writable and has room",
            ),
            Self::OperatingSystem(found) => (
                "the label os=linux, or none".into(),
                format!("os={found}"),
                "os and arch say which system calls an image needs (aci.md)",
                "fetch the image with the label os=linux, if its author offers one",
            ),
            Self::NoApp | Self::NoProgram => (
                "app.exec with a program".into(),
                self.to_string(),
                "app gives the parameters to execute an image with (aci.md)",
                "name a program of the image with --exec",
            ),
            Self::Nul(what) => (
                "text without NUL bytes".into(),
                what.clone(),
                "arguments and environment end at a NUL (execve(2))",
                ASK_AUTHOR,
            ),
            Self::VariableName(name) => (
                "a name without \"=\", not empty".into(),
                format!("{name:?}"),
                "environment entries are NAME=VALUE (environ(7))",
                ASK_AUTHOR,
            ),
            Self::ProgramMissing { searched, .. } => (
                "a program in the image's rootfs".into(),
                format!("nothing at {}", searched.join(", ")),
                "a name without a slash is sought in the app's PATH, inside the rootfs (aci.md, \"exec\")",
                "name another program with --exec, or render the image and look what it has",
            ),
            Self::NotExecutable(path) => (
                "a regular file with an execute bit".into(),
                path.clone(),
                "the kernel executes nothing else (execve(2))",
                ASK_AUTHOR,
            ),
            Self::WorkingDirectory { path, .. } => (
                "an absolute path to a folder in the rootfs".into(),
                format!("{path:?}"),
                "if the working directory does not exist, execution must fail (aci.md, \"workingDirectory\")",
                ASK_AUTHOR,
            ),
            other => other.told_of_identity(),
        }
    }

    fn told_of_identity(&self) -> Told {
        match self {
            Self::Unknown { text, file, .. } => (
                format!("a name in the image's {file}, a number, or an absolute path"),
                format!("{text:?}"),
                "names are looked up in the image's own files, then read as numbers (aci.md, \"user, group\")",
                ASK_AUTHOR,
            ),
            Self::OutOfRange { text, .. } => (
                "a number from 0 to 4294967294".into(),
                format!("{text:?}"),
                "greater numbers wrap, and 4294967296 would be root",
                ASK_AUTHOR,
            ),
            Self::OwnerOfNothing { path, .. } => (
                format!("{path} in the rootfs"),
                "no such file".into(),
                "a user or group that begins with / is the owner of that file (aci.md, \"user, group\")",
                ASK_AUTHOR,
            ),
            Self::OwnerLost { path, .. } => (
                format!("the owner {path} has in the image"),
                "a rootfs whose files all belong to you".into(),
                "a user or group that begins with / is the owner of that file (aci.md, \"user, group\")",
                "run the same command as root",
            ),
            Self::Unmapped { kind, id } => (
                format!("a {kind} that your user namespace maps"),
                id.to_string(),
                "without root, a container has the IDs of its user namespace only (user_namespaces(7))",
                RUN_AS_ROOT,
            ),
            other => other.told_of_limits(),
        }
    }

    fn told_of_limits(&self) -> Told {
        match self {
            Self::Isolator(error) => (
                format!("isolators as the spec describes them ({})", error.section()),
                error.to_string(),
                "isolators must be understood to be enforced (ace.md, \"Isolators\")",
                ASK_AUTHOR,
            ),
            Self::Unenforceable { name, fault } => (
                format!("a value of {name} that the kernel can enforce"),
                fault.clone(),
                "isolators must be understood to be enforced (ace.md, \"Isolators\")",
                ASK_AUTHOR,
            ),
            Self::MountOverlap { path, other, .. } => (
                "mount points apart from each other".into(),
                format!("{path} and {other}"),
                "mount points of which one is nested in another are an error (ace.md, \"Volume Setup\")",
                ASK_AUTHOR,
            ),
            Self::VolumeAbsent { name, .. } => (
                format!("a volume called {name:?}"),
                "none of that name".into(),
                "a mount names one of the volumes (pods.md, \"mounts\")",
                "describe it: --volume NAME,kind=host,source=/PATH, or volumes in the pod manifest",
            ),
            Self::VolumeSource { path, .. } => (
                "a folder or file of this machine, by its own path".into(),
                format!("{path:?}"),
                "a volume's source must be there, and no symbolic link on the way (ace.md, \"Volume Setup\")",
                "give the path that realpath prints for it, or make it first",
            ),
            Self::VolumeOwner { uid, gid, .. } => (
                "an empty volume of root's, which is you".into(),
                format!("{uid}:{gid}"),
                "only root can give folders to others (chown(2))",
                "run the same command as root, or leave out uid and gid",
            ),
            other => (
                "an absolute path below the rootfs, without \"..\"".into(),
                other.to_string(),
                "a mount point names a place inside the rootfs (aci.md, \"mountPoints\")",
                ASK_AUTHOR,
            ),
        }
    }
}

impl Refuse for BundleError {
    fn refusal(&self) -> Refusal {
        let (wanted, found, rule, next) = self.told();
        // Names and paths in here are the image's.
        refusal(self.code(), self, wanted, found, rule, next)
    }
}
