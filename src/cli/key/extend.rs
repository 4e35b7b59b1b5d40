//! `gantry key extend`.

use std::path::PathBuf;

use super::amended::{PublicArgs, failure};
use super::place::{self, Place};
use super::when::When;
use super::{Context, Failure, PassphraseArgs};

/// Let a key or a subkey sign longer, or less long
///
/// The primary key signs the new expiry, so its secret part must be here; that of the subkey
/// need not. What was signed under the old expiry stays as good as it was. Whoever trusts the
/// key needs the new public key.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry key extend ci@example.com --expires 2y
  gantry key extend 5C3E2B1F --subkey 9D01A7C4 --expires 2030-06-30
  gantry key extend author.key --expires never --public author.pub.asc")]
pub(crate) struct Args {
    /// The secret key: a file, or a key of the folder by fingerprint, user ID or mail address
    #[arg(value_name = "FILE|KEY")]
    key: PathBuf,
    /// When it expires: 2y, 90d or 12h from now, a date (its first moment in UTC), or never
    #[arg(long, value_name = "WHEN")]
    expires: When,
    /// A subkey of it instead, by the beginning of its fingerprint; may be given several times
    #[arg(long = "subkey", value_name = "FPR")]
    subkeys: Vec<String>,
    #[command(flatten)]
    public: PublicArgs,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let place = Place::find(context, &self.key)?;
        let passphrase = self.passphrase.passphrase()?;
        let amended = place.amend(|key, now| {
            self.public.check(key.fingerprint())?;
            let expires = self.expires.time(now);
            let mut subkeys = Vec::new();
            for name in &self.subkeys {
                let subkey = place::subkey(key, name, now)?;
                if !subkeys.contains(&subkey) {
                    subkeys.push(subkey);
                }
            }
            key.extend(&subkeys, expires, passphrase.as_ref(), now).map_err(failure)
        })?;
        self.public.finish(context, &amended, None)
    }
}
