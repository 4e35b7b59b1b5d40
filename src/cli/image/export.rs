//! `gantry image export`.

use std::io::{self, Write};
use std::path::PathBuf;

use aci::stage::{self, Existing, StagedFile};
use anyhow::Context as _;
use discovery::store::Wanted;
use serde_json::json;

use super::super::client::{failure, wanted};
use super::super::files::in_json;
use super::{Context, Failure, open};

/// Write an image and its signature out of the store, as their author made them
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry image export example.com/team/hello hello.aci      # and hello.aci.asc
  gantry image export sha512-8f1c hello.aci --overwrite")]
pub(crate) struct Args {
    /// The image: the beginning of its image ID, or NAME[:VERSION][,LABEL=VALUE…]
    #[arg(value_name = "ID|NAME", value_parser = wanted)]
    image: Wanted,
    /// The file to write; its signature is written beside it, with .asc after the name
    file: PathBuf,
    /// Replace files that are there
    #[arg(long)]
    overwrite: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let image = open(context, &self.image)?;
        let existing = if self.overwrite { Existing::Replace } else { Existing::Refuse };
        let mut signature = self.file.clone().into_os_string();
        signature.push(".asc");
        let signature = PathBuf::from(signature);
        let cannot = |path: &PathBuf| format!("cannot write {}", path.display());

        let folder = match self.file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => std::path::Path::new("."),
        };
        if !self.overwrite && self.file.symlink_metadata().is_ok() {
            let there = io::Error::from(io::ErrorKind::AlreadyExists);
            return Err(anyhow::Error::new(there).context(cannot(&self.file)).into());
        }
        let mut staged = StagedFile::new_in(folder, 0o644).with_context(|| cannot(&self.file))?;
        let bar = context.progress("exporting", Some(image.record().file_bytes));
        let file = image.file().map_err(failure)?;
        io::copy(&mut bar.wrap_read(file), &mut staged)
            .and_then(|_| staged.flush())
            .with_context(|| cannot(&self.file))?;
        bar.finish_and_clear();
        image.mark_used();
        // The signature first: an image is never seen without it.
        stage::write(&signature, image.signature(), 0o644, existing)
            .with_context(|| cannot(&signature))?;
        staged.commit(&self.file, existing).with_context(|| cannot(&self.file))?;
        let value = json!({
            "imageId": image.record().image_id,
            "file": in_json(&self.file),
            "signature": in_json(&signature),
        });
        Ok(context.print(&value, self.file.display())?)
    }
}
