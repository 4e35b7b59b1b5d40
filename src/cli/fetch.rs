//! `gantry fetch`: images into the store, verified.

use std::num::NonZeroUsize;

use discovery::fetch::{FetchOptions, Fetched, Pull, SignatureSource, Source};
use serde_json::{Value, json};

use super::client::{Watcher, wait};
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
    /// When to ask the network: never, only for what is new to the store, or to update what it
    /// has [default: update]
    #[arg(long, value_name = "never|new|update", env = "GANTRY_PULL")]
    pull: Option<Pull>,
    /// The signature of the one image given, if it is not beside it
    #[arg(long, value_name = "FILE|URL")]
    signature: Option<SignatureSource>,
    /// Fetch the images alone, without those they need
    #[arg(long)]
    no_dependencies: bool,
    /// Fetch at most so many of the images that an image needs at once [default: 4]
    #[arg(long, value_name = "N")]
    parallel: Option<NonZeroUsize>,
    /// Refuse an image file of more bytes (K, M, G and T stand for powers of 1024) [default: 16G]
    #[arg(long, value_name = "SIZE")]
    max_size: Option<discovery::config::Size>,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let sources = self.sources()?;
        let options = self.options(context);
        let context = &context.with_max_size(self.max_size);
        if options.pull != Pull::Never {
            for source in &sources {
                super::trust::on_schedule(context, source);
            }
        }
        let (client, store, trust) = (context.client(), context.store()?, context.trust()?);
        let several = sources.len() > 1;
        let mut values = Vec::new();
        for (text, source) in self.sources.iter().zip(&sources) {
            let watcher = Watcher::start(context, "fetching");
            let work = client.fetch_with(source, &options, &store, &trust, &watcher);
            let fetched =
                wait(work).map_err(|error| if several { error.of(text) } else { error })?;
            drop(watcher);
            say(context, &fetched);
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

    fn sources(&self) -> Result<Vec<Source>, Failure> {
        let usage = |error: String| Failure::new(Kind::Usage, anyhow::Error::msg(error));
        if self.signature.is_some() && self.sources.len() > 1 {
            return Err(usage("--signature is for one image, and several were given".to_owned()));
        }
        let read = |text: &String| text.parse().map_err(|error| usage(format!("{error}")));
        self.sources.iter().map(read).collect::<Result<Vec<Source>, _>>()
    }

    fn options(&self, context: &Context) -> FetchOptions {
        let default = FetchOptions::default();
        let config = context.config();
        FetchOptions {
            pull: self.pull.or(config.pull).unwrap_or(default.pull),
            signature: self.signature.clone(),
            dependencies: !self.no_dependencies,
            parallel: self.parallel.or(config.parallel).unwrap_or(default.parallel),
        }
    }
}

fn say(context: &Context, fetched: &Fetched) {
    for warning in &fetched.warnings {
        context.warn(warning);
    }
    let dependencies = fetched.dependencies.iter().map(|imported| (imported, "needed: "));
    for (imported, why) in dependencies.chain([(&fetched.imported, "")]) {
        let record = &imported.record;
        context.note(format_args!(
            "{why}{} signed by {}{}",
            discovery::printable_line(&record.reference().to_string()),
            record.signer,
            if imported.new { "" } else { ", in the store already" },
        ));
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
