//! `gantry build`: acbuild's verbs. Called as `acbuild`, this is all there is.

mod begin;
mod files;
mod go;
mod image;
mod isolated;
mod metadata;
mod modify;
mod outputs;
mod recipe;
mod run;
mod script;
mod sidecars;
mod words;
mod write;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{FromArgMatches, Subcommand};

pub(crate) use go::Build;
pub(crate) use recipe::{HowArgs, Plan};
use words::boolean;
pub(crate) use words::{expand, usage_code};

use super::{Context, Failure};

/// Build an image step by step, in a folder one can look into
///
/// `begin` makes the folder .acbuild, each command changes what is in it, `write` makes an image
/// of it, and `end` removes it. Commands can be shortened as long as it is clear which one is
/// meant. Called as acbuild, gantry takes these commands alone: a link is enough.
#[derive(clap::Args)]
#[command(
    args_override_self = true,
    after_help = "Examples:
  gantry build begin ./rootfs
  gantry build set-name example.com/hello
  gantry build label add version 1.0.0
  gantry build copy ./hello /bin/hello
  gantry build set-exec -- /bin/hello --greet world
  gantry build write hello.aci --sign ci@example.com
  gantry build end
  gantry build --modify hello.aci label add version 1.0.1   # one edit of an image, in one go
  ln -s \"$(command -v gantry)\" ~/bin/acbuild                 # scripts for acbuild run as they are

Exit codes: 0 done; 1 failed; 2 what was to be removed is not there; 3 an unknown command or option;
4 to 7 as for gantry, where an image is fetched, and for recipes. run and script pass on the code of
the command."
)]
pub(crate) struct Args {
    #[command(flatten)]
    options: BuildOptions,
    #[command(subcommand)]
    command: Command,
}

/// Options of all commands.
#[derive(clap::Args, Debug, Clone, Default)]
#[command(next_help_heading = "Options of all build commands")]
pub(crate) struct BuildOptions {
    /// The folder that .acbuild is in [default: .]
    #[arg(long, global = true, value_name = "DIR")]
    work_path: Option<PathBuf>,
    /// Do not note this command in the image's annotations
    #[arg(long, global = true, num_args = 0..=1, require_equals = true, value_name = "BOOL", value_parser = boolean, default_missing_value = "true", default_value = "false", hide_default_value = true)]
    no_history: bool,
    /// Begin with this image file, run the one command, and write the file anew if it succeeds
    #[arg(long, global = true, value_name = "FILE", visible_alias = "modify-appc")]
    modify: Option<PathBuf>,
    /// OCI images are not edited here yet
    #[arg(long, global = true, value_name = "FILE", hide = true)]
    modify_oci: Option<PathBuf>,
    /// Say what is done
    #[arg(long, global = true, num_args = 0..=1, require_equals = true, value_name = "BOOL", value_parser = boolean, default_missing_value = "true", default_value = "false", hide_default_value = true)]
    debug: bool,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    Begin(begin::Args),
    Copy(files::CopyArgs),
    CopyToDir(files::CopyToDirArgs),
    #[command(alias = "rm")]
    Remove(files::RemoveArgs),
    Chown(files::ChownArgs),
    Chmod(files::ChmodArgs),
    Setcap(files::SetcapArgs),
    Xattr(files::XattrArgs),
    Squash(image::SquashArgs),
    Run(run::Args),
    Shell(run::ShellArgs),
    Annotation(metadata::AnnotationArgs),
    Label(metadata::LabelArgs),
    Environment(metadata::EnvironmentArgs),
    #[command(alias = "volume")]
    Mount(metadata::MountArgs),
    Port(metadata::PortArgs),
    Isolator(isolated::IsolatorArgs),
    Dependency(isolated::DependencyArgs),
    SetName(metadata::SetNameArgs),
    SetTag(metadata::SetTagArgs),
    SetExec(metadata::SetExecArgs),
    SetUser(metadata::SetUserArgs),
    SetGroup(metadata::SetGroupArgs),
    SetSuppGroups(metadata::SetSuppGroupsArgs),
    #[command(alias = "set-wd")]
    SetWorkingDirectory(metadata::SetWorkingDirectoryArgs),
    #[command(alias = "set-eh")]
    SetEventHandler(metadata::SetEventHandlerArgs),
    ReplaceManifest(image::ReplaceManifestArgs),
    CatManifest(image::CatManifestArgs),
    #[command(hide = true)]
    Layer(image::LayerArgs),
    Write(write::Args),
    End(image::EndArgs),
    Script(script::Args),
    Recipe(recipe::Args),
    Version(image::VersionArgs),
    /// What the helper process of `run` does.
    #[command(hide = true)]
    StepChild,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        Build::new(context, self.options).run(self.command)
    }
}

/// Reads one command of a script.
fn parse(words: Vec<OsString>) -> Result<(BuildOptions, Command), clap::Error> {
    let name = clap::Command::new("acbuild").no_binary_name(true).disable_version_flag(true);
    let command = <Args as clap::Args>::augment_args(name);
    let matches = command.try_get_matches_from(words)?;
    let args = Args::from_arg_matches(&matches)?;
    Ok((args.options, args.command))
}
