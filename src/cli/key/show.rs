//! `gantry key show`.

use std::path::PathBuf;

use aci::Limits;
use anyhow::Context as _;
use jiff::Timestamp;
use keys::Certificate;
use serde_json::{Value, json};

use super::super::files::read_small;
use super::client::now;
use super::trust::{describe, problem};
use super::{Context, Failure, Kind};

/// Show the public keys of a file: fingerprints, owners, expiry
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry key show key.pub.asc
  gantry key show --json key.pub.asc")]
pub(crate) struct Args {
    /// A file of public keys, armored or binary
    file: PathBuf,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let limits = Limits::default();
        let bytes = read_small(&self.file, limits.key_bytes)?;
        let certificates = Certificate::read_all(&bytes, &limits)
            .with_context(|| self.file.display().to_string())
            .map_err(|error| Failure::new(Kind::Refused, error))?;
        let text: Vec<String> = certificates.iter().map(describe).collect();
        let value: Vec<Value> = certificates.iter().map(to_json).collect();
        Ok(context.print(&json!({ "keys": value }), text.join("\n\n"))?)
    }
}

fn to_json(certificate: &Certificate) -> Value {
    let time = |time| Timestamp::try_from(time).map(|t| t.to_string()).ok();
    json!({
        "fingerprint": certificate.fingerprint(),
        "subkeys": certificate.subkey_fingerprints(),
        "userIds": certificate.user_ids(),
        "created": time(certificate.created()),
        "expires": certificate.expires(now()).and_then(time),
        "revoked": certificate.revoked(now()),
        "problem": problem(certificate),
    })
}
