//! `gantry pod create`.

use std::path::PathBuf;

use aci::manifest::ExposedPort;
use aci::stage::{self, Existing};
use anyhow::anyhow;
use discovery::pod::{NewApp, create};
use discovery::store::Wanted;

use super::super::client::wanted;
use super::super::fetching::PullOption;
use super::super::running::{AppOptions, port, unmade};
use super::super::{Context, Failure, Kind};

/// Write a pod manifest for images
///
/// Those that the store does not have are fetched first. It names them by image ID and says in
/// full how each is run, so that nothing changes with the store. Volumes, mounts and --read-only
/// are for all apps; what changes an app itself, for one image alone.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry pod create example.com/team/web example.com/team/cache -o pod.json
  gantry pod create example.com/team/web --port http:8080 --memory 256M -o web.json
  gantry pod create example.com/team/web example.com/team/cache --volume data,kind=empty --mount volume=data,target=/data")]
pub(crate) struct Args {
    /// The images: beginnings of image IDs, or NAME[:VERSION][,LABEL=VALUE…]
    #[arg(value_name = "ID|NAME", required = true, value_parser = wanted)]
    images: Vec<Wanted>,
    #[command(flatten)]
    pull: PullOption,
    /// Write to this file, not to the output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Let a port of the host lead to the port of this name
    #[arg(long = "port", value_name = "NAME:[IP:]PORT", value_parser = port)]
    ports: Vec<ExposedPort>,
    #[command(flatten)]
    app: AppOptions,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        if self.images.len() > 1 && self.app.changes_the_app() {
            let text = "options that change an app are for one image alone: write a pod for each, \
                or edit the manifest";
            return Err(Failure::new(Kind::Usage, anyhow!(text)));
        }
        let images = self
            .images
            .iter()
            .map(|image| self.pull.open(context, image))
            .collect::<Result<Vec<_>, _>>()?;
        let files = self.app.files();
        let changes = self.app.changes()?;
        let apps: Vec<NewApp<'_>> = images
            .iter()
            .map(|image| NewApp {
                image: image.manifest(),
                id: &image.record().image_id,
                name: self.app.name().cloned(),
                changes: changes.clone(),
                read_only: files.read_only,
                mounts: files.mounts.clone(),
            })
            .collect();
        let pod = create(&apps, &files.volumes, &self.ports).map_err(unmade)?;
        let mut text = serde_json::to_vec_pretty(&pod)?;
        text.push(b'\n');
        match &self.output {
            Some(file) => Ok(stage::write(file, &text, 0o644, Existing::Replace)?),
            None => Ok(context.write(&text)?),
        }
    }
}
