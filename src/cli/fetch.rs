//! `gantry fetch`: images into the store, verified.

use discovery::fetch::{FetchOptions, Fetched, SignatureSource};
use serde_json::{Value, json};

use super::fetching::{Fetcher, FetchingOptions, sources};
use super::{Context, Failure, Kind};

/// Fetch images by name, URL or file, verify them and put them into the store
///
/// Prints the image ID of each, in the order given, and stops at the first that fails. Nothing
/// enters the store before the signature, the signer, the archive, the name and the labels were
/// checked. The images that an image needs are fetched with it.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry fetch example.com/team/hello
  gantry fetch example.com/team/hello:1.0.0,os=linux,arch=amd64
  gantry fetch example.com/team/hello example.com/team/base    # one image ID on each line
  gantry fetch --pull never example.com/team/hello             # no request: the store has it, or not
  gantry fetch https://example.com/files/hello.aci             # signature: …/hello.aci.asc
  gantry fetch ./hello.aci                                     # signature: ./hello.aci.asc
  gantry fetch ./hello.aci --signature ./signed-elsewhere.asc
  gantry fetch sha512-8f1c                                     # from the store, verified again")]
pub(crate) struct Args {
    /// NAME[:VERSION][,LABEL=VALUE…], an https URL that ends in .aci, a FILE, or the beginning of
    /// an image ID of the store
    #[arg(value_name = "NAME|URL|FILE|ID", required = true)]
    sources: Vec<String>,
    /// The signature of the one image given, if it is not beside it
    #[arg(long, value_name = "FILE|URL")]
    signature: Option<SignatureSource>,
    /// Fetch the images alone, without those they need
    #[arg(long)]
    no_dependencies: bool,
    #[command(flatten)]
    how: FetchingOptions,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let sources = sources(&self.sources)?;
        let several = sources.len() > 1;
        if self.signature.is_some() && several {
            let error = anyhow::anyhow!("--signature is for one image, and several were given");
            return Err(Failure::new(Kind::Usage, error));
        }
        let context = &self.how.limited(context);
        let options = FetchOptions {
            signature: self.signature,
            dependencies: !self.no_dependencies,
            ..self.how.options(context)
        };
        let fetcher = Fetcher::new(context, options, &sources)?;
        let mut values = Vec::new();
        for (text, source) in self.sources.iter().zip(&sources) {
            let fetched = fetcher
                .fetch(source)
                .map_err(|error| if several { error.of(text) } else { error })?;
            if context.json() {
                values.push(value(&fetched));
            } else {
                context.print(&(), &fetched.imported.record.image_id)?;
            }
        }
        if context.json() {
            let value = if several { Value::Array(values) } else { values.swap_remove(0) };
            context.print(&value, "")?;
        }
        Ok(())
    }
}

fn value(fetched: &Fetched) -> Value {
    let one = |imported: &discovery::store::Imported| {
        let (record, new) = (&imported.record, imported.new);
        json!({ "imageId": record.image_id, "new": new, "record": record })
    };
    let mut value = one(&fetched.imported);
    value["dependencies"] = fetched.dependencies.iter().map(one).collect();
    value["warnings"] = json!(fetched.warnings);
    value
}
