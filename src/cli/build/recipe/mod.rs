//! `recipe`: an image is built as one file says.
//!
//! read → resolve (what it begins with, and what it depends on) → steps, from the last one that was
//! kept on → manifest → outputs → tests → all files get their names, or none.

mod keep;
mod resolve;
mod steps;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use aci::archive::{Compression, KeptBlocks};
use aci::stage::{Existing, real_path};
use anyhow::anyhow;
use builder::context::ContextError;
use builder::manifest::Edit;
use builder::recipe::{Lock, Output as Wanted, Recipe};
use serde_json::{Value, json};

use super::Build;
use super::go::{Workspace, failed};
use super::image::plain;
use super::outputs::Outputs;
use super::sidecars::{Inputs, Sidecars};
use super::write::{How, Output, Pending, Signing};
use crate::cli::files::{pair, read_small, seconds, signature_beside};
use crate::cli::key::{PassphraseArgs, Place};
use crate::cli::{Failure, Kind};
use keep::Blocks;
use resolve::{Base, Resolved};

/// The largest recipe or lock file.
const MAX_BYTES: u64 = 4 << 20;

/// Build images as a recipe says: one file of TOML
///
/// What the recipe begins with is fetched and verified; its steps run one after the other, and what
/// a command has made is kept for the next build, which does again only what has changed since.
/// The same recipe and files give the same bytes. Images are written when all is done and the
/// recipe's tests have passed; they replace those of the last build. With a lock file beside the
/// recipe, nothing but what it names is taken.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry build recipe web.toml
  gantry build recipe web.toml --lock                   # writes web.lock, and builds
  gantry build recipe web.toml --secret token=./token.txt --sign ci@example.com
  gantry build recipe web.toml --output-dir ./images --sbom --provenance --json

docs/recipes.md has all keys.")]
pub(crate) struct Args {
    /// The recipe
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    how: HowArgs,
    /// Write the lock file anew: the images and files that the recipe's references lead to now
    #[arg(long)]
    lock: bool,
    /// Write the images into this folder [default: the recipe's own]
    #[arg(long, value_name = "DIR")]
    output_dir: Option<PathBuf>,
    /// Sign with this key in the place of the recipe's
    #[arg(long, value_name = "KEY")]
    sign: Option<PathBuf>,
    /// Do not sign, whatever the recipe says
    #[arg(long, conflicts_with = "sign")]
    no_sign: bool,
    #[command(flatten)]
    passphrase: PassphraseArgs,
    #[command(flatten)]
    sidecars: Sidecars,
    /// Also write the image IDs into this file, one a line
    #[arg(long, value_name = "FILE")]
    digest_file: Option<PathBuf>,
    /// Also write IDs, digests, sizes, labels, signatures and inputs into this file, as JSON
    #[arg(long, value_name = "FILE")]
    metadata_file: Option<PathBuf>,
}

/// How recipes are built, whatever becomes of the images.
#[derive(clap::Args, Debug, Clone)]
pub(crate) struct HowArgs {
    /// The file of a secret that steps ask for
    #[arg(long = "secret", value_name = "ID=FILE", value_parser = pair::<PathBuf>)]
    secrets: Vec<(String, PathBuf)>,
    /// Do all steps again, and keep nothing
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// What starts commands: namespaces, crun or runc
    #[arg(long, value_name = "ENGINE", default_value = "namespaces",
        value_parser = ["namespaces", "crun", "runc"])]
    engine: String,
    /// The time of what the recipe adds, in seconds since 1970, where it says none
    #[arg(long, env = "SOURCE_DATE_EPOCH", value_name = "SECONDS", hide_env_values = true,
        value_parser = seconds)]
    source_date_epoch: Option<i64>,
}

/// A recipe that was read, and how it is built.
pub(crate) struct Plan<'a> {
    recipe: Recipe,
    text: Vec<u8>,
    /// The folder its sources are in.
    folder: PathBuf,
    /// The files that it writes where nobody says another folder, signatures among them.
    written: Vec<PathBuf>,
    lock: Option<Lock>,
    how: &'a HowArgs,
}

/// An image that is built, and what went into it.
pub(crate) struct Built {
    pub(crate) pending: Pending,
    pub(crate) packed: builder::Packed,
    parameters: Value,
    began: Option<builder::context::Began>,
}

impl Args {
    pub(super) fn run(self, build: &Build<'_>) -> Result<(), Failure> {
        let plan = Plan::read(&self.file, &self.how, self.lock)?;
        let key = match (&self.sign, &plan.recipe.sign) {
            _ if self.no_sign => None,
            (Some(key), _) => Some(key.clone()),
            (None, Some(sign)) => {
                let key = Path::new(sign.key.as_str());
                let place = Place::find_from(build.context, &plan.folder, key);
                Some(place.map_err(|failure| plain(failure, key))?.path())
            }
            (None, None) => None,
        };
        let signing = Signing::new(build.context, key.as_deref(), &self.passphrase)?;
        let folder = self.output_dir.as_deref().unwrap_or(&plan.folder);
        self.check(&plan, folder, &signing)?;
        let work = plan.workspace(build)?;
        let (built, lock) = plan.build(build, work.path(), Some(folder), self.lock)?;
        let replace = Existing::Replace;
        let (mut outputs, mut images) = (Outputs::default(), Vec::new());
        let (mut ids, mut metadata) = (String::new(), Vec::new());
        for one in built {
            let Built { pending: mut image, packed, parameters, began } = one;
            let inputs = Inputs { began: began.as_ref(), parameters: &parameters };
            let beside = image.beside(build.context, self.sidecars, &packed, &inputs, &signing)?;
            for (path, bytes) in beside {
                outputs.put(&path, &bytes, replace)?;
            }
            ids.push_str(&image.id);
            ids.push('\n');
            metadata.push(image.metadata.clone());
            images.push(image);
        }
        if let Some(lock) = lock {
            outputs.put(&Lock::path(&self.file), lock.to_string().as_bytes(), replace)?;
        }
        if let Some(file) = &self.digest_file {
            outputs.put(file, ids.as_bytes(), replace)?;
        }
        if let Some(file) = &self.metadata_file {
            let text = format!("{:#}\n", json!({ "images": metadata }));
            outputs.put(file, text.as_bytes(), replace)?;
        }
        images.into_iter().try_for_each(|image| outputs.add(image))?;
        build.publish(outputs)?;
        keep::prune(build);
        Ok(())
    }

    /// Refuses, before the work, what could not be written after it.
    fn check(&self, plan: &Plan<'_>, folder: &Path, signing: &Signing) -> Result<(), Failure> {
        let targets = plan.recipe.outputs.iter().map(|output| plan.target(output, folder));
        let mut all: Vec<PathBuf> =
            targets.flat_map(|target| signing.names(&target, self.sidecars)).collect();
        all.extend([&self.digest_file, &self.metadata_file].into_iter().flatten().cloned());
        let lock = Lock::path(&self.file);
        let read = [&self.file, &lock].map(|file| real_path(file).ok());
        for path in &all {
            if let Ok(real) = real_path(path)
                && read.contains(&Some(real))
            {
                let text = "is the recipe or its lock file, and is not replaced by what is built";
                return Err(Failure::new(Kind::Usage, anyhow!("{} {text}", path.display())));
            }
        }
        all.extend(self.lock.then_some(lock));
        Outputs::check(all.into_iter().map(|path| (path, Existing::Replace)))
    }
}

impl<'a> Plan<'a> {
    /// Reads a recipe, and its lock file where there is one and it is not made anew.
    pub(crate) fn read(file: &Path, how: &'a HowArgs, relock: bool) -> Result<Self, Failure> {
        let read = |file: &Path| -> Result<String, Failure> {
            let bytes = read_small(file, MAX_BYTES)?;
            String::from_utf8(bytes).map_err(|_| {
                Failure::new(Kind::Usage, anyhow!("{}: it is not UTF-8", file.display()))
            })
        };
        let wrong = |file: &Path, error: &dyn std::fmt::Display| {
            Failure::new(Kind::Usage, anyhow!("{}: {error}", file.display()))
        };
        let text = read(file)?;
        let recipe = Recipe::parse(&text).map_err(|error| wrong(file, &error))?;
        let path = Lock::path(file);
        // A link that leads nowhere is no reason to build without what is locked.
        let lock = match path.symlink_metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            _ if relock => None,
            _ => Some(Lock::parse(&read(&path)?).map_err(|error| wrong(&path, &error))?),
        };
        let folder = aci::stage::folder_of(file).canonicalize()?;
        let text = text.into_bytes();
        let mut plan = Self { recipe, text, folder, written: Vec::new(), lock, how };
        plan.written = plan.written(&path);
        Ok(plan)
    }

    /// A folder to build in: where steps are kept, for files there can be named again here; or
    /// beside the recipe, where there can be no such place.
    pub(crate) fn workspace(&self, build: &Build<'_>) -> Result<Workspace, Failure> {
        let kept = build.context.kept_builds().map_err(Failure::from);
        kept.and_then(|kept| Workspace::new(&kept)).or_else(|_| Workspace::new(&self.folder))
    }

    /// Builds all images of the recipe in the folder `work`; they will be named in `outputs`, or by
    /// their numbers in `work`. Gives the lock where one was asked for.
    pub(crate) fn build(
        &self,
        build: &Build<'_>,
        work: &Path,
        outputs: Option<&Path>,
        lock: bool,
    ) -> Result<(Vec<Built>, Option<Lock>), Failure> {
        let build = build.of_recipe(work);
        let resolved = self.resolve(&build)?;
        steps::Steps { plan: self, build: &build, resolved: &resolved }.run()?;
        // Each output is made of the same, whatever those before it have in their manifests.
        let manifest = build.open()?.manifest().map_err(failed)?;
        let mut built = Vec::new();
        for (at, output) in self.recipe.outputs.iter().enumerate() {
            self.edit(&build, &manifest, output, &resolved)?;
            let target = match outputs {
                Some(folder) => self.target(output, folder),
                None => work.join(format!("{at}.aci")),
            };
            built.push(self.write(&build, &target, &resolved)?);
        }
        self.test(&build)?;
        Ok((built, lock.then_some(resolved.lock)))
    }

    /// The file of an output, in this folder.
    fn target(&self, output: &Wanted, folder: &Path) -> PathBuf {
        let version = self.recipe.version.as_ref();
        match &output.file {
            Some(file) => folder.join(file.as_path()),
            None => {
                let name = &self.recipe.name;
                folder.join(output.file_name(name, version, aci::host_platform()))
            }
        }
    }

    /// All files that the recipe writes beside it, with its lock file.
    fn written(&self, lock: &Path) -> Vec<PathBuf> {
        let mut all = vec![lock.to_owned()];
        for output in &self.recipe.outputs {
            let target = self.target(output, &self.folder);
            let mut files = Sidecars::ALL.names(&target);
            files.push(target);
            all.extend(files.iter().map(|file| signature_beside(file)));
            all.extend(files);
        }
        // Where there is no folder yet, there is no file that could be copied.
        let real = |file: &PathBuf| {
            let folder = aci::stage::folder_of(file).canonicalize().ok()?;
            Some(folder.join(file.file_name()?))
        };
        all.iter().filter_map(real).collect()
    }

    /// Makes the manifest of one output, of the one that the steps have left.
    fn edit(
        &self,
        build: &Build<'_>,
        manifest: &[u8],
        output: &Wanted,
        resolved: &Resolved,
    ) -> Result<(), Failure> {
        let mut manifest = manifest.to_vec();
        let mut make = |edit: &Edit| {
            manifest = edit.apply(&manifest)?;
            Ok::<_, ContextError>(())
        };
        let own = output.edits(aci::host_platform());
        if !own.iter().any(is_platform) {
            for label in ["os", "arch"] {
                match make(&Edit::RemoveLabel(label.to_owned())) {
                    Err(error) if error.is_absent() => {}
                    other => other.map_err(failed)?,
                }
            }
        }
        let all = self.recipe.edits().into_iter().map(|edit| resolved.pinned(edit));
        all.chain(own).try_for_each(|edit| make(&edit)).map_err(failed)?;
        let context = build.open()?;
        let mut change = context.change().map_err(failed)?;
        change.edit(&Edit::Replace(manifest)).map_err(failed)?;
        build.finish(change, &[])
    }

    fn write(
        &self,
        build: &Build<'_>,
        target: &Path,
        resolved: &Resolved,
    ) -> Result<Built, Failure> {
        let compression: Compression = self.recipe.compression;
        let output = Output { target: target.to_owned(), overwrite: true, compression };
        let blocks = Blocks::of(build);
        let kept = (!self.how.no_cache).then_some(&blocks as &dyn KeptBlocks);
        let source_date_epoch = Some(resolved.epoch);
        let how = How { source_date_epoch, kept, file_digest: true, ..How::default() };
        let (mut pending, packed, began) = build.write_with(&output, &how)?;
        let images: BTreeMap<String, Value> = resolved
            .lock
            .images()
            .map(|(reference, image)| (reference.to_string(), json!(image.id)))
            .collect();
        let files: BTreeMap<String, Value> =
            resolved.lock.files().map(|(file, digest)| (file.to_string(), json!(digest))).collect();
        let sources: BTreeMap<_, _> = resolved.sources.iter().flatten().cloned().collect();
        let parameters = json!({
            "command": "recipe",
            "recipe": { "sha512": aci::FileDigest::of_bytes(&self.text) },
            "sourceDateEpoch": resolved.epoch,
            "images": images,
            "files": files,
            "sources": sources,
        });
        pending.metadata["inputs"] = json!({ "began": began, "parameters": parameters });
        Ok(Built { pending, packed, parameters, began })
    }

    /// Runs the recipe's tests in what was built.
    fn test(&self, build: &Build<'_>) -> Result<(), Failure> {
        for (at, test) in self.recipe.tests.iter().enumerate() {
            let command = steps::command(&test.command);
            build.context.note(format_args!("test {}: {}", at + 1, steps::shown(&test.command)));
            let code = steps::run_test(self, build, &command, test)?;
            if code != test.exit {
                return Err(anyhow!(
                    "test {} ended with code {code} where {} was wanted, and nothing was written: {}",
                    at + 1,
                    test.exit,
                    steps::shown(&test.command)
                )
                .into());
            }
        }
        Ok(())
    }
}

fn is_platform(edit: &Edit) -> bool {
    matches!(edit, Edit::AddLabel(name, _) if name == "os" || name == "arch")
}

/// What a recipe begins with, for people.
fn base_shown(base: &Base) -> String {
    match base {
        Base::Empty => "nothing".to_owned(),
        Base::Image(id) => id.to_string(),
        Base::Archive(path, _) | Base::Folder(path, ..) => path.display().to_string(),
    }
}
