//! What the commands that change a key say, and where the new public key goes.

use std::io;
use std::path::{Path, PathBuf};

use aci::Limits;
use aci::stage::{self, Existing};
use anyhow::{Context as _, anyhow};
use keys::{AmendError, Certificate, Fingerprint};
use serde_json::json;

use super::super::files::{in_json, read_small};
use super::place::Amended;
use super::{Context, Failure, Kind};

/// Where the public half of a changed key goes.
#[derive(clap::Args)]
pub(super) struct PublicArgs {
    /// Also write the public key into this file. One that is there is replaced if it holds the
    /// same key
    #[arg(long, value_name = "FILE")]
    public: Option<PathBuf>,
}

impl PublicArgs {
    /// Refuses a file that cannot be replaced, before the key is changed.
    pub(super) fn check(&self, fingerprint: &Fingerprint) -> Result<(), Failure> {
        match &self.public {
            Some(path) => check_replaceable(path, fingerprint),
            None => Ok(()),
        }
    }

    /// Writes the public key, and says what has changed.
    pub(super) fn finish(
        &self,
        context: &Context,
        amended: &Amended,
        subkey: Option<Fingerprint>,
    ) -> Result<(), Failure> {
        let certificate = amended.key.certificate()?;
        if let Some(path) = &self.public {
            check_replaceable(path, certificate.fingerprint())?;
            stage::write(path, &certificate.armored(), 0o644, Existing::Replace)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        let fingerprint = amended.key.fingerprint();
        let changes: Vec<String> = amended.changes.iter().map(ToString::to_string).collect();
        let value = json!({
            "fingerprint": fingerprint,
            "subkey": subkey,
            "changes": changes,
            "secret": in_json(&amended.path),
            "public": self.public.as_deref().map(in_json),
            "publicKey": String::from_utf8_lossy(&certificate.armored()),
        });
        let mut text = format!("{}: ", amended.path.display());
        text.push_str(&if changes.is_empty() { "unchanged".into() } else { changes.join("\n  ") });
        context.print(&value, text)?;
        if !changes.is_empty() {
            let publish = match &self.public {
                Some(path) => path.display().to_string(),
                None => format!("gantry key export {fingerprint} -o FILE"),
            };
            context.note(format_args!(
                "it counts for others when they have the new public key: {publish}"
            ));
        }
        Ok(())
    }
}

/// A file of another kind, or of another key, is not meant.
fn check_replaceable(path: &Path, fingerprint: &Fingerprint) -> Result<(), Failure> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        _ => {}
    }
    let limits = Limits::default();
    let known = read_small(path, limits.key_bytes)?;
    let same = Certificate::read_all(&known, &limits)
        .is_ok_and(|all| all.len() == 1 && all[0].fingerprint() == fingerprint);
    if same {
        return Ok(());
    }
    let error = anyhow!(
        "{} is there and is not the public key {fingerprint} alone: it is not replaced",
        path.display()
    );
    Err(Failure::new(Kind::Failed, error))
}

/// Why a key was not changed, as the end of a command.
pub(super) fn failure(error: AmendError) -> Failure {
    let kind = match &error {
        AmendError::NoSubkey { .. } => Kind::NotFound,
        AmendError::ExpiresTooLate(_) | AmendError::ExpiresInPast(_) | AmendError::Message => {
            Kind::Usage
        }
        _ => Kind::Failed,
    };
    Failure::new(kind, error)
}
