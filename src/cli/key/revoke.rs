//! `gantry key revoke`.

use std::path::PathBuf;

use clap::ValueEnum;
use keys::RevocationReason;

use super::amended::{PublicArgs, failure};
use super::place::{self, Place};
use super::{Context, Failure, PassphraseArgs};

/// Revoke a key, or a subkey, for ever
///
/// The primary key signs the revocation, so its secret part must be here. It counts for others
/// when they have the new public key. After `compromised` and `unspecified` nothing that the key
/// ever signed is accepted; after `superseded` and `retired`, what it signed before stays good.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry key revoke ci@example.com --subkey 9D01A7C4 --reason compromised --message 'CI was broken into'
  gantry key revoke 5C3E2B1F --subkey 9D01A7C4 --reason superseded
  gantry key revoke author.key --reason retired --public author.pub.asc")]
pub(crate) struct Args {
    /// The secret key: a file, or a key of the folder by fingerprint, user ID or mail address
    #[arg(value_name = "FILE|KEY")]
    key: PathBuf,
    /// This subkey of it alone, by the beginning of its fingerprint
    #[arg(long, value_name = "FPR")]
    subkey: Option<String>,
    /// Why
    #[arg(long)]
    reason: Reason,
    /// What else to say about it; anybody can read it
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    message: String,
    #[command(flatten)]
    public: PublicArgs,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

/// Why a key is revoked.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Reason {
    /// Somebody else may have it: nothing it ever signed counts
    Compromised,
    /// Another one takes its place: what it signed before stays good
    Superseded,
    /// It is no longer used: what it signed before stays good
    Retired,
    /// No reason: nothing it ever signed counts
    Unspecified,
}

impl From<Reason> for RevocationReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Compromised => Self::Compromised,
            Reason::Superseded => Self::Superseded,
            Reason::Retired => Self::Retired,
            Reason::Unspecified => Self::Unspecified,
        }
    }
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let place = Place::find(context, &self.key)?;
        let passphrase = self.passphrase.passphrase()?;
        let mut chosen = None;
        let amended = place.amend(|key, now| {
            self.public.check(key.fingerprint())?;
            if let Some(name) = &self.subkey {
                chosen = Some(place::subkey(key, name, now)?);
            }
            let reason = self.reason.into();
            key.revoke(chosen.as_ref(), reason, &self.message, passphrase.as_ref(), now)
                .map_err(failure)
        })?;
        self.public.finish(context, &amended, chosen)
    }
}
