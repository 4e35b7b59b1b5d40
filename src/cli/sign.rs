//! `gantry sign`: the author's signature over an image file.

use std::fs::File;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use aci::Limits;
use aci::stage::{self, Existing};
use anyhow::{Context as _, anyhow};
use keys::Signer;
use serde_json::json;

use super::client::now;
use super::files::{absent, in_json, read_small, signature_beside};
use super::key::PassphraseArgs;
use super::{Context, Failure, Kind};

/// Sign a file: an armored, detached OpenPGP signature, written beside it
///
/// The file is not looked into: any file can be signed. The signature is read back and
/// verified before it is written. gpg --verify accepts it.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry sign hello.aci --key key.asc                        # writes hello.aci.asc
  gantry sign hello.aci --key key.asc --passphrase-file pass.txt
  gantry sign hello.aci --key key.asc --passphrase-fd 3 3< <(secret-tool lookup key image)
  gantry sign hello.aci --key key.asc --json -o hello.asc")]
pub(crate) struct Args {
    /// The file to sign
    file: PathBuf,
    /// The secret key's file: of gantry, or of gpg --export-secret-keys
    #[arg(long, short, value_name = "FILE")]
    key: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// Where to write the signature; FILE.asc if not given
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the signature file if it exists
    #[arg(long)]
    overwrite: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let output = self.output.clone().unwrap_or_else(|| signature_beside(&self.file));
        if !self.overwrite && output.symlink_metadata().is_ok() {
            return Err(exists(&output));
        }
        let signer = self.signer(context)?;
        let (file, bytes) = regular(&self.file)?;
        let bar = context.progress("signing", Some(bytes));
        let signature = signer.sign(bar.wrap_read(file));
        bar.finish_and_clear();
        let signature =
            signature.with_context(|| format!("no signature for {}", self.file.display()))?;
        let existing = if self.overwrite { Existing::Replace } else { Existing::Refuse };
        stage::write(&output, &signature, 0o644, existing).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => exists(&output),
            _ => Failure::from(
                anyhow::Error::new(error).context(format!("cannot write {}", output.display())),
            ),
        })?;
        let value = json!({
            "signature": in_json(&output),
            "fingerprint": signer.fingerprint(),
            "signingKey": signer.signing_key(),
            "userId": signer.user_id(),
        });
        let owner = signer.user_id().map_or_else(String::new, |id| format!(" ({id})"));
        let text = format!("{}: signed by {}{owner}", output.display(), signer.fingerprint());
        Ok(context.print(&value, text)?)
    }

    fn signer(&self, context: &Context) -> Result<Signer, Failure> {
        let secret = read_small(&self.key, Limits::default().key_bytes)?;
        let passphrase = self.passphrase.passphrase()?;
        let signer = Signer::open(&secret, passphrase.as_ref(), now())
            .with_context(|| format!("cannot sign with {}", self.key.display()))?;
        // What others can read, others can sign with.
        let mode = self.key.metadata().map(|metadata| metadata.permissions().mode());
        if mode.is_ok_and(|mode| mode & 0o077 != 0) {
            let key = self.key.display();
            context.note(format_args!("note: others can read {key}: chmod 600 {key}"));
        }
        Ok(signer)
    }
}

/// Opens a regular file, and tells its size. A pipe or a device is refused: what was
/// signed could not be published afterwards.
fn regular(path: &Path) -> Result<(File, u64), Failure> {
    let cannot = || format!("cannot read {}", path.display());
    let metadata = path.metadata().with_context(cannot).map_err(absent)?;
    if !metadata.is_file() {
        return Err(anyhow!("{} is no regular file", path.display()).into());
    }
    let file = File::open(path).with_context(cannot)?;
    Ok((file, metadata.len()))
}

fn exists(path: &Path) -> Failure {
    let path = path.display();
    Failure::new(Kind::Failed, anyhow!("{path} exists: --overwrite replaces it"))
}
