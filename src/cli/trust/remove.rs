//! `gantry trust remove`.

use aci::Name;
use keys::{Fingerprint, Scope, TrustStore};
use serde_json::json;

use super::super::{Failure, Kind};
use super::{Context, entries};

/// Trust a key no longer, for one prefix or for all it was trusted for
///
/// Exit code 2 where it was not trusted there.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry trust remove --prefix example.com/team 5C3E2B1F5C3E2B1F5C3E2B1F5C3E2B1F5C3E2B1F
  gantry trust remove 5C3E2B1F5C3E2B1F5C3E2B1F5C3E2B1F5C3E2B1F       # everywhere")]
pub(crate) struct Args {
    /// Only for this prefix
    #[arg(long, value_name = "NAME", conflicts_with = "root")]
    prefix: Option<Name>,
    /// Only for every name at large
    #[arg(long)]
    root: bool,
    /// The primary key's fingerprint
    #[arg(value_name = "FPR")]
    fingerprint: Fingerprint,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let scopes = match (&self.prefix, self.root) {
            (Some(prefix), _) => vec![Scope::Prefix(prefix.clone())],
            (None, true) => vec![Scope::Root],
            (None, false) => entries(context)?
                .into_iter()
                .filter(|entry| entry.fingerprint == self.fingerprint)
                .map(|entry| entry.scope)
                .collect(),
        };
        let trusted = TrustStore::open(&context.trust_dir());
        let mut removed = Vec::new();
        for scope in scopes {
            if trusted.remove(&scope, &self.fingerprint)? {
                removed.push(scope.to_string());
            }
        }
        if removed.is_empty() {
            let place = self.prefix.map_or_else(String::new, |prefix| format!(" for {prefix}"));
            let error = anyhow::anyhow!("{} is not trusted{place}", self.fingerprint);
            return Err(Failure::new(Kind::Absent, error));
        }
        let text = format!("{} is no longer trusted for {}", self.fingerprint, removed.join(", "));
        let value = json!({ "fingerprint": self.fingerprint, "removed": removed });
        Ok(context.print(&value, text)?)
    }
}
