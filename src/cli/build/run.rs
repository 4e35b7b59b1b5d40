//! `run` and `shell`: a command runs in the image.

use std::ffi::{OsStr, OsString};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use aci::{ImageManifest, Limits, Reference};
use anyhow::anyhow;
use builder::context::{Change, Ran, RunStep};
use builder::manifest::Recorded;
use builder::step::{self, Engine, Helper, Network, StepMount};
use discovery::fetch::check_dependency;
use discovery::render::{Files, Shape};
use discovery::runtime::program_in;

use super::Build;
use super::go::{failed, words};
use super::words::boolean;
use crate::cli::client;
use crate::cli::fetching::open_pinned;
use crate::cli::files::pair;
use crate::cli::image::open_id;
use crate::cli::image::render::unrendered;
use crate::cli::running::{host, search_path, tools};
use crate::cli::{Context, Failure};

/// Where dependencies are rendered, in the folder of the build.
const DEPENDENCIES: &str = ".acbuild/dependencies";

/// Where commands are looked for where the image says nothing else.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Run a command in the image, and keep what it changes
///
/// It runs in namespaces of its own: as root where you are root, and as the root of a user
/// namespace otherwise. It sees the image and what --mount, --cache and --secret name, nothing
/// else of this machine, and has no network unless --net says so. Its environment is the image's.
/// Where it fails, its exit code is passed on, and the image is what it was.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry build run -- /bin/sh -c 'echo hello > /etc/motd'
  gantry build run --net -- apt-get install -y nginx-light
  gantry build run --net --cache /var/cache/apt/archives -- apt-get install -y nginx-light
  gantry build run --secret token=./token.txt -- /bin/fetch --token-file /run/secrets/token
  gantry build run --engine crun --working-dir /srv -- ./configure

Options go before --, everything behind it is the command's, exactly as it is.")]
pub(crate) struct Args {
    /// What starts the command: namespaces, crun or runc; acbuild's chroot and systemd-nspawn are
    /// taken for namespaces
    #[arg(long, value_name = "ENGINE", default_value = "namespaces",
        value_parser = ["namespaces", "crun", "runc", "chroot", "systemd-nspawn"])]
    engine: String,
    /// Start in this folder of the image
    #[arg(long, value_name = "DIR")]
    working_dir: Option<PathBuf>,
    /// Fetch dependencies without checking the server's certificate, or without TLS
    #[arg(long, num_args = 0..=1, require_equals = true, value_name = "BOOL", value_parser = boolean, default_missing_value = "true", default_value = "false", hide_default_value = true)]
    insecure: bool,
    #[command(flatten)]
    with: With,
    /// The command and its arguments
    #[arg(required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// What a command has besides the image.
#[derive(clap::Args)]
struct With {
    /// With this machine's network, its resolv.conf and its hosts file
    #[arg(long, env = "GANTRY_BUILD_NET", value_parser = clap::builder::FalseyValueParser::new())]
    net: bool,
    /// Keep this folder of the image from one build to the next, and out of the image
    #[arg(long = "cache", value_name = "PATH")]
    caches: Vec<PathBuf>,
    /// Show a file at /run/secrets/NAME, and keep it out of the image
    #[arg(long = "secret", value_name = "NAME=FILE", value_parser = pair::<PathBuf>)]
    secrets: Vec<(String, PathBuf)>,
    /// Mount a file or folder of this machine: HOST:PATH[:ro]
    #[arg(long = "mount", value_name = "HOST:PATH[:ro]", value_parser = mount)]
    mounts: Vec<(PathBuf, PathBuf, bool)>,
    /// Set a variable for this command alone
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = pair::<PathBuf>)]
    variables: Vec<(String, PathBuf)>,
}

/// Start a shell in the image, and keep what it changes
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry build shell
  gantry build shell --net --discard         # look around, and keep nothing")]
pub(crate) struct ShellArgs {
    /// The shell
    #[arg(long, value_name = "PROGRAM", default_value = "/bin/sh")]
    shell: OsString,
    /// Keep nothing of what it changes
    #[arg(long)]
    discard: bool,
    #[command(flatten)]
    with: With,
}

impl Args {
    pub(super) fn run(self, build: &Build<'_>) -> Result<(), Failure> {
        let engine = engine(&self.engine)?;
        let mut command = words(&["run"]);
        if self.engine != "namespaces" {
            command.extend(words(&["--engine", &self.engine]));
        }
        if let Some(folder) = &self.working_dir {
            command.extend(words(&["--working-dir", &folder.to_string_lossy()]));
        }
        command.extend(self.with.words());
        command.extend(words(&["--"]));
        let argument = |word: &OsString| Recorded::Argument(word.to_string_lossy().into_owned());
        command.extend(self.command.iter().map(argument));
        let step = Wanted {
            command: &self.command,
            working_directory: self.working_dir.as_deref().unwrap_or(Path::new("/")),
            engine,
            with: &self.with,
            insecure: self.insecure,
            keep: true,
        };
        step.run(build, &command)
    }
}

impl ShellArgs {
    pub(super) fn run(self, build: &Build<'_>) -> Result<(), Failure> {
        let step = Wanted {
            command: std::slice::from_ref(&self.shell),
            working_directory: Path::new("/"),
            engine: Engine::Namespaces,
            with: &self.with,
            insecure: false,
            keep: !self.discard,
        };
        step.run(build, &words(&["shell"]))
    }
}

/// A command that is wanted.
struct Wanted<'a> {
    command: &'a [OsString],
    working_directory: &'a Path,
    engine: Engine,
    with: &'a With,
    insecure: bool,
    keep: bool,
}

impl Wanted<'_> {
    fn run(self, build: &Build<'_>, recorded: &[Recorded]) -> Result<(), Failure> {
        let context = build.open()?;
        let manifest = Build::manifest(&context)?;
        let mut change = context.change().map_err(failed)?;
        let ran = Execution {
            command: self.command,
            environment: &self.with.environment(&manifest),
            working_directory: self.working_directory,
            network: if self.with.net { Network::Host } else { Network::None },
            mounts: &self.with.mounts(build)?,
            dependencies: &render(build, &manifest, self.insecure)?,
            engine: self.engine,
            output_to_error: false,
            latest: None,
        }
        .run(build, &mut change)?;
        if ran.removed > 0 {
            build.context.note(format_args!(
                "{} of the dependencies' files and folders were removed: the path whitelist will leave \
                 them out",
                ran.removed
            ));
        }
        if ran.code != 0 {
            if !self.with.net {
                build.context.note(
                    "note: the command had no network; --net, or GANTRY_BUILD_NET=1, gives it this \
                     machine's",
                );
            }
            return Err(Failure::Child(ran.code));
        }
        if !self.keep {
            return Ok(());
        }
        build.finish(change, recorded)
    }
}

/// A command, with all it is to have.
pub(super) struct Execution<'a> {
    pub(super) command: &'a [OsString],
    pub(super) environment: &'a [(OsString, OsString)],
    pub(super) working_directory: &'a Path,
    pub(super) network: Network,
    pub(super) mounts: &'a [StepMount],
    /// The rendered root file systems of the dependencies, topmost first.
    pub(super) dependencies: &'a [PathBuf],
    pub(super) engine: Engine,
    /// Whether standard output is for what this program says.
    pub(super) output_to_error: bool,
    /// No file that it leaves is of a later time than this.
    pub(super) latest: Option<i64>,
}

impl Execution<'_> {
    /// Runs it in the image, and says what the user should know.
    pub(super) fn run(self, build: &Build<'_>, change: &mut Change<'_>) -> Result<Ran, Failure> {
        let ran = change.run(&RunStep {
            helper: &step_helper(),
            host: &host(),
            tools: &tools(),
            dependencies: self.dependencies,
            command: self.command,
            environment: self.environment,
            working_directory: self.working_directory,
            network: self.network,
            mounts: self.mounts,
            hostname: "build",
            engine: self.engine,
            output_to_error: self.output_to_error,
            latest: self.latest,
        });
        let ran = ran.map_err(failed)?;
        if ran.faked_owners {
            build.context.note(
                "note: you have no subordinate IDs (subuid(5)): all that the command made is root's \
                 in the image",
            );
        }
        Ok(ran)
    }
}

/// Sets a variable, in the place of one of its name.
pub(super) fn set(
    environment: &mut Vec<(OsString, OsString)>,
    name: &str,
    value: impl Into<OsString>,
) {
    environment.retain(|(other, _)| other != OsStr::new(name));
    environment.push((name.into(), value.into()));
}

impl With {
    fn words(&self) -> Vec<Recorded> {
        let mut command = Vec::new();
        let word = |text: String| Recorded::Word(text);
        command.extend(self.net.then(|| word("--net".to_owned())));
        command.extend(self.caches.iter().map(|path| word(format!("--cache={}", path.display()))));
        command.extend(self.secrets.iter().map(|(name, _)| word(format!("--secret={name}=***"))));
        let target = |(_, target, _): &(PathBuf, PathBuf, bool)| {
            word(format!("--mount=***:{}", target.display()))
        };
        command.extend(self.mounts.iter().map(target));
        command.extend(self.variables.iter().map(|(name, _)| word(format!("--env={name}=***"))));
        command
    }

    /// The image's own environment, and a PATH where it has none.
    fn environment(&self, manifest: &ImageManifest) -> Vec<(OsString, OsString)> {
        let mut all = environment(manifest);
        for (name, value) in &self.variables {
            set(&mut all, name, value);
        }
        all
    }

    fn mounts(&self, build: &Build<'_>) -> Result<Vec<StepMount>, Failure> {
        let mut all = Vec::new();
        let mount = |source: PathBuf, target: &Path, read_only| StepMount {
            source: source.into(),
            target: target.into(),
            read_only,
        };
        for (source, target, read_only) in &self.mounts {
            all.push(mount(source.clone(), target, *read_only));
        }
        for path in &self.caches {
            all.push(cache(&kept_caches(build.context)?, path)?);
        }
        for (name, file) in &self.secrets {
            if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
                || name.starts_with('.')
            {
                return Err(anyhow!(
                    "{name:?} is no name of a secret: letters, digits, \"-\", \"_\" and \".\" are"
                )
                .into());
            }
            all.push(secret(name, file, &Path::new("/run/secrets").join(name))?);
        }
        Ok(all)
    }
}

/// The environment of an image's app, and a PATH where it has none.
pub(super) fn environment(manifest: &ImageManifest) -> Vec<(OsString, OsString)> {
    let own = manifest.app.iter().flat_map(|app| &app.environment);
    let mut all: Vec<(OsString, OsString)> =
        own.map(|one| (one.name.clone().into(), one.value.clone().into())).collect();
    if !all.iter().any(|(name, _)| name == "PATH") {
        all.push(("PATH".into(), PATH.into()));
    }
    all
}

/// Where the folders are that are kept from one build to the next.
pub(super) fn kept_caches(context: &Context) -> Result<PathBuf, Failure> {
    Ok(context.kept_builds()?.join("folders"))
}

/// The mount of the cache of a path, a folder in `caches`.
pub(super) fn cache(caches: &Path, path: &Path) -> Result<StepMount, Failure> {
    // No folder is made for what cannot be mounted.
    if !step::can_be_mount_point(path) {
        return Err(anyhow!(
            "{} cannot be kept from one build to the next: a folder is given from the root of the \
             image on, without \"..\", and is neither the root nor in /proc, /sys or /dev",
            path.display()
        )
        .into());
    }
    let name = path.to_string_lossy().replace('%', "%25").replace('/', "%2F");
    let folder = caches.join(name);
    let made = || {
        if !folder.is_dir() {
            aci::stage::create_folders(&folder)?;
            // Whatever the umask is: commands see it.
            std::fs::set_permissions(&folder, Permissions::from_mode(0o755))?;
        }
        folder.canonicalize()
    };
    let source =
        made().map_err(|error| anyhow!("cannot make the cache {}: {error}", folder.display()))?;
    Ok(StepMount { source: source.into(), target: path.into(), read_only: false })
}

/// The mount of the file of a secret.
pub(super) fn secret(name: &str, file: &Path, target: &Path) -> Result<StepMount, Failure> {
    if !file.is_file() {
        return Err(anyhow!("the secret {name}: {} is no file", file.display()).into());
    }
    Ok(StepMount { source: file.into(), target: target.into(), read_only: true })
}

/// Renders what an image depends on, topmost first. What was rendered for an earlier command is
/// used again.
pub(super) fn render(
    build: &Build<'_>,
    manifest: &ImageManifest,
    insecure: bool,
) -> Result<Vec<PathBuf>, Failure> {
    let mut trees = Vec::new();
    if manifest.dependencies.is_empty() {
        return Ok(trees);
    }
    let context = build.context.with_insecure(insecure);
    for dependency in manifest.dependencies.iter().rev() {
        let (name, labels) = (dependency.image_name.clone(), dependency.labels.clone());
        let reference = Reference::new(name, labels);
        let stored = open_pinned(&context, &reference, dependency.image_id.as_ref())?;
        check_dependency(dependency, &stored)
            .map_err(|error| client::failure(error).of(&format!("the dependency {reference}")))?;
        let folder = build.work.join(DEPENDENCIES).join(stored.record().image_id.to_string());
        if !folder.is_dir() {
            aci::stage::create_folders(&build.work.join(DEPENDENCIES))?;
            let limits = Limits::default();
            let rendered = discovery::render::render(
                &stored,
                &folder,
                Files::Rendered,
                Shape::Rootfs,
                &limits,
            )
            .map_err(unrendered)?;
            if !host().is_root() {
                let store = context.store()?;
                let open = |id| open_id(&store, id)?.file().map_err(client::failure);
                let images = rendered.images.iter().map(open).collect::<Result<Vec<_>, _>>()?;
                let limits = Limits { ratio: u64::MAX, ..limits };
                builder::context::record(&folder, images, &limits).map_err(failed)?;
            }
        }
        // Below itself, an image is not seen: where it is named twice, the upper one counts.
        if !trees.contains(&folder) {
            trees.push(folder);
        }
    }
    Ok(trees)
}

/// This program, as the helper of a step.
pub(super) fn step_helper() -> Helper {
    Helper {
        program: "/proc/self/exe".into(),
        arguments: ["build", "step-child"].map(OsString::from).to_vec(),
    }
}

/// What the helper does.
pub(super) fn step_child() -> Result<(), Failure> {
    step::child()?;
    Ok(())
}

pub(super) fn engine(name: &str) -> Result<Engine, Failure> {
    let find = |name: &str| {
        program_in(&search_path(), name)
            .ok_or_else(|| anyhow!("{name} is not installed: install it, or leave --engine out"))
    };
    Ok(match name {
        "crun" => Engine::Crun(find("crun")?),
        "runc" => Engine::Runc(find("runc")?),
        _ => Engine::Namespaces,
    })
}

fn mount(text: &str) -> Result<(PathBuf, PathBuf, bool), String> {
    let (rest, read_only) = match text.strip_suffix(":ro") {
        Some(rest) => (rest, true),
        None => (text.strip_suffix(":rw").unwrap_or(text), false),
    };
    match rest.split_once(':') {
        Some((host, path)) if !host.is_empty() && path.starts_with('/') => {
            Ok((host.into(), path.into(), read_only))
        }
        _ => Err(format!("{text:?} is not HOST:PATH[:ro], PATH from the root of the image on")),
    }
}
