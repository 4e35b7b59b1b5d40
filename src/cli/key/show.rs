//! `gantry key show`.

use std::path::PathBuf;

use aci::Limits;
use anyhow::Context as _;
use keys::KeyMaterial;
use serde_json::{Value, json};

use super::super::files::read_small;
use super::client::now;
use super::describe::Described;
use super::place::Place;
use super::{Context, Failure, Kind};

/// Show a key: fingerprints, owners, expiry, what its parts can do
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry key show key.pub.asc
  gantry key show --json key.pub.asc
  gantry key show ci@example.com                  # of the folder of keys")]
pub(crate) struct Args {
    /// A file of keys, armored or binary; or a key of the folder, by its fingerprint or the
    /// beginning of it, its user ID or its mail address
    #[arg(value_name = "FILE|KEY")]
    key: PathBuf,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let keys = match Place::find(context, &self.key)? {
            place @ Place::Folder(..) => vec![Described::secret(&place.read()?, now())],
            Place::File(path) => {
                let limits = Limits::default();
                let bytes = read_small(&path, limits.key_bytes)?;
                let all = KeyMaterial::read_all(&bytes, &limits)
                    .with_context(|| path.display().to_string())
                    .map_err(|error| Failure::new(Kind::Refused, error))?;
                all.iter().map(|one| Described::of(one, now())).collect()
            }
        };
        let text: Vec<String> = keys.iter().map(Described::text).collect();
        let value: Vec<Value> = keys.iter().map(Described::json).collect();
        Ok(context.print(&json!({ "keys": value }), text.join("\n\n"))?)
    }
}
