//! `gantry trust remove`.

use aci::{Limits, Name};
use keys::{Fingerprint, Removal, Scope, TrustEntry};
use serde_json::json;

use super::super::files::in_json;
use super::super::{Failure, Kind};
use super::{Context, entries, failure, usage};

/// Trust a key no longer, for one prefix or for all it was trusted for
///
/// A key that an earlier tree brings cannot be removed there: an empty file of its name in
/// the tree that is written to takes its trust away instead. Exit code 2 where the key was
/// not trusted there.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry trust remove --prefix example.com/team 5C3E2B1F5C3E2B1F5C3E2B1F5C3E2B1F5C3E2B1F
  gantry trust remove 5C3E2B1F5C3E2B1F5C3E2B1F5C3E2B1F5C3E2B1F       # everywhere
  gantry trust remove --mask --prefix example.com/private 5C3E2B1F5C3E2B1F5C3E2B1F5C3E2B1F5C3E2B1F")]
pub(crate) struct Args {
    /// Only for this prefix
    #[arg(long, value_name = "NAME", conflicts_with = "root", value_parser = super::prefix)]
    prefix: Option<Name>,
    /// Only for every name at large
    #[arg(long)]
    root: bool,
    /// Take the trust away for this scope whatever a shorter prefix says: with an empty file
    #[arg(long)]
    mask: bool,
    /// The primary key's fingerprint
    #[arg(value_name = "FPR")]
    fingerprint: Fingerprint,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let trusted = context.trust_store();
        let limits = Limits::default();
        let scopes = match (&self.prefix, self.root, self.mask) {
            (Some(prefix), ..) => vec![Scope::Prefix(prefix.clone())],
            (None, true, _) => vec![Scope::Root],
            (None, false, true) => {
                return Err(usage("--mask needs to know for which names: --prefix NAME or --root"));
            }
            (None, false, false) => entries(context, &trusted)?
                .into_iter()
                .filter(|entry| entry.fingerprint == self.fingerprint && entry.trusts())
                .map(|entry: TrustEntry| entry.scope)
                .collect(),
        };
        let (mut removed, mut masked) = (Vec::new(), Vec::new());
        for scope in scopes {
            if self.mask {
                if trusted.mask(&scope, &self.fingerprint, &limits).map_err(failure)? {
                    removed.push(scope.to_string());
                }
                continue;
            }
            match trusted.remove(&scope, &self.fingerprint, &limits).map_err(failure)? {
                Removal::Absent => {}
                Removal::Removed => removed.push(scope.to_string()),
                Removal::Masked { path, brought_by } => {
                    context.note(format_args!(
                        "{} brings this key and is not changed: {} takes its trust away",
                        brought_by.display(),
                        path.display()
                    ));
                    removed.push(scope.to_string());
                    masked.push(json!({
                        "prefix": match &scope { Scope::Root => None, Scope::Prefix(p) => Some(p) },
                        "path": in_json(&path),
                        "broughtBy": in_json(&brought_by),
                    }));
                }
            }
        }
        if removed.is_empty() {
            let place = self.prefix.map_or_else(String::new, |prefix| format!(" for {prefix}"));
            let error = anyhow::anyhow!("{} is not trusted{place}", self.fingerprint);
            return Err(Failure::new(Kind::Absent, error));
        }
        let text = format!("{} is no longer trusted for {}", self.fingerprint, removed.join(", "));
        let value =
            json!({ "fingerprint": self.fingerprint, "removed": removed, "masked": masked });
        Ok(context.print(&value, text)?)
    }
}
