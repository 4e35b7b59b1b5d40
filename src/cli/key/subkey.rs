//! `gantry key subkey`: keys that sign in a primary key's name.

use std::path::PathBuf;

use clap::Subcommand;
use keys::Algorithm;

use super::amended::{PublicArgs, failure};
use super::place::Place;
use super::when::When;
use super::{Context, Failure, PassphraseArgs};

/// Subkeys, which sign while the primary key stays offline
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Add(AddArgs),
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self.command {
            Command::Add(args) => args.run(context),
        }
    }
}

/// Add a subkey that signs
///
/// Once it is there, it signs, not the primary key. `gantry key export --secret-subkeys` gives
/// its secret part to the machine that signs. It is locked with the key's own passphrase.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry key subkey add ci@example.com
  gantry key subkey add 5C3E2B1F --expires 90d --passphrase-file pass.txt
  gantry key subkey add author.key --algorithm rsa4096 --public author.pub.asc")]
pub(crate) struct AddArgs {
    /// The secret key: a file, or a key of the folder by fingerprint, user ID or mail address
    #[arg(value_name = "FILE|KEY")]
    key: PathBuf,
    /// ed25519, or rsa4096 for old clients: rkt, acpush and others that use Go's first OpenPGP library
    #[arg(long, default_value = "ed25519")]
    algorithm: Algorithm,
    /// When it stops signing: 1y, 90d or 12h from now, a date (its first moment in UTC), or never
    #[arg(long, default_value = "1y", value_name = "WHEN")]
    expires: When,
    #[command(flatten)]
    public: PublicArgs,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

impl AddArgs {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let place = Place::find(context, &self.key)?;
        let passphrase = self.passphrase.passphrase()?;
        let mut added = None;
        let bar = context.progress("generating", None);
        let amended = place.amend(|key, now| {
            self.public.check(key.fingerprint())?;
            let expires = self.expires.time(now);
            let (key, subkey) = key
                .add_signing_subkey(self.algorithm, expires, passphrase.as_ref(), now)
                .map_err(failure)?;
            added = Some(subkey);
            Ok(key)
        });
        bar.finish_and_clear();
        self.public.finish(context, &amended?, added)
    }
}
