//! `gantry registry retain`.

use std::collections::BTreeMap;
use std::fmt::Write;

use aci::{Identifier, Name};
use registry::admin::{self, RetainRequest, RetainedImages};
use registry::{Age, Clock, Retention, WrittenRetention};
use serde_json::json;

use super::{At, AtArgs, Context, Failure, Kind, images_of, wait};

/// Delete the images of a prefix that nothing keeps
///
/// An image stays where any of the options keeps it; at least one must be given. What is deleted
/// leaves a tombstone: its name and labels never become another image. A server whose
/// configuration has such rules follows them by itself, when it starts and every hour. Nothing is
/// deleted while the registry is read-only.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry retain --data ./data --prefix example.com/nightly --keep-newest 10 --dry-run
  gantry registry retain --data ./data --prefix example.com/nightly --keep-newest 10 \\
      --keep-younger 30d --keep-version '1.*' --keep-label channel=stable
  gantry registry retain --registry https://example.com --token-file admin.token \\
      --prefix example.com/nightly --keep-newest 10 --dry-run")]
pub(crate) struct Args {
    #[command(flatten)]
    at: AtArgs,
    /// Of this name and all below it
    #[arg(long, value_name = "NAME")]
    prefix: Name,
    /// Keep so many of the newest versions of each name
    #[arg(long, value_name = "N")]
    keep_newest: Option<u32>,
    /// Keep what was pushed not longer ago than this: 30d, 12h, 1y
    #[arg(long, value_name = "AGE")]
    keep_younger: Option<Age>,
    /// Keep this version; a star at its end stands for anything; may be given several times
    #[arg(long = "keep-version", value_name = "VERSION")]
    keep_versions: Vec<String>,
    /// Keep what has this label; may be given several times
    #[arg(long = "keep-label", value_name = "NAME=VALUE", value_parser = label)]
    keep_labels: Vec<(Identifier, String)>,
    /// Delete nothing, and tell what would go and why the rest stays
    #[arg(long)]
    dry_run: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let rule: Retention = WrittenRetention {
            prefix: self.prefix,
            keep_newest: self.keep_newest,
            keep_younger: self.keep_younger,
            keep_versions: self.keep_versions,
            keep_labels: self.keep_labels.into_iter().collect::<BTreeMap<_, _>>(),
        }
        .try_into()
        .map_err(|error| Failure::new(Kind::Usage, error))?;
        let dry_run = self.dry_run;
        let images = match self.at.at(context)? {
            At::Data(place) => {
                let judged = match dry_run {
                    true => wait(admin::judge(&place, &[rule], Clock::system()))?,
                    false => wait(admin::retain(&place, &[rule], Clock::system()))?,
                };
                judged.into_iter().collect()
            }
            At::Server(server) => server.post("retain", &RetainRequest::new(rule, dry_run))?,
        };
        let RetainedImages { deleted: goes, stays, bytes } = images;
        let mut text = String::new();
        let verb = if dry_run { "goes" } else { "deleted" };
        for image in &goes {
            let _ = writeln!(text, "{verb}  {}  {}", image.image_id, image.reference);
        }
        for image in &stays {
            let (id, reference) = (&image.image_id, &image.reference);
            let _ = writeln!(text, "stays  {id}  {reference}  ({})", image.stays.join("; "));
        }
        let done = if dry_run { "would be deleted" } else { "deleted" };
        context.note(format_args!("{} {done}, {bytes} bytes", images_of(goes.len() as u64)));
        if text.is_empty() && !context.json() {
            return Ok(());
        }
        let value = json!({ "deleted": goes, "stays": stays, "bytes": bytes, "dryRun": dry_run });
        Ok(context.print(&value, text.trim_end())?)
    }
}

fn label(text: &str) -> Result<(Identifier, String), String> {
    let (name, value) = text.split_once('=').ok_or("wanted NAME=VALUE")?;
    Ok((name.parse().map_err(|error: aci::NameError| error.to_string())?, value.to_owned()))
}
