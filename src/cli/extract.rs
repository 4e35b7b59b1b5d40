//! `gantry extract`: the files of an image file, as a folder.

mod exclude;

use std::path::PathBuf;
use std::str::FromStr;

use aci::archive::{IdRange, LeftOut, OwnerMap, Ownership, UnpackOptions};
use discovery::render::{self, Shape};
use serde_json::json;

use super::files::in_json;
use super::image::render::unrendered;
use super::limits::LimitArgs;
use super::open::OpenArgs;
use super::{Context, Failure, Kind};
use exclude::{Excludes, pattern};

/// Unpack an image file into a folder: manifest and rootfs/
///
/// The folder appears when it is whole: an image that is refused leaves nothing behind. This
/// says nothing about who made the image: `gantry verify` does, and `gantry fetch` followed by
/// `gantry image extract` does both over the same bytes.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry extract hello.aci hello                      # hello/manifest and hello/rootfs/
  gantry extract hello.aci rootfs --rootfs-only
  gantry extract hello.aci hello --exclude /usr/share/doc --exclude '*.pyc'
  gantry extract hello.aci hello --ownership record   # what only root can set: hello/left-out.jsonl
  sudo gantry extract hello.aci hello --owner-map 0:100000:65536
  gantry extract stranger.aci hello --max-unpacked 500M --max-time 1m")]
pub(crate) struct Args {
    /// The image file; its first bytes tell how it is compressed, never its name
    file: PathBuf,
    /// The folder to make; it must not exist, or be empty
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Only what is in rootfs/
    #[arg(long)]
    rootfs_only: bool,
    /// Leave out what this matches below rootfs, by the rules of .gitignore; may be given several times
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    exclude: Vec<exclude::Pattern>,
    /// Whose the files are [default: restore as root, else caller]
    #[arg(long, value_enum)]
    ownership: Option<Chosen>,
    /// Move owners and groups into another range, as root; with u: or g: only one of them; may be given several times
    #[arg(long, value_name = "[u:|g:]IMAGE:HOST:COUNT", conflicts_with = "ownership")]
    owner_map: Vec<MapRule>,
    #[command(flatten)]
    open: OpenArgs,
    #[command(flatten)]
    limits: LimitArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Chosen {
    /// Owners, devices and privileged attributes as the image says: root's choice
    Restore,
    /// All files belong to you; devices, set-user-ID bits and the like are left out
    Caller,
    /// As caller, and what was left out is listed in DIR/left-out.jsonl
    Record,
}

/// One `--owner-map`.
#[derive(Clone)]
struct MapRule {
    users: bool,
    groups: bool,
    range: IdRange,
}

impl FromStr for MapRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (users, groups, range) = match (text.strip_prefix("u:"), text.strip_prefix("g:")) {
            (Some(range), _) => (true, false, range),
            (_, Some(range)) => (false, true, range),
            _ => (true, true, text),
        };
        let range =
            range.parse().map_err(|error: aci::archive::OwnerMapError| error.to_string())?;
        Ok(Self { users, groups, range })
    }
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let ownership = self.ownership()?;
        let excludes = Excludes::new(self.exclude);
        let excluded = |below: &[u8], directory: bool| excludes.hidden(below, directory);
        let options = UnpackOptions {
            ownership: ownership.clone(),
            exclude: (!excludes.is_empty()).then_some(&excluded),
        };
        let file = self.open.open(context, &self.file, &self.limits.limits())?;
        let bar = context.progress("extracting", Some(file.size()));
        let shape = if self.rootfs_only { Shape::Rootfs } else { Shape::Image };
        let reader = bar.wrap_read(file);
        let unpacked =
            render::extract(reader, &self.folder, shape, &options, &self.limits.limits());
        bar.finish_and_clear();
        let unpacked = unpacked.map_err(unrendered)?;
        let left_out = unpacked.left_out;
        if !context.json() {
            remarks(&left_out, &ownership).iter().for_each(|remark| context.note(remark));
        }
        let value = json!({
            "imageId": unpacked.image.image_id(),
            "name": unpacked.image.manifest().name,
            "folder": in_json(&self.folder),
            "ownership": word(&ownership),
            "leftOut": {
                "excluded": left_out.excluded,
                "devices": left_out.devices,
                "xattrs": left_out.xattrs,
                "setId": left_out.set_id,
            },
        });
        Ok(context.print(&value, self.folder.display())?)
    }

    fn ownership(&self) -> Result<Ownership, Failure> {
        let usage = |text: &'static str| Failure::new(Kind::Usage, anyhow::anyhow!(text));
        if !self.owner_map.is_empty() {
            let ranges = |wanted: fn(&MapRule) -> bool| {
                let rules = self.owner_map.iter().filter(|rule| wanted(rule));
                rules.map(|rule| rule.range.clone()).collect()
            };
            let map = OwnerMap::new(ranges(|rule| rule.users), ranges(|rule| rule.groups))
                .map_err(|error| Failure::new(Kind::Usage, error))?;
            return Ok(Ownership::Mapped(map));
        }
        let root = rustix::process::geteuid().is_root();
        Ok(match self.ownership {
            Some(Chosen::Restore) => Ownership::Restore,
            None if root => Ownership::Restore,
            Some(Chosen::Caller) | None => Ownership::Caller,
            Some(Chosen::Record) if self.rootfs_only => {
                return Err(usage(
                    "--ownership record writes DIR/left-out.jsonl, for which --rootfs-only leaves no place",
                ));
            }
            Some(Chosen::Record) => Ownership::Record,
        })
    }
}

fn word(ownership: &Ownership) -> &'static str {
    match ownership {
        Ownership::Restore => "restore",
        Ownership::Mapped(_) => "mapped",
        Ownership::Caller => "caller",
        Ownership::Record => "record",
    }
}

/// What the user should know, in sentences.
fn remarks(left_out: &LeftOut, ownership: &Ownership) -> Vec<String> {
    let mut remarks = Vec::new();
    if matches!(ownership, Ownership::Caller | Ownership::Record) {
        remarks.push("all files belong to you: only root can restore their owners".to_owned());
    }
    for (count, what) in [
        (left_out.excluded, "files and folders were left out, as --exclude says"),
        (left_out.devices, "device files could not be restored here and were left out"),
        (
            left_out.set_id,
            "set-user-ID and set-group-ID bits could not be restored here and were left out",
        ),
        (left_out.xattrs, "extended attributes could not be restored here and were left out"),
    ] {
        if count > 0 {
            remarks.push(format!("{count} {what}"));
        }
    }
    remarks
}
