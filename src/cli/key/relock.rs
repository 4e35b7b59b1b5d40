//! `gantry key passphrase`.

use std::path::PathBuf;

use anyhow::anyhow;
use serde_json::json;

use super::super::files::in_json;
use super::amended::failure;
use super::place::Place;
use super::{Context, Failure, Kind, PassphraseArgs, read_passphrase};

/// Lock a secret key with another passphrase, or with none
///
/// All secret parts that are here are opened with the present one and locked with the new one.
/// Copies of the key elsewhere keep theirs.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry key passphrase ci@example.com --new-passphrase-file new.txt
  gantry key passphrase 5C3E2B1F --passphrase-file old.txt --new-passphrase-file new.txt
  gantry key passphrase author.key --passphrase-file old.txt --remove")]
pub(crate) struct Args {
    /// The secret key: a file, or a key of the folder by fingerprint, user ID or mail address
    #[arg(value_name = "FILE|KEY")]
    key: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseArgs,
    #[command(flatten)]
    new: NewArgs,
}

/// The new passphrase.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct NewArgs {
    /// Read the new passphrase from this file; the line end at its end is dropped
    #[arg(long, value_name = "FILE")]
    new_passphrase_file: Option<PathBuf>,
    /// Read the new passphrase from this file descriptor
    #[arg(long, value_name = "N")]
    new_passphrase_fd: Option<u32>,
    /// Leave the key open: the mode of its file alone guards it then
    #[arg(long)]
    remove: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let place = Place::find(context, &self.key)?;
        let old = self.passphrase.passphrase()?;
        let new = &self.new;
        let new = read_passphrase(new.new_passphrase_file.as_deref(), new.new_passphrase_fd)?;
        if new.as_ref().is_some_and(|new| !new.is_one_line()) {
            let error =
                anyhow!("the new passphrase is not one line of text: gpg could not open it");
            return Err(Failure::new(Kind::Usage, error));
        }
        let amended =
            place.amend(|key, _| key.relock(old.as_ref(), new.as_ref()).map_err(failure))?;
        let locked = new.is_some();
        let value = json!({
            "fingerprint": amended.key.fingerprint(),
            "secret": in_json(&amended.path),
            "locked": locked,
        });
        let state = if locked { "locked with the new passphrase" } else { "without passphrase" };
        Ok(context.print(&value, format!("{}: {state}", amended.path.display()))?)
    }
}
