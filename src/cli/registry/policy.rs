//! `gantry registry policy`: what is so below a prefix.

use aci::{Name, Refusal};
use anyhow::anyhow;
use clap::Subcommand;
use registry::{OverwritePolicy, PolicyEntry, ReadPolicy, admin};
use serde_json::{Value, json};

use super::super::client::now;
use super::{Context, Failure, Kind, PlaceArgs, print_list, wait};

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
  gantry registry policy set --data ./data --prefix example.com/nightly --overwrite allowed")]
struct Set {
    #[command(flatten)]
    place: PlaceArgs,
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
        let Self { place, prefix, read, overwrite } = self;
        if read.is_none() && overwrite.is_none() {
            let error = anyhow!("nothing is set: give --read or --overwrite");
            return Err(Failure::new(Kind::Usage, error));
        }
        let entry = PolicyEntry { prefix, read, overwrite };
        let set = wait(admin::set_policy(&place.place(), &entry, now()))?;
        Ok(context.print(&describe(&set), line(&set))?)
    }
}

/// List what each prefix says
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry policy list --data ./data
  gantry registry policy list --data ./data --json")]
struct List {
    #[command(flatten)]
    place: PlaceArgs,
}

impl List {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let policies = wait(admin::policies(&self.place.place()))?;
        let lines: Vec<String> = policies.iter().map(line).collect();
        let values: Vec<Value> = policies.iter().map(describe).collect();
        let nothing = "no prefix says anything: everybody may read, and nothing is replaced";
        print_list(context, "policies", nothing, &lines, values)
    }
}

fn line(entry: &PolicyEntry) -> String {
    let read = entry.read.map_or_else(String::new, |word| format!("  read={word}"));
    let overwrite = entry.overwrite.map_or_else(String::new, |word| format!("  overwrite={word}"));
    format!("{}{read}{overwrite}", entry.prefix)
}

fn describe(entry: &PolicyEntry) -> Value {
    json!({ "prefix": entry.prefix, "read": entry.read, "overwrite": entry.overwrite })
}

/// Have a prefix say nothing any more
///
/// What the prefix above it says counts then. Exit code 2 where it said nothing.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry policy remove --data ./data --prefix example.com/internal")]
struct Remove {
    #[command(flatten)]
    place: PlaceArgs,
    /// The prefix
    #[arg(long, value_name = "NAME")]
    prefix: Name,
}

impl Remove {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let prefix = self.prefix;
        if !wait(admin::remove_policy(&self.place.place(), &prefix))? {
            let refusal = Refusal {
                code: "policy-unknown".to_owned(),
                message: format!("{prefix} says nothing that could be removed"),
                wanted: "a prefix that says something".to_owned(),
                found: prefix.to_string(),
                rule: "what is to be removed must be there".to_owned(),
                next: "`gantry registry policy list` shows what each prefix says".to_owned(),
            };
            return Err(Failure::refusal(Kind::Absent, refusal));
        }
        Ok(context.print(&json!({ "removed": prefix }), format_args!("removed {prefix}"))?)
    }
}
