//! `gantry registry token`: who may push.

use std::time::SystemTime;

use aci::{Name, Refusal};
use clap::Subcommand;
use registry::admin::{self, NewToken, TokenInfo};
use registry::{Action, TokenId};
use serde_json::{Value, json};

use super::super::client::now;
use super::super::lifetime::Lifetime;
use super::{Context, Failure, Kind, PlaceArgs, moment, stamp, wait};

/// Say who may push to a registry, and for which names
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Create(Create),
    List(List),
    Revoke(Revoke),
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self.command {
            Command::Create(args) => args.run(context),
            Command::List(args) => args.run(context),
            Command::Revoke(args) => args.run(context),
        }
    }
}

/// Make a token, and print it: once, and nothing else
///
/// The registry keeps only its hash. Whoever holds the token may push images under the
/// prefix that are signed by a key of that prefix: a token alone publishes nothing.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry token create --data ./data --prefix example.com/team --allow push
  gantry registry token create --data ./data --prefix example.com/team --allow push --expires 1y > token")]
struct Create {
    #[command(flatten)]
    place: PlaceArgs,
    /// Good for this name and all below it
    #[arg(long, value_name = "NAME")]
    prefix: Name,
    /// What it allows; may be given several times
    #[arg(long = "allow", value_name = "ACTION", required = true)]
    actions: Vec<Action>,
    /// How long it is good: 90d, 2y, 12h, or `never`
    #[arg(long, value_name = "TIME", default_value = "90d")]
    expires: Lifetime,
}

impl Create {
    fn run(mut self, context: &Context) -> Result<(), Failure> {
        self.actions.dedup();
        let new = NewToken {
            prefix: self.prefix,
            actions: self.actions,
            lifetime: self.expires.duration(),
        };
        let place = self.place.place();
        let (token, info) = wait(admin::create_token(&place, new, now()))?;
        let until =
            info.expires.map_or_else(|| "for ever".to_owned(), |t| format!("until {}", moment(t)));
        context.note(format_args!(
            "token {} for {}, good {until}; it is shown this once",
            info.id, info.prefix
        ));
        let mut value = describe(&info);
        value["token"] = token.reveal().into();
        Ok(context.print(&value, token.reveal())?)
    }
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
        if tokens.is_empty() {
            context.note("there is no token yet: `gantry registry token create` makes one");
            if !context.json() {
                return Ok(());
            }
        }
        let lines: Vec<String> = tokens.iter().map(|token| line(token, now)).collect();
        let values: Vec<Value> = tokens.iter().map(describe).collect();
        Ok(context.print(&json!({ "tokens": values }), lines.join("\n"))?)
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
    let actions: Vec<&str> = token.actions.iter().map(|action| action.as_str()).collect();
    format!("{}  {}  {}  {state}  {used}", token.id, token.prefix, actions.join(","))
}

fn describe(token: &TokenInfo) -> Value {
    json!({
        "id": token.id,
        "prefix": token.prefix,
        "allow": token.actions,
        "created": stamp(token.created),
        "expires": token.expires.and_then(stamp),
        "lastUsed": token.last_used.and_then(stamp),
        "revoked": token.revoked.and_then(stamp),
    })
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
            let refusal = Refusal {
                code: "token-unknown".to_owned(),
                message: format!("there is no token {id} to revoke"),
                wanted: "the ID of a token that is not revoked".to_owned(),
                found: id.to_string(),
                rule: "what is to be removed must be there".to_owned(),
                next: "`gantry registry token list` shows the tokens".to_owned(),
            };
            return Err(Failure::refusal(Kind::Absent, refusal));
        }
        Ok(context.print(&json!({ "revoked": id }), format_args!("revoked {id}"))?)
    }
}
