//! `gantry trust list`.

use aci::Name;
use keys::Scope;

use super::{Context, Failure, entries, entry_json};

/// List the trusted keys and what each may sign
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
        let mut entries = entries(context)?;
        if let Some(name) = &self.name {
            entries.retain(|entry| entry.scope.covers(name));
        }
        if !context.json() && entries.is_empty() {
            context.note("no key is trusted");
            return Ok(());
        }
        let lines: Vec<_> = entries
            .iter()
            .map(|entry| {
                let scope = match &entry.scope {
                    Scope::Root => "(every name)",
                    Scope::Prefix(prefix) => prefix.as_str(),
                };
                let who = match &entry.certificate {
                    Some(certificate) => certificate.user_ids().join(", "),
                    None => "not trusted here, whatever a shorter prefix says".to_owned(),
                };
                format!("{}  {scope}  {}", entry.fingerprint, discovery::printable_line(&who))
            })
            .collect();
        let values: Vec<_> = entries.iter().map(entry_json).collect();
        Ok(context.print(&values, lines.join("\n"))?)
    }
}
