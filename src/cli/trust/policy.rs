//! `gantry trust policy`: what is demanded of a prefix.

use aci::Name;
use clap::Subcommand;
use keys::{Interval, PrefixPolicy, Threshold, TrustPolicies};
use serde_json::{Value, json};

use super::super::files::in_json;
use super::super::{Failure, Kind};
use super::{Context, failure, usage};

/// Demand more of a prefix: several signers, keys that stay as they are
///
/// Kept in policy.toml among the trusted keys. For a name, each setting is decided by the
/// longest prefix that says something about it; of several trees that do, by the latest.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Show(Show),
    Set(Set),
    Unset(Unset),
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self.command {
            Command::Show(args) => args.run(context),
            Command::Set(args) => args.run(context),
            Command::Unset(args) => args.run(context),
        }
    }
}

/// Show what is demanded, of every prefix or of one name
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry trust policy show
  gantry trust policy show example.com/team/hello      # what counts for this name, and why")]
struct Show {
    /// Only what counts for this name
    #[arg(value_name = "NAME", value_parser = super::prefix)]
    name: Option<Name>,
}

impl Show {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let policies = context.trust_store().policies().map_err(failure)?;
        match &self.name {
            Some(name) => counting(context, &policies, name),
            None => all(context, &policies),
        }
    }
}

fn all(context: &Context, policies: &TrustPolicies) -> Result<(), Failure> {
    let (mut lines, mut values) = (Vec::new(), Vec::new());
    for (path, prefix, policy) in policies.entries() {
        lines.push(format!("{prefix}  {}  in {}", words(policy), path.display()));
        let mut value = policy_json(prefix, policy);
        value["path"] = in_json(path).into();
        values.push(value);
    }
    if lines.is_empty() && !context.json() {
        context.note("nothing is demanded of any prefix: one good signature is enough");
        return Ok(());
    }
    Ok(context.print(&values, lines.join("\n"))?)
}

fn counting(context: &Context, policies: &TrustPolicies, name: &Name) -> Result<(), Failure> {
    let threshold = policies.threshold(name);
    let pinned = policies.pinned(name);
    let refresh = policies.refresh(name, context.trust_refresh());
    let by = |by: &Option<(Name, std::path::PathBuf)>| match by {
        Some((prefix, path)) => format!("{prefix} in {}", path.display()),
        None => "default".to_owned(),
    };
    let text = format!(
        "threshold: {} ({})\npinned:    {} ({})\nrefresh:   {} ({})",
        threshold.value,
        by(&threshold.by),
        if pinned.value { "yes" } else { "no" },
        by(&pinned.by),
        refresh.value,
        by(&refresh.by),
    );
    let decided = |value: Value, by: &Option<(Name, std::path::PathBuf)>| {
        json!({
            "value": value,
            "prefix": by.as_ref().map(|(prefix, _)| prefix),
            "path": by.as_ref().map(|(_, path)| in_json(path)),
        })
    };
    let value = json!({
        "name": name,
        "threshold": decided(json!(threshold.value), &threshold.by),
        "pinned": decided(json!(pinned.value), &pinned.by),
        "refresh": decided(json!(refresh.value), &refresh.by),
    });
    Ok(context.print(&value, text)?)
}

/// Demand something of a prefix; what is not given stays as it was
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry trust policy set example.com/team --threshold 2
  gantry trust policy set example.com/team --pinned
  gantry trust policy set example.com/team --no-pinned --refresh 12h")]
struct Set {
    /// The prefix
    #[arg(value_name = "PREFIX", value_parser = super::prefix)]
    prefix: Name,
    /// So many different primary keys must have signed an image
    #[arg(long, value_name = "N")]
    threshold: Option<Threshold>,
    /// Take nothing that the domain publishes: no new keys, no news of those trusted
    #[arg(long, overrides_with = "no_pinned")]
    pinned: bool,
    /// Take what the domain publishes of these keys
    #[arg(long, overrides_with = "pinned")]
    no_pinned: bool,
    /// How often a fetch asks the domain for news of its keys: 30m, 24h, 7d, or never
    #[arg(long, value_name = "INTERVAL")]
    refresh: Option<Interval>,
}

impl Set {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let pinned = (self.pinned || self.no_pinned).then_some(self.pinned);
        let change = PrefixPolicy { threshold: self.threshold, pinned, refresh: self.refresh };
        if change == PrefixPolicy::default() {
            return Err(usage("nothing to set: --threshold, --pinned, --no-pinned or --refresh"));
        }
        let trusted = context.trust_store();
        let (policy, path) = trusted.set_policy(&self.prefix, &change).map_err(failure)?;
        let mut value = policy_json(&self.prefix, &policy);
        value["path"] = in_json(&path).into();
        let text = format!("{}  {}", self.prefix, words(&policy));
        Ok(context.print(&value, text)?)
    }
}

/// Demand nothing of a prefix any more
///
/// Exit code 2 where the tree that is written to demands nothing of it. What an earlier tree
/// demands stays; `set` overrides it.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry trust policy unset example.com/team")]
struct Unset {
    /// The prefix
    #[arg(value_name = "PREFIX", value_parser = super::prefix)]
    prefix: Name,
}

impl Unset {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let trusted = context.trust_store();
        let removed = trusted.unset_policy(&self.prefix).map_err(failure)?;
        let policies = trusted.policies().map_err(failure)?;
        for (path, _, policy) in policies.entries().filter(|(_, prefix, _)| **prefix == self.prefix)
        {
            context.note(format_args!(
                "{} still says: {}; `gantry trust policy set` overrides it",
                path.display(),
                words(policy)
            ));
        }
        if !removed {
            let error = anyhow::anyhow!(
                "nothing is demanded of {} in {}",
                self.prefix,
                trusted.folder().display()
            );
            return Err(Failure::new(Kind::Absent, error));
        }
        let text = format!("nothing more is demanded of {}", self.prefix);
        Ok(context.print(&json!({ "prefix": self.prefix, "removed": true }), text)?)
    }
}

fn words(policy: &PrefixPolicy) -> String {
    let mut words = Vec::new();
    words.extend(policy.threshold.map(|threshold| format!("threshold {threshold}")));
    words.extend(
        policy.pinned.map(
            |pinned| {
                if pinned { "pinned".to_owned() } else { "not pinned".to_owned() }
            },
        ),
    );
    words.extend(policy.refresh.map(|refresh| format!("refresh {refresh}")));
    words.join(", ")
}

fn policy_json(prefix: &Name, policy: &PrefixPolicy) -> Value {
    json!({
        "prefix": prefix,
        "threshold": policy.threshold,
        "pinned": policy.pinned,
        "refresh": policy.refresh,
    })
}
