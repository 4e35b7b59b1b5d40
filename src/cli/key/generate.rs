//! `gantry key generate`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use aci::Limits;
use aci::stage::{self, Existing, StagedFile};
use anyhow::anyhow;
use jiff::Timestamp;
use keys::{Algorithm, GenerateOptions, Generated, SecretKey};
use serde_json::json;

use super::super::files::in_json;
use super::client::now;
use super::lifetime::Lifetime;
use super::{Context, Failure, Kind, PassphraseArgs, place};

/// Make a key to sign images with: in the folder of keys, or as a secret file and a public one
///
/// One primary key that certifies and signs; `gantry key subkey add` adds one that signs in its
/// place. The secret file has mode 0600; files that exist are never overwritten.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry key generate --user-id 'Example CI <ci@example.com>'      # in the folder of keys
  gantry key generate --user-id 'Example CI <ci@example.com>' --secret key.asc --public key.pub.asc
  gantry key generate --user-id 'Example <a@example.com>' --algorithm rsa4096 \\
      --secret key.asc --public key.pub.asc               # for rkt and acpush, which refuse Ed25519
  gantry key generate --user-id 'Example <a@example.com>' --expires never \\
      --passphrase-file pass.txt --secret key.asc --public key.pub.asc")]
pub(crate) struct Args {
    /// Whose key it is, as 'Example CI <ci@example.com>'
    #[arg(long, value_name = "TEXT")]
    user_id: String,
    /// ed25519, or rsa4096 for old clients: rkt, acpush and others that use Go's first OpenPGP library
    #[arg(long, default_value = "ed25519")]
    algorithm: Algorithm,
    /// When the key stops signing, from now: 2y, 90d, 12h, or never. What it signed before stays good
    #[arg(long, default_value = "2y", value_name = "TIME")]
    expires: Lifetime,
    /// The secret key's file; if not given, it goes into the folder of keys
    #[arg(long, value_name = "FILE", requires = "public")]
    secret: Option<PathBuf>,
    /// The public key's file
    #[arg(long, value_name = "FILE")]
    public: Option<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        if self.secret.is_some() && self.secret == self.public {
            let error =
                anyhow!("--secret and --public name one file: the secret would be published");
            return Err(Failure::new(Kind::Usage, error));
        }
        // Asked again when they are written; asked now, since RSA keys take a while.
        for path in [&self.secret, &self.public].into_iter().flatten() {
            if path.symlink_metadata().is_ok() {
                return Err(exists(path));
            }
        }
        let options = GenerateOptions {
            user_id: self.user_id,
            algorithm: self.algorithm,
            expires: self.expires.duration(),
            passphrase: self.passphrase.passphrase()?,
            now: now(),
        };
        let locked = options.passphrase.is_some();
        let bar = context.progress("generating", None);
        let generated = keys::generate(&options);
        bar.finish_and_clear();
        let generated = generated?;
        let secret = match (&self.secret, &self.public) {
            (Some(secret), Some(public)) => write(secret, public, &generated)?,
            (_, public) => keep(context, public.as_deref(), &generated)?,
        };
        if !locked {
            context.note(format_args!(
                "note: {} has no passphrase; its file mode alone guards it",
                secret.display()
            ));
        }
        let expires = generated.certificate.expires(options.now).map(Timestamp::try_from);
        let expires = expires.transpose()?.map(|time| time.strftime("%Y-%m-%d").to_string());
        let value = json!({
            "fingerprint": generated.fingerprint,
            "userId": options.user_id,
            "algorithm": options.algorithm.to_string(),
            "expires": expires,
            "locked": locked,
            "secret": in_json(&secret),
            "public": self.public.as_deref().map(in_json),
        });
        let (fingerprint, secret) = (generated.fingerprint, secret.display());
        let mut text = format!("fingerprint: {fingerprint}\nsecret key:  {secret}");
        if let Some(public) = &self.public {
            text.push_str(&format!("\npublic key:  {}", public.display()));
        }
        text.push_str(&format!("\nexpires:     {}", expires.as_deref().unwrap_or("never")));
        Ok(context.print(&value, text)?)
    }
}

/// Into the folder of keys, and the public half into its file.
fn keep(
    context: &Context,
    public: Option<&Path>,
    generated: &Generated,
) -> Result<PathBuf, Failure> {
    let key = SecretKey::read(&generated.secret, &Limits::default())?;
    let path = context.key_folder().lock().and_then(|locked| locked.write(&key));
    let path = path.map_err(place::failure)?;
    if let Some(public) = public {
        stage::write(public, &generated.public, 0o644, Existing::Refuse).map_err(|error| {
            let _ = stage::remove(&path);
            cannot(public, error)
        })?;
    }
    Ok(path)
}

/// Both files or none.
fn write(secret: &Path, public: &Path, generated: &Generated) -> Result<PathBuf, Failure> {
    let stage = |path: &Path, mode, bytes: &[u8]| {
        let staged = StagedFile::new_in(folder(path), mode).and_then(|mut staged| {
            staged.write_all(bytes)?;
            Ok(staged)
        });
        staged.map_err(|error| cannot(path, error))
    };
    let staged_secret = stage(secret, 0o600, &generated.secret)?;
    let staged_public = stage(public, 0o644, &generated.public)?;
    staged_secret.commit(secret, Existing::Refuse).map_err(|error| cannot(secret, error))?;
    staged_public.commit(public, Existing::Refuse).map_err(|error| {
        // A secret key without its public one is of no use, and in the way of a second try.
        let _ = stage::remove(secret);
        cannot(public, error)
    })?;
    Ok(secret.to_owned())
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn cannot(path: &Path, error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::AlreadyExists {
        return exists(path);
    }
    let error = anyhow::Error::new(error).context(format!("cannot write {}", path.display()));
    Failure::new(Kind::Failed, error)
}

fn exists(path: &Path) -> Failure {
    let path = path.display();
    Failure::new(
        Kind::Failed,
        anyhow!(
            "{path} exists, and a key is never overwritten: name another file, or move it away"
        ),
    )
}
