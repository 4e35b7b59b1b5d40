//! `gantry registry oidc`: jobs of a CI system that need no secret.

use std::collections::BTreeMap;

use anyhow::anyhow;
use clap::Subcommand;
use registry::admin::{self, RuleInfo, RuleList, RuleRequest, Unfit};
use registry::{ClaimPattern, IssuerUrl, Rule, RuleId};
use serde_json::json;

use super::super::client::now;
use super::at::unfit;
use super::{At, AtArgs, Context, Failure, GrantArgs, Kind, listed, print_list, wait};

/// Let jobs of a CI system push, read or delete by the ID token that the system gives them
///
/// A job sends its token as Bearer, or as the password of any user, until the token expires. The
/// registry finds the issuer's keys by OpenID Connect Discovery.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Add(Add),
    List(List),
    Remove(Remove),
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self.command {
            Command::Add(args) => args.run(context),
            Command::List(args) => args.run(context),
            Command::Remove(args) => args.run(context),
        }
    }
}

/// Add a rule: which jobs may do what
///
/// A job is one of the rule's when all claims are as they are given here. A value that ends in `*`
/// stands for all that begin so: end what stands before the star at a separator, or others can begin
/// so, too.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry oidc add releases --data ./data --issuer https://token.actions.githubusercontent.com \\
      --audience https://example.com --claim repository=example/hello --claim 'ref=refs/tags/*' \\
      --prefix example.com/hello --allow push
  gantry registry oidc add team --data ./data --issuer https://ci.example.com --audience registry \\
      --claim 'project_path=team/*' --claim ref_protected=true --prefix example.com/team --allow push")]
struct Add {
    #[command(flatten)]
    at: AtArgs,
    /// What to call the rule
    name: RuleId,
    /// Who vouches for the jobs: the `iss` of their tokens, to the letter
    #[arg(long, value_name = "URL")]
    issuer: IssuerUrl,
    /// Whom their tokens must be made for: one of their `aud`
    #[arg(long, value_name = "TEXT")]
    audience: String,
    /// What a claim of their tokens must be, or how it must begin; may be given several times
    #[arg(long = "claim", value_name = "NAME=VALUE", required = true, value_parser = claim)]
    claims: Vec<(String, ClaimPattern)>,
    #[command(flatten)]
    grant: GrantArgs,
}

fn claim(text: &str) -> Result<(String, ClaimPattern), String> {
    let (name, value) = text
        .split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or_else(|| format!("{text:?} is not NAME=VALUE"))?;
    Ok((name.to_owned(), value.parse().map_err(|error| format!("{error}"))?))
}

impl Add {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let Self { at, name, issuer, audience, claims: given, grant } = self;
        let mut claims = BTreeMap::new();
        for (claim, pattern) in given {
            if claims.insert(claim.clone(), pattern).is_some() {
                let error = anyhow!("the claim {claim} is given twice");
                return Err(Failure::new(Kind::Usage, error));
            }
        }
        let rule = Rule::new(name.clone(), issuer, audience, claims, grant.grant())
            .map_err(|error| Failure::new(Kind::Usage, error))?;
        let rule = match at.at(context)? {
            At::Data(place) => {
                let added = wait(admin::add_rule(&place, rule, now()))?;
                added.ok_or_else(|| unfit(&Unfit::RuleExists(name)))?
            }
            At::Server(server) => server.post("oidc", &RuleRequest::from(rule))?,
        };
        Ok(context.print(&rule, line(&rule))?)
    }
}

fn line(rule: &RuleInfo) -> String {
    let RuleInfo { name, issuer, audience, claims, grant, .. } = rule;
    let claims: Vec<String> =
        claims.iter().map(|(name, pattern)| format!("{name}={pattern}")).collect();
    let (prefixes, actions) = (listed(grant.prefixes()), listed(grant.actions()));
    format!("{name}  {prefixes}  {actions}  {issuer}  aud={audience}  {}", claims.join("  "))
}

/// List the rules
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry oidc list --data ./data
  gantry registry oidc list --registry https://example.com --token-file admin.token --json")]
struct List {
    #[command(flatten)]
    at: AtArgs,
}

impl List {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let rules = match self.at.at(context)? {
            At::Data(place) => wait(admin::rules(&place))?,
            At::Server(server) => server.get::<RuleList>("oidc", &[])?.rules,
        };
        let lines: Vec<String> = rules.iter().map(line).collect();
        let nothing = "there is no rule yet: `gantry registry oidc add` adds one";
        print_list(context, "rules", nothing, &lines, &rules)
    }
}

/// Remove a rule, from this moment
///
/// Exit code 2 where there is no such rule.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry oidc remove releases --data ./data")]
struct Remove {
    #[command(flatten)]
    at: AtArgs,
    /// The rule's name
    name: RuleId,
}

impl Remove {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let name = self.name;
        match self.at.at(context)? {
            At::Data(place) => {
                if !wait(admin::remove_rule(&place, &name, now()))? {
                    return Err(unfit(&Unfit::RuleUnknown(name)));
                }
            }
            At::Server(server) => server.delete(&format!("oidc/{name}"), &[])?,
        }
        Ok(context.print(&json!({ "removed": name }), format_args!("removed {name}"))?)
    }
}
