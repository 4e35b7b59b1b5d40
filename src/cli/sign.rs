//! `gantry sign`: the author's signature over an image file.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use aci::Limits;
use aci::stage::{self, Existing};
use anyhow::{Context as _, anyhow};
use keys::{AddedSignature, Earlier, Signer};
use serde_json::json;

use super::client::now;
use super::files::{absent, in_json, read_small, signature_beside};
use super::key::{PassphraseArgs, Place};
use super::{Context, Failure, Kind};

/// Sign a file: an armored, detached OpenPGP signature, written beside it
///
/// The file is not looked into: any file can be signed. The newest subkey that may sign does it,
/// or the primary key where there is none. The signature is read back and verified before it is
/// written. gpg --verify accepts it.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry sign hello.aci --key key.asc                        # writes hello.aci.asc
  gantry sign hello.aci --key ci@example.com                 # of the folder of keys
  gantry sign hello.aci --key second.asc --add               # a further signature in hello.aci.asc
  gantry sign hello.aci --key key.asc --passphrase-file pass.txt
  gantry sign hello.aci --key key.asc --passphrase-fd 3 3< <(secret-tool lookup key image)
  gantry sign hello.aci --key key.asc --json -o hello.asc")]
pub(crate) struct Args {
    /// The file to sign
    file: PathBuf,
    /// The secret key's file: of gantry, or of gpg --export-secret-keys; or a key of the folder
    /// of keys, by its fingerprint or the beginning of it, its user ID or its mail address
    #[arg(long, short, value_name = "FILE|KEY")]
    key: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// Where to write the signature; FILE.asc if not given
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the signature file if it exists
    #[arg(long)]
    overwrite: bool,
    /// Keep the signatures that are in the signature file, and add one to them; where this key
    /// has signed these bytes already, nothing is done
    #[arg(long, conflicts_with = "overwrite")]
    add: bool,
    /// With --add: what this key has signed before gives way to the new signature
    #[arg(long, requires = "add")]
    renew: bool,
}

/// What was written.
struct Written {
    /// Whether a signature was made.
    new: bool,
    /// How many signatures the file holds.
    count: usize,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let output = self.output.clone().unwrap_or_else(|| signature_beside(&self.file));
        if !self.overwrite && !self.add && output.symlink_metadata().is_ok() {
            return Err(exists(&output));
        }
        let signer = signer(context, &self.key, &self.passphrase)?;
        let (file, bytes) = regular(&self.file)?;
        let bar = context.progress("signing", Some(bytes));
        let written = match self.add {
            true => self.add(&signer, &file, bar.wrap_read(&file), &output),
            false => self.write(&signer, bar.wrap_read(&file), &output),
        };
        bar.finish_and_clear();
        let written = written?;
        let value = json!({
            "signature": in_json(&output),
            "fingerprint": signer.fingerprint(),
            "signingKey": signer.signing_key(),
            "userId": signer.user_id(),
            "new": written.new,
            "signatures": written.count,
        });
        let owner = signer.user_id().map_or_else(String::new, |id| format!(" ({id})"));
        let signed = if written.new { "signed" } else { "was already signed" };
        let text = format!("{}: {signed} by {}{owner}", output.display(), signer.fingerprint());
        Ok(context.print(&value, text)?)
    }

    fn write(&self, signer: &Signer, data: impl Read, output: &Path) -> Result<Written, Failure> {
        let signature = signer.sign(data).with_context(|| self.none())?;
        let existing = if self.overwrite { Existing::Replace } else { Existing::Refuse };
        put(output, &signature, existing)?;
        Ok(Written { new: true, count: 1 })
    }

    /// Adds to the signatures that are there. Two that add at the same time take turns.
    fn add(
        &self,
        signer: &Signer,
        file: &File,
        data: impl Read,
        output: &Path,
    ) -> Result<Written, Failure> {
        file.lock().with_context(|| format!("cannot lock {}", self.file.display()))?;
        let limits = Limits::default();
        if output.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return self.write(signer, data, output);
        }
        let known = read_small(output, limits.signature_bytes)?;
        let earlier = if self.renew { Earlier::Replace } else { Earlier::Keep };
        match signer.add(&known, data, earlier, &limits).with_context(|| self.none())? {
            AddedSignature::Present(count) => Ok(Written { new: false, count }),
            AddedSignature::Added(signatures, count) => {
                put(output, &signatures, Existing::Replace)?;
                Ok(Written { new: true, count })
            }
        }
    }

    fn none(&self) -> String {
        format!("no signature for {}", self.file.display())
    }
}

/// Opens a secret key: a file, or one of the folder of keys.
pub(super) fn signer(
    context: &Context,
    key: &Path,
    passphrase: &PassphraseArgs,
) -> Result<Signer, Failure> {
    let place = Place::find(context, key)?;
    let path = place.path();
    let secret = read_small(&path, Limits::default().key_bytes)?;
    let passphrase = passphrase.passphrase()?;
    let signer = Signer::open(&secret, passphrase.as_ref(), now())
        .with_context(|| format!("cannot sign with {}", path.display()))?;
    // What others can read, others can sign with.
    let mode = path.metadata().map(|metadata| metadata.permissions().mode());
    if mode.is_ok_and(|mode| mode & 0o077 != 0) {
        let key = path.display();
        context.note(format_args!("note: others can read {key}: chmod 600 {key}"));
    }
    Ok(signer)
}

/// Opens a regular file, and tells its size. A pipe or a device is refused: what was
/// signed could not be published afterwards.
pub(super) fn regular(path: &Path) -> Result<(File, u64), Failure> {
    let cannot = || format!("cannot read {}", path.display());
    let metadata = path.metadata().with_context(cannot).map_err(absent)?;
    if !metadata.is_file() {
        return Err(anyhow!("{} is no regular file", path.display()).into());
    }
    let file = File::open(path).with_context(cannot)?;
    Ok((file, metadata.len()))
}

fn put(path: &Path, signatures: &[u8], existing: Existing) -> Result<(), Failure> {
    stage::write(path, signatures, 0o644, existing).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => exists(path),
        _ => Failure::from(
            anyhow::Error::new(error).context(format!("cannot write {}", path.display())),
        ),
    })
}

fn exists(path: &Path) -> Failure {
    let path = path.display();
    Failure::new(
        Kind::Failed,
        anyhow!("{path} exists: --overwrite replaces it, --add puts a further signature into it"),
    )
}
