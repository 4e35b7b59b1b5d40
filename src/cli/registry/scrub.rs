//! `gantry registry scrub`.

use std::fmt::Write;
use std::num::NonZeroU64;

use registry::{Clock, admin};

use super::{Context, Failure, Kind, PlaceArgs, moment, wait};

/// Read every image and signature again, and compare them with their digests
///
/// A server does this by itself, every week. What is damaged is moved to DATA/blobs/quarantine, and is
/// not served; a push of the same image brings it back.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry scrub --data ./data
  gantry registry scrub --data ./data --rate 500000000 --json

Exit codes: 0 all is as it was published; 1 something is lost or damaged.")]
pub(crate) struct Args {
    #[command(flatten)]
    place: PlaceArgs,
    /// Read at most so many bytes a second
    #[arg(long, value_name = "BYTES", default_value = "50000000")]
    rate: NonZeroU64,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let place = self.place.place();
        let scrubbed = wait(admin::scrub(&place, self.rate.get(), Clock::system()))?;
        let (blobs, bytes) = (scrubbed.blobs, scrubbed.bytes);
        context.note(format_args!("{blobs} files were read, {bytes} bytes"));
        let mut text = String::new();
        for damaged in &scrubbed.damaged {
            let (blob, id, name) = (&damaged.blob, &damaged.image_id, &damaged.name);
            let since = moment(damaged.since);
            let _ = writeln!(text, "lost or damaged since {since}: {blob} of {name} {id}");
        }
        if context.json() || !text.is_empty() {
            context.print(&scrubbed, text.trim_end())?;
        }
        match scrubbed.damaged.len() {
            0 => Ok(()),
            lost => Err(Failure::new(
                Kind::Failed,
                anyhow::anyhow!("{lost} files are lost or damaged; push their images again"),
            )),
        }
    }
}
