//! `gantry convert`: an image is compressed anew, and stays the same image.

use std::path::PathBuf;

use aci::archive::Compression;

use super::rewrite::{Output, Rewrite};
use super::{Context, Failure};

/// Compress an image anew, and print its image ID, which stays the same.
///
/// The uncompressed archive is not changed by a byte. A signature is made over the file as
/// it is compressed: it does not fit the new file, which its author has to sign anew.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry convert hello.aci hello-small.aci --compression xz
  gantry convert hello.aci plain.aci --compression none
  gantry convert hello.aci smallest.aci --compression gzip --level 12
  gantry convert --json hello.aci hello-small.aci --compression bzip2")]
pub(crate) struct Args {
    /// The image file to read
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// The image file to write
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// gzip, none, bzip2, xz, or zstd (outside the spec: rkt and actool cannot read it)
    #[arg(long, default_value = "gzip")]
    compression: Compression,
    #[command(flatten)]
    how: Output,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let rewrite = Rewrite {
            verb: "converting",
            input: &self.input,
            output: &self.output,
            overwrite: self.how.overwrite,
            compression: Some(self.compression),
            how: &self.how,
        };
        let done = rewrite.run(context, |_| Ok(None))?;
        Ok(context.print(&done.json(), &done.written.image_id)?)
    }
}
