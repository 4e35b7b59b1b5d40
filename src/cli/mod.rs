//! The command line: one file per subcommand, each an `Args` struct and `run`.

mod build;
mod bundle;
mod client;
mod context;
mod convert;
mod diff;
mod discover;
mod entry;
mod exit;
mod explain;
mod extract;
mod fetch;
mod fetching;
mod files;
mod image;
mod inspect;
mod key;
mod lifetime;
mod limits;
mod mirror;
mod network;
mod open;
mod pack;
mod patch;
mod pod;
mod push;
mod rebuild;
mod registry;
mod rewrite;
mod run;
mod running;
mod sign;
mod signatures;
mod trust;
mod unpublish;
mod validate;
mod verify;
mod yank;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::Resettable;
use clap::{Parser, Subcommand};

pub(crate) use context::{Context, Global};
pub(crate) use exit::{Failure, Kind};

/// Build, sign, serve, find, verify and run App Container Images.
#[derive(Parser)]
#[command(name = "gantry", version, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 the thing to remove was absent, 3 bad usage, \
4 not found, 5 refused by trust or verification, 6 refused by the server, 7 network.\n\
`gantry COMMAND --help` shows examples."
)]
struct Gantry {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one in a process, and it is used up at once"
)]
enum Command {
    Discover(discover::Args),
    Explain(explain::Args),
    Fetch(fetch::Args),
    Push(push::Args),
    Yank(yank::Args),
    Unpublish(unpublish::Args),
    Run(run::Args),
    Pod(pod::Args),
    Registry(registry::Args),
    Trust(trust::Args),
    Image(image::Args),
    Bundle(bundle::Args),
    Mirror(mirror::Args),
    Build(build::Args),
    Rebuild(rebuild::Args),
    Pack(pack::Args),
    Inspect(inspect::Args),
    Extract(extract::Args),
    Validate(validate::Args),
    Diff(diff::Args),
    Patch(patch::Args),
    Convert(convert::Args),
    Key(key::Args),
    Sign(sign::Args),
    Verify(verify::Args),
}

// The program where it is called as acbuild: its commands, and nothing else.
/// Build an image step by step, in a folder one can look into
#[derive(Parser)]
#[command(name = "acbuild", arg_required_else_help = true)]
struct Acbuild {
    #[command(flatten)]
    build: build::Args,
    #[command(flatten)]
    global: Global,
}

/// Whether the program's own name is acbuild's. The name of scripts stands for their command, too.
fn is_acbuild(arguments: &mut Vec<OsString>) -> bool {
    let name = arguments.first().map(PathBuf::from).unwrap_or_default();
    match name.file_name().and_then(OsStr::to_str) {
        Some("acbuild") => true,
        Some("acbuild-script") => {
            arguments.splice(0..1, ["acbuild", "script"].map(OsString::from));
            true
        }
        _ => false,
    }
}

/// Reads the arguments of a command line.
fn read<T: Parser>(arguments: Vec<OsString>) -> Result<T, clap::Error> {
    let mut command = without_empty_variables(T::command());
    let mut matches = command.try_get_matches_from_mut(arguments)?;
    T::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

/// A variable that is set to nothing is not set: what starts commands often sets them so.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    #[expect(clippy::disallowed_methods, reason = "the command reads its variables")]
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    let unset = |argument: clap::Arg| match argument.get_env().is_some_and(is_empty) {
        true => argument.env(Resettable::<clap::builder::OsStr>::Reset),
        false => argument,
    };
    command.mut_args(unset).mut_subcommands(without_empty_variables)
}

/// Reads the command line, runs it, and says what went wrong.
pub(crate) fn main() -> ExitCode {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    let is_acbuild = is_acbuild(&mut arguments);
    let json = arguments.iter().take_while(|arg| *arg != "--").any(|arg| arg == "--json");
    let builds = is_acbuild || arguments.get(1).is_some_and(|word| word == "build");
    let words = arguments.get_mut(if is_acbuild { 1 } else { 2 }..).unwrap_or_default();
    if builds && let Err(text) = build::expand(words) {
        return exit::usage_text(&text, json);
    }
    let gantry = match is_acbuild {
        true => read::<Acbuild>(arguments)
            .map(|Acbuild { global, build }| Gantry { global, command: Command::Build(build) }),
        false => read(arguments),
    };
    let gantry = match gantry {
        Ok(gantry) => gantry,
        Err(error) if builds => return exit::usage(&error, build::usage_code(&error), json),
        Err(error) => return exit::usage(&error, Kind::Usage as u8, json),
    };
    let mut context = Context::new(gantry.global, is_acbuild);
    // A registry has a configuration of its own: `--config` names that one.
    let client = !matches!(gantry.command, Command::Registry(_));
    if client && let Err(failure) = context.configure() {
        return exit::report(&context, Err(failure));
    }
    let result = match gantry.command {
        Command::Discover(args) => args.run(&context),
        Command::Explain(args) => args.run(&context),
        Command::Fetch(args) => args.run(&context),
        Command::Push(args) => args.run(&context),
        Command::Yank(args) => args.run(&context),
        Command::Unpublish(args) => args.run(&context),
        Command::Run(args) => args.run(&context),
        Command::Pod(args) => args.run(&context),
        Command::Registry(args) => args.run(&context),
        Command::Trust(args) => args.run(&context),
        Command::Image(args) => args.run(&context),
        Command::Bundle(args) => args.run(&context),
        Command::Mirror(args) => args.run(&context),
        Command::Build(args) => args.run(&context),
        Command::Rebuild(args) => args.run(&context),
        Command::Pack(args) => args.run(&context),
        Command::Inspect(args) => args.run(&context),
        Command::Extract(args) => args.run(&context),
        Command::Validate(args) => args.run(&context),
        Command::Diff(args) => args.run(&context),
        Command::Patch(args) => args.run(&context),
        Command::Convert(args) => args.run(&context),
        Command::Key(args) => args.run(&context),
        Command::Sign(args) => args.run(&context),
        Command::Verify(args) => args.run(&context),
    };
    exit::report(&context, result)
}
