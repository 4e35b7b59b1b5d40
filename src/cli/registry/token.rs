//! `gantry registry token`: secrets that stand for who may do what.

use std::time::{Duration, SystemTime};

use aci::Refusal;
use clap::Subcommand;
use registry::TokenId;
use registry::admin::{self, NewToken, Rotation, TokenInfo};
use serde_json::{Value, json};

use super::super::client::now;
use super::super::lifetime::Lifetime;
use super::{
    Context, Failure, GrantArgs, Kind, PlaceArgs, listed, moment, print_list, stamp, wait,
};

/// Make the tokens that let somebody push to a registry, read or delete, below some names
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Create(Create),
    List(List),
    Rotate(Rotate),
    Revoke(Revoke),
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self.command {
            Command::Create(args) => args.run(context),
            Command::List(args) => args.run(context),
            Command::Rotate(args) => args.run(context),
            Command::Revoke(args) => args.run(context),
        }
    }
}

/// Make a token, and print it: once, and nothing else
///
/// The registry keeps only its hash. Whoever holds a token that allows to push may push images under
/// its prefixes that are signed by a key of that prefix: a token alone publishes nothing.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry token create --data ./data --prefix example.com/team --allow push
  gantry registry token create --data ./data --prefix example.com/team --allow push --expires 1y > token
  gantry registry token create --data ./data --prefix example.com/team --prefix example.com/tools \\
      --allow push --allow delete --name 'ci of the team'")]
struct Create {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    grant: GrantArgs,
    /// What to call it in lists
    #[arg(long, value_name = "TEXT", default_value = "")]
    name: String,
    /// How long it is good: 90d, 2y, 12h, or `never`
    #[arg(long, value_name = "TIME", default_value = "90d")]
    expires: Lifetime,
}

impl Create {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let new = NewToken {
            name: self.name,
            grant: self.grant.grant(),
            lifetime: self.expires.duration(),
        };
        let place = self.place.place();
        let (token, info) = wait(admin::create_token(&place, new, now()))?;
        context.note(format_args!(
            "token {} for {}, good {}; it is shown this once",
            info.id,
            listed(info.grant.prefixes()),
            until(&info)
        ));
        let mut value = describe(&info);
        value["token"] = token.reveal().into();
        Ok(context.print(&value, token.reveal())?)
    }
}

fn until(token: &TokenInfo) -> String {
    token.expires.map_or_else(|| "for ever".to_owned(), |time| format!("until {}", moment(time)))
}

/// List the tokens, without what makes them one
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry token list --data ./data
  gantry registry token list --data ./data --json")]
struct List {
    #[command(flatten)]
    place: PlaceArgs,
}

impl List {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let place = self.place.place();
        let tokens = wait(admin::tokens(&place))?;
        let now = now();
        let lines: Vec<String> = tokens.iter().map(|token| line(token, now)).collect();
        let values: Vec<Value> = tokens.iter().map(describe).collect();
        let nothing = "there is no token yet: `gantry registry token create` makes one";
        print_list(context, "tokens", nothing, &lines, values)
    }
}

fn line(token: &TokenInfo, now: SystemTime) -> String {
    let state = match (token.revoked, token.expires) {
        (Some(revoked), _) => format!("revoked {}", moment(revoked)),
        (None, None) => "good for ever".to_owned(),
        (None, Some(expires)) if expires <= now => format!("expired {}", moment(expires)),
        (None, Some(expires)) => format!("good until {}", moment(expires)),
    };
    let used =
        token.last_used.map_or_else(|| "never used".to_owned(), |t| format!("used {}", moment(t)));
    let (prefixes, actions) = (listed(token.grant.prefixes()), listed(token.grant.actions()));
    let name = if token.name.is_empty() { String::new() } else { format!("  {:?}", token.name) };
    format!("{}  {prefixes}  {actions}  {state}  {used}{name}", token.id)
}

fn describe(token: &TokenInfo) -> Value {
    json!({
        "id": token.id,
        "name": token.name,
        "prefixes": token.grant.prefixes(),
        "allow": token.grant.actions(),
        "created": stamp(token.created),
        "expires": token.expires.and_then(stamp),
        "lastUsed": token.last_used.and_then(stamp),
        "revoked": token.revoked.and_then(stamp),
    })
}

/// Give a token another secret, and print it: once, and nothing else
///
/// Its ID and what it allows stay. The secret it had is good for a time, so that nothing fails while
/// the new one is put in its place. `--at-once` ends one that got lost.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry token rotate --data ./data 3a91c07b > token
  gantry registry token rotate --data ./data 3a91c07b --at-once --expires 90d > token")]
struct Rotate {
    #[command(flatten)]
    place: PlaceArgs,
    /// The token's ID
    id: TokenId,
    /// How long the secret it had stays good
    #[arg(long, value_name = "TIME", default_value = "24h")]
    grace: Lifetime,
    /// The secret it had is good no longer
    #[arg(long, conflicts_with = "grace")]
    at_once: bool,
    /// How long the token is good from now on [default: until it would have expired]
    #[arg(long, value_name = "TIME")]
    expires: Option<Lifetime>,
}

impl Rotate {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let Some(grace) = self.grace.duration() else {
            let error = anyhow::anyhow!("a secret that was changed does not stay good for ever");
            return Err(Failure::new(Kind::Usage, error));
        };
        let grace = if self.at_once { Duration::ZERO } else { grace };
        let rotation = Rotation { grace, lifetime: self.expires.map(Lifetime::duration) };
        let place = self.place.place();
        let rotated = wait(admin::rotate_token(&place, &self.id, rotation, now()))?;
        let (token, info) = rotated.ok_or_else(|| absent(&self.id))?;
        context.note(format_args!(
            "token {} is good {}; it is shown this once",
            info.id,
            until(&info)
        ));
        let mut value = describe(&info);
        value["token"] = token.reveal().into();
        Ok(context.print(&value, token.reveal())?)
    }
}

fn absent(id: &TokenId) -> Failure {
    let refusal = Refusal {
        code: "token-unknown".to_owned(),
        message: format!("there is no token {id} that is good"),
        wanted: "the ID of a token that is not revoked".to_owned(),
        found: id.to_string(),
        rule: "what is to be changed must be there".to_owned(),
        next: "`gantry registry token list` shows the tokens".to_owned(),
    };
    Failure::refusal(Kind::Absent, refusal)
}

/// End a token now
///
/// The ID is what `token list` shows. Exit code 2 where there is no such token, or it
/// was revoked before.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry token revoke --data ./data 3a91c07b")]
struct Revoke {
    #[command(flatten)]
    place: PlaceArgs,
    /// The token's ID
    id: TokenId,
}

impl Revoke {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let id = self.id;
        let place = self.place.place();
        if !wait(admin::revoke_token(&place, &id, now()))? {
            return Err(absent(&id));
        }
        Ok(context.print(&json!({ "revoked": id }), format_args!("revoked {id}"))?)
    }
}
