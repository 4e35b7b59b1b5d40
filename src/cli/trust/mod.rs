//! `gantry trust`: which keys may sign which names.

mod add;
mod list;
mod policy;
mod refresh;
mod remove;
mod show;

use std::path::Path;

use aci::{Limits, Name};
use clap::Subcommand;
use jiff::Timestamp;
use keys::{Certificate, Scope, TrustEntry, TrustError, TrustStore};
use serde_json::{Value, json};

use super::files::in_json;
use super::{Context, Failure, Kind, client};

pub(super) use refresh::on_schedule;

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
    Refresh(refresh::Args),
    Policy(policy::Args),
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self.command {
            Command::Add(args) => args.run(context),
            Command::List(args) => args.run(context),
            Command::Show(args) => args.run(context),
            Command::Remove(args) => args.run(context),
            Command::Refresh(args) => args.run(context),
            Command::Policy(args) => args.run(context),
        }
    }
}

/// For which names.
#[derive(clap::Args)]
#[group(multiple = false)]
struct ScopeArgs {
    /// For this name and all below it
    #[arg(long, value_name = "NAME", value_parser = prefix)]
    prefix: Option<Name>,
    /// For every name
    #[arg(long)]
    root: bool,
}

impl ScopeArgs {
    /// The scope; a key without one would be trusted without bounds, so one must be said.
    fn scope(&self) -> Result<Scope, Failure> {
        match (&self.prefix, self.root) {
            (Some(prefix), _) => Ok(Scope::Prefix(prefix.clone())),
            (None, true) => Ok(Scope::Root),
            (None, false) => Err(usage(
                "a key is not trusted without bounds unless somebody says so: give --prefix NAME, \
                 or --root for every name",
            )),
        }
    }
}

/// Reads a prefix, for clap.
fn prefix(text: &str) -> Result<Name, String> {
    if text.contains("://") {
        return Err("a prefix is a name and no URL: omit https://".to_owned());
    }
    text.parse().map_err(|error| format!("{error}"))
}

/// The command's words for a scope.
fn scope_option(scope: &Scope) -> String {
    match scope {
        Scope::Root => "--root".to_owned(),
        Scope::Prefix(prefix) => format!("--prefix {prefix}"),
    }
}

fn usage(text: impl Into<String>) -> Failure {
    Failure::new(Kind::Usage, anyhow::Error::msg(text.into()))
}

/// An error of the trusted keys as the end of a command.
pub(super) fn failure(error: TrustError) -> Failure {
    if error.is_io() { Failure::new(Kind::Failed, error) } else { Failure::refused(&error) }
}

fn entries(context: &Context, trusted: &TrustStore) -> Result<Vec<TrustEntry>, Failure> {
    let (entries, warnings) = trusted.list(&Limits::default()).map_err(failure)?;
    for warning in warnings {
        context.warn(warning);
    }
    Ok(entries)
}

/// The files an empty file takes trust away from: the one for the same key and scope in an
/// earlier tree, and those of wider scopes.
fn masked_by<'a>(mask: &TrustEntry, all: &'a [TrustEntry]) -> Vec<&'a Path> {
    if mask.certificate.is_some() || mask.overridden_by.is_some() {
        return Vec::new();
    }
    let masked = all.iter().filter(|entry| {
        entry.fingerprint == mask.fingerprint
            && entry.certificate.is_some()
            && match &entry.overridden_by {
                Some(by) => *by == mask.path,
                None => entry.scope != mask.scope && entry.scope.contains(&mask.scope),
            }
    });
    masked.map(|entry| entry.path.as_path()).collect()
}

fn entry_json(entry: &TrustEntry, all: &[TrustEntry]) -> Value {
    let masks = masked_by(entry, all);
    json!({
        "fingerprint": entry.fingerprint,
        "prefix": match &entry.scope { Scope::Root => None, Scope::Prefix(prefix) => Some(prefix) },
        "masked": entry.certificate.is_none(),
        "masks": masks.into_iter().map(in_json).collect::<Vec<_>>(),
        "userIds": entry.certificate.as_ref().map(Certificate::user_ids).unwrap_or_default(),
        "note": entry.certificate.as_ref().and_then(note),
        "path": in_json(&entry.path),
        "tree": in_json(&entry.tree),
        "overriddenBy": entry.overridden_by.as_deref().map(in_json),
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
    if let Some(created) = date(certificate.created()) {
        text.push_str(&format!("\n    created: {created}"));
    }
    if let Some(expires) = certificate.expires(now).and_then(date) {
        text.push_str(&format!("\n    expires: {expires}"));
    }
    if let Some(note) = note(certificate) {
        text.push_str(&format!("\n       note: {note}"));
    }
    text
}

fn date(time: std::time::SystemTime) -> Option<String> {
    Timestamp::try_from(time).ok().map(|time| time.strftime("%Y-%m-%d").to_string())
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

/// What is wrong with a key, or soon will be.
fn note(certificate: &Certificate) -> Option<String> {
    if let Some(problem) = problem(certificate) {
        return Some(problem.to_owned());
    }
    let now = client::now();
    let until = certificate.signs_until(now).filter(|until| *until <= now + keys::EXPIRES_SOON)?;
    Some(format!("it can sign until {}", date(until)?))
}
