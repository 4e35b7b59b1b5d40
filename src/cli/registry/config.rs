//! `gantry registry config`.

use std::path::PathBuf;

use aci::Refusal;
use clap::Subcommand;
use registry::{Clock, ConfigFile, TlsError};
use serde_json::{Map, Value, json};

use super::settings::{SettingArgs, unusable};
use super::{Context, Failure, Kind};

/// See what a registry's configuration says
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Check(Check),
    Show(Box<Show>),
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self.command {
            Command::Check(args) => args.run(context),
            Command::Show(args) => args.run(context),
        }
    }
}

/// Say whether a registry could run with a file
///
/// The certificate it names is read as well. Nothing is changed, and no registry is asked.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry config check /etc/gantry/registry.toml

Exit codes: 0 it is in order, 3 it is not.")]
struct Check {
    /// The configuration file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl Check {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let resolve = || Ok(ConfigFile::read(&self.file)?.resolve(Clock::system())?);
        let config = resolve().map_err(|error| unusable(&error))?;
        config.check().map_err(|error| certificate(&error))?;
        let file = self.file.display();
        Ok(context.print(&json!({ "file": self.file }), format_args!("{file} is in order"))?)
    }
}

fn certificate(error: &TlsError) -> Failure {
    let refusal = Refusal {
        code: "configuration-invalid".to_owned(),
        message: "the certificate that is configured cannot be used".to_owned(),
        wanted: "a certificate with its chain, and the private key that is its own, in PEM"
            .to_owned(),
        found: error.to_string(),
        rule: "a registry shows no certificate without its key".to_owned(),
        next:
            "see that both files are there, that they can be read, and that they were made together"
                .to_owned(),
    };
    Failure::refusal(Kind::Usage, refusal)
}

/// Print the settings that count in the end, and where each comes from
///
/// Takes the options of `serve`. What is printed is itself a configuration file.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry config show --config /etc/gantry/registry.toml
  gantry registry config show --data ./data --domain example.com --json")]
struct Show {
    #[command(flatten)]
    settings: SettingArgs,
}

/// From the first to count to the last.
const ORIGINS: [&str; 3] = ["the command line", "the file", "the defaults"];

impl Show {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let file = self.settings.file().map_err(|error| unusable(&error))?;
        let options = self.settings.options();
        let sources = [options.clone(), file.clone(), ConfigFile::defaults()];
        let sources = sources.map(|source| serde_json::to_value(source).unwrap_or_default());
        let all = serde_json::to_value(options.over(file).complete())?;
        let (mut said, mut lines) = (Map::new(), Vec::new());
        for (section, keys) in all.as_object().into_iter().flatten() {
            let mut shown = Map::new();
            for (key, value) in keys.as_object().into_iter().flatten() {
                let from = sources.iter().position(|source| !source[section][key].is_null());
                let Some(from) = from.filter(|_| !value.is_null()) else { continue };
                if shown.is_empty() {
                    lines.push(format!("[{section}]"));
                }
                // What JSON writes here, TOML reads: texts, numbers, and lists of texts.
                lines.push(format!("{key} = {value}  # {}", ORIGINS[from]));
                shown.insert(key.clone(), json!({ "value": value, "from": ORIGINS[from] }));
            }
            if !shown.is_empty() {
                said.insert(section.clone(), Value::Object(shown));
            }
        }
        Ok(context.print(&Value::Object(said), lines.join("\n"))?)
    }
}
