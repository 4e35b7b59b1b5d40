//! `gantry registry user`: people and programs that show a name and a password.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use anyhow::anyhow;
use clap::Subcommand;
use registry::admin::{self, PasswordRequest, Unfit, UserInfo, UserList, UserRequest};
use registry::{Password, UserName};
use serde_json::json;

use super::super::client::now;
use super::super::files::read_small;
use super::at::unfit;
use super::{At, AtArgs, Context, Failure, GrantArgs, Kind, listed, moment, print_list, wait};

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
  gantry registry user add bot --data ./data --prefix example.com --allow read --password-file bot.password
  gantry registry user add alice --registry https://example.com --token-file admin.token \\
      --prefix example.com/team --allow push")]
struct Add {
    #[command(flatten)]
    at: AtArgs,
    /// The user's name
    name: UserName,
    #[command(flatten)]
    grant: GrantArgs,
    #[command(flatten)]
    password: PasswordArgs,
}

impl Add {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let at = self.at.at(context)?;
        let password = self.password.password()?;
        let (grant, name) = (self.grant.grant(), self.name);
        let user = match at {
            At::Data(place) => {
                let added = wait(admin::add_user(&place, name.clone(), &password, grant, now()))?;
                added.ok_or_else(|| unfit(&Unfit::UserExists(name.clone())))?
            }
            At::Server(server) => {
                let (prefixes, allow) = (grant.prefixes().to_vec(), grant.actions().to_vec());
                let password = password.reveal().to_owned();
                let wanted = UserRequest { name: name.clone(), password, prefixes, allow };
                server.post("users", &wanted)?
            }
        };
        let line = format!(
            "{name} may {} under {}",
            listed(user.grant.actions()),
            listed(user.grant.prefixes())
        );
        Ok(context.print(&user, line)?)
    }
}

/// List the users, without their passwords
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry user list --data ./data
  gantry registry user list --data ./data --json")]
struct List {
    #[command(flatten)]
    at: AtArgs,
}

impl List {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let users = match self.at.at(context)? {
            At::Data(place) => wait(admin::users(&place))?,
            At::Server(server) => server.get::<UserList>("users", &[])?.users,
        };
        let line = |user: &UserInfo| {
            let (prefixes, actions) = (listed(user.grant.prefixes()), listed(user.grant.actions()));
            format!("{}  {prefixes}  {actions}  password of {}", user.name, moment(user.changed))
        };
        let lines: Vec<String> = users.iter().map(line).collect();
        let nothing = "there is no user yet: `gantry registry user add` adds one";
        print_list(context, "users", nothing, &lines, &users)
    }
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
    at: AtArgs,
    /// The user's name
    name: UserName,
    #[command(flatten)]
    password: PasswordArgs,
}

impl Passwd {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let at = self.at.at(context)?;
        let password = self.password.password()?;
        match at {
            At::Data(place) => {
                if !wait(admin::change_password(&place, &self.name, &password, now()))? {
                    return Err(unfit(&Unfit::UserUnknown(self.name)));
                }
            }
            At::Server(server) => {
                let wanted = PasswordRequest { password: password.reveal().to_owned() };
                server.put::<()>(&format!("users/{}/password", self.name), &wanted)?;
            }
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
    at: AtArgs,
    /// The user's name
    name: UserName,
}

impl Remove {
    fn run(self, context: &Context) -> Result<(), Failure> {
        match self.at.at(context)? {
            At::Data(place) => {
                if !wait(admin::remove_user(&place, &self.name, now()))? {
                    return Err(unfit(&Unfit::UserUnknown(self.name)));
                }
            }
            At::Server(server) => server.delete(&format!("users/{}", self.name), &[])?,
        }
        let line = format!("removed {}", self.name);
        Ok(context.print(&json!({ "removed": self.name }), line)?)
    }
}
