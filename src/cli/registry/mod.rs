//! `gantry registry`: run a registry, and look after it.

mod at;
mod audit;
mod backup;
mod config;
mod fsck;
mod gc;
mod keys;
mod log;
mod oidc;
mod policy;
mod read_only;
mod restore;
mod retain;
mod scrub;
mod serve;
mod settings;
mod token;
mod usage;
mod user;

use std::path::PathBuf;
use std::time::SystemTime;

use aci::Name;
use clap::Subcommand;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use registry::{Action, CatalogError, Database, DatabaseUrl, Grant, KeepError, Place};

use super::{Context, Failure, Kind};
use at::{At, AtArgs};

/// Run a registry, and say who may push to it
///
/// A registry answers for domains, and takes an image only where the keys of the
/// image's name have signed it and the pusher holds a token for that name. All of
/// these commands work beside a running server: on its data directory (--data), or,
/// where they have the option, by asking it (--registry).
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(serve::Args),
    Config(config::Args),
    Keys(keys::Args),
    Policy(policy::Args),
    Oidc(oidc::Args),
    Token(token::Args),
    User(user::Args),
    Audit(audit::Args),
    Gc(gc::Args),
    Retain(retain::Args),
    Scrub(scrub::Args),
    Backup(backup::Args),
    Restore(restore::Args),
    Fsck(fsck::Args),
    Usage(usage::Args),
    ReadOnly(read_only::Args),
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self.command {
            Command::Serve(args) => args.run(context),
            Command::Config(args) => args.run(context),
            Command::Keys(args) => args.run(context),
            Command::Policy(args) => args.run(context),
            Command::Oidc(args) => args.run(context),
            Command::Token(args) => args.run(context),
            Command::User(args) => args.run(context),
            Command::Audit(args) => args.run(context),
            Command::Gc(args) => args.run(context),
            Command::Retain(args) => args.run(context),
            Command::Scrub(args) => args.run(context),
            Command::Backup(args) => args.run(context),
            Command::Restore(args) => args.run(context),
            Command::Fsck(args) => args.run(context),
            Command::Usage(args) => args.run(context),
            Command::ReadOnly(args) => args.run(context),
        }
    }
}

/// Where the catalogue is.
#[derive(clap::Args, Clone)]
struct DatabaseArgs {
    /// The catalogue's database: sqlite:///PATH or postgres://USER@HOST/DATABASE [default: gantry.db
    /// in the data directory]
    #[arg(long, value_name = "URL", env = "GANTRY_DATABASE", hide_env_values = true)]
    database: Option<DatabaseUrl>,
    /// Read the database's password from this file
    #[arg(long, value_name = "FILE", env = "GANTRY_DATABASE_PASSWORD_FILE", requires = "database")]
    database_password_file: Option<PathBuf>,
}

/// Which registry, where its data is worked on.
#[derive(clap::Args)]
struct PlaceArgs {
    /// The registry's data directory
    #[arg(long, value_name = "DIR", env = "GANTRY_DATA")]
    data: PathBuf,
    #[command(flatten)]
    database: DatabaseArgs,
}

impl PlaceArgs {
    fn place(&self) -> Place {
        self.database.of(self.data.clone())
    }
}

impl DatabaseArgs {
    fn of(&self, data: PathBuf) -> Place {
        let Self { database, database_password_file: password_file } = self.clone();
        let database = database.map(|url| Database { url, password_file });
        Place { data, database }
    }
}

/// What somebody may do.
#[derive(clap::Args)]
struct GrantArgs {
    /// For this name and all below it; may be given several times
    #[arg(long = "prefix", value_name = "NAME", required = true)]
    prefixes: Vec<Name>,
    /// What is allowed there: push, read, delete, yank or admin; may be given several times
    #[arg(long = "allow", value_name = "ACTION", required = true)]
    actions: Vec<Action>,
}

impl GrantArgs {
    fn grant(self) -> Grant {
        Grant::new(self.prefixes, self.actions)
    }
}

/// Several in one word.
fn listed<T: ToString>(all: &[T]) -> String {
    all.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}

/// Prints a list: a line of each, or one JSON object with all under this name. A note says what it
/// means that there is nothing.
fn print_list(
    context: &Context,
    name: &str,
    nothing: &str,
    lines: &[String],
    values: &impl Serialize,
) -> Result<(), Failure> {
    if lines.is_empty() {
        context.note(nothing);
        if !context.json() {
            return Ok(());
        }
    }
    Ok(context.print(&json!({ name: values }), lines.join("\n"))?)
}

/// A time for people: `2026-11-03 12:30 UTC`.
fn moment(time: SystemTime) -> String {
    match Timestamp::try_from(time) {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        Err(_) => "unknown".to_owned(),
    }
}

/// Runs what waits for the database.
fn wait<T, E: Into<anyhow::Error>>(work: impl Future<Output = Result<T, E>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(work).map_err(failure)
}

/// Why something was not done on a registry's data, with the next step where one is known.
fn failure(error: impl Into<anyhow::Error>) -> Failure {
    let error = error.into();
    let known = error.chain().find_map(|cause| {
        let kept = cause.downcast_ref::<KeepError>().and_then(KeepError::refusal);
        kept.or_else(|| cause.downcast_ref::<CatalogError>().and_then(CatalogError::refusal))
    });
    match known {
        Some(refusal) => Failure::refusal(Kind::Failed, refusal),
        None => Failure::new(Kind::Failed, error),
    }
}
