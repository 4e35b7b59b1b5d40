//! `gantry image manifest`.

use discovery::store::Wanted;

use super::super::client::wanted;
use super::{Context, Failure, open};

/// Print the manifest of an image in the store, byte for byte
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry image manifest example.com/team/hello
  gantry image manifest sha512-8f1c")]
pub(crate) struct Args {
    /// The image: the beginning of its image ID, or NAME[:VERSION][,LABEL=VALUE…]
    #[arg(value_name = "ID|NAME", value_parser = wanted)]
    image: Wanted,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let image = open(context, &self.image)?;
        Ok(context.write(image.manifest_bytes())?)
    }
}
