//! `gantry registry policy`: what is so below a prefix.

use aci::Name;
use anyhow::anyhow;
use clap::Subcommand;
use registry::admin::{self, PolicyList, Unfit};
use registry::{OverwritePolicy, PolicyEntry, ReadPolicy};
use serde_json::json;

use super::super::client::now;
use super::at::unfit;
use super::{At, AtArgs, Context, Failure, Kind, print_list, wait};

/// Say who may read below a prefix, and whether images may be replaced there
///
/// The longest prefix of a name that says something decides, each thing by itself. Where none
/// does, everybody may read, and an image stays what it is. A running server takes a change up
/// within a second.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Set(Set),
    List(List),
    Remove(Remove),
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self.command {
            Command::Set(args) => args.run(context),
            Command::List(args) => args.run(context),
            Command::Remove(args) => args.run(context),
        }
    }
}

/// Have a prefix say something; what it said of other things stays
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry policy set --data ./data --prefix example.com/internal --read token
  gantry registry policy set --data ./data --prefix example.com/internal/docs --read public
  gantry registry policy set --data ./data --prefix example.com/nightly --overwrite allowed
  gantry registry policy set --registry https://example.com --token-file admin.token \\
      --prefix example.com/internal --read token")]
struct Set {
    #[command(flatten)]
    at: AtArgs,
    /// For this name and all below it
    #[arg(long, value_name = "NAME")]
    prefix: Name,
    /// Who may see and fetch: `public`, everybody; `token`, whoever is allowed to read there
    #[arg(long, value_name = "WHO")]
    read: Option<ReadPolicy>,
    /// Whether a push may replace an image of the same name and labels: `never` or `allowed`
    #[arg(long, value_name = "WHETHER")]
    overwrite: Option<OverwritePolicy>,
}

impl Set {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let Self { at, prefix, read, overwrite } = self;
        if read.is_none() && overwrite.is_none() {
            let error = anyhow!("nothing is set: give --read or --overwrite");
            return Err(Failure::new(Kind::Usage, error));
        }
        let entry = PolicyEntry { prefix, read, overwrite };
        let set = match at.at(context)? {
            At::Data(place) => wait(admin::set_policy(&place, &entry, now()))?,
            At::Server(server) => server.put("policies", &entry)?,
        };
        Ok(context.print(&set, line(&set))?)
    }
}

/// List what each prefix says
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry policy list --data ./data
  gantry registry policy list --data ./data --json")]
struct List {
    #[command(flatten)]
    at: AtArgs,
}

impl List {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let policies = match self.at.at(context)? {
            At::Data(place) => wait(admin::policies(&place))?,
            At::Server(server) => server.get::<PolicyList>("policies", &[])?.policies,
        };
        let lines: Vec<String> = policies.iter().map(line).collect();
        let nothing = "no prefix says anything: everybody may read, and nothing is replaced";
        print_list(context, "policies", nothing, &lines, &policies)
    }
}

fn line(entry: &PolicyEntry) -> String {
    let read = entry.read.map_or_else(String::new, |word| format!("  read={word}"));
    let overwrite = entry.overwrite.map_or_else(String::new, |word| format!("  overwrite={word}"));
    format!("{}{read}{overwrite}", entry.prefix)
}

/// Have a prefix say nothing any more
///
/// What the prefix above it says counts then. Exit code 2 where it said nothing.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry policy remove --data ./data --prefix example.com/internal")]
struct Remove {
    #[command(flatten)]
    at: AtArgs,
    /// The prefix
    #[arg(long, value_name = "NAME")]
    prefix: Name,
}

impl Remove {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let prefix = self.prefix;
        match self.at.at(context)? {
            At::Data(place) => {
                if !wait(admin::remove_policy(&place, &prefix, now()))? {
                    return Err(unfit(&Unfit::PolicyUnknown(prefix)));
                }
            }
            At::Server(server) => server.delete("policies", &[("prefix", prefix.to_string())])?,
        }
        Ok(context.print(&json!({ "removed": prefix }), format_args!("removed {prefix}"))?)
    }
}
