//! `gantry inspect`: what is in an image file, read to its end and checked.

use std::fs::File;
use std::path::PathBuf;

use anyhow::Context as _;

use super::limits::LimitArgs;
use super::{Context, Failure, Kind};

/// Read an image file to its end, check it against the spec, and say what it is.
///
/// This says nothing about who made it: `gantry verify` does.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry inspect hello.aci
  gantry inspect --json hello.aci
  gantry inspect --manifest hello.aci        # the manifest's own bytes")]
pub(crate) struct Args {
    /// The image file
    file: PathBuf,
    /// Print the manifest as it stands in the image, byte for byte
    #[arg(long)]
    manifest: bool,
    #[command(flatten)]
    limits: LimitArgs,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let cannot = || format!("cannot read {}", self.file.display());
        let file = File::open(&self.file).with_context(cannot).map_err(|error| {
            let absent = self.file.symlink_metadata().is_err();
            Failure::new(if absent { Kind::NotFound } else { Kind::Failed }, error)
        })?;
        let bar = context.progress("reading", Some(file.metadata().with_context(cannot)?.len()));
        let image = aci::archive::inspect(bar.wrap_read(file), &self.limits.limits());
        bar.finish_and_clear();
        let image = image.map_err(|error| match error {
            aci::archive::ArchiveError::Io(error) => Failure::from(error),
            refused => Failure::refused(&refused),
        })?;
        if self.manifest {
            return Ok(context.write(image.manifest_bytes())?);
        }
        let manifest = image.manifest();
        let value = serde_json::json!({
            "imageId": image.image_id(),
            "name": manifest.name,
            "labels": manifest.labels,
            "compression": image.compression(),
            "fileDigest": image.file_digest(),
            "fileBytes": image.file_bytes(),
            "tarBytes": image.tar_bytes(),
            "entries": image.entries(),
            "manifest": manifest,
        });
        let exec = manifest.app.as_ref().map_or("nothing", |app| {
            app.exec.first().map_or("whatever it is told to", String::as_str)
        });
        let text = format!(
            "name:        {}\nlabels:      {}\nimage ID:    {}\nfile digest: {}\n\
             file:        {} bytes, {}\narchive:     {} bytes, {} entries\nruns:        {}",
            manifest.name,
            discovery::printable_line(&manifest.labels.to_string()),
            image.image_id(),
            image.file_digest(),
            image.file_bytes(),
            image.compression(),
            image.tar_bytes(),
            image.entries(),
            discovery::printable_line(exec),
        );
        Ok(context.print(&value, text)?)
    }
}
