//! Isolators and dependencies.

use std::io::Read;
use std::path::PathBuf;

use aci::{Limits, Reference};
use anyhow::{Context as _, anyhow};
use builder::manifest::{Edit, Recorded, dependency};
use clap::Subcommand;

use super::Build;
use super::go::words;
use super::image::plain;
use crate::cli::Failure;
use crate::cli::fetching::{open_pinned, pinned};
use crate::cli::files::read_small;

/// Add and remove isolators: limits and privileges of the app
#[derive(clap::Args)]
#[command(after_help = "Examples:
  echo '{\"limit\": \"512M\"}' | gantry build isolator add resource/memory -
  gantry build isolator add os/linux/capabilities-retain-set ./capabilities.json
  gantry build isolator remove resource/memory")]
pub(crate) struct IsolatorArgs {
    #[command(subcommand)]
    command: Isolators,
}

#[derive(Subcommand)]
enum Isolators {
    /// Add one, or give the one of this name another value
    Add {
        /// Its name, as resource/memory
        name: String,
        /// A file with the JSON of its value; - is standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Remove one; exit code 2 where there is none
    #[command(alias = "rm")]
    Remove {
        /// Its name
        name: String,
    },
}

impl IsolatorArgs {
    pub(super) fn run(self, build: &Build<'_>) -> Result<(), Failure> {
        let (name, file) = match self.command {
            Isolators::Add { name, file } => (name, file),
            Isolators::Remove { name } => {
                let command = ["isolator", "remove", &name];
                return build.edit(&command, &Edit::RemoveIsolator(name.clone()));
            }
        };
        let most = Limits::default().manifest_bytes;
        let text = if file.as_os_str() == "-" {
            let mut text = Vec::new();
            std::io::stdin().lock().take(most).read_to_end(&mut text)?;
            text
        } else {
            read_small(&file, most).map_err(|failure| plain(failure, &file))?
        };
        let text = String::from_utf8(text)
            .with_context(|| format!("{} is no JSON: it is not UTF-8", file.display()))?;
        let mut command = words(&["isolator", "add", &name]);
        command.push(Recorded::HostPath(file.to_string_lossy().into_owned()));
        let edit = Edit::AddIsolator(name, text.trim().to_owned());
        build.change(&command, |change| change.edit(&edit))
    }
}

/// Add and remove dependencies: images whose files lie below those of this one
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry build dependency add example.com/base:1.0.0
  gantry build dependency add example.com/base --label version=1.0.0 --image-id sha512-… --size 1048576
  gantry build dependency add example.com/base:1.0.0 --pin
  gantry build dependency add --local ./base.aci      # name, labels, image ID and size are its own
  gantry build dependency remove example.com/base")]
pub(crate) struct DependencyArgs {
    #[command(subcommand)]
    command: Dependencies,
}

#[derive(Subcommand)]
enum Dependencies {
    /// Add one, in the place of those of its name
    Add {
        /// The image: NAME[:VERSION][,LABEL=VALUE…]
        #[arg(required_unless_present = "local", conflicts_with = "local")]
        image: Option<String>,
        /// It must have this image ID
        #[arg(long, value_name = "ID")]
        image_id: Option<String>,
        /// It must have this label
        #[arg(long = "label", value_name = "NAME=VALUE")]
        labels: Vec<String>,
        /// Its file must have this many bytes
        #[arg(long, value_name = "BYTES")]
        size: Option<u64>,
        /// Depend on exactly the image of this file
        #[arg(long, value_name = "FILE", conflicts_with_all = ["image_id", "labels", "size"])]
        local: Option<PathBuf>,
        /// Look up image ID and size: in the store, or where it is published; it is verified
        #[arg(long, conflicts_with_all = ["image_id", "size", "local"])]
        pin: bool,
        /// Keep others of its name that ask for other labels
        #[arg(long)]
        another: bool,
    },
    /// Remove those of a name; exit code 2 where there is none
    #[command(alias = "rm")]
    Remove {
        /// The image: NAME[:VERSION][,LABEL=VALUE…]
        image: String,
    },
}

impl DependencyArgs {
    pub(super) fn run(self, build: &Build<'_>) -> Result<(), Failure> {
        match self.command {
            Dependencies::Remove { image } => {
                let wanted: Reference = image.parse().map_err(|e| anyhow!("{image:?}: {e}"))?;
                build.edit(&["dependency", "remove", &image], &Edit::RemoveDependency(wanted))
            }
            Dependencies::Add { image, image_id, labels, size, local, pin, another } => {
                let mut command = words(&["dependency", "add"]);
                let word = |text: &str| Recorded::Word(text.to_owned());
                let dependency = match (&local, &image) {
                    (Some(file), _) => {
                        command.push(word("--local"));
                        command.push(Recorded::HostPath(file.to_string_lossy().into_owned()));
                        of_file(file)?
                    }
                    (None, image) => {
                        let image = image.as_deref().unwrap_or_default();
                        command.push(word(image));
                        for (option, values) in
                            [("--image-id", image_id.as_slice()), ("--label", &labels)]
                        {
                            command.extend(
                                values.iter().flat_map(|value| [word(option), word(value)]),
                            );
                        }
                        if let Some(size) = size {
                            command.extend([word("--size"), word(&size.to_string())]);
                        }
                        let named = dependency(image, image_id.as_deref(), &labels, size)
                            .map_err(|error| anyhow!("{error}"))?;
                        match pin {
                            false => named,
                            true => {
                                command.push(word("--pin"));
                                let reference = Reference::new(named.image_name, named.labels);
                                pinned(&reference, &open_pinned(build.context, &reference, None)?)
                            }
                        }
                    }
                };
                command.extend(another.then(|| word("--another")));
                let edit = Edit::AddDependency { dependency: Box::new(dependency), another };
                build.change(&command, |change| change.edit(&edit))
            }
        }
    }
}

/// The dependency that means exactly the image of a file.
fn of_file(file: &std::path::Path) -> Result<aci::manifest::Dependency, Failure> {
    let cannot = || format!("cannot read {}", file.display());
    let open = std::fs::File::open(file).with_context(cannot)?;
    let size = open.metadata().with_context(cannot)?.len();
    let limits = Limits { ratio: u64::MAX, ..Limits::default() };
    let image = aci::archive::inspect(open, &limits)
        .map_err(|error| anyhow!("{} is no image to depend on: {error}", file.display()))?;
    let manifest = image.manifest();
    Ok(aci::manifest::Dependency {
        image_name: manifest.name.clone(),
        image_id: Some(image.image_id().clone()),
        labels: manifest.labels.clone(),
        size: Some(size),
        extra: Default::default(),
    })
}
