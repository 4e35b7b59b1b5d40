//! `gantry bundle export`.

use std::io::{self, Write};
use std::path::PathBuf;

use aci::Limits;
use aci::stage::{self, Existing, StagedFile};
use anyhow::Context as _;
use discovery::store::Wanted;
use discovery::transfer;

use super::super::client::{failure, wanted};
use super::super::files::{cannot_write, in_json};
use super::super::{Context, Failure};

/// Write images of the store into one file, with signatures, signers' keys and dependencies
///
/// Each image is verified once more on the way. The images keep their names: whoever imports
/// them has them as if they had been fetched.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry bundle export example.com/team/hello -o hello.gantry
  gantry bundle export sha512-8f1c example.com/team/base:2.0.0 -o images.gantry --overwrite")]
pub(crate) struct Args {
    /// The images: the beginning of an image ID, or NAME[:VERSION][,LABEL=VALUE…]
    #[arg(value_name = "ID|NAME", value_parser = wanted, required = true)]
    images: Vec<Wanted>,
    /// The file to write
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Replace the file if it exists
    #[arg(long)]
    overwrite: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let shown = self.output.display();
        if !self.overwrite && self.output.symlink_metadata().is_ok() {
            return Err(cannot_write(&self.output, io::ErrorKind::AlreadyExists.into()));
        }
        let (store, trust) = (context.store()?, context.trust()?);
        let mut roots = Vec::new();
        for image in &self.images {
            let id = store.find(image).map_err(failure)?;
            if !roots.contains(&id) {
                roots.push(id);
            }
        }
        let cannot = || format!("cannot write {shown}");
        let mut staged =
            StagedFile::new_in(stage::folder_of(&self.output), 0o644).with_context(cannot)?;
        let bar = context.progress("exporting", None);
        let index = transfer::export(
            &store,
            &roots,
            &trust,
            &Limits::default(),
            bar.wrap_write(&mut staged),
        )
        .map_err(failure)?;
        bar.finish_and_clear();
        staged.flush().with_context(cannot)?;
        let existing = if self.overwrite { Existing::Replace } else { Existing::Refuse };
        staged.commit(&self.output, existing).with_context(cannot)?;
        for image in &index.images {
            context.note(format_args!("{}", discovery::printable_line(&image.reference)));
        }
        let value = serde_json::json!({ "file": in_json(&self.output), "index": index });
        Ok(context.print(&value, shown)?)
    }
}
