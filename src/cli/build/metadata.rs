//! Commands that edit the manifest.

use anyhow::anyhow;
use builder::manifest::{Edit, Recorded};
use clap::Subcommand;

use super::Build;
use super::go::words;
use super::words::boolean;
use crate::cli::Failure;

/// Name and value, or a name: what most of these commands take.
#[derive(Subcommand)]
enum Pairs {
    /// Add one, or give the one of this name another value
    Add {
        /// Its name
        name: String,
        /// Its value
        value: String,
    },
    /// Remove one; exit code 2 where there is none
    #[command(alias = "rm")]
    Remove {
        /// Its name
        name: String,
    },
}

/// Add and remove annotations
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry build annotation add homepage https://example.com
  gantry build annotation remove homepage")]
pub(crate) struct AnnotationArgs {
    #[command(subcommand)]
    pairs: Pairs,
}

impl AnnotationArgs {
    pub(super) fn run(self, build: &Build<'_>) -> Result<(), Failure> {
        match self.pairs {
            Pairs::Add { name, value } => {
                let command = ["annotation", "add", &name, &value];
                build.edit(&command, &Edit::AddAnnotation(name.clone(), value.clone()))
            }
            Pairs::Remove { name } => {
                build.edit(&["annotation", "remove", &name], &Edit::RemoveAnnotation(name.clone()))
            }
        }
    }
}

/// Add and remove labels, by which builds of one name are told apart
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry build label add version 1.0.0
  gantry build label remove arch        # an image for any machine")]
pub(crate) struct LabelArgs {
    #[command(subcommand)]
    pairs: Pairs,
}

impl LabelArgs {
    pub(super) fn run(self, build: &Build<'_>) -> Result<(), Failure> {
        match self.pairs {
            Pairs::Add { name, value } => {
                let command = ["label", "add", &name, &value];
                build.edit(&command, &Edit::AddLabel(name.clone(), value.clone()))
            }
            Pairs::Remove { name } => {
                build.edit(&["label", "remove", &name], &Edit::RemoveLabel(name.clone()))
            }
        }
    }
}

/// Add and remove environment variables of the app, and of commands that run while it is built
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry build environment add LANG C.UTF-8
  gantry build environment remove LANG

The value is not noted in the history, but is in the image: a secret belongs into neither; run
takes it with --secret.")]
pub(crate) struct EnvironmentArgs {
    #[command(subcommand)]
    pairs: Pairs,
}

impl EnvironmentArgs {
    pub(super) fn run(self, build: &Build<'_>) -> Result<(), Failure> {
        match self.pairs {
            Pairs::Add { name, value } => {
                let mut command = words(&["environment", "add", &name]);
                command.push(Recorded::Secret);
                build.change(&command, |change| change.edit(&Edit::AddEnvironment(name, value)))
            }
            Pairs::Remove { name } => build
                .edit(&["environment", "remove", &name], &Edit::RemoveEnvironment(name.clone())),
        }
    }
}

/// Add and remove mount points
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry build mount add data /srv/data
  gantry build mount add config /etc/app --read-only
  gantry build mount remove data
  gantry build mount remove /etc/app")]
pub(crate) struct MountArgs {
    #[command(subcommand)]
    command: Mounts,
}

#[derive(Subcommand)]
enum Mounts {
    /// Add one, in the place of those of this name or path
    Add {
        /// Its name
        name: String,
        /// Its path in the image, from the root on
        path: String,
        /// Let nothing be written there
        #[arg(long, num_args = 0..=1, require_equals = true, value_name = "BOOL", value_parser = boolean, default_missing_value = "true", default_value = "false", hide_default_value = true)]
        read_only: bool,
    },
    /// Remove those of this name or path; exit code 2 where there is none
    #[command(alias = "rm")]
    Remove {
        /// Its name, or its path
        #[arg(value_name = "NAME|PATH")]
        which: String,
    },
}

impl MountArgs {
    pub(super) fn run(self, build: &Build<'_>) -> Result<(), Failure> {
        match self.command {
            Mounts::Add { name, path, read_only } => {
                let mut command = vec!["mount", "add", &name, &path];
                command.extend(read_only.then_some("--read-only"));
                let (name, path) = (name.clone(), path.clone());
                build.edit(&command, &Edit::AddMount { name, path, read_only })
            }
            Mounts::Remove { which } => {
                build.edit(&["mount", "remove", &which], &Edit::RemoveMount(which.clone()))
            }
        }
    }
}

/// Add and remove ports
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry build port add http tcp 80
  gantry build port add peers udp 7000 --count 10
  gantry build port add web tcp 443 --socket-activated
  gantry build port remove http
  gantry build port remove 7000/udp")]
pub(crate) struct PortArgs {
    #[command(subcommand)]
    command: Ports,
}

#[derive(Subcommand)]
enum Ports {
    /// Add one, in the place of that of this name
    Add {
        /// Its name
        name: String,
        /// tcp, udp
        protocol: String,
        /// Its number
        port: String,
        /// How many numbers, from this one on
        #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..))]
        count: u16,
        /// Hand the app the open socket
        #[arg(long, num_args = 0..=1, require_equals = true, value_name = "BOOL", value_parser = boolean, default_missing_value = "true", default_value = "false", hide_default_value = true)]
        socket_activated: bool,
    },
    /// Remove those of this name, number, or number and protocol; exit code 2 where there is none
    #[command(alias = "rm")]
    Remove {
        /// Its name, its number, or as 80/tcp
        #[arg(value_name = "NAME|PORT")]
        which: String,
    },
}

impl PortArgs {
    pub(super) fn run(self, build: &Build<'_>) -> Result<(), Failure> {
        match self.command {
            Ports::Add { name, protocol, port, count, socket_activated } => {
                let number: u16 =
                    port.parse().ok().filter(|&number| number > 0).ok_or_else(|| {
                        anyhow!("{port:?} is no port: a number from 1 to 65535 is one")
                    })?;
                let many = count.to_string();
                let mut command = vec!["port", "add", &name, &protocol, &port];
                if count != 1 {
                    command.extend(["--count", &many]);
                }
                command.extend(socket_activated.then_some("--socket-activated"));
                let (name, protocol) = (name.clone(), protocol.clone());
                let edit = Edit::AddPort { name, protocol, port: number, count, socket_activated };
                build.edit(&command, &edit)
            }
            Ports::Remove { which } => {
                build.edit(&["port", "remove", &which], &Edit::RemovePort(which.clone()))
            }
        }
    }
}

/// Name the image
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry build set-name example.com/team/hello

The version is a label of its own: gantry build label add version 1.0.0")]
pub(crate) struct SetNameArgs {
    /// The name, as example.com/team/hello
    name: String,
}

impl SetNameArgs {
    pub(super) fn run(self, build: &Build<'_>) -> Result<(), Failure> {
        build.edit(&["set-name", &self.name], &Edit::SetName(self.name.clone()))
    }
}

/// Set the label version
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry build set-tag 1.0.0")]
pub(crate) struct SetTagArgs {
    /// The version
    version: String,
}

impl SetTagArgs {
    pub(super) fn run(self, build: &Build<'_>) -> Result<(), Failure> {
        let edit = Edit::AddLabel("version".to_owned(), self.version.clone());
        build.edit(&["set-tag", &self.version], &edit)
    }
}

/// Set the program and its arguments
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry build set-exec /bin/hello world
  gantry build set-exec -- /bin/hello --greet world    # arguments that begin with a dash need --")]
pub(crate) struct SetExecArgs {
    /// The program, from the root of the image on, and its arguments
    #[arg(required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl SetExecArgs {
    pub(super) fn run(self, build: &Build<'_>) -> Result<(), Failure> {
        let mut command = words(&["set-exec", "--"]);
        command.extend(self.command.iter().cloned().map(Recorded::Argument));
        build.change(&command, |change| change.edit(&Edit::SetExec(self.command)))
    }
}

/// Set the user that the app runs as
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry build set-user 1000
  gantry build set-user www-data
  gantry build set-user /etc/app       # the owner of that file")]
pub(crate) struct SetUserArgs {
    /// A name that the image knows, a number, or the path of a file
    user: String,
}

impl SetUserArgs {
    pub(super) fn run(self, build: &Build<'_>) -> Result<(), Failure> {
        build.edit(&["set-user", &self.user], &Edit::SetUser(self.user.clone()))
    }
}

/// Set the group that the app runs as
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry build set-group 1000")]
pub(crate) struct SetGroupArgs {
    /// A name that the image knows, a number, or the path of a file
    group: String,
}

impl SetGroupArgs {
    pub(super) fn run(self, build: &Build<'_>) -> Result<(), Failure> {
        build.edit(&["set-group", &self.group], &Edit::SetGroup(self.group.clone()))
    }
}

/// Set the supplementary groups that the app runs with
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry build set-supp-groups 20 44")]
pub(crate) struct SetSuppGroupsArgs {
    /// Numbers of groups
    #[arg(required = true, value_name = "GID")]
    groups: Vec<String>,
}

impl SetSuppGroupsArgs {
    pub(super) fn run(self, build: &Build<'_>) -> Result<(), Failure> {
        let number =
            |text: &String| text.parse().map_err(|_| anyhow!("{text:?} is no number of a group"));
        let numbers = self.groups.iter().map(number).collect::<Result<Vec<u32>, _>>()?;
        let texts = self.groups.iter().map(String::as_str);
        let command: Vec<&str> = std::iter::once("set-supp-groups").chain(texts).collect();
        build.edit(&command, &Edit::SetSupplementaryGroups(numbers))
    }
}

/// Set the folder that the app starts in
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry build set-working-directory /srv/app")]
pub(crate) struct SetWorkingDirectoryArgs {
    /// The folder, from the root of the image on
    #[arg(value_name = "DIR")]
    folder: String,
}

impl SetWorkingDirectoryArgs {
    pub(super) fn run(self, build: &Build<'_>) -> Result<(), Failure> {
        let edit = Edit::SetWorkingDirectory(self.folder.clone());
        build.edit(&["set-working-directory", &self.folder], &edit)
    }
}

/// Set what runs before the app, or after it
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry build set-event-handler pre-start /bin/prepare
  gantry build set-event-handler post-stop -- /bin/clean --all
  gantry build set-event-handler --remove pre-start")]
pub(crate) struct SetEventHandlerArgs {
    /// pre-start or post-stop
    event: String,
    /// The program, from the root of the image on, and its arguments
    #[arg(required_unless_present = "remove", conflicts_with = "remove", value_name = "COMMAND")]
    command: Vec<String>,
    /// Remove what runs at this event; exit code 2 where there is nothing
    #[arg(long)]
    remove: bool,
}

impl SetEventHandlerArgs {
    pub(super) fn run(self, build: &Build<'_>) -> Result<(), Failure> {
        if self.remove {
            let edit = Edit::RemoveEventHandler(self.event.clone());
            return build.edit(&["set-event-handler", "--remove", &self.event], &edit);
        }
        let mut command = words(&["set-event-handler", &self.event, "--"]);
        command.extend(self.command.iter().cloned().map(Recorded::Argument));
        let edit = Edit::SetEventHandler(self.event, self.command);
        build.change(&command, |change| change.edit(&edit))
    }
}
