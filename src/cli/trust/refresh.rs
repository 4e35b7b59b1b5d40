//! `gantry trust refresh`, and the news of keys that a fetch asks for.

use std::io::{self, IsTerminal};

use aci::{Limits, Name, Refuse};
use discovery::fetch::Source;
use discovery::refresh::PrefixRefresh;
use keys::{
    Fingerprint, News, NotTaken, RefreshOptions, RefreshOutcome, Refreshed, RefreshedKey, Scope,
    TrustStore,
};
use serde_json::{Value, json};

use super::super::client::{self, wait};
use super::super::{Failure, Kind};
use super::add::review;
use super::{Context, entries, failure};

/// Take up what the domains of trusted prefixes publish about their keys
///
/// Of keys that are trusted: revocations, new subkeys, another expiry. A new primary key is
/// trusted only where a key trusted for that very prefix has certified it, or where you say
/// so: asked on a terminal, or with --fingerprint; otherwise it is listed with the command
/// that would trust it. A pinned prefix takes nothing. A fetch does the same by itself, no
/// more often than every 24 hours: see trust-refresh in the configuration, and
/// `gantry trust policy set`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry trust refresh
  gantry trust refresh example.com/team --dry-run
  gantry trust refresh example.com/team --fingerprint 5C3E2B1F5C3E2B1F5C3E2B1F5C3E2B1F5C3E2B1F
  gantry trust refresh --json")]
pub(crate) struct Args {
    /// Only these prefixes and those below them
    #[arg(value_name = "PREFIX", value_parser = super::prefix)]
    prefixes: Vec<Name>,
    /// Trust a new key with this fingerprint where a domain offers it; may be given several times
    #[arg(long = "fingerprint", value_name = "FPR")]
    fingerprints: Vec<Fingerprint>,
    /// Only say what would be taken
    #[arg(long)]
    dry_run: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let trusted = context.trust_store();
        let prefixes = self.chosen(&trusted)?;
        let without_domain = self.without_domain(context, &trusted)?;
        let options = RefreshOptions {
            now: client::now(),
            consent: self.fingerprints.clone(),
            dry_run: self.dry_run,
        };
        let client = context.client();
        let mut all = wait(async {
            let mut all = Vec::new();
            for prefix in prefixes {
                let outcome = client.refresh_keys(&trusted, &prefix, &options).await;
                all.push(PrefixRefresh { prefix, outcome });
            }
            Ok::<_, discovery::Error>(all)
        })?;
        for wanted in &self.fingerprints {
            if !keys_of(&all).any(|key| key.certificate.fingerprint() == wanted) {
                context.warn(format_args!("no domain that was asked offers {wanted}"));
            }
        }
        self.ask(context, &trusted, &mut all)?;
        let lines: Vec<String> = all.iter().flat_map(lines).collect();
        let value = json!({
            "dryRun": self.dry_run,
            "prefixes": all.iter().map(prefix_json).collect::<Vec<_>>(),
            "withoutDomain": without_domain,
        });
        if context.json() || !lines.is_empty() {
            context.print(&value, lines.join("\n"))?;
        }
        let failed = all.into_iter().find_map(|one| one.outcome.err());
        failed.map_or(Ok(()), |error| Err(client::failure(error)))
    }

    /// The prefixes to ask for.
    fn chosen(&self, trusted: &TrustStore) -> Result<Vec<Name>, Failure> {
        let mut prefixes = trusted.prefixes(&Limits::default()).map_err(failure)?;
        for asked in &self.prefixes {
            if !prefixes.iter().any(|prefix| prefix.is_under(asked)) {
                let error = anyhow::anyhow!(
                    "no key is trusted for {asked} or a prefix below it: gantry trust add --prefix {asked}"
                );
                return Err(Failure::new(Kind::NotFound, error));
            }
        }
        prefixes.retain(|prefix| {
            self.prefixes.is_empty() || self.prefixes.iter().any(|asked| prefix.is_under(asked))
        });
        Ok(prefixes)
    }

    /// Keys trusted for every name have no domain that could be asked.
    fn without_domain(
        &self,
        context: &Context,
        trusted: &TrustStore,
    ) -> Result<Vec<Fingerprint>, Failure> {
        let mut keys = Vec::new();
        if self.prefixes.is_empty() {
            let all = entries(context, trusted)?.into_iter();
            let root = all.filter(|entry| entry.trusts() && entry.scope == Scope::Root);
            keys.extend(root.map(|entry| entry.fingerprint));
        }
        for key in &keys {
            context.note(format_args!(
                "{key} is trusted for every name, and so has no domain to ask: get its news from \
                 its owner, with gantry trust add --root FILE"
            ));
        }
        Ok(keys)
    }

    /// Asks about new keys nobody vouches for, where somebody can be asked.
    fn ask(
        &self,
        context: &Context,
        trusted: &TrustStore,
        all: &mut [PrefixRefresh],
    ) -> Result<(), Failure> {
        let terminal = io::stdin().is_terminal() && io::stderr().is_terminal();
        if self.dry_run || !terminal || !self.fingerprints.is_empty() {
            return Ok(());
        }
        for one in all {
            let scope = Scope::Prefix(one.prefix.clone());
            let Ok(Refreshed::Asked { keys, .. }) = &mut one.outcome else { continue };
            for key in keys {
                if key.outcome != RefreshOutcome::Offered(NotTaken::NotCertified) {
                    continue;
                }
                if review(&key.certificate, &scope, one.prefix.host())? {
                    trusted.add(&scope, &key.certificate, &Limits::default()).map_err(failure)?;
                    key.outcome = RefreshOutcome::Agreed;
                } else {
                    context.note(format_args!("not trusted: {}", key.certificate.fingerprint()));
                }
            }
        }
        Ok(())
    }
}

/// Asks for news of the keys that may sign what is about to be fetched, when the last time is
/// long ago. Whatever comes of it, the fetch goes on, under the keys as they are then.
pub(in crate::cli) fn on_schedule(context: &Context, source: &Source) {
    let Source::Name(reference) = source else { return };
    let (trusted, client) = (context.trust_store(), context.client());
    let interval = context.trust_refresh();
    let asking = async {
        let asking =
            client.refresh_on_schedule(&trusted, reference.name(), interval, client::now());
        Ok::<_, discovery::Error>(asking.await)
    };
    match wait(asking) {
        Ok(Ok(all)) => all.iter().for_each(|one| tell(context, one)),
        Ok(Err(error)) => {
            let error = discovery::printable_line(&error.to_string());
            context.note(format_args!("the trusted keys were not refreshed: {error}"));
        }
        Err(_) => context.note("the trusted keys were not refreshed"),
    }
}

/// Says what a scheduled refresh has brought: loudly where trust changed.
fn tell(context: &Context, one: &PrefixRefresh) {
    if let Err(error) = &one.outcome {
        let error = discovery::printable_line(&error.to_string());
        return context.note(format_args!("no news of the keys for {}: {error}", one.prefix));
    }
    for key in keys_of(std::slice::from_ref(one)) {
        let line = key_line(&one.prefix, key);
        match &key.outcome {
            RefreshOutcome::Unchanged => {}
            RefreshOutcome::Offered(_) => context.note(line),
            RefreshOutcome::Updated(changes) if !grave(changes) => context.note(line),
            _ => context.warn(line),
        }
    }
}

fn grave(changes: &[News]) -> bool {
    changes.iter().any(|change| matches!(change, News::Revoked | News::SubkeyRevoked(_)))
}

fn keys_of(all: &[PrefixRefresh]) -> impl Iterator<Item = &RefreshedKey> {
    all.iter().filter_map(|one| one.outcome.as_ref().ok()).flat_map(|refreshed| match refreshed {
        Refreshed::Pinned => [].iter(),
        Refreshed::Asked { keys, .. } => keys.iter(),
    })
}

fn lines(one: &PrefixRefresh) -> Vec<String> {
    let prefix = &one.prefix;
    match &one.outcome {
        Err(error) => {
            let error = discovery::printable_line(&error.to_string());
            vec![format!("{prefix}  not refreshed: {error}")]
        }
        Ok(Refreshed::Pinned) => vec![format!("{prefix}  pinned: nothing is taken")],
        Ok(Refreshed::Asked { keys, unpublished }) => {
            let gone = unpublished.iter().map(|key| {
                format!("{prefix}  {key}  still trusted, though its domain does not publish it")
            });
            keys.iter().map(|key| key_line(prefix, key)).chain(gone).collect()
        }
    }
}

fn key_line(prefix: &Name, key: &RefreshedKey) -> String {
    let outcome = match &key.outcome {
        RefreshOutcome::Unchanged => "nothing new".to_owned(),
        RefreshOutcome::Updated(changes) => {
            changes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        }
        RefreshOutcome::Certified(by) => format!("now trusted: key {by} has certified it"),
        RefreshOutcome::Agreed => "now trusted: you said so".to_owned(),
        RefreshOutcome::Offered(why @ NotTaken::NotCertified) => format!(
            "offered and not trusted: {why}; compare its fingerprint with the author's, then: {}",
            command(prefix, key)
        ),
        RefreshOutcome::Offered(why) => format!("offered and not trusted: {why}"),
    };
    let who = discovery::printable_line(&key.certificate.user_ids().join(", "));
    format!("{prefix}  {}  ({who})  {outcome}", key.certificate.fingerprint())
}

fn command(prefix: &Name, key: &RefreshedKey) -> String {
    format!("gantry trust add --prefix {prefix} --fingerprint {}", key.certificate.fingerprint())
}

fn prefix_json(one: &PrefixRefresh) -> Value {
    let (keys, unpublished) = match &one.outcome {
        Ok(Refreshed::Asked { keys, unpublished }) => {
            (keys.iter().map(|key| key_json(&one.prefix, key)).collect(), unpublished.clone())
        }
        _ => (Vec::new(), Vec::new()),
    };
    json!({
        "prefix": one.prefix,
        "pinned": matches!(one.outcome, Ok(Refreshed::Pinned)),
        "keys": keys,
        "unpublished": unpublished,
        "error": one.outcome.as_ref().err().map(Refuse::refusal),
    })
}

fn key_json(prefix: &Name, key: &RefreshedKey) -> Value {
    let mut value = json!({
        "fingerprint": key.certificate.fingerprint(),
        "userIds": key.certificate.user_ids(),
    });
    value["outcome"] = match &key.outcome {
        RefreshOutcome::Unchanged => "unchanged",
        RefreshOutcome::Updated(_) => "updated",
        RefreshOutcome::Certified(_) => "certified",
        RefreshOutcome::Agreed => "agreed",
        RefreshOutcome::Offered(_) => "offered",
    }
    .into();
    match &key.outcome {
        RefreshOutcome::Updated(changes) => {
            value["changes"] = changes.iter().map(ToString::to_string).collect();
        }
        RefreshOutcome::Certified(by) => value["certifiedBy"] = json!(by),
        RefreshOutcome::Offered(why) => {
            value["why"] = why.to_string().into();
            if *why == NotTaken::NotCertified {
                value["command"] = command(prefix, key).into();
            }
        }
        _ => {}
    }
    value
}
