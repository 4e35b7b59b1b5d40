//! `gantry verify`: who signed an image file, and whether that counts.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use aci::archive::{ArchiveError, InspectedImage};
use aci::{ImageManifest, Limits, Reference, Refusal};
use anyhow::{Context as _, anyhow};
use discovery::explain::{self, Step};
use discovery::fetch::Trust;
use jiff::{Timestamp, Unit};
use keys::{
    Assessment, Certificate, GoodSignature, Keyring, Liveness, Policy, ReceiveEncryptedError,
    ReceiveError, Scope, VerifyError,
};
use serde_json::{Value, json};

use super::client::now;
use super::files::{absent, read_small, read_some, signature_beside};
use super::open::{OpenArgs, locked, nameless, open, refused};
use super::signatures::{self, Several};
use super::{Context, Failure, Kind};

/// Verify an image file: read to its end, sound, and signed by a key trusted for its name
///
/// The name is the one inside the image. A signature is judged at the time it was made: a
/// key that has expired since is told, a revoked one is refused. Where the file holds several
/// signatures, one that counts is enough; each is listed with its verdict.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry verify hello.aci                                # against the trusted keys
  gantry verify hello.aci --public key.pub.asc           # against this key alone
  gantry verify hello.aci --name example.com/team/hello:1.0.0
  gantry verify hello.aci --signature elsewhere.asc --json
  gantry verify secret.aci --passphrase-file pass.txt    # the signature is over the encrypted file")]
pub(crate) struct Args {
    /// The image file
    file: PathBuf,
    /// The signature's file; FILE.asc if not given
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    /// Accept the keys of this file, for any name, and no others; may be given several times
    #[arg(long, value_name = "FILE")]
    public: Vec<PathBuf>,
    /// The name and labels the image must have: NAME[:VERSION][,LABEL=VALUE…]
    #[arg(long, value_name = "REFERENCE")]
    name: Option<Reference>,
    #[command(flatten)]
    open: OpenArgs,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let limits = Limits::default();
        let mut file = open(&self.file)
            .with_context(|| format!("cannot read {}", self.file.display()))
            .map_err(absent)?;
        let signature = self.signature(&limits)?;
        let trust = self.trust(context, &limits)?;
        let Trust { keyring, policy } = &trust;
        let name = self.name.as_ref().map(Reference::name);
        // What the signature says of itself is judged before gigabytes are read.
        let several = Several::of(&signature, &limits);
        if let Err(error) = keyring.check_signer(&signature, name, policy, &limits) {
            let signers = explain::signers(&signature, name, &trust, &limits);
            return Err(self.untrusted(signers, &trust, &error));
        }
        let passphrase = match file.is_encrypted() {
            true => Some(self.open.passphrase()?.ok_or_else(locked)?),
            false => None,
        };
        let bar = context.progress("verifying", Some(file.size()));
        let reader = bar.wrap_read(&mut file);
        let again = || File::open(&self.file);
        let refuse = |error| {
            let ReceiveError::Verify(error) = error else { return failure(error) };
            // Of several it is told which match the image.
            let signers = match several.are().then(again) {
                Some(Ok(file)) => {
                    let all = several.assess(file, name, keyring, policy).unwrap_or_default();
                    all.iter().map(explain::signer).collect()
                }
                _ => explain::signers(&signature, name, &trust, &limits),
            };
            self.untrusted(signers, &trust, &error)
        };
        let verified = match &passphrase {
            None => keys::receive(reader, io::sink(), &signature, keyring, policy, &limits)
                .map(|image| (image.inspected().clone(), image.signature().clone()))
                .map_err(refuse),
            Some(passphrase) => {
                let plain = &mut nameless()?;
                keys::receive_encrypted(
                    reader, passphrase, plain, &signature, keyring, policy, &limits,
                )
                .map_err(|error| match error {
                    ReceiveEncryptedError::Decrypt(error) => refused(error),
                    ReceiveEncryptedError::Receive(error) => refuse(error),
                })
            }
        };
        bar.finish_and_clear();
        let (image, good) = verified?;
        if let Some(asked) = &self.name {
            check(asked, image.manifest())?;
        }
        let signatures = match several.are() {
            false => vec![signatures::only(&good)],
            true => several.assess(again()?, Some(&image.manifest().name), keyring, policy)?,
        };
        print(context, &image, &good, &signatures, passphrase.is_some())
    }

    /// The refusal, with what was decided as `gantry explain` says it.
    fn untrusted(&self, signers: Vec<Step>, trust: &Trust, error: &VerifyError) -> Failure {
        let (subject, name) = (self.file.display().to_string(), self.name.as_ref());
        let name = name.map(Reference::name);
        Failure::untrusted(error, explain::refused(&subject, signers, name, trust, error))
    }

    fn signature(&self, limits: &Limits) -> Result<Vec<u8>, Failure> {
        let path = self.signature.clone().unwrap_or_else(|| signature_beside(&self.file));
        if path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return Err(Failure::new(
                Kind::NotFound,
                anyhow!(
                    "there is no signature at {}: fetch it, name it with --signature FILE, or, as \
                     the author, make it with gantry sign",
                    path.display()
                ),
            ));
        }
        // The verification itself refuses what is too large, with all it has to say.
        read_some(&path, limits.signature_bytes + 1)
    }

    fn trust(&self, context: &Context, limits: &Limits) -> Result<Trust, Failure> {
        if self.public.is_empty() {
            return context.trust();
        }
        let mut keyring = Keyring::default();
        for path in &self.public {
            let bytes = read_small(path, limits.key_bytes)?;
            let certificates = Certificate::read_all(&bytes, limits)
                .with_context(|| path.display().to_string())
                .map_err(|error| Failure::new(Kind::Refused, error))?;
            certificates.into_iter().for_each(|one| keyring.push(one, Scope::Root));
        }
        let policy = Policy::new(now(), Liveness::AtSigning);
        Ok(Trust { keyring: Arc::new(keyring), policy })
    }
}

/// The image must be the one that was meant: another one of the same author is as well signed.
fn check(asked: &Reference, manifest: &ImageManifest) -> Result<(), Failure> {
    let (code, wanted, found) = if *asked.name() != manifest.name {
        ("name-mismatch", asked.name().to_string(), manifest.name.to_string())
    } else if let Some((label, found)) = asked.labels().first_mismatch(&manifest.labels) {
        let found = found.map_or("no such label".to_owned(), |v| format!("{}={v}", label.name));
        ("label-mismatch", format!("{}={}", label.name, label.value), found)
    } else {
        return Ok(());
    };
    Err(Failure::refusal(
        Kind::Refused,
        Refusal {
            code: code.to_owned(),
            message: format!("the image is not {asked}, though its signature is good"),
            wanted,
            found,
            rule: "name and labels asked for must stand in the image's manifest".to_owned(),
            next: "get the image that was meant, or ask for this one by its own name".to_owned(),
        },
    ))
}

fn failure(error: ReceiveError) -> Failure {
    match error {
        ReceiveError::Read(_) | ReceiveError::Write(_) => Failure::from(error),
        ReceiveError::Archive(ArchiveError::Io(error)) => Failure::from(error),
        refused => Failure::refused(&refused),
    }
}

fn print(
    context: &Context,
    inspected: &InspectedImage,
    signature: &GoodSignature,
    signatures: &[Assessment],
    encrypted: bool,
) -> Result<(), Failure> {
    let manifest = inspected.manifest();
    let signed = Timestamp::try_from(signature.created())?.round(Unit::Second)?;
    if !context.json() {
        signature.warnings().iter().for_each(|warning| context.warn(warning));
    }
    let value = json!({
        "imageId": inspected.image_id(),
        "name": manifest.name,
        "labels": manifest.labels,
        "fileDigest": inspected.file_digest(),
        "encrypted": encrypted,
        "signer": signature.signer(),
        "signingKey": signature.signing_key(),
        "userId": signature.user_id(),
        "signed": signed.to_string(),
        "trustedFor": signature.trusted_for().iter().map(scope_json).collect::<Vec<_>>(),
        "warnings": signature.warnings(),
        "signatures": signatures.iter().map(signatures::to_json).collect::<Vec<_>>(),
    });
    let scopes: Vec<String> = signature.trusted_for().iter().map(ToString::to_string).collect();
    let mut text = format!(
        "name:        {}\nlabels:      {}\nimage ID:    {}\nsigned by:   {}",
        manifest.name,
        discovery::printable_line(&manifest.labels.to_string()),
        inspected.image_id(),
        signature.signer(),
    );
    if signature.signing_key() != signature.signer() {
        text.push_str(&format!("\n  subkey:    {}", signature.signing_key()));
    }
    if let Some(user_id) = signature.user_id() {
        text.push_str(&format!("\nuser ID:     {}", discovery::printable_line(user_id)));
    }
    text.push_str(&format!("\nsigned on:   {signed}\ntrusted for: {}", scopes.join(", ")));
    if signatures.len() > 1 {
        text.push_str("\nsignatures:");
        let lines = signatures.iter().map(signatures::line);
        lines.for_each(|line| text.push_str(&format!("\n  {line}")));
    }
    Ok(context.print(&value, text)?)
}

/// As in `gantry trust list`: no prefix where it is every name.
fn scope_json(scope: &Scope) -> Value {
    match scope {
        Scope::Root => json!({ "prefix": null }),
        Scope::Prefix(prefix) => json!({ "prefix": prefix }),
    }
}
