//! `gantry mirror`: images as plain files that any web server can serve.

use std::path::PathBuf;

use aci::{Limits, Reference, Refusal};
use discovery::mirror;
use serde_json::json;

use super::client::{Watcher, failure};
use super::fetching::{Fetcher, FetchingOptions, sources};
use super::files::in_json;
use super::{Context, Failure, Kind};

/// Fetch images with all they need, and write a folder that any web server can serve
///
/// The images keep their names and signatures, so that a client trusts the mirror with nothing:
/// it can withhold an image, never replace it. Each is verified when it is fetched and again when
/// it is written. What is there already is left as it is; nothing is removed.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry mirror example.com/team/hello --to /srv/mirror
  gantry mirror example.com/team/hello:1.0.0,os=linux,arch=arm64 --to /srv/mirror
  gantry mirror ./hello.aci --to /srv/mirror              # signature: ./hello.aci.asc
  gantry mirror --pull never sha512-8f1c --to /srv/mirror  # from the store

Serve /srv/mirror at https://mirror.example.net/, and tell the clients in their configuration:
  [[override]]
  prefix = \"example.com\"
  url = \"https://mirror.example.net/example.com\"")]
pub(crate) struct Args {
    /// NAME[:VERSION][,LABEL=VALUE…], an https URL that ends in .aci, a FILE, or the beginning of
    /// an image ID of the store
    #[arg(value_name = "NAME|URL|FILE|ID", required = true)]
    sources: Vec<String>,
    /// The folder to write to, next to what is there
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    #[command(flatten)]
    how: FetchingOptions,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        self.check()?;
        let sources = sources(&self.sources)?;
        let context = &self.how.limited(context);
        let fetcher = Fetcher::new(context, self.how.options(context), &sources)?;
        let mut roots = Vec::new();
        for (text, source) in self.sources.iter().zip(&sources) {
            let fetched = fetcher.fetch(source).map_err(|error| error.of(text))?;
            roots.push(fetched.imported.record.image_id);
        }
        let watcher = Watcher::start(context, "writing");
        let limits = Limits { file_bytes: context.max_size(), ..Limits::default() };
        let images =
            mirror::write(&fetcher.store, &roots, fetcher.trust(), &limits, &self.to, &watcher)
                .map_err(failure)?;
        drop(watcher);
        let mut values = Vec::new();
        for image in &images {
            let reference = Reference::new(image.name.clone(), image.labels.clone()).to_string();
            let what = if image.new { "written" } else { "there already" };
            context.note(format_args!("{what}: {}", discovery::printable_line(&reference)));
            let mut value = serde_json::to_value(image)?;
            value["new"] = image.new.into();
            values.push(value);
        }
        let value = json!({ "folder": in_json(&self.to), "images": values });
        Ok(context.print(&value, self.to.display())?)
    }

    /// Whether the target is a folder of this machine.
    fn check(&self) -> Result<(), Failure> {
        let to = self.to.to_string_lossy();
        if !to.contains("://") {
            return Ok(());
        }
        Err(Failure::refusal(
            Kind::Usage,
            Refusal {
                code: "mirror-target".to_owned(),
                message: format!("a mirror is a folder of this machine, and {to} is a URL"),
                wanted: "--to DIR".to_owned(),
                found: to.into_owned(),
                rule: "a mirror is plain files; how they get to a server is the server's matter"
                    .to_owned(),
                next: "write the mirror to a folder and serve it, or copy it to where it is \
                       served; gantry push sends an image to a registry of its name"
                    .to_owned(),
            },
        ))
    }
}
