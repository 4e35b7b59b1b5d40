//! `gantry registry keys`: whose signatures a registry takes.

use std::fs;
use std::path::PathBuf;

use aci::{Limits, Name};
use anyhow::Context as _;
use clap::Subcommand;
use keys::{Certificate, Fingerprint};
use registry::admin::{self, AddedKeys, KeyInfo, KeyList, KeysRequest, Unfit};
use serde_json::json;

use super::super::client::now;
use super::super::files::absent;
use super::at::unfit;
use super::{At, AtArgs, Context, Failure, failed, print_list, wait};

/// Say whose signatures a registry takes for which names
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

/// Let keys sign for a prefix of names
///
/// The keys are also published: clients find them by discovery, and `gantry trust add`
/// shows them. A running server takes them up at once. A key that is there already is brought up to
/// date: what its owner has revoked signs no more.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry keys add --data ./data --prefix example.com/team team.pub.asc
  gpg --armor --export ci@example.com | gantry registry keys add --data ./data --prefix example.com -
  gantry registry keys add --registry https://example.com --token-file admin.token --prefix example.com/team team.pub.asc")]
struct Add {
    #[command(flatten)]
    at: AtArgs,
    /// For this name and all below it
    #[arg(long, value_name = "NAME")]
    prefix: Name,
    /// Files of public keys, armored or not; `-` is stdin
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

impl Add {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let limits = Limits::default();
        let at = self.at.at(context)?;
        let mut added = Vec::new();
        for file in &self.files {
            let bytes = read(file, &limits)
                .with_context(|| format!("cannot read {}", file.display()))
                .map_err(absent)?;
            let named = || file.display().to_string();
            added.extend(match &at {
                At::Data(place) => wait(async {
                    let added = admin::add_keys(place, &self.prefix, &bytes, &limits, now()).await;
                    added.with_context(named)
                })?,
                At::Server(server) => {
                    let keys = Certificate::read_all(&bytes, &limits).with_context(named)?;
                    let armored: Vec<u8> = keys.iter().flat_map(Certificate::armored).collect();
                    let keys = String::from_utf8(armored).with_context(named)?;
                    let wanted = KeysRequest { prefix: self.prefix.clone(), keys };
                    server.post::<AddedKeys>("keys", &wanted)?.added
                }
            });
        }
        let line = |key: &admin::AddedKey| {
            let (fingerprint, users) = (key.fingerprint, key.user_ids.join(", "));
            let known = match (&key.unusable, key.new) {
                (Some(why), _) => format!("is trusted and cannot sign, as {why},"),
                (None, true) => "may sign".to_owned(),
                (None, false) => "could already sign".to_owned(),
            };
            format!("{fingerprint} {known} for {} ({users})", key.prefix)
        };
        let lines: Vec<String> = added.iter().map(line).collect();
        Ok(context.print(&AddedKeys { added }, lines.join("\n"))?)
    }
}

/// One byte more than allowed is read, to tell a file that is too large.
fn read(file: &PathBuf, limits: &Limits) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let limit = limits.key_bytes.saturating_add(1);
    if file.as_os_str() == "-" {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)?;
    } else {
        fs::File::open(file)?.take(limit).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// List the keys that may sign, by prefix
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry keys list --data ./data
  gantry registry keys list --data ./data --json")]
struct List {
    #[command(flatten)]
    at: AtArgs,
}

impl List {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let KeyList { keys, warnings } = match self.at.at(context)? {
            At::Data(place) => admin::keys(&place, &Limits::default(), now())
                .map_err(|error| failed(error.into()))?,
            At::Server(server) => server.get("keys", &[])?,
        };
        for warning in warnings {
            context.warn(warning);
        }
        let line = |key: &KeyInfo| {
            let users = key.user_ids.join(", ");
            let who = match (&key.unusable, key.may_sign) {
                (Some(why), _) => format!("cannot sign: {why}  {users}"),
                (None, true) => users,
                (None, false) => "may not sign here, whatever a shorter prefix says".to_owned(),
            };
            format!("{}  {}  {who}", key.scope, key.fingerprint)
        };
        let lines: Vec<String> = keys.iter().map(line).collect();
        let nothing = "no key may sign yet: `gantry registry keys add` adds one";
        print_list(context, "keys", nothing, &lines, &keys)
    }
}

/// Let a key sign for a prefix no longer
///
/// It is about exactly this prefix: a key that may sign for a shorter one still may. What the key has
/// signed stays published. Exit code 2 where the key could not sign for the prefix.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry keys remove --data ./data --prefix example.com/team 1f02…9c
  gantry registry keys remove --registry https://example.com --token-file admin.token \\
      --prefix example.com/team 1f02…9c")]
struct Remove {
    #[command(flatten)]
    at: AtArgs,
    /// For this name and all below it
    #[arg(long, value_name = "NAME")]
    prefix: Name,
    /// The key, as `keys list` shows it
    fingerprint: Fingerprint,
}

impl Remove {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let Self { at, prefix, fingerprint } = self;
        match at.at(context)? {
            At::Data(place) => {
                let limits = Limits::default();
                if !wait(admin::remove_key(&place, &prefix, &fingerprint, &limits, now()))? {
                    return Err(unfit(&Unfit::KeyUnknown { prefix, fingerprint }));
                }
            }
            At::Server(server) => {
                let query = [("prefix", prefix.to_string())];
                server.delete(&format!("keys/{fingerprint}"), &query)?;
            }
        }
        let value = json!({ "removed": fingerprint, "prefix": prefix });
        let text = format_args!("{fingerprint} may sign for {prefix} no longer").to_string();
        Ok(context.print(&value, text)?)
    }
}
