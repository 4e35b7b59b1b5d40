//! `gantry inspect`: what is in an image file, read to its end and checked.

use std::path::PathBuf;

use aci::Limits;

use super::open::OpenArgs;
use super::{Context, Failure};

/// Read an image file to its end, check it against the spec, and say what it is.
///
/// This says nothing about who made it: `gantry verify` does.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry inspect hello.aci
  gantry inspect --json hello.aci
  gantry inspect --manifest hello.aci        # the manifest's own bytes
  gantry inspect secret.aci --passphrase-file pass.txt")]
pub(crate) struct Args {
    /// The image file
    file: PathBuf,
    /// Print the manifest as it stands in the image, byte for byte
    #[arg(long)]
    manifest: bool,
    #[command(flatten)]
    open: OpenArgs,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let file = self.open.open(context, &self.file)?;
        let encrypted = file.is_encrypted();
        let bar = context.progress("reading", Some(file.bytes()));
        let image = aci::archive::inspect(bar.wrap_read(file), &Limits::default());
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
            "encrypted": encrypted,
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
             file:        {} bytes, {}{}\narchive:     {} bytes, {} entries\nruns:        {}",
            manifest.name,
            discovery::printable_line(&manifest.labels.to_string()),
            image.image_id(),
            image.file_digest(),
            image.file_bytes(),
            image.compression(),
            if encrypted { ", decrypted" } else { "" },
            image.tar_bytes(),
            image.entries(),
            discovery::printable_line(exec),
        );
        Ok(context.print(&value, text)?)
    }
}
