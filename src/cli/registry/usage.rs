//! `gantry registry usage`.

use std::fmt::Write;

use aci::Name;
use registry::admin::{self, UsageReport};

use super::{At, AtArgs, Context, Failure, images_of, wait};

/// Tell how many images each name has, and how many bytes they take
///
/// This is what quotas are compared with. A file that two images share counts twice. A server that is
/// asked tells the quotas of its configuration, too.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry usage --data ./data
  gantry registry usage --data ./data --prefix example.com/team --json
  gantry registry usage --registry https://example.com --token-file admin.token")]
pub(crate) struct Args {
    #[command(flatten)]
    at: AtArgs,
    /// Of this name and all below it
    #[arg(long, value_name = "NAME")]
    prefix: Option<Name>,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let report = match self.at.at(context)? {
            At::Data(place) => wait(admin::usage(&place, self.prefix.as_ref()))?,
            At::Server(server) => {
                let prefix = self.prefix.iter().map(|prefix| ("prefix", prefix.to_string()));
                server.get("usage", &prefix.collect::<Vec<_>>())?
            }
        };
        let UsageReport { names, images, bytes, quotas } = &report;
        let mut text = String::new();
        for name in names {
            let images = images_of(name.images);
            let _ = writeln!(text, "{}  {images}  {} bytes", name.name, name.bytes);
        }
        let _ = write!(text, "all  {}  {bytes} bytes", images_of(*images));
        let of = |most: Option<u64>| most.map_or_else(String::new, |most| format!(" of {most}"));
        for quota in quotas {
            let (images, bytes) = (of(quota.most_images), of(quota.most_bytes));
            let (there, used) = (quota.images, quota.bytes);
            let prefix = &quota.prefix;
            let _ = write!(text, "\nquota {prefix}  {there}{images} images  {used}{bytes} bytes");
        }
        Ok(context.print(&report, text)?)
    }
}
