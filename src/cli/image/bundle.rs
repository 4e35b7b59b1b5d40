//! `gantry image bundle`.

use std::path::PathBuf;

use aci::Limits;
use discovery::render;
use discovery::store::Wanted;
use serde_json::json;

use super::super::client::wanted;
use super::super::fetching::PullOption;
use super::super::files::in_json;
use super::super::running::{AppOptions, NetworkOptions, host, terminal_kind, warn};
use super::render::{tell, unrendered};
use super::{Context, Failure};

/// Make an OCI bundle of an image: config.json and rootfs/, for any OCI runtime
///
/// What the image asks for and no OCI runtime has a place for is told.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry image bundle example.com/team/hello ./hello && sudo runc run --bundle ./hello hello
  gantry image bundle sha512-8f1c ./shell --exec /bin/sh --terminal
  gantry image bundle example.com/team/hello ./hello --net host -- --port 8080
  gantry image bundle example.com/team/hello ./hello --volume data,kind=host,source=/srv/data --memory 256M")]
pub(crate) struct Args {
    /// The image: the beginning of its image ID, or NAME[:VERSION][,LABEL=VALUE…]
    #[arg(value_name = "ID|NAME", value_parser = wanted)]
    image: Wanted,
    /// The folder to make; it must not exist, or be empty
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    #[command(flatten)]
    pull: PullOption,
    #[command(flatten)]
    app: AppOptions,
    #[command(flatten)]
    network: NetworkOptions,
    /// Give the program a terminal
    #[arg(long)]
    terminal: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let image = self.pull.open(context, &self.image)?;
        let mut options = self.app.options(self.terminal.then(terminal_kind))?;
        options.network = self.network.network();
        let host = host();
        let (rendered, bundle) =
            render::render_bundle(&image, &self.folder, &options, &host, &Limits::default())
                .map_err(unrendered)?;
        tell(context, &rendered);
        warn(context, bundle.notes());
        let value = json!({
            "imageId": rendered.image_id,
            "folder": in_json(&self.folder),
            "program": bundle.program(),
            "handlers": bundle.handlers().map(|event| event.as_str()).collect::<Vec<_>>(),
            "remarks": rendered.remarks,
            "notes": bundle.notes(),
        });
        Ok(context.print(&value, self.folder.display())?)
    }
}
