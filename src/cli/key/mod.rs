//! `gantry key`: OpenPGP keys as files, each by itself or in the folder of keys.

mod amended;
mod describe;
mod export;
mod extend;
mod generate;
mod import;
mod list;
mod passphrase;
mod place;
mod relock;
mod revoke;
mod show;
mod subkey;
mod when;

use clap::Subcommand;
use keys::KeyFolder;

use super::{Context, Failure, Kind, client, lifetime};

pub(super) use passphrase::{PassphraseArgs, read as read_passphrase};
pub(super) use place::Place;

/// Make keys to sign with, keep them, renew and revoke them
///
/// A key is a file, or one of the folder of keys: no agent, no terminal. gpg imports what is
/// exported here, and the other way round.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Generate(generate::Args),
    List(list::Args),
    Show(show::Args),
    Export(export::Args),
    Import(import::Args),
    Extend(extend::Args),
    Revoke(revoke::Args),
    Subkey(subkey::Args),
    Passphrase(relock::Args),
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self.command {
            Command::Generate(args) => args.run(context),
            Command::List(args) => args.run(context),
            Command::Show(args) => args.run(context),
            Command::Export(args) => args.run(context),
            Command::Import(args) => args.run(context),
            Command::Extend(args) => args.run(context),
            Command::Revoke(args) => args.run(context),
            Command::Subkey(args) => args.run(context),
            Command::Passphrase(args) => args.run(context),
        }
    }
}

impl Context {
    /// The folder of the user's secret keys.
    pub(in crate::cli) fn key_folder(&self) -> KeyFolder {
        KeyFolder::open(&self.key_dir())
    }
}
