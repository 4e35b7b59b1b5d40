//! `gantry trust list`.

use std::fmt::Write;

use aci::Name;
use keys::{Scope, TrustEntry};

use super::{Context, Failure, entries, entry_json, masked_by, note};

/// List the trusted keys and what each may sign
///
/// With several trees each line ends with the tree its file lies in. An empty file takes a
/// key's trust away, and says from which other files; a file that one of a later tree
/// overrides says by which.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry trust list
  gantry trust list --name example.com/team/hello      # only those that bear on this name
  gantry trust list --json")]
pub(crate) struct Args {
    /// Only keys whose prefix covers this name
    #[arg(long, value_name = "NAME")]
    name: Option<Name>,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let trusted = context.trust_store();
        let all = entries(context, &trusted)?;
        let shown: Vec<&TrustEntry> = all
            .iter()
            .filter(|entry| self.name.as_ref().is_none_or(|name| entry.scope.covers(name)))
            .collect();
        if !context.json() && shown.is_empty() {
            context.note("no key is trusted");
            return Ok(());
        }
        let several = trusted.trees().count() > 1;
        let lines: Vec<_> = shown.iter().map(|entry| line(entry, &all, several)).collect();
        let values: Vec<_> = shown.iter().map(|entry| entry_json(entry, &all)).collect();
        Ok(context.print(&values, lines.join("\n"))?)
    }
}

fn line(entry: &TrustEntry, all: &[TrustEntry], several: bool) -> String {
    let scope = match &entry.scope {
        Scope::Root => "(every name)",
        Scope::Prefix(prefix) => prefix.as_str(),
    };
    let who = match &entry.certificate {
        Some(certificate) => certificate.user_ids().join(", "),
        None => "not trusted here, whatever a shorter prefix says".to_owned(),
    };
    let mut line = format!("{}  {scope}  {}", entry.fingerprint, discovery::printable_line(&who));
    if let Some(note) = entry.certificate.as_ref().and_then(note) {
        let _ = write!(line, "  ({note})");
    }
    for masked in masked_by(entry, all) {
        let _ = write!(line, "  masks {}", masked.display());
    }
    if let Some(by) = &entry.overridden_by {
        let _ = write!(line, "  overridden by {}", by.display());
    }
    if several {
        let _ = write!(line, "  in {}", entry.tree.display());
    }
    line
}
