//! `gantry registry token`: secrets that stand for who may do what.

use std::time::{Duration, SystemTime};

use clap::Subcommand;
use registry::TokenId;
use registry::admin::{
    self, NewToken, RotateRequest, Rotation, TokenInfo, TokenList, TokenMade, TokenRequest, Unfit,
};
use serde_json::json;

use super::super::client::now;
use super::super::lifetime::Lifetime;
use super::at::unfit;
use super::{At, AtArgs, Context, Failure, GrantArgs, Kind, listed, moment, print_list, wait};

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
      --allow push --allow delete --name 'ci of the team'
  gantry registry token create --registry https://example.com --token-file admin.token \\
      --prefix example.com/team --allow push")]
struct Create {
    #[command(flatten)]
    at: AtArgs,
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
        let made = match self.at.at(context)? {
            At::Data(place) => made(wait(admin::create_token(&place, new, now()))?),
            At::Server(server) => server.post("tokens", &TokenRequest::from(new))?,
        };
        context.note(format_args!(
            "token {} for {}, good {}; it is shown this once",
            made.info.id,
            listed(made.info.grant.prefixes()),
            until(&made.info)
        ));
        Ok(context.print(&made, &made.token)?)
    }
}

fn made((token, info): (registry::Token, TokenInfo)) -> TokenMade {
    TokenMade { info, token: token.reveal().to_owned() }
}

fn until(token: &TokenInfo) -> String {
    token.expires.map_or_else(|| "for ever".to_owned(), |time| format!("until {}", moment(time)))
}

/// List the tokens, without what makes them one
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry token list --data ./data
  gantry registry token list --data ./data --json
  gantry registry token list --registry https://example.com --token-file admin.token")]
struct List {
    #[command(flatten)]
    at: AtArgs,
}

impl List {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let tokens = match self.at.at(context)? {
            At::Data(place) => wait(admin::tokens(&place))?,
            At::Server(server) => server.get::<TokenList>("tokens", &[])?.tokens,
        };
        let now = now();
        let lines: Vec<String> = tokens.iter().map(|token| line(token, now)).collect();
        let nothing = "there is no token yet: `gantry registry token create` makes one";
        print_list(context, "tokens", nothing, &lines, &tokens)
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

/// Give a token another secret, and print it: once, and nothing else
///
/// Its ID and what it allows stay. The secret it had is good for a time, so that nothing fails while
/// the new one is put in its place. `--at-once` ends one that got lost.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry token rotate --data ./data 3a91c07b > token
  gantry registry token rotate --data ./data 3a91c07b --at-once --expires 90d > token
  gantry registry token rotate --registry https://example.com --token-file admin.token 3a91c07b > token")]
struct Rotate {
    #[command(flatten)]
    at: AtArgs,
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
        let made = match self.at.at(context)? {
            At::Data(place) => {
                let rotated = wait(admin::rotate_token(&place, &self.id, rotation, now()))?;
                made(rotated.ok_or_else(|| unfit(&Unfit::TokenUnknown(self.id)))?)
            }
            At::Server(server) => {
                let path = format!("tokens/{}/rotate", self.id);
                server.post(&path, &RotateRequest::from(rotation))?
            }
        };
        context.note(format_args!(
            "token {} is good {}; it is shown this once",
            made.info.id,
            until(&made.info)
        ));
        Ok(context.print(&made, &made.token)?)
    }
}

/// End a token now
///
/// The ID is what `token list` shows. Exit code 2 where there is no such token, or it
/// was revoked before.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry token revoke --data ./data 3a91c07b
  gantry registry token revoke --registry https://example.com --token-file admin.token 3a91c07b")]
struct Revoke {
    #[command(flatten)]
    at: AtArgs,
    /// The token's ID
    id: TokenId,
}

impl Revoke {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let id = self.id;
        match self.at.at(context)? {
            At::Data(place) => {
                if !wait(admin::revoke_token(&place, &id, now()))? {
                    return Err(unfit(&Unfit::TokenUnknown(id)));
                }
            }
            At::Server(server) => server.delete(&format!("tokens/{id}"), &[])?,
        }
        Ok(context.print(&json!({ "revoked": id }), format_args!("revoked {id}"))?)
    }
}
