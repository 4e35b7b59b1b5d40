//! `gantry trust show`.

use std::fmt::Write;

use keys::{Certificate, Fingerprint, TrustEntry};
use serde_json::json;

use super::super::{Failure, Kind};
use super::{Context, describe, entries, entry_json, masked_by, note};

/// Show a trusted key: its fingerprints, its owner, and what it may sign
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry trust show 5C3E2B1F5C3E2B1F5C3E2B1F5C3E2B1F5C3E2B1F
  gantry --json trust show 5C3E2B1F5C3E2B1F5C3E2B1F5C3E2B1F5C3E2B1F   # the armored key too")]
pub(crate) struct Args {
    /// The primary key's fingerprint
    #[arg(value_name = "FPR")]
    fingerprint: Fingerprint,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let mut entries = entries(context, &context.trust_store())?;
        entries.retain(|entry| entry.fingerprint == self.fingerprint);
        let Some(first) = entries.first() else {
            let error = anyhow::anyhow!("no key {} is trusted for anything", self.fingerprint);
            return Err(Failure::new(Kind::NotFound, error));
        };
        let certificate = entries.iter().find_map(|entry| entry.certificate.as_ref());
        let mut text = match certificate {
            Some(certificate) => describe(certificate),
            None => format!("fingerprint: {}", first.fingerprint.spaced()),
        };
        for entry in &entries {
            let _ = write!(text, "\n{}", line(entry, &entries));
        }
        let value = json!({
            "fingerprint": self.fingerprint,
            "subkeys": certificate.map(Certificate::subkey_fingerprints).unwrap_or_default(),
            "userIds": certificate.map(Certificate::user_ids).unwrap_or_default(),
            "problem": certificate.and_then(super::problem),
            "note": certificate.and_then(note),
            "armored": certificate.map(|c| String::from_utf8_lossy(&c.armored()).into_owned()),
            "entries": entries.iter().map(|entry| entry_json(entry, &entries)).collect::<Vec<_>>(),
        });
        Ok(context.print(&value, text)?)
    }
}

fn line(entry: &TrustEntry, all: &[TrustEntry]) -> String {
    let masked = if entry.certificate.is_none() { "not " } else { "" };
    let mut line = format!("{masked}trusted for {}: {}", entry.scope, entry.path.display());
    if let Some(by) = &entry.overridden_by {
        let _ = write!(line, " (overridden by {})", by.display());
    }
    for path in masked_by(entry, all) {
        let _ = write!(line, " (masks {})", path.display());
    }
    line
}
