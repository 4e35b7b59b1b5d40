//! `gantry registry keys`: whose signatures a registry takes.

use std::fs;
use std::path::PathBuf;

use aci::{Limits, Name};
use anyhow::Context as _;
use clap::Subcommand;
use keys::Scope;
use registry::admin;
use serde_json::json;

use super::super::files::{absent, in_json};
use super::{Context, DataArgs, Failure, print_list};

/// Say whose signatures a registry takes for which names
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Add(Add),
    List(List),
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self.command {
            Command::Add(args) => args.run(context),
            Command::List(args) => args.run(context),
        }
    }
}

/// Let keys sign for a prefix of names
///
/// The keys are also published: clients find them by discovery, and `gantry trust add`
/// shows them. A running server takes them up at once.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry keys add --data ./data --prefix example.com/team team.pub.asc
  gpg --armor --export ci@example.com | gantry registry keys add --data ./data --prefix example.com -")]
struct Add {
    #[command(flatten)]
    data: DataArgs,
    /// For this name and all below it
    #[arg(long, value_name = "NAME")]
    prefix: Name,
    /// Files of public keys, armored or not; `-` is stdin
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

impl Add {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let limits = Limits::default();
        let scope = Scope::Prefix(self.prefix.clone());
        let (mut lines, mut values) = (Vec::new(), Vec::new());
        for file in &self.files {
            let bytes = read(file, &limits)
                .with_context(|| format!("cannot read {}", file.display()))
                .map_err(absent)?;
            let added = admin::add_keys(&self.data.data, &scope, &bytes, &limits)
                .with_context(|| file.display().to_string())?;
            for key in added {
                let (fingerprint, users) =
                    (key.certificate.fingerprint(), key.certificate.user_ids());
                let known = if key.new { "may sign" } else { "could already sign" };
                lines.push(format!(
                    "{fingerprint} {known} for {} ({})",
                    self.prefix,
                    users.join(", ")
                ));
                values.push(json!({
                    "fingerprint": fingerprint,
                    "userIds": users,
                    "prefix": self.prefix,
                    "path": in_json(&key.path),
                    "new": key.new,
                }));
            }
        }
        Ok(context.print(&json!({ "added": values }), lines.join("\n"))?)
    }
}

/// One byte more than allowed is read, to tell a file that is too large.
fn read(file: &PathBuf, limits: &Limits) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let limit = limits.key_bytes.saturating_add(1);
    if file.as_os_str() == "-" {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)?;
    } else {
        fs::File::open(file)?.take(limit).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// List the keys that may sign, by prefix
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry keys list --data ./data
  gantry registry keys list --data ./data --json")]
struct List {
    #[command(flatten)]
    data: DataArgs,
}

impl List {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let (entries, warnings) = admin::keys(&self.data.data, &Limits::default())?;
        for warning in warnings {
            context.warn(warning);
        }
        let (mut lines, mut values) = (Vec::new(), Vec::new());
        for entry in &entries {
            let users = entry.certificate.as_ref().map_or_else(Vec::new, |c| c.user_ids());
            let who = match &entry.certificate {
                Some(_) => users.join(", "),
                None => "may not sign here, whatever a shorter prefix says".to_owned(),
            };
            lines.push(format!("{}  {}  {who}", entry.scope, entry.fingerprint));
            values.push(json!({
                "scope": entry.scope,
                "fingerprint": entry.fingerprint,
                "userIds": users,
                "maySign": entry.certificate.is_some(),
                "path": in_json(&entry.path),
            }));
        }
        let nothing = "no key may sign yet: `gantry registry keys add` adds one";
        print_list(context, "keys", nothing, &lines, values)
    }
}
