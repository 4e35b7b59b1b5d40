//! `gantry pod`: apps that run together.

mod bundle;
mod create;
mod run;
mod systemd;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;
use discovery::pod::{Pod, PodOptions, Written};

use super::running::{unmade, warn};
use super::{Context, Failure};

/// Run apps together, from a pod manifest
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one in a process, and it is used up at once"
)]
enum Command {
    Create(create::Args),
    Bundle(bundle::Args),
    Run(run::Args),
    Systemd(systemd::Args),
    /// Hold the namespaces of a pod until the input ends
    #[command(hide = true)]
    Hold,
    /// Be the first process of a pod until the input ends
    #[command(hide = true)]
    Init,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self.command {
            Command::Create(args) => args.run(context),
            Command::Bundle(args) => args.run(context),
            Command::Run(args) => args.run(context),
            Command::Systemd(args) => args.run(context),
            Command::Hold => Ok(discovery::runtime::hold()?),
            Command::Init => Ok(discovery::runtime::init()?),
        }
    }
}

/// The longest pod manifest.
const MANIFEST_BYTES: u64 = 1 << 20;

/// Reads a pod manifest and opens its images.
fn open(context: &Context, path: &Path) -> Result<Pod, Failure> {
    use std::io::Read;
    let mut text = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MANIFEST_BYTES).read_to_end(&mut text))
        .with_context(|| format!("cannot read {}", path.display()))?;
    Pod::open(&text, &context.store()?).map_err(unmade)
}

/// The pod's name, where none was given: the file's, as a host can be called.
fn name_of(path: &Path) -> String {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let name = discovery::bundle::app_name(&stem.unwrap_or_default());
    if name.is_empty() { "pod".to_owned() } else { name }
}

/// The options that do not depend on what is running.
fn options(hostname: &str, metadata_url: Option<&str>) -> PodOptions {
    PodOptions {
        hostname: hostname.to_owned(),
        metadata_url: metadata_url.map(str::to_owned),
        ..PodOptions::default()
    }
}

/// Says what the user should know of a pod.
fn tell(context: &Context, pod: &Pod, written: &[Written]) {
    warn(context, &pod.notes());
    for one in written {
        for remark in &one.rendered.remarks {
            context.note(format_args!("{}: {remark}", one.name));
        }
        for note in one.bundle.notes() {
            let text = format!("{}: {note}", one.name);
            if note.is_warning() { context.warn(text) } else { context.note(text) }
        }
    }
}

/// What JSON says of a pod's apps.
fn in_json(written: &[Written], folder: &Path) -> serde_json::Value {
    written
        .iter()
        .map(|one| {
            let at: PathBuf = folder.join("apps").join(one.name.as_str());
            serde_json::json!({
                "name": one.name,
                "imageId": one.rendered.image_id,
                "folder": super::files::in_json(&at),
                "program": one.bundle.program(),
                "handlers": one.bundle.handlers().map(|event| event.as_str()).collect::<Vec<_>>(),
                "remarks": one.rendered.remarks,
                "notes": one.bundle.notes(),
            })
        })
        .collect()
}
