//! `gantry bundle`: images in one file, for machines without a network between them.

mod export;
mod import;

use super::{Context, Failure};

/// Carry images to machines that have no network: one file that verifies by itself
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Export(export::Args),
    Import(import::Args),
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self.command {
            Command::Export(args) => args.run(context),
            Command::Import(args) => args.run(context),
        }
    }
}
