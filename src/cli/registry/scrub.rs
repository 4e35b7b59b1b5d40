//! `gantry registry scrub`.

use std::fmt::Write;
use std::num::NonZeroU64;

use anyhow::anyhow;
use registry::admin::{self, DamagedList};
use registry::{Clock, Damaged};

use super::{At, AtArgs, Context, Failure, Kind, moment, wait};

/// Read every image and signature again, and compare them with their digests
///
/// A server does this by itself, every week. What is damaged is moved to DATA/blobs/quarantine, and is
/// not served; a push of the same image brings it back.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry scrub --data ./data
  gantry registry scrub --data ./data --rate 500000000 --json
  gantry registry scrub --known --registry https://example.com --token-file admin.token

Exit codes: 0 all is as it was published; 1 something is lost or damaged.")]
pub(crate) struct Args {
    #[command(flatten)]
    at: AtArgs,
    /// Read nothing, and tell what is known to be lost or damaged; all that can be asked of a server
    #[arg(long, conflicts_with = "rate")]
    known: bool,
    /// Read at most so many bytes a second
    #[arg(long, value_name = "BYTES", default_value = "50000000")]
    rate: NonZeroU64,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let damaged = match self.at.at(context)? {
            At::Server(_) if !self.known => {
                let error = anyhow!(
                    "files are read again by the server itself, every week, or on its machine with \
                     --data; --known tells what it has found"
                );
                return Err(Failure::new(Kind::Usage, error));
            }
            At::Server(server) => server.get::<DamagedList>("scrub", &[])?.damaged,
            At::Data(place) if self.known => wait(admin::damaged(&place, Clock::system()))?,
            At::Data(place) => {
                let scrubbed = wait(admin::scrub(&place, self.rate.get(), Clock::system()))?;
                let (blobs, bytes) = (scrubbed.blobs, scrubbed.bytes);
                context.note(format_args!("{blobs} files were read, {bytes} bytes"));
                let text = lines(&scrubbed.damaged);
                if context.json() || !text.is_empty() {
                    context.print(&scrubbed, text)?;
                }
                return verdict(&scrubbed.damaged);
            }
        };
        let text = lines(&damaged);
        let list = DamagedList { damaged };
        if context.json() || !text.is_empty() {
            context.print(&list, text)?;
        }
        verdict(&list.damaged)
    }
}

fn lines(damaged: &[Damaged]) -> String {
    let mut text = String::new();
    for damaged in damaged {
        let (blob, id, name) = (&damaged.blob, &damaged.image_id, &damaged.name);
        let since = moment(damaged.since);
        let _ = writeln!(text, "lost or damaged since {since}: {blob} of {name} {id}");
    }
    text.truncate(text.trim_end().len());
    text
}

fn verdict(damaged: &[Damaged]) -> Result<(), Failure> {
    match damaged.len() {
        0 => Ok(()),
        lost => {
            let error = anyhow!("{lost} files are lost or damaged; push their images again");
            Err(Failure::new(Kind::Failed, error))
        }
    }
}
