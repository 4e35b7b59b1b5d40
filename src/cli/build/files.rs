//! Commands that change files of the image.

use std::path::PathBuf;

use anyhow::anyhow;
use builder::context::{Attribute, Copied, CopyOptions, Whose};
use builder::manifest::Recorded;
use builder::{Owner, capability_value, extended_attribute, read_mode};

use super::Build;
use super::go::{failed, words};
use super::image::plain;
use crate::cli::pack::{Bar, TreeArgs};
use crate::cli::{Context, Failure};

/// How files are copied.
#[derive(clap::Args)]
struct How {
    #[command(flatten)]
    tree: TreeArgs,
    /// Put what is in a folder into one that is there
    #[arg(long)]
    merge: bool,
    /// Give everything that is copied this time, in seconds since 1970
    #[arg(long, value_name = "SECONDS")]
    mtime: Option<i64>,
}

impl How {
    fn copy(
        mut self,
        build: &Build<'_>,
        command: &[Recorded],
        copy: impl FnOnce(
            &mut builder::context::Change<'_>,
            &CopyOptions<'_>,
        ) -> Result<Copied, builder::context::ContextError>,
    ) -> Result<(), Failure> {
        let no_file = |failure| plain(failure, std::path::Path::new("its options"));
        let ignore = self.tree.ignore().map_err(no_file)?;
        let (owner, overrides) = self.tree.changes_or(Owner::of_caller()).map_err(no_file)?;
        overrides.check_kept()?;
        let bar = build.context.progress("copying", Some(0));
        let options = CopyOptions {
            skip_sockets: self.tree.skip_sockets,
            one_file_system: self.tree.one_file_system,
            mtime: self.mtime,
            merge: self.merge,
            progress: &Bar(&bar),
            ..CopyOptions::new(&owner, &overrides, &ignore)
        };
        let copied = build.change(command, |change| copy(change, &options))?;
        bar.finish_and_clear();
        tell(build.context, copied);
        Ok(())
    }

    fn words(&self, name: &str) -> Vec<Recorded> {
        let mut command = words(&[name]);
        command.extend(self.tree.words().into_iter().map(Recorded::Word));
        let more =
            [self.merge.then(|| "--merge".to_owned()), self.mtime.map(|m| format!("--mtime={m}"))];
        command.extend(more.into_iter().flatten().map(Recorded::Word));
        command
    }
}

/// Says what was left out.
pub(super) fn tell(context: &Context, copied: Copied) {
    for (count, what) in [
        (copied.ignored, "by the ignore patterns (a folder counts as one)"),
        (copied.sockets_left_out, "that are sockets"),
    ] {
        if count > 0 {
            context.note(format!("left out {count} {what}"));
        }
    }
}

/// Copy one file or folder to exactly this path of the image
///
/// Modes, times, links, hard links, extended attributes and capabilities are kept, and so are
/// owners; your own files are root's in the image. Folders above the path are made. A file
/// replaces a file; a folder replaces nothing.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry build copy ./hello /bin/hello
  gantry build copy ./site /srv/www --owner 33:33 --ignore '*.log'
  gantry build copy ./hello /bin/hello --mode '*=0755' --cap '*=cap_net_bind_service+ep'
  gantry build copy ./overlay / --merge")]
pub(crate) struct CopyArgs {
    /// The file or folder; a link is copied as a link
    #[arg(value_name = "HOST")]
    source: PathBuf,
    /// Its path in the image
    #[arg(value_name = "IMAGE")]
    to: PathBuf,
    #[command(flatten)]
    how: How,
}

impl CopyArgs {
    pub(super) fn run(self, build: &Build<'_>) -> Result<(), Failure> {
        let Self { source, to, how } = self;
        let mut command = how.words("copy");
        command.push(host(&source));
        command.push(Recorded::Word(to.to_string_lossy().into_owned()));
        how.copy(build, &command, |change, options| change.copy(&source, &to, options))
    }
}

/// Copy files and folders into a folder of the image, each by its own name
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry build copy-to-dir ./a.conf ./b.conf /etc/app
  gantry build copy-to-dir ./site/ /srv        # /srv/site")]
pub(crate) struct CopyToDirArgs {
    /// The files and folders, and at the end the folder of the image, which is made where there
    /// is none
    #[arg(required = true, num_args = 2.., value_names = ["HOST", "IMAGE"])]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    how: How,
}

impl CopyToDirArgs {
    pub(super) fn run(self, build: &Build<'_>) -> Result<(), Failure> {
        let Self { paths, how } = self;
        let Some((folder, sources)) = paths.split_last() else { return Ok(()) };
        let mut command = how.words("copy-to-dir");
        command.extend(sources.iter().map(host));
        command.push(Recorded::Word(folder.to_string_lossy().into_owned()));
        how.copy(build, &command, |change, options| change.copy_into(sources, folder, options))
    }
}

#[expect(clippy::ptr_arg, reason = "it is mapped over")]
fn host(path: &PathBuf) -> Recorded {
    Recorded::HostPath(path.to_string_lossy().into_owned())
}

/// Remove files and folders from the image; exit code 2 where one is not there
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry build remove /var/cache/apt
  gantry build remove /usr/share/doc /usr/share/man")]
pub(crate) struct RemoveArgs {
    /// Paths of the image; a link itself is removed, not what it leads to
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

impl RemoveArgs {
    pub(super) fn run(self, build: &Build<'_>) -> Result<(), Failure> {
        let command = with_paths(&["remove"], &self.paths);
        let context = build.open()?;
        let manifest = Build::manifest(&context)?;
        let dependencies = super::run::render(build, &manifest, false)?;
        let mut change = context.change().map_err(failed)?;
        let mut paths = self.paths.iter();
        paths.try_for_each(|path| change.remove(path, &dependencies)).map_err(failed)?;
        build.finish(change, &command)
    }
}

fn with_paths(start: &[&str], paths: &[PathBuf]) -> Vec<Recorded> {
    let mut command = words(start);
    command.extend(paths.iter().map(|path| Recorded::Word(path.to_string_lossy().into_owned())));
    command
}

/// Give files of the image another owner
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry build chown 33:33 /srv/www --recursive
  gantry build chown www-data: /srv/www         # a name that the image knows")]
pub(crate) struct ChownArgs {
    /// USER, USER:GROUP or :GROUP, numbers or names of the image; USER: means the user's own group too
    #[arg(value_name = "OWNER")]
    owner: String,
    /// Paths of the image; the owner of a link is its own
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// And of all that is in folders
    #[arg(long, short = 'R')]
    recursive: bool,
}

impl ChownArgs {
    pub(super) fn run(self, build: &Build<'_>) -> Result<(), Failure> {
        let whose: Whose = self.owner.parse().map_err(|error| anyhow!("{error}"))?;
        let start: &[&str] = if self.recursive { &["chown", "-R"] } else { &["chown"] };
        let mut command = words(start);
        command.extend(with_paths(&[&self.owner], &self.paths));
        build.change(&command, |change| {
            self.paths.iter().try_for_each(|path| change.chown(path, &whose, self.recursive))
        })
    }
}

/// Give files of the image another mode
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry build chmod 4755 /usr/bin/su")]
pub(crate) struct ChmodArgs {
    /// The mode, in octal digits
    mode: String,
    /// Paths of the image; a link has no mode
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// And of all that is in folders
    #[arg(long, short = 'R')]
    recursive: bool,
}

impl ChmodArgs {
    pub(super) fn run(self, build: &Build<'_>) -> Result<(), Failure> {
        let mode = read_mode(&self.mode)?;
        let start: &[&str] = if self.recursive { &["chmod", "-R"] } else { &["chmod"] };
        let mut command = words(start);
        command.extend(with_paths(&[&self.mode], &self.paths));
        build.change(&command, |change| {
            self.paths.iter().try_for_each(|path| change.chmod(path, mode, self.recursive))
        })
    }
}

/// Give a program of the image capabilities, in the place of those it has
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry build setcap cap_net_bind_service+ep /bin/web
  gantry build setcap --remove /bin/web")]
pub(crate) struct SetcapArgs {
    /// The capabilities, as getcap shows them, and the path of the program; with --remove the
    /// path alone
    #[arg(required = true, num_args = 1..=2, value_names = ["CAPABILITIES", "PATH"])]
    words: Vec<String>,
    /// Take all away; exit code 2 where there are none
    #[arg(long)]
    remove: bool,
}

impl SetcapArgs {
    pub(super) fn run(self, build: &Build<'_>) -> Result<(), Failure> {
        let (value, path) = match (&self.words[..], self.remove) {
            ([path], true) => (None, path),
            ([capabilities, path], false) => {
                let value = capability_value(capabilities).map_err(|error| anyhow!("{error}"))?;
                (Some(value), path)
            }
            _ => return Err(anyhow!("setcap takes CAPABILITIES PATH, or --remove PATH").into()),
        };
        let mut command = words(&["setcap"]);
        command.extend(self.remove.then(|| Recorded::Word("--remove".to_owned())));
        command.extend(self.words.iter().cloned().map(Recorded::Word));
        build.change(&command, |change| change.capabilities(path.as_ref(), value.as_deref()))
    }
}

/// Set and remove extended attributes of a file of the image
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry build xattr /bin/hello user.note=text
  gantry build xattr /bin/hello user.note=0x00ff --remove user.old")]
pub(crate) struct XattrArgs {
    /// The path of the image
    path: PathBuf,
    /// Set this: the value as text, 0x… or 0s…
    #[arg(value_name = "NAME=VALUE", required_unless_present = "remove")]
    set: Vec<String>,
    /// Remove this; exit code 2 where it is not there
    #[arg(long, value_name = "NAME")]
    remove: Vec<String>,
}

impl XattrArgs {
    pub(super) fn run(self, build: &Build<'_>) -> Result<(), Failure> {
        let mut all: Vec<Attribute> = Vec::new();
        for text in &self.set {
            let (name, value) = extended_attribute(text).map_err(|error| anyhow!("{error}"))?;
            all.push((name, Some(value)));
        }
        all.extend(self.remove.iter().map(|name| (name.clone().into_bytes(), None)));
        let mut command = with_paths(&["xattr"], std::slice::from_ref(&self.path));
        command.extend(self.set.iter().cloned().map(Recorded::Word));
        command.extend(self.remove.iter().map(|name| Recorded::Word(format!("--remove={name}"))));
        build.change(&command, |change| change.attributes(&self.path, &all))
    }
}
