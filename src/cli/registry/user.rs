//! `gantry registry user`: people and programs that show a name and a password.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use aci::Refusal;
use anyhow::anyhow;
use clap::Subcommand;
use registry::admin::{self, UserInfo};
use registry::{Password, UserName};
use serde_json::{Value, json};

use super::super::client::now;
use super::super::files::read_small;
use super::{
    Context, Failure, GrantArgs, Kind, PlaceArgs, listed, moment, print_list, stamp, wait,
};

/// Largest password file read, in bytes.
const MAX_PASSWORD: u64 = 4 << 10;

/// Say which users may push to a registry, read or delete, below some names
///
/// A user shows a name and a password. Where a client can send a token, `gantry registry token` is the
/// better way: it cannot be guessed, and ends by itself.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Add(Add),
    List(List),
    Passwd(Passwd),
    Remove(Remove),
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self.command {
            Command::Add(args) => args.run(context),
            Command::List(args) => args.run(context),
            Command::Passwd(args) => args.run(context),
            Command::Remove(args) => args.run(context),
        }
    }
}

/// Where the password comes from. Never from the command line, which others can read.
#[derive(clap::Args)]
struct PasswordArgs {
    /// Read the password from this file; without it, from stdin, which a terminal does not show. The
    /// line end at its end is dropped
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl PasswordArgs {
    fn password(&self) -> Result<Password, Failure> {
        let text = match &self.password_file {
            Some(file) => text(read_small(file, MAX_PASSWORD)?)?,
            None if std::io::stdin().is_terminal() => {
                let first = rpassword::prompt_password("Password: ")?;
                if first != rpassword::prompt_password("The same again: ")? {
                    return Err(Failure::new(Kind::Usage, anyhow!("the two passwords differ")));
                }
                first
            }
            None => {
                let mut bytes = Vec::new();
                std::io::stdin().lock().take(MAX_PASSWORD + 1).read_to_end(&mut bytes)?;
                text(bytes)?
            }
        };
        text.parse().map_err(|error| Failure::new(Kind::Usage, anyhow::Error::new(error)))
    }
}

fn text(bytes: Vec<u8>) -> Result<String, Failure> {
    let mut text = String::from_utf8(bytes)
        .map_err(|_| Failure::new(Kind::Usage, anyhow!("the password is no text")))?;
    let end = text.strip_suffix('\n').map_or(text.len(), str::len);
    text.truncate(end);
    let end = text.strip_suffix('\r').map_or(text.len(), str::len);
    text.truncate(end);
    Ok(text)
}

/// Add a user
///
/// A password has at least 12 characters. The registry keeps it as Argon2id alone.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry user add alice --data ./data --prefix example.com/team --allow push --allow read
  gantry registry user add bot --data ./data --prefix example.com --allow read --password-file bot.password")]
struct Add {
    #[command(flatten)]
    place: PlaceArgs,
    /// The user's name
    name: UserName,
    #[command(flatten)]
    grant: GrantArgs,
    #[command(flatten)]
    password: PasswordArgs,
}

impl Add {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let password = self.password.password()?;
        let (place, grant, name) = (self.place.place(), self.grant.grant(), self.name);
        let added = wait(admin::add_user(&place, name.clone(), &password, grant, now()))?;
        let Some(user) = added else {
            let refusal = Refusal {
                code: "user-exists".to_owned(),
                message: format!("there is a user {name} already"),
                wanted: "the name of a user who is not there".to_owned(),
                found: name.to_string(),
                rule: "a name is one user's".to_owned(),
                next: "`gantry registry user passwd` sets another password; to allow something \
                       else, remove the user first"
                    .to_owned(),
            };
            return Err(Failure::refusal(Kind::Failed, refusal));
        };
        let line = format!(
            "{name} may {} under {}",
            listed(user.grant.actions()),
            listed(user.grant.prefixes())
        );
        Ok(context.print(&describe(&user), line)?)
    }
}

/// List the users, without their passwords
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry user list --data ./data
  gantry registry user list --data ./data --json")]
struct List {
    #[command(flatten)]
    place: PlaceArgs,
}

impl List {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let users = wait(admin::users(&self.place.place()))?;
        let line = |user: &UserInfo| {
            let (prefixes, actions) = (listed(user.grant.prefixes()), listed(user.grant.actions()));
            format!("{}  {prefixes}  {actions}  password of {}", user.name, moment(user.changed))
        };
        let lines: Vec<String> = users.iter().map(line).collect();
        let values: Vec<Value> = users.iter().map(describe).collect();
        let nothing = "there is no user yet: `gantry registry user add` adds one";
        print_list(context, "users", nothing, &lines, values)
    }
}

fn describe(user: &UserInfo) -> Value {
    json!({
        "name": user.name,
        "prefixes": user.grant.prefixes(),
        "allow": user.grant.actions(),
        "created": stamp(user.created),
        "passwordSet": stamp(user.changed),
    })
}

/// Give a user another password
///
/// The one before is good no longer. Exit code 2 where there is no such user.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry user passwd alice --data ./data
  gantry registry user passwd bot --data ./data --password-file bot.password")]
struct Passwd {
    #[command(flatten)]
    place: PlaceArgs,
    /// The user's name
    name: UserName,
    #[command(flatten)]
    password: PasswordArgs,
}

impl Passwd {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let password = self.password.password()?;
        let place = self.place.place();
        if !wait(admin::change_password(&place, &self.name, &password, now()))? {
            return Err(absent(&self.name));
        }
        let line = format!("{} has another password", self.name);
        Ok(context.print(&json!({ "changed": self.name }), line)?)
    }
}

/// Remove a user, from this moment
///
/// What the user published stays. Exit code 2 where there is no such user.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry user remove alice --data ./data")]
struct Remove {
    #[command(flatten)]
    place: PlaceArgs,
    /// The user's name
    name: UserName,
}

impl Remove {
    fn run(self, context: &Context) -> Result<(), Failure> {
        if !wait(admin::remove_user(&self.place.place(), &self.name))? {
            return Err(absent(&self.name));
        }
        let line = format!("removed {}", self.name);
        Ok(context.print(&json!({ "removed": self.name }), line)?)
    }
}

fn absent(name: &UserName) -> Failure {
    let refusal = Refusal {
        code: "user-unknown".to_owned(),
        message: format!("there is no user {name}"),
        wanted: "the name of a user".to_owned(),
        found: name.to_string(),
        rule: "what is to be changed must be there".to_owned(),
        next: "`gantry registry user list` shows the users".to_owned(),
    };
    Failure::refusal(Kind::Absent, refusal)
}
