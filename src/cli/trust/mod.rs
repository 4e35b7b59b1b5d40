//! `gantry trust`: which keys may sign which names.

mod add;
mod list;
mod remove;
mod show;

use aci::{Limits, Name};
use clap::Subcommand;
use jiff::Timestamp;
use keys::{Certificate, Scope, TrustEntry, TrustStore};
use serde_json::{Value, json};

use super::files::in_json;
use super::{Context, Failure, client};

/// Say which keys may sign images of which names
///
/// A prefix covers itself and the names below it, by whole path segments.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Add(add::Args),
    List(list::Args),
    Show(show::Args),
    Remove(remove::Args),
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self.command {
            Command::Add(args) => args.run(context),
            Command::List(args) => args.run(context),
            Command::Show(args) => args.run(context),
            Command::Remove(args) => args.run(context),
        }
    }
}

/// For which names.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct ScopeArgs {
    /// For this name and all below it
    #[arg(long, value_name = "NAME")]
    prefix: Option<Name>,
    /// For every name
    #[arg(long)]
    root: bool,
}

impl ScopeArgs {
    fn scope(&self) -> Scope {
        self.prefix.clone().map_or(Scope::Root, Scope::Prefix)
    }
}

/// The command's words for a scope.
fn scope_option(scope: &Scope) -> String {
    match scope {
        Scope::Root => "--root".to_owned(),
        Scope::Prefix(prefix) => format!("--prefix {prefix}"),
    }
}

fn entries(context: &Context) -> Result<Vec<TrustEntry>, Failure> {
    let (entries, warnings) = TrustStore::open(&context.trust_dir()).list(&Limits::default())?;
    for warning in warnings {
        context.warn(warning);
    }
    Ok(entries)
}

fn entry_json(entry: &TrustEntry) -> Value {
    json!({
        "fingerprint": entry.fingerprint,
        "prefix": match &entry.scope { Scope::Root => None, Scope::Prefix(prefix) => Some(prefix) },
        "masked": entry.certificate.is_none(),
        "userIds": entry.certificate.as_ref().map(Certificate::user_ids).unwrap_or_default(),
        "path": in_json(&entry.path),
    })
}

/// What a person compares, and should know.
pub(super) fn describe(certificate: &Certificate) -> String {
    let now = client::now();
    let mut text = format!("fingerprint: {}", certificate.fingerprint().spaced());
    for subkey in certificate.subkey_fingerprints() {
        text.push_str(&format!("\n     subkey: {}", subkey.spaced()));
    }
    for user_id in certificate.user_ids() {
        text.push_str(&format!("\n    user ID: {user_id}"));
    }
    let date = |time| Timestamp::try_from(time).map(|t| t.strftime("%Y-%m-%d").to_string());
    if let Ok(created) = date(certificate.created()) {
        text.push_str(&format!("\n    created: {created}"));
    }
    if let Some(Ok(expires)) = certificate.expires(now).map(date) {
        text.push_str(&format!("\n    expires: {expires}"));
    }
    if let Some(problem) = problem(certificate) {
        text.push_str(&format!("\n       note: {problem}"));
    }
    text
}

/// Why trusting a key would be of no use today.
pub(super) fn problem(certificate: &Certificate) -> Option<&'static str> {
    let now = client::now();
    if certificate.revoked(now) {
        Some("its owner has revoked this key")
    } else if !certificate.can_sign(now) {
        Some("no part of this key can sign today")
    } else {
        None
    }
}
