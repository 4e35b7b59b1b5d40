//! `gantry discover`: where a name leads.

use std::fmt::Write;

use aci::Reference;
use serde_json::json;

use super::client::wait;
use super::{Context, Failure};

/// Show where an image and its keys would be fetched from, and which pages were asked
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry discover example.com/team/hello
  gantry discover example.com/team/hello:1.0.0,os=linux,arch=amd64
  gantry discover --json example.com/team/hello")]
pub(crate) struct Args {
    /// NAME[:VERSION][,LABEL=VALUE…]
    #[arg(value_name = "NAME")]
    reference: Reference,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client();
        let images = wait(client.find_images(&self.reference))?;
        // That no keys are published is no failure: they can be handed over otherwise.
        let (keys, keys_error) = match wait(client.find_keys(self.reference.name())) {
            Ok(keys) => (Some(keys), None),
            Err(error) => (None, Some(error)),
        };
        let value = json!({
            "reference": self.reference.to_string(),
            "images": images,
            "keys": keys,
        });
        let mut text = format!("page:      {}", images.page);
        for endpoint in &images.found {
            let _ =
                write!(text, "\nimage:     {}\nsignature: {}", endpoint.image, endpoint.signature);
        }
        for keys in keys.iter().flat_map(|keys| &keys.found) {
            let _ = write!(text, "\nkeys:      {} (for {})", keys.url, keys.prefix);
        }
        if let Some(Failure::Refusal(_, refusal)) = keys_error {
            context.note(refusal.message);
        }
        for level in &images.failed_levels {
            context.note(format_args!("no help:   {}: {}", level.url, level.why));
        }
        Ok(context.print(&value, text)?)
    }
}
