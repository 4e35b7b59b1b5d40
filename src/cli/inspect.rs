//! `gantry inspect`: what is in an image file, read to its end and checked.

use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use aci::archive::{ArchiveError, Compression, InspectedImage};
use aci::{FileDigest, ImageId, ImageManifest, Labels, Name};
use serde::Serialize;

use super::context::enough;
use super::files::{in_json, signature_beside};
use super::limits::LimitArgs;
use super::open::OpenArgs;
use super::{Context, Failure, entry};

/// Read an image file to its end, check it against the spec, and say what it is.
///
/// This says nothing about who made it: `gantry verify` does.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry inspect hello.aci
  gantry inspect --json hello.aci
  gantry inspect --entries hello.aci         # every file, with mode, owner, size and time
  gantry inspect --manifest hello.aci        # the manifest's own bytes
  gantry inspect secret.aci --passphrase-file pass.txt")]
pub(crate) struct Args {
    /// The image file
    file: PathBuf,
    /// Print the manifest as it stands in the image, byte for byte
    #[arg(long, conflicts_with = "entries")]
    manifest: bool,
    /// List the entries of the root file system, in the order of the archive. They are printed
    /// as they are read: the exit code says whether the image is sound to its end
    #[arg(long)]
    entries: bool,
    #[command(flatten)]
    open: OpenArgs,
    #[command(flatten)]
    limits: LimitArgs,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let file = self.open.open(context, &self.file, &self.limits.limits())?;
        let (bytes, encrypted) = (file.size(), file.is_encrypted());
        if self.entries {
            return self.list(context, file, encrypted);
        }
        let bar = context.progress("reading", Some(bytes));
        let image = aci::archive::inspect(bar.wrap_read(file), &self.limits.limits());
        bar.finish_and_clear();
        let image = image.map_err(failure)?;
        if self.manifest {
            return Ok(context.write(image.manifest_bytes())?);
        }
        let facts = facts(&self.file, &image, encrypted);
        Ok(context.print(&facts, text(&self.file, &image, encrypted))?)
    }

    /// Prints the entries as they come: there may be millions.
    fn list(&self, context: &Context, file: impl Read, encrypted: bool) -> Result<(), Failure> {
        let mut out = BufWriter::new(io::stdout().lock());
        let mut between = if context.json() { "{\"list\":[" } else { "" };
        let read = aci::archive::read_entries(file, &self.limits.limits(), |one, _| {
            if context.json() {
                write!(out, "{between}{}", entry::json(&one))?;
                between = ",";
            } else {
                writeln!(out, "{}", entry::line(&one))?;
            }
            Ok::<(), Fault>(())
        });
        let image = match read {
            Ok(image) => image,
            Err(Fault::Archive(error)) => {
                enough(out.flush())?;
                return Err(failure(error));
            }
            Err(Fault::Out(error)) => return Ok(enough(Err(error))?),
        };
        if context.json() {
            // An image has a rootfs, so the list has begun.
            let facts = serde_json::to_string(&facts(&self.file, &image, encrypted))?;
            let written = writeln!(out, "],{}", &facts[1..]).and_then(|()| out.flush());
            return Ok(enough(written)?);
        }
        Ok(enough(out.flush())?)
    }
}

/// What ends a list early.
enum Fault {
    Archive(ArchiveError),
    Out(io::Error),
}

impl From<ArchiveError> for Fault {
    fn from(error: ArchiveError) -> Self {
        Self::Archive(error)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Out(error)
    }
}

fn failure(error: ArchiveError) -> Failure {
    match error {
        ArchiveError::Io(error) => Failure::from(error),
        refused => Failure::refused(&refused),
    }
}

/// What `--json` says. It is written as it is: a number of a manifest may be too large to be a
/// number of anything else.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Facts<'a> {
    image_id: &'a ImageId,
    name: &'a Name,
    labels: &'a Labels,
    compression: Compression,
    encrypted: bool,
    file_digest: &'a FileDigest,
    file_bytes: u64,
    tar_bytes: u64,
    entries: u64,
    signature: Option<String>,
    manifest_bytes: usize,
    manifest: &'a ImageManifest,
}

fn facts<'a>(file: &Path, image: &'a InspectedImage, encrypted: bool) -> Facts<'a> {
    let manifest = image.manifest();
    let signature = signature_beside(file);
    Facts {
        image_id: image.image_id(),
        name: &manifest.name,
        labels: &manifest.labels,
        compression: image.compression(),
        encrypted,
        file_digest: image.file_digest(),
        file_bytes: image.file_bytes(),
        tar_bytes: image.tar_bytes(),
        entries: image.entries(),
        signature: signature.exists().then(|| in_json(&signature).into_owned()),
        manifest_bytes: image.manifest_bytes().len(),
        manifest,
    }
}

fn text(file: &Path, image: &InspectedImage, encrypted: bool) -> String {
    let manifest = image.manifest();
    let exec = manifest
        .app
        .as_ref()
        .map_or("nothing", |app| app.exec.first().map_or("whatever it is told to", String::as_str));
    let signature = signature_beside(file);
    let signature = if signature.exists() {
        format!("{}, not verified here: gantry verify {}", signature.display(), file.display())
    } else {
        "none beside the file".to_owned()
    };
    let mut text = format!(
        "name:        {}\nlabels:      {}\nimage ID:    {}\nfile digest: {}\n\
         file:        {} bytes, {}{}\narchive:     {} bytes, {} entries\nmanifest:    {} bytes\n\
         runs:        {}",
        manifest.name,
        discovery::printable_line(&manifest.labels.to_string()),
        image.image_id(),
        image.file_digest(),
        image.file_bytes(),
        image.compression(),
        if encrypted { ", decrypted" } else { "" },
        image.tar_bytes(),
        image.entries(),
        image.manifest_bytes().len(),
        discovery::printable_line(exec),
    );
    if !manifest.dependencies.is_empty() {
        let names: Vec<String> =
            manifest.dependencies.iter().map(|one| one.image_name.to_string()).collect();
        text.push_str(&format!("\nbuilt on:    {}", names.join(", ")));
    }
    text.push_str(&format!("\nsignature:   {signature}"));
    text
}
