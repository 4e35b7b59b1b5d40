//! `gantry key export`.

use std::path::PathBuf;

use aci::stage::{self, Existing};
use anyhow::anyhow;
use keys::{Fingerprint, RevocationReason, SecretKey};
use serde_json::json;

use super::super::files::{cannot_write, in_json};
use super::amended::failure;
use super::client::now;
use super::place::{self, Place};
use super::{Context, Failure, Kind, PassphraseArgs};

/// Write a key out: its public half, its secret, or what a machine that signs needs of it
///
/// The public half is for everybody. A secret is written as it lies here, locked or open; a file
/// of it has mode 0600. gpg imports all of them.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry key export ci@example.com -o author.pub.asc
  gantry key export ci@example.com --secret-subkeys -o ci.asc    # for CI: the primary key stays here
  gantry key export 5C3E2B1F --secret -o backup.asc
  gantry key export 5C3E2B1F --revocation -o revoke.asc          # for the safe: to import when all is lost
  gantry key export author.key > author.pub.asc")]
pub(crate) struct Args {
    /// The key: a secret key's file, or a key of the folder by fingerprint, user ID or mail address
    #[arg(value_name = "FILE|KEY")]
    key: PathBuf,
    #[command(flatten)]
    form: FormArgs,
    /// With --secret-subkeys: this subkey alone, by the beginning of its fingerprint; may be given
    /// several times. If not given, all that may sign today
    #[arg(long = "subkey", value_name = "FPR", requires = "secret_subkeys")]
    subkeys: Vec<String>,
    /// The file to write; stdout if not given
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file if it exists
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

/// What of the key is written, other than its public half.
#[derive(clap::Args)]
#[group(multiple = false)]
struct FormArgs {
    /// The whole secret key
    #[arg(long)]
    secret: bool,
    /// The secret parts of the subkeys that sign, without the primary key's: as gpg's
    /// --export-secret-subkeys
    #[arg(long)]
    secret_subkeys: bool,
    /// A revocation of the whole key for no reason, which takes effect where it is imported
    #[arg(long)]
    revocation: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let place = Place::find(context, &self.key)?;
        let key = place.read()?;
        let (bytes, mode) = self.bytes(&key)?;
        let Some(path) = &self.output else {
            if !context.json() {
                return Ok(context.write(&bytes)?);
            }
            let armored = String::from_utf8_lossy(&bytes);
            let value = json!({ "fingerprint": key.fingerprint(), "armored": armored });
            return Ok(context.print(&value, "")?);
        };
        let existing = if self.overwrite { Existing::Replace } else { Existing::Refuse };
        // A secret that anybody could read for a moment is none.
        let written = match mode {
            0o600 => keys::write_secret(path, &bytes, existing),
            mode => stage::write(path, &bytes, mode, existing),
        };
        written.map_err(|error| cannot_write(path, error))?;
        let value = json!({ "fingerprint": key.fingerprint(), "file": in_json(path) });
        let text = format!("{}: {} of {}", path.display(), self.form.word(), key.fingerprint());
        Ok(context.print(&value, text)?)
    }

    fn bytes(&self, key: &SecretKey) -> Result<(Vec<u8>, u32), Failure> {
        if self.form.secret {
            return Ok((key.armored()?, 0o600));
        }
        if self.form.secret_subkeys {
            return Ok((self.signing_subkeys(key)?.armored()?, 0o600));
        }
        if self.form.revocation {
            let passphrase = self.passphrase.passphrase()?;
            let reason = RevocationReason::Unspecified;
            let revocation = key
                .revocation_certificate(reason, "", passphrase.as_ref(), now())
                .map_err(failure)?;
            // Whoever has it can revoke the key.
            return Ok((revocation, 0o600));
        }
        Ok((key.certificate()?.armored(), 0o644))
    }

    fn signing_subkeys(&self, key: &SecretKey) -> Result<SecretKey, Failure> {
        let chosen = self.subkeys.iter().map(|name| place::subkey(key, name, now()));
        let chosen = chosen.collect::<Result<Vec<Fingerprint>, Failure>>()?;
        key.signing_subkeys(&chosen, now())?.ok_or_else(|| {
            let fingerprint = key.fingerprint();
            let error = match chosen.is_empty() {
                true => anyhow!(
                    "key {fingerprint} has no subkey that can sign today with its secret here: \
                     gantry key subkey add {fingerprint}"
                ),
                false => anyhow!("the secret parts of these subkeys are not here"),
            };
            Failure::new(Kind::NotFound, error)
        })
    }
}

impl FormArgs {
    fn word(&self) -> &'static str {
        match (self.secret, self.secret_subkeys, self.revocation) {
            (true, ..) => "the secret key",
            (_, true, _) => "the secret subkeys",
            (_, _, true) => "a revocation",
            _ => "the public key",
        }
    }
}
