//! `gantry key`: OpenPGP keys as files.

mod generate;
mod passphrase;
mod show;

use clap::Subcommand;

use super::{Context, Failure, Kind, client, lifetime, trust};

pub(super) use passphrase::{PassphraseArgs, read as read_passphrase};

/// Make keys, and look at them
///
/// A key is a file: no key ring, no agent, no terminal. gpg can import both halves.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Generate(generate::Args),
    Show(show::Args),
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self.command {
            Command::Generate(args) => args.run(context),
            Command::Show(args) => args.run(context),
        }
    }
}
