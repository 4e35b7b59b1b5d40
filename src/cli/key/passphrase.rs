//! Where a passphrase comes from: a file, a descriptor or a variable, never a question.

use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use keys::Passphrase;

use super::super::{Failure, Kind, files};

const VARIABLE: &str = "GANTRY_KEY_PASSPHRASE";

/// More than anybody types, so that a wrong file is told from a passphrase.
const MAX_BYTES: u64 = 4096;

/// The secret key's passphrase.
#[derive(clap::Args)]
pub(crate) struct PassphraseArgs {
    /// Read the secret key's passphrase from this file; the line end at its end is dropped
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase_fd")]
    passphrase_file: Option<PathBuf>,
    /// Read the secret key's passphrase from this file descriptor; without either, from
    /// GANTRY_KEY_PASSPHRASE, where that is set
    #[arg(long, value_name = "N")]
    passphrase_fd: Option<u32>,
}

impl PassphraseArgs {
    /// The passphrase, where one was given. An empty one is refused: it was meant to be one.
    pub(crate) fn passphrase(&self) -> Result<Option<Passphrase>, Failure> {
        let given = read(self.passphrase_file.as_deref(), self.passphrase_fd)?;
        if given.is_some() {
            return Ok(given);
        }
        #[expect(clippy::disallowed_methods, reason = "the command reads its variables")]
        let Some(value) = std::env::var_os(VARIABLE) else { return Ok(None) };
        filled(value.into_vec(), VARIABLE).map(Some)
    }
}

/// The passphrase in a file or behind a descriptor, where one of the two was given.
pub(in crate::cli) fn read(
    file: Option<&Path>,
    descriptor: Option<u32>,
) -> Result<Option<Passphrase>, Failure> {
    let (bytes, from) = match (file, descriptor) {
        (Some(path), _) => (files::read_small(path, MAX_BYTES)?, path.display().to_string()),
        (None, Some(number)) => {
            // Opened by its name in /dev, so that nobody else's descriptor is closed.
            let path = PathBuf::from(format!("/dev/fd/{number}"));
            (files::read_small(&path, MAX_BYTES)?, format!("descriptor {number}"))
        }
        (None, None) => return Ok(None),
    };
    filled(bytes, &from).map(Some)
}

fn filled(bytes: Vec<u8>, from: &str) -> Result<Passphrase, Failure> {
    Passphrase::from_line(bytes)
        .ok_or_else(|| Failure::new(Kind::Usage, anyhow!("the passphrase from {from} is empty")))
}
