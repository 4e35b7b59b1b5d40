//! The limits that whoever reads an image file may set, the same for every command that does.

use std::time::Duration;

use aci::Limits;
use jiff::SignedDuration;

/// How much an image may have before it is refused.
#[derive(clap::Args)]
#[command(next_help_heading = "Limits")]
pub(super) struct LimitArgs {
    /// Refuse a file of more bytes (K, M, G and T stand for powers of 1024) [default: 16G]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_file: Option<u64>,
    /// Refuse an archive that unpacks to more bytes [default: 64G]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_unpacked: Option<u64>,
    /// Refuse an archive of more than 64 MiB that unpacks to more than N times its file [default: 200]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_ratio: Option<u64>,
    /// Refuse an archive of more files and folders [default: 2000000]
    #[arg(long, value_name = "N")]
    max_entries: Option<u64>,
    /// Refuse a path of more folders, one in another [default: 2048]
    #[arg(long, value_name = "N")]
    max_depth: Option<usize>,
    /// Refuse a path of more bytes [default: 4095]
    #[arg(long, value_name = "BYTES")]
    max_path: Option<usize>,
    /// Refuse a file name of more bytes [default: 255]
    #[arg(long, value_name = "BYTES")]
    max_name: Option<usize>,
    /// Refuse an image that takes longer to read: 90s, 5m, 1h [default: none]
    #[arg(long, value_name = "TIME", value_parser = time)]
    max_time: Option<Duration>,
}

impl LimitArgs {
    /// The limits to read with: what was given, and the defaults for the rest.
    pub(super) fn limits(&self) -> Limits {
        let default = Limits::default();
        Limits {
            file_bytes: self.max_file.unwrap_or(default.file_bytes),
            tar_bytes: self.max_unpacked.unwrap_or(default.tar_bytes),
            ratio: self.max_ratio.unwrap_or(default.ratio),
            entries: self.max_entries.unwrap_or(default.entries),
            path_depth: self.max_depth.unwrap_or(default.path_depth),
            path_bytes: self.max_path.unwrap_or(default.path_bytes),
            name_bytes: self.max_name.unwrap_or(default.name_bytes),
            time: self.max_time,
            ..default
        }
    }
}

/// `1536`, `64M`, `16G`.
fn size(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'K') => (&text[..text.len() - 1], 10),
        Some(b'M') => (&text[..text.len() - 1], 20),
        Some(b'G') => (&text[..text.len() - 1], 30),
        Some(b'T') => (&text[..text.len() - 1], 40),
        _ => (text, 0),
    };
    let number: u64 =
        digits.parse().map_err(|_| format!("{text:?} is no size: give bytes, or as 64M, 16G"))?;
    number.checked_mul(1 << shift).ok_or_else(|| format!("{text:?} is more than there can be"))
}

fn time(text: &str) -> Result<Duration, String> {
    let fault = || format!("{text:?} is no time: give it as 90s, 5m or 1h");
    let duration: SignedDuration = text.parse().map_err(|_| fault())?;
    Duration::try_from(duration).map_err(|_| fault())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_takes_powers_of_1024() {
        assert_eq!(size("1536"), Ok(1536));
        assert_eq!(size("3K"), Ok(3072));
        assert_eq!(size("16G"), Ok(16 << 30));
        for bad in ["", "K", "-1", "1.5G", "1k", "16777216T", "64MiB"] {
            assert!(size(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn time_takes_units_and_no_past() {
        assert_eq!(time("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(time("5m"), Ok(Duration::from_secs(300)));
        for bad in ["", "5", "-1s", "soon"] {
            assert!(time(bad).is_err(), "{bad:?}");
        }
    }
}
