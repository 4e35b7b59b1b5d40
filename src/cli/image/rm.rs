//! `gantry image rm`.

use discovery::store::{StoreError, Wanted};
use serde_json::json;

use super::super::client::{failure, wanted};
use super::super::{Failure, Kind};
use super::Context;

/// Remove images from the store
///
/// All are looked up first: where one is absent nothing is removed, and the exit code is 2.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry image rm example.com/team/hello:1.0.0
  gantry image rm sha512-8f1c sha512-02ab")]
pub(crate) struct Args {
    /// The images: the beginnings of image IDs, or NAME[:VERSION][,LABEL=VALUE…]
    #[arg(value_name = "ID|NAME", value_parser = wanted, required = true)]
    images: Vec<Wanted>,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let store = context.store()?;
        let mut ids = Vec::new();
        for image in &self.images {
            let id = store.find(image).map_err(|error| match error {
                StoreError::Absent { .. } => Failure::new(Kind::Absent, error),
                other => failure(other),
            })?;
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        let mut removed = Vec::new();
        for id in ids {
            // Another process may have removed it meanwhile, which is as good.
            if store.remove(&id).map_err(failure)? {
                removed.push(id.to_string());
            }
        }
        Ok(context.print(&json!({ "removed": removed }), removed.join("\n"))?)
    }
}
