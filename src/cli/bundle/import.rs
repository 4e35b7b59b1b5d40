//! `gantry bundle import`.

use std::fs::File;
use std::path::PathBuf;

use aci::Limits;
use anyhow::Context as _;
use discovery::transfer::Transfer;
use keys::{Fingerprint, Scope};
use serde_json::json;

use super::super::client::failure;
use super::super::files::absent;
use super::super::{Context, Failure};

/// Put the images of a file into the store, each verified as if it had been fetched
///
/// Only keys that are trusted here count. Those in the file are an offer: give the fingerprint
/// that the author told you, or --yes where the file itself came from a safe place.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry bundle import hello.gantry
  gantry bundle import hello.gantry --fingerprint 5C3E…   # trusts this key of the file first
  gantry bundle import hello.gantry --list --json          # what is in it")]
pub(crate) struct Args {
    /// The file
    file: PathBuf,
    /// Trust the file's key of this fingerprint for the prefixes named there; may be given several times
    #[arg(long = "fingerprint", value_name = "FPR")]
    fingerprints: Vec<Fingerprint>,
    /// Trust all keys of the file for the prefixes named there
    #[arg(long, short, conflicts_with = "fingerprints")]
    yes: bool,
    /// Say what is in the file, and import nothing
    #[arg(long, conflicts_with_all = ["fingerprints", "yes"])]
    list: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let shown = self.file.display();
        let file = File::open(&self.file)
            .with_context(|| format!("cannot read {shown}"))
            .map_err(absent)?;
        let bar = context.progress("importing", file.metadata().ok().map(|data| data.len()));
        let limits = Limits::default();
        let transfer = Transfer::open(bar.wrap_read(file), &limits).map_err(failure)?;
        if self.list {
            bar.finish_and_clear();
            let index = transfer.index();
            let images =
                index.images.iter().map(|image| format!("{} {}", image.image_id, image.reference));
            let text: Vec<String> = images.collect();
            return Ok(context.print(index, text.join("\n"))?);
        }
        self.take_keys(context, transfer.keys())?;
        let (store, trust) = (context.store()?, context.trust()?);
        let path = std::path::absolute(&self.file).unwrap_or_else(|_| self.file.clone());
        let imported =
            transfer.import(&store, &trust, &path.display().to_string()).map_err(failure)?;
        bar.finish_and_clear();
        let ids: Vec<String> =
            imported.iter().map(|image| image.record.image_id.to_string()).collect();
        let value: Vec<_> = imported
            .iter()
            .map(|image| json!({ "imageId": image.record.image_id, "new": image.new, "record": image.record }))
            .collect();
        Ok(context.print(&json!({ "images": value }), ids.join("\n"))?)
    }

    /// Trusts those keys of the file that the user has named.
    fn take_keys(
        &self,
        context: &Context,
        keys: &[(keys::Certificate, Vec<aci::Name>)],
    ) -> Result<(), Failure> {
        let trusted = context.trust_store();
        for (key, prefixes) in keys {
            if !self.yes && !self.fingerprints.contains(key.fingerprint()) {
                continue;
            }
            if prefixes.is_empty() {
                context.warn(format_args!(
                    "{} was trusted for every name: that is not taken over; see gantry trust add --root",
                    key.fingerprint()
                ));
            }
            for prefix in prefixes {
                let scope = Scope::Prefix(prefix.clone());
                trusted.add(&scope, key, &Limits::default())?;
                context.note(format_args!("{} is trusted for {prefix}", key.fingerprint()));
            }
        }
        Ok(())
    }
}
