//! A command that runs in a root file system while an image is built, and what it changed there.
//!
//! ```text
//! caller ── socket ── holder               user namespace (without root); lists what was changed
//!                       └─ socket ── init  first process of a PID namespace, with mounts, names and
//!                                     │    a network of its own; makes the root file system
//!                                     └─ the command
//! ```
//!
//! Whoever dies closes a socket, and the next one ends: with init the kernel ends everything in its
//! PID namespace. So nothing outlives a step, even where the caller was killed.
//!
//! What the caller gives is never written. An overlay is put together in the scratch folder:
//!
//! ```text
//! SCRATCH/
//!   points/   the topmost lower layer: only what mount points are needed that the image lacks
//!   hidden/   the layer below the image's own: what is hidden of those it depends on
//!   upper/    what the command changed
//!   work/     the overlay's own
//!   merged/   where it is mounted, in the namespaces of the step alone
//!   bundle/   config.json and state, where an OCI runtime runs the command
//!   changes   the list of what is in upper/, a line of JSON each
//! ```
//!
//! Since mount points are in `points`, none of them is ever a change of the image. The command has a
//! `/proc` of its own, a `/dev` that holds the usual devices and no other, and `/sys`, which is only
//! read; for a user on the host's network, to whom the kernel gives no such `/sys`, it is empty.
//! Nothing else of the host is inside, but for `/etc/resolv.conf` and `/etc/hosts` on its network.

mod changes;
mod child;
mod collect;
mod error;
mod faked;
mod furnish;
mod hidden;
mod holder;
mod init;
mod links;
mod oci;
mod order;
mod owners;
mod points;
mod process;
mod remove;
mod root;
mod session;

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};
use std::process::Stdio;

use discovery::bundle::Host;
use discovery::runtime::Tools;

pub use changes::{Change, Changes, Kind, Present};
pub use child::child;
pub use error::{Fault, StepError};
pub(crate) use furnish::mounted_below;
pub use order::{Bytes, Owned, StepMount};
pub use points::can_be_mount_point;
pub use remove::remove_scratch;

use order::{Order, Run};
use session::Session;

/// How this program is started again so that it calls [`child`].
#[derive(Debug, Clone)]
pub struct Helper {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

/// Which network the command has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Network {
    /// Its own, with a loopback interface and nothing else.
    #[default]
    None,
    /// The host's, with its `/etc/resolv.conf` and `/etc/hosts`.
    Host,
}

/// What starts the command.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Engine {
    /// This program, with namespaces of its own.
    #[default]
    Namespaces,
    /// crun, which is here.
    Crun(PathBuf),
    /// runc, which is here.
    Runc(PathBuf),
}

/// A command to run.
#[derive(Debug)]
pub struct Step<'a> {
    /// How this program is started again.
    pub helper: &'a Helper,
    /// What this machine and this caller can do.
    pub host: &'a Host,
    /// Programs of the machine; the mappers of IDs among them are used.
    pub tools: &'a Tools,
    /// Root file systems, topmost first: the image's own, then those it depends on. Only read.
    pub lower: &'a [PathBuf],
    /// Paths that are not seen of any of these but the topmost, with all that is below them.
    pub hidden: &'a [Bytes],
    /// An empty folder, on the file system of the topmost root file system.
    pub scratch: &'a Path,
    /// What in the root file systems has in the image another owner, mode or extended attributes
    /// than the disk says, as a user's has. The command sees it as it is in the image, as far as
    /// the namespace has that ID. Root needs none.
    pub owners: &'a [Owned],
    /// The program and its arguments, given on exactly. A program without a slash is looked for in
    /// the `PATH` of `environment`, inside the root file system.
    pub command: &'a [OsString],
    /// The whole environment: nothing is inherited.
    pub environment: &'a [(OsString, OsString)],
    /// Where the command starts; absolute, inside the root file system.
    pub working_directory: &'a Path,
    /// Which network.
    pub network: Network,
    /// Files and folders of the host that are mounted, in this order.
    pub mounts: &'a [StepMount],
    /// The host's name inside.
    pub hostname: &'a str,
    /// What starts the command.
    pub engine: Engine,
    /// Whether what the command writes to standard output goes to this process's standard error.
    pub output_to_error: bool,
    /// No file that the command leaves is of a later time than this, in seconds since 1970.
    pub latest: Option<i64>,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; 128 and the signal where a signal ended it.
    pub code: u8,
    /// What it changed.
    pub changes: Changes,
    /// Whether changes of owners were answered with success and not made, since this user has no
    /// subordinate IDs.
    pub faked_owners: bool,
}

impl Step<'_> {
    /// Runs the command with this process's standard input, output and error, and waits for it.
    ///
    /// Afterwards everything in `scratch/upper` belongs to the caller where the caller is not root;
    /// [`Changes`] says what it is in the image. After a [`Fault`] the scratch folder is empty again;
    /// where a process of the step was killed, [`remove_scratch`] clears it.
    ///
    /// A command that could not be started is an error ([`Fault::NotFound`] and its neighbours), so
    /// that it is never taken for one that ended with code 127; [`StepError::code`] has the code
    /// that a shell would give.
    pub fn run(&self) -> Result<Ended, StepError> {
        self.check()?;
        let order = Order::Run(Box::new(self.order()?));
        let output = match self.output_to_error {
            true => Stdio::from(std::io::stderr()),
            false => Stdio::inherit(),
        };
        let mut session = Session::start(self.helper, self.host, self.tools, &order, output)?;
        let code = session.wait()?;
        let changes = Changes::new(self.scratch.join("changes"));
        Ok(Ended { code, changes, faked_owners: self.is_alone() })
    }

    /// Whether there is one ID only.
    fn is_alone(&self) -> bool {
        let mapped = self.host.has_subordinate_ids() && self.tools.mappers.is_some();
        !self.host.is_root() && !mapped
    }

    /// What no system call could carry.
    fn check(&self) -> Result<(), StepError> {
        let holds_zero = |text: &OsString| text.as_encoded_bytes().contains(&0);
        let pairs = self.environment.iter();
        if self.command.is_empty() {
            return Err(Fault::NoCommand.into());
        }
        if let Some(text) = self.command.iter().find(|text| holds_zero(text)) {
            return Err(Fault::Text { text: printable(text) }.into());
        }
        let bad = |(name, value): &&(OsString, OsString)| {
            let bytes = name.as_encoded_bytes();
            bytes.is_empty() || bytes.contains(&b'=') || holds_zero(name) || holds_zero(value)
        };
        if let Some((name, _)) = pairs.clone().find(bad) {
            return Err(Fault::Variable { name: printable(name) }.into());
        }
        if !self.working_directory.is_absolute() {
            let path = printable(self.working_directory);
            let why = "it is not absolute".to_owned();
            return Err(Fault::WorkingDirectory { path, why }.into());
        }
        let mut paths = self.mounts.iter().map(|mount| mount.target.path());
        if let Some(path) = paths.find(|path| !is_plain(path)) {
            return Err(Fault::MountPoint {
                path: printable(path),
                why: "it is not an absolute path without \"..\"".to_owned(),
            }
            .into());
        }
        Ok(())
    }

    fn order(&self) -> Result<Run, StepError> {
        let real = |path: &Path| {
            let found = path.canonicalize();
            found.map_err(|source| StepError::Path { path: path.to_owned(), source })
        };
        let lower = self.lower.iter().map(|path| Ok(Bytes::from(real(path)?)));
        let mut mounts = Vec::new();
        for mount in self.mounts {
            mounts.push(StepMount { source: real(&mount.source.path())?.into(), ..mount.clone() });
        }
        let (engine, program) = match &self.engine {
            Engine::Namespaces => (order::Engine::Namespaces, None),
            Engine::Crun(program) => (order::Engine::Crun, Some(real(program)?.into())),
            Engine::Runc(program) => (order::Engine::Runc, Some(real(program)?.into())),
        };
        Ok(Run {
            user: !self.host.is_root(),
            alone: self.is_alone(),
            lower: lower.collect::<Result<_, StepError>>()?,
            hidden: self.hidden.to_vec(),
            scratch: real(self.scratch)?.into(),
            owners: self.owners.to_vec(),
            latest: self.latest,
            command: self.command.iter().cloned().map(Bytes::from).collect(),
            environment: self
                .environment
                .iter()
                .map(|(name, value)| (name.clone().into(), value.clone().into()))
                .collect(),
            working_directory: self.working_directory.to_owned().into(),
            host_network: self.network == Network::Host,
            mounts,
            hostname: self.hostname.to_owned(),
            engine,
            program,
            helper: (self.helper.program.clone().into(), {
                self.helper.arguments.iter().cloned().map(Bytes::from).collect()
            }),
        })
    }
}

/// Whether a path is absolute and says its place without going back.
fn is_plain(path: &Path) -> bool {
    let plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    path.is_absolute() && path.components().all(plain)
}

/// A name that may hold anything, for a message.
pub(crate) fn printable(name: impl AsRef<std::ffi::OsStr>) -> String {
    use std::os::unix::ffi::OsStrExt;
    aci::archive::PathBytes::from(name.as_ref().as_bytes()).to_string()
}
