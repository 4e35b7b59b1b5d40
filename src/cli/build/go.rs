//! How a build command runs: on which context, noted or not, alone or in a script.

use std::cell::{Cell, RefCell};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use aci::ImageManifest;
use aci::archive::ImageFinding;
use anyhow::anyhow;
use builder::context::{Attend, Began, Begin, BeginOptions, Change, ContextError, killed_steps_in};
use builder::manifest::{Edit, Recorded};
use builder::step::{StepError, remove_scratch};
use rustix::fs::FlockOperation;

use super::outputs::Outputs;
use super::{BuildOptions, Command, run};
use crate::cli::{Context, Failure, Kind, running};

/// Runs build commands.
pub(crate) struct Build<'a> {
    /// How to speak, and where things are.
    pub(super) context: &'a Context,
    /// The folder the context is in.
    pub(super) work: PathBuf,
    history: Cell<bool>,
    options: BuildOptions,
    /// What a script writes, which gets its names when the script has succeeded.
    pending: Option<RefCell<Outputs>>,
    /// How deep scripts are in scripts.
    pub(super) depth: Cell<u32>,
}

impl<'a> Build<'a> {
    pub(crate) fn new(context: &'a Context, options: BuildOptions) -> Self {
        Self {
            context,
            work: options.work_path.clone().unwrap_or_else(|| ".".into()),
            history: Cell::new(!options.no_history),
            options,
            pending: None,
            depth: Cell::new(0),
        }
    }

    /// The commands of a script: on a context of their own, and nothing is there before the end.
    pub(super) fn of_script(&self, work: &Path) -> Self {
        Self {
            history: self.history.clone(),
            pending: Some(RefCell::default()),
            depth: Cell::new(self.depth.get() + 1),
            ..self.of_recipe(work)
        }
    }

    /// Edits an image on a context of its own.
    pub(super) fn edits(&self, work: &Path) -> Self {
        Self { history: self.history.clone(), ..self.of_recipe(work) }
    }

    /// Builds on a context of its own, of whose making nothing is noted in the image.
    pub(super) fn of_recipe(&self, work: &Path) -> Self {
        Self {
            context: self.context,
            work: work.to_owned(),
            history: Cell::new(false),
            options: BuildOptions::default(),
            pending: None,
            depth: Cell::new(0),
        }
    }

    pub(super) fn run(&self, command: Command) -> Result<(), Failure> {
        if self.options.modify_oci.is_some() {
            return Err(anyhow!(
                "--modify-oci: OCI images are not edited here yet; convert the image to an ACI first"
            )
            .into());
        }
        match &self.options.modify {
            Some(file) => self.modify(file, command),
            None => self.run_here(command),
        }
    }

    pub(super) fn run_here(&self, command: Command) -> Result<(), Failure> {
        match command {
            Command::Begin(args) => args.run(self),
            Command::Copy(args) => args.run(self),
            Command::CopyToDir(args) => args.run(self),
            Command::Remove(args) => args.run(self),
            Command::Chown(args) => args.run(self),
            Command::Chmod(args) => args.run(self),
            Command::Setcap(args) => args.run(self),
            Command::Xattr(args) => args.run(self),
            Command::Squash(args) => args.run(self),
            Command::Run(args) => args.run(self),
            Command::Shell(args) => args.run(self),
            Command::Annotation(args) => args.run(self),
            Command::Label(args) => args.run(self),
            Command::Environment(args) => args.run(self),
            Command::Mount(args) => args.run(self),
            Command::Port(args) => args.run(self),
            Command::Isolator(args) => args.run(self),
            Command::Dependency(args) => args.run(self),
            Command::SetName(args) => args.run(self),
            Command::SetTag(args) => args.run(self),
            Command::SetExec(args) => args.run(self),
            Command::SetUser(args) => args.run(self),
            Command::SetGroup(args) => args.run(self),
            Command::SetSuppGroups(args) => args.run(self),
            Command::SetWorkingDirectory(args) => args.run(self),
            Command::SetEventHandler(args) => args.run(self),
            Command::ReplaceManifest(args) => args.run(self),
            Command::CatManifest(args) => args.run(self),
            Command::Layer(args) => args.run(),
            Command::Write(args) => args.run(self),
            Command::End(args) => args.run(self),
            Command::Script(args) => args.run(self),
            Command::Recipe(args) => args.run(self),
            Command::Version(args) => args.run(self),
            Command::StepChild => run::step_child(),
        }
    }

    /// Opens the context, and waits until nobody else works on it.
    pub(super) fn open(&self) -> Result<builder::context::Context, Failure> {
        self.attend(builder::context::Context::open)
    }

    /// Removes the context, when nobody else works on it.
    pub(super) fn end(&self) -> Result<(), Failure> {
        self.attend(builder::context::Context::open_to_end)?.end().map_err(failed)
    }

    fn attend(
        &self,
        open: fn(&Path, &Attend<'_>) -> Result<builder::context::Context, ContextError>,
    ) -> Result<builder::context::Context, Failure> {
        let waiting = || {
            self.context.note("waiting for another command that works on this build");
        };
        open(&self.work, &Attend { waiting: &waiting, clear: &clear_step }).map_err(failed)
    }

    /// The manifest of a context.
    pub(super) fn manifest(context: &builder::context::Context) -> Result<ImageManifest, Failure> {
        let text = context.manifest().map_err(failed)?;
        ImageManifest::from_json(&text).map_err(|error| anyhow!("{error}").into())
    }

    pub(super) fn begin(&self, begin: Begin<'_>) -> Result<Began, Failure> {
        let limits = aci::Limits { ratio: u64::MAX, ..aci::Limits::default() };
        let (os, arch) = aci::host_platform();
        let options = BeginOptions { limits: &limits, platform: (os, arch) };
        builder::context::Context::begin(&self.work, begin, &options).map_err(failed)
    }

    /// Makes one change of the context, and notes the command in the image.
    pub(super) fn change<T>(
        &self,
        command: &[Recorded],
        make: impl FnOnce(&mut Change<'_>) -> Result<T, ContextError>,
    ) -> Result<T, Failure> {
        let context = self.open()?;
        let mut change = context.change().map_err(failed)?;
        let made = make(&mut change).map_err(failed)?;
        self.finish(change, command)?;
        Ok(made)
    }

    /// Makes a change count.
    pub(super) fn finish(
        &self,
        mut change: Change<'_>,
        command: &[Recorded],
    ) -> Result<(), Failure> {
        let line = |one: &ImageFinding| discovery::printable_line(&one.to_string());
        let warnings: Vec<String> = change.warnings().iter().map(line).collect();
        if self.history.get() {
            change.record(command).map_err(failed)?;
        }
        change.commit().map_err(failed)?;
        warnings.iter().for_each(|warning| self.context.warn(warning));
        Ok(())
    }

    /// Makes one edit of the manifest.
    pub(super) fn edit(&self, command: &[&str], edit: &Edit) -> Result<(), Failure> {
        self.change(&words(command), |change| change.edit(edit))
    }

    /// Does something, of which nothing is noted in the image where not `noted`.
    pub(super) fn noted<T>(&self, noted: bool, make: impl FnOnce() -> T) -> T {
        let before = self.history.replace(self.history.get() && noted);
        let made = make();
        self.history.set(before);
        made
    }

    /// Does something one script deeper.
    pub(super) fn deeper<T>(&self, make: impl FnOnce() -> T) -> T {
        let before = self.depth.replace(self.depth.get() + 1);
        let made = make();
        self.depth.set(before);
        made
    }

    /// Whether this is a command of a script.
    pub(super) fn in_script(&self) -> bool {
        self.pending.is_some()
    }

    /// Gives what was written its names: at once, or at the end of the script.
    pub(super) fn publish(&self, written: Outputs) -> Result<(), Failure> {
        match &self.pending {
            None => written.commit(self.context),
            Some(pending) => pending.borrow_mut().append(written),
        }
    }

    /// What the script has written.
    pub(super) fn into_outputs(self) -> Outputs {
        self.pending.map(RefCell::into_inner).unwrap_or_default()
    }
}

/// The folder of a workspace in which the cache folders are that are not kept.
pub(super) const CACHES: &str = "caches";

/// A hidden folder for a context that lives as long as one command.
pub(crate) struct Workspace(aci::stage::StagedFolder);

impl Drop for Workspace {
    fn drop(&mut self) {
        let is_root = rustix::process::geteuid().is_root();
        if !is_root && self.path().join(CACHES).is_dir() {
            // What cannot be removed now can be next time.
            let _ = clear_step(self.path());
        }
    }
}

impl Workspace {
    pub(crate) fn new(beside: &Path) -> Result<Self, Failure> {
        let _ = clear_killed(beside);
        let _ = aci::stage::clean(beside);
        let staged = aci::stage::StagedFolder::new_in(beside);
        staged.map(Self).map_err(|error| {
            let text = format!("cannot write in {}", beside.display());
            anyhow::Error::new(error).context(text).into()
        })
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

/// Removes what a killed step left in its folder.
fn clear_step(scratch: &Path) -> Result<(), StepError> {
    remove_scratch(scratch, &run::step_helper(), &running::host(), &running::tools())
}

/// Removes what the commands of a killed script or recipe left: for a user, some of it belongs to IDs of
/// a user namespace, which alone can remove it.
fn clear_killed(beside: &Path) -> std::io::Result<()> {
    let caller = rustix::process::geteuid();
    if caller.is_root() {
        return Ok(());
    }
    for entry in std::fs::read_dir(beside)? {
        let entry = entry?;
        if !aci::stage::is_staged(&entry.file_name()) || entry.metadata()?.uid() != caller.as_raw()
        {
            continue;
        }
        // What is at work is locked.
        let folder = std::fs::File::open(entry.path())?;
        if rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive).is_err() {
            continue;
        }
        let path = entry.path();
        let caches = path.join(CACHES).is_dir().then(|| path.clone());
        for slot in killed_steps_in(&path).into_iter().chain(caches) {
            // What cannot be removed now can be next time.
            let _ = clear_step(&slot);
        }
    }
    Ok(())
}

/// The words of a command, as they are noted.
pub(super) fn words(words: &[&str]) -> Vec<Recorded> {
    words.iter().map(|word| Recorded::Word((*word).to_owned())).collect()
}

/// An error of a context as the end of a command: acbuild's codes, 2 for what is absent and 1 for
/// the rest.
pub(super) fn failed(error: ContextError) -> Failure {
    let kind = if error.is_absent() { Kind::Absent } else { Kind::Failed };
    match error {
        ContextError::Step(error) => {
            crate::cli::image::render::refused(discovery::Kind::Failed, &error)
        }
        error => Failure::new(kind, anyhow!("{error}")),
    }
}
