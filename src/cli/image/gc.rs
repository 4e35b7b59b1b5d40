//! `gantry image gc`.

use std::fmt::Write;
use std::time::Duration;

use discovery::store::{Folded, GcOptions, collect, fold};

use super::super::client::{failure, now};
use super::{Context, Failure, size};

/// Remove images that were not used for a while, and what no image needs any more
///
/// An image is used when it is rendered, run or exported. What is in use now stays, and so does
/// what an image that stays depends on. Objects and trees that no image needs go too.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry image gc --dry-run
  gantry image gc --grace 168h --keep-last 2
  gantry image gc --grace 0s --budget 20G
  gantry image gc --fold")]
pub(crate) struct Args {
    /// How long an image stays after its last use: 30m, 24h, 7d
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration)]
    grace: Duration,
    /// Keep so many images of each name, the newest versions, however old they are
    #[arg(long, value_name = "N", default_value_t = 0)]
    keep_last: usize,
    /// Remove only until the store takes no more than this, those used longest ago first
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    budget: Option<u64>,
    /// Then fold what is left, as image fold --all does
    #[arg(long, conflicts_with = "dry_run")]
    fold: bool,
    /// Remove nothing, and tell what would be removed
    #[arg(long)]
    dry_run: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let store = context.store()?;
        let options = GcOptions {
            grace: self.grace,
            keep_last: self.keep_last,
            budget: self.budget,
            dry_run: self.dry_run,
            now: now().try_into().map_err(anyhow::Error::from)?,
        };
        let mut collected = collect(&store, &options).map_err(failure)?;
        if self.fold {
            for id in store.ids().map_err(failure)? {
                if let Folded::Done { freed } = fold(&store, &id).map_err(failure)? {
                    collected.folded += 1;
                    collected.freed_bytes += freed;
                }
            }
        }
        for id in &collected.in_use {
            context.note(format_args!("in use, and left: {id}"));
        }
        if collected.objects_in_use {
            context.note("images are being rendered: objects and trees were left");
        }
        let would = if self.dry_run { "would be freed" } else { "freed" };
        context.note(format_args!(
            "{} images, {} objects, {} trees: {} {would}",
            collected.images.len(),
            collected.objects,
            collected.trees,
            size(collected.freed_bytes),
        ));
        let mut text = String::new();
        for image in &collected.images {
            let reference = discovery::printable_line(&image.reference);
            let _ = writeln!(text, "{}  {reference}", image.image_id);
        }
        if !context.json() && text.is_empty() {
            return Ok(());
        }
        Ok(context.print(&collected, text.trim_end())?)
    }
}

/// `30s`, `24h`, `7d`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time: give a number and one of s, m, h, d");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

/// `500M`, `20G`, or bytes.
fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no size: give bytes, or a number and one of K, M, G, T");
    let shift = match text.chars().last().ok_or_else(wrong)? {
        'K' => 10,
        'M' => 20,
        'G' => 30,
        'T' => 40,
        _ => 0,
    };
    let digits = if shift == 0 { text } else { &text[..text.len() - 1] };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_have_units() {
        assert_eq!(duration("24h"), Ok(Duration::from_secs(86_400)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        assert_eq!(bytes("20G"), Ok(20 << 30));
        assert_eq!(bytes("7"), Ok(7));
        for bad in ["", "h", "24", "1y", "-1h", "é", "99999999999999999999d"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        for bad in ["", "G", "1P", "-1", "1.5G", "99999999999T"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }
}
