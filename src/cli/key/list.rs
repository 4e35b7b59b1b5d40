//! `gantry key list`.

use aci::Limits;
use serde_json::{Value, json};

use super::super::files::in_json;
use super::client::now;
use super::describe::Described;
use super::{Context, Failure, place};

/// List the secret keys of the folder: what each can do, until when, and what of it is there
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry key list
  gantry key list --json
  gantry key list --key-dir /media/stick/keys")]
pub(crate) struct Args {}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let folder = context.key_folder();
        let (keys, warnings) = folder.list(&Limits::default()).map_err(place::failure)?;
        for warning in warnings {
            context.warn(warning);
        }
        for path in folder.exposed(&keys) {
            context.warn(format_args!("others can read {}: chmod go= it", path.display()));
        }
        let (mut text, mut values) = (Vec::new(), Vec::<Value>::new());
        for key in &keys {
            let described = Described::secret(key, now());
            for warning in described.warnings() {
                context.warn(warning);
            }
            let mut value = described.json();
            value["path"] = json!(in_json(&folder.file(key.fingerprint())));
            values.push(value);
            text.push(described.text());
        }
        if keys.is_empty() {
            context.note(format_args!(
                "no key in {}: gantry key generate makes one, gantry key import takes one in",
                folder.path().display()
            ));
            if !context.json() {
                return Ok(());
            }
        }
        Ok(context.print(&json!({ "keys": values }), text.join("\n\n"))?)
    }
}
