//! The steps of a recipe, done one after the other from the last one that was kept.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use aci::ImageManifest;
use anyhow::anyhow;
use builder::context::{Begin, Change, CopyOptions, Modes};
use builder::manifest::Edit;
use builder::recipe::{self, Argument, Command, Copy, Step, Test, VariableName};
use builder::step::{Network, StepMount};
use builder::{Ignore, Overrides, Owner, Rule};

use super::super::Build;
use super::super::go::{CACHES, Workspace, failed};
use super::super::run::{self, Execution};
use super::keep::Key;
use super::{Base, Plan, Resolved, base_shown};
use crate::cli::pack::Bar;
use crate::cli::running::host;
use crate::cli::{Failure, client, image};

/// The steps of a recipe, and all they need.
pub(super) struct Steps<'a> {
    pub(super) plan: &'a Plan<'a>,
    pub(super) build: &'a Build<'a>,
    pub(super) resolved: &'a Resolved,
}

impl Steps<'_> {
    /// Does what has to be done.
    pub(super) fn run(&self) -> Result<(), Failure> {
        let steps = &self.plan.recipe.steps;
        let keys = self.keys();
        let from = self.begin(&keys)?;
        for (at, step) in steps.iter().enumerate().skip(from) {
            self.build.context.note(format_args!(
                "step {} of {}: {}",
                at + 1,
                steps.len(),
                told(step)
            ));
            self.step(step).map_err(|failure| match failure {
                Failure::Child(code) => {
                    anyhow!("step {} ended with code {code}: {}", at + 1, told(step)).into()
                }
                other => other.of(&format!("step {}", at + 1)),
            })?;
            // What a command makes takes long to make; a copy is made again as quickly.
            if matches!(step, Step::Run(_)) && !self.plan.how.no_cache {
                self.build.freeze(&keys[at + 1])?;
            }
        }
        Ok(())
    }

    /// The keys of what it begins with, and of each step.
    fn keys(&self) -> Vec<Key> {
        let host = host();
        let ids = match (host.is_root(), host.has_subordinate_ids()) {
            (true, _) => "root",
            (false, true) => "ids",
            (false, false) => "one",
        };
        let base = match &self.resolved.base {
            Base::Empty => "empty".to_owned(),
            Base::Image(id) => format!("image {id}"),
            Base::Archive(_, digest) => format!("archive {digest}"),
            Base::Folder(_, _, id) => format!("folder {id}"),
        };
        let mut keys = vec![Key::of_base(&base, self.resolved.epoch, ids)];
        let app = self.plan.recipe.app.iter().flat_map(|app| &app.environment);
        let environment: Vec<_> =
            app.map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let environment = serde_json::to_vec(&environment).unwrap_or_default();
        let dependencies = format!("{:?}", self.resolved.lock);
        for (step, sources) in self.plan.recipe.steps.iter().zip(&self.resolved.sources) {
            let material = step.key_material();
            let content: String =
                sources.iter().map(|(source, id)| format!("{source} {id}\n")).collect();
            let parts = [&material, content.as_bytes(), &environment, dependencies.as_bytes()];
            let next = keys[keys.len() - 1].then(&parts);
            keys.push(next);
        }
        keys
    }

    /// Begins with the last step that was kept, or with the base; gives the step to go on with.
    fn begin(&self, keys: &[Key]) -> Result<usize, Failure> {
        let build = self.build;
        if !self.plan.how.no_cache {
            for at in (0..keys.len()).rev() {
                if build.thaw(&keys[at])? {
                    build.context.note(format_args!(
                        "kept from an earlier build: {at} of {} steps",
                        keys.len() - 1
                    ));
                    return Ok(at);
                }
            }
        }
        build.context.note(format_args!("beginning with {}", base_shown(&self.resolved.base)));
        match &self.resolved.base {
            Base::Empty => build.begin(Begin::Empty)?,
            Base::Archive(path, _) => build.begin(Begin::Archive(path))?,
            Base::Image(id) => {
                let store = build.context.store()?;
                let stored = image::open_id(&store, id)?;
                let mut file = stored.file().map_err(client::failure)?;
                build.begin(Begin::Image(&mut file))?
            }
            Base::Folder(path, owner, _) => {
                let overrides = Overrides::default();
                let ignore = self.plan.ignored(path, Ignore::default());
                build.begin(Begin::Folder(path, self.options(owner, &overrides, &ignore, &())))?
            }
        };
        if !self.plan.how.no_cache && !matches!(self.resolved.base, Base::Empty) {
            build.freeze(&keys[0])?;
        }
        Ok(0)
    }

    fn options<'o>(
        &self,
        owner: &'o Owner,
        overrides: &'o Overrides,
        ignore: &'o Ignore,
        progress: &'o dyn builder::Progress,
    ) -> CopyOptions<'o> {
        CopyOptions {
            mtime: Some(self.resolved.epoch),
            merge: true,
            progress,
            ..CopyOptions::new(owner, overrides, ignore)
        }
    }

    fn step(&self, step: &Step) -> Result<(), Failure> {
        match step {
            Step::Run(command) => self.command(command),
            Step::Copy(copy) => self.change(|change| self.copy(change, copy)),
            Step::Remove(remove) => {
                let manifest = {
                    let context = self.build.open()?;
                    with_dependencies(self.plan, &context, Some(self.resolved))?
                };
                let dependencies = run::render(self.build, &manifest, false)?;
                self.change(|change| {
                    let meant = |below: &[u8], folder| {
                        remove.patterns.iter().any(|one| one.matches(below, folder))
                    };
                    change.remove_matching(&meant, &dependencies).map_err(failed)
                })
            }
            Step::Change(wanted) => self.change(|change| {
                let meant = |below: &[u8], folder| {
                    wanted.patterns.iter().any(|one| one.matches(below, folder))
                };
                let rules = Overrides(wanted.rules()?);
                match change.set_matching(&meant, &rules).map_err(failed)? {
                    0 => Err(anyhow!("nothing in the image is meant by its patterns").into()),
                    _ => Ok(()),
                }
            }),
            Step::Directory(wanted) => {
                let path = PathBuf::from(wanted.path.to_string());
                self.change(|change| change.directory(&path, self.resolved.epoch).map_err(failed))?;
                self.change(|change| {
                    change.set_folder(&path, &Overrides(wanted.rules()?)).map_err(failed)
                })
            }
            Step::File(wanted) => {
                let existing = aci::stage::Existing::Refuse;
                self.made(&wanted.path.to_string(), wanted.rules()?, |path| {
                    aci::stage::write(path, wanted.content.as_bytes(), 0o644, existing)
                })
            }
            Step::Link(wanted) => self.made(&wanted.path.to_string(), wanted.rules()?, |path| {
                std::os::unix::fs::symlink(wanted.target.as_str(), path)
            }),
        }
    }

    /// Makes one change of the context.
    fn change(
        &self,
        make: impl FnOnce(&mut Change<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let context = self.build.open()?;
        let mut change = context.change().map_err(failed)?;
        make(&mut change)?;
        self.build.finish(change, &[])
    }

    fn copy(&self, change: &mut Change<'_>, copy: &Copy) -> Result<(), Failure> {
        let overrides = Overrides(copy.rules()?);
        let owner = Owner::from(copy.owner);
        for (source, target) in copy.sources.targets(&copy.to) {
            let path = self.plan.folder.join(source.as_path());
            let ignore = self.plan.ignored(&path, copy.ignored());
            let bar = self.build.context.progress("copying", Some(0));
            let progress = Bar(&bar);
            let mut options = self.options(&owner, &overrides, &ignore, &progress);
            options.modes = Modes {
                files: copy.mode.map(|mode| mode.bits()),
                folders: copy.directory_mode.map(|mode| mode.bits()),
            };
            change.copy(&path, Path::new(&target.to_string()), &options).map_err(failed)?;
            bar.finish_and_clear();
        }
        Ok(())
    }

    /// Makes a file beside the build, and copies it in.
    fn made(
        &self,
        to: &str,
        rules: Vec<Rule>,
        make: impl FnOnce(&Path) -> std::io::Result<()>,
    ) -> Result<(), Failure> {
        let folder = Workspace::new(&self.build.work)?;
        let path = folder.path().join("file");
        make(&path)?;
        let (owner, overrides, ignore) = (Owner::Keep, Overrides(rules), Ignore::default());
        self.change(|change| {
            let options = self.options(&owner, &overrides, &ignore, &());
            change.copy(&path, Path::new(to), &options).map_err(failed)?;
            Ok(())
        })
    }

    fn command(&self, wanted: &recipe::Run) -> Result<(), Failure> {
        let mut mounts = Vec::new();
        let caches = match self.plan.how.no_cache {
            true => self.build.work.join(CACHES),
            false => run::kept_caches(self.build.context)?,
        };
        for path in &wanted.cache {
            mounts.push(run::cache(&caches, Path::new(&path.to_string()))?);
        }
        for secret in &wanted.secret {
            let id = secret.id.to_string();
            let given = self.plan.how.secrets.iter().find(|(name, _)| *name == id);
            let (_, file) = given.ok_or_else(|| {
                anyhow!("the step asks for the secret {id}: give --secret {id}=FILE")
            })?;
            mounts.push(run::secret(&id, file, Path::new(&secret.target.to_string()))?);
        }
        let code = execute(
            self.plan,
            self.build,
            &Wanted {
                command: &command(&wanted.command),
                environment: &wanted.environment,
                epoch: Some(self.resolved.epoch),
                working_directory: Path::new(&wanted.working_directory.to_string()),
                network: wanted.network,
                mounts: &mounts,
                resolved: Some(self.resolved),
                keep: true,
            },
        )?;
        if code == 0 { Ok(()) } else { Err(Failure::Child(code)) }
    }
}

/// A command of a recipe.
struct Wanted<'a> {
    command: &'a [OsString],
    /// Variables besides those of the app, or in their place.
    environment: &'a BTreeMap<VariableName, Argument>,
    epoch: Option<i64>,
    working_directory: &'a Path,
    network: Network,
    mounts: &'a [StepMount],
    /// Where the manifest has no dependencies yet: those of the recipe.
    resolved: Option<&'a Resolved>,
    keep: bool,
}

/// The manifest of a context, and what the recipe makes it depend on where it is still to come.
fn with_dependencies(
    plan: &Plan<'_>,
    context: &builder::context::Context,
    resolved: Option<&Resolved>,
) -> Result<ImageManifest, Failure> {
    let mut manifest = Build::manifest(context)?;
    let edits =
        resolved.map(|resolved| plan.recipe.edits().into_iter().map(|edit| resolved.pinned(edit)));
    for edit in edits.into_iter().flatten() {
        if let Edit::AddDependency { dependency, .. } = edit {
            manifest.dependencies.push(*dependency);
        }
    }
    Ok(manifest)
}

fn execute(plan: &Plan<'_>, build: &Build<'_>, wanted: &Wanted<'_>) -> Result<u8, Failure> {
    let context = build.open()?;
    let manifest = with_dependencies(plan, &context, wanted.resolved)?;
    let mut environment = run::environment(&manifest);
    let app = plan.recipe.app.iter().flat_map(|app| &app.environment);
    let text = |(name, value): (&VariableName, &Argument)| (name.to_string(), value.to_string());
    let epoch = wanted.epoch.map(|epoch| ("SOURCE_DATE_EPOCH".to_owned(), epoch.to_string()));
    for (name, value) in app.map(text).chain(epoch).chain(wanted.environment.iter().map(text)) {
        run::set(&mut environment, &name, value);
    }
    let mut change = context.change().map_err(failed)?;
    let ran = Execution {
        command: wanted.command,
        environment: &environment,
        working_directory: wanted.working_directory,
        network: wanted.network,
        mounts: wanted.mounts,
        dependencies: &run::render(build, &manifest, false)?,
        engine: run::engine(&plan.how.engine)?,
        output_to_error: true,
        latest: wanted.epoch,
    }
    .run(build, &mut change)?;
    if ran.code == 0 && wanted.keep {
        build.finish(change, &[])?;
    }
    Ok(ran.code)
}

/// Runs a test, and keeps nothing of what it changes.
pub(super) fn run_test(
    plan: &Plan<'_>,
    build: &Build<'_>,
    command: &[OsString],
    test: &Test,
) -> Result<u8, Failure> {
    let app = plan.recipe.app.as_ref();
    let folder = test.working_directory.as_ref().map(ToString::to_string);
    let folder = folder.or_else(|| app?.working_directory.as_ref().map(ToString::to_string));
    execute(
        plan,
        build,
        &Wanted {
            command,
            environment: &test.environment,
            epoch: None,
            working_directory: Path::new(folder.as_deref().unwrap_or("/")),
            network: test.network,
            mounts: &[],
            resolved: None,
            keep: false,
        },
    )
}

/// A program and its arguments.
pub(super) fn command(command: &Command) -> Vec<OsString> {
    command.arguments().into_iter().map(OsString::from).collect()
}

/// A command in one line, for people.
pub(super) fn shown(command: &Command) -> String {
    let text = match command {
        Command::Shell(text) => text.as_str().to_owned(),
        Command::Run(exec) => exec.arguments().collect::<Vec<_>>().join(" "),
    };
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let short: String = line.chars().take(100).collect();
    discovery::printable_line(&if short.len() < line.len() {
        format!("{short} …")
    } else {
        short
    })
}

fn told(step: &Step) -> String {
    match step {
        Step::Run(run) => shown(&run.command),
        Step::Copy(copy) => {
            let sources = copy.sources.targets(&copy.to).map(|(source, _)| source.to_string());
            format!("copy {} to {}", sources.collect::<Vec<_>>().join(", "), copy.to)
        }
        Step::Remove(_) => "remove files".to_owned(),
        Step::Change(_) => "change properties of files".to_owned(),
        Step::Directory(directory) => format!("folder {}", directory.path),
        Step::File(file) => format!("file {}", file.path),
        Step::Link(link) => format!("link {}", link.path),
    }
}
