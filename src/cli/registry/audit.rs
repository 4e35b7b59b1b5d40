//! `gantry registry audit`: what was done, and whether the log of it is whole.

use clap::Subcommand;
use registry::admin::{self, AuditPage, RecordHash};
use registry::{AuditRecord, AuditVerdict};
use serde_json::json;

use aci::Refusal;

use super::at::Asked;
use super::{At, AtArgs, Context, Failure, Kind, moment, print_list, wait};

/// See who did what to a registry, and check the log of it
///
/// Every publication, deletion and withdrawal is a record, and so is every change of tokens, users,
/// keys, policies and rules, and what looks after the registry. Each holds the hash of the one before
/// it, and is written with what it tells, in one step.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    List(List),
    Verify(Verify),
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self.command {
            Command::List(args) => args.run(context),
            Command::Verify(args) => args.run(context),
        }
    }
}

/// List the last records, the newest at the end
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry audit list --data ./data
  gantry registry audit list --data ./data --last 1000 --json
  gantry registry audit list --registry https://example.com --token-file admin.token")]
struct List {
    #[command(flatten)]
    at: AtArgs,
    /// So many records
    #[arg(long, value_name = "NUMBER", default_value_t = 50)]
    last: u32,
}

impl List {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let records = match self.at.at(context)? {
            At::Data(place) => wait(admin::audit_records(&place, self.last))?,
            At::Server(server) => last(&server, self.last)?,
        };
        let lines: Vec<String> = records.iter().map(line).collect();
        let nothing = "nothing was done yet";
        print_list(context, "records", nothing, &lines, &records)
    }
}

/// Page by page, from the last.
fn last(server: &Asked, most: u32) -> Result<Vec<AuditRecord>, Failure> {
    let (most, mut pages, mut found, mut query) = (most as usize, Vec::new(), 0, Vec::new());
    while found < most {
        query.push(("last", (most - found).to_string()));
        let AuditPage { records, before } = server.get("audit", &query)?;
        found += records.len();
        pages.push(records);
        let Some(before) = before else { break };
        query = vec![("before", before.to_string())];
    }
    Ok(pages.into_iter().rev().flatten().collect())
}

fn line(record: &AuditRecord) -> String {
    let from = record.actor.address.map_or_else(String::new, |address| format!(" from {address}"));
    let what = record.detail.as_deref().or(record.name.as_ref().map(|name| name.as_str()));
    let what =
        what.map_or_else(String::new, |what| format!("  {}", discovery::printable_line(what)));
    let image = record.image_id.as_ref().map_or_else(String::new, |id| format!("  {id}"));
    format!(
        "{}  {}  {}  by {}{from}{what}{image}",
        record.sequence,
        moment(record.at),
        record.action,
        record.actor.who
    )
}

/// Check that no record was changed, removed or put in
///
/// Prints the hash of the last record. Who notes it elsewhere can give it to a later check, which
/// then also tells whether the whole log was made anew.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry audit verify --data ./data
  gantry registry audit verify --data ./data --noted 6f0c…e1
  gantry registry audit verify --registry https://example.com --token-file admin.token

Exit codes: 0 it is whole, 5 it is not.")]
struct Verify {
    #[command(flatten)]
    at: AtArgs,
    /// A hash that an earlier check has printed
    #[arg(long, value_name = "HASH")]
    noted: Option<RecordHash>,
}

impl Verify {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let verdict = match self.at.at(context)? {
            At::Data(place) => wait(admin::verify_audit(&place, self.noted.as_ref()))?,
            At::Server(server) => {
                let noted = self.noted.iter().map(|hash| ("noted", hash.as_str().to_owned()));
                server.get("audit/verify", &noted.collect::<Vec<_>>())?
            }
        };
        match verdict {
            AuditVerdict::Whole { records, head } => {
                context.note(format_args!("{records} records, each as it was written"));
                Ok(context.print(&json!({ "records": records, "head": head }), &head)?)
            }
            AuditVerdict::Broken { sequence, fault } => {
                let refusal = Refusal {
                    code: "audit-broken".to_owned(),
                    message: format!("the audit log is not whole: {fault}"),
                    wanted: "every record as it was written, from the first to the last".to_owned(),
                    found: format!("record {sequence}: {fault}"),
                    rule: "each record holds the hash of the one before it".to_owned(),
                    next: "see who can write to the database, and compare with a backup".to_owned(),
                };
                Err(Failure::refusal(Kind::Refused, refusal))
            }
        }
    }
}
