//! `gantry registry config`.

use std::path::PathBuf;

use aci::Refuse as _;
use clap::Subcommand;
use registry::{Clock, ConfigFile};
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
/// The certificates, roots and passwords it names are read as well, and a certificate that has run
/// out is told. Nothing is changed, and no registry, database or authority is asked.
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
        config.check().map_err(|error| Failure::refusal(Kind::Usage, error.refusal()))?;
        let file = self.file.display();
        Ok(context.print(&json!({ "file": self.file }), format_args!("{file} is in order"))?)
    }
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
        let origin = |said: &dyn Fn(&Value) -> bool| {
            let at = sources.iter().position(said).unwrap_or(ORIGINS.len() - 1);
            ORIGINS[at]
        };
        let (mut said, mut lines) = (Map::new(), Vec::new());
        for (section, keys) in all.as_object().into_iter().flatten() {
            if let Some(tables) = keys.as_array() {
                let from = origin(&|source| !source[section].is_null());
                for table in tables {
                    lines.push(format!("[[{section}]]  # {from}"));
                    let keys = table.as_object().into_iter().flatten();
                    lines.extend(keys.map(|(key, value)| format!("{key} = {}", toml(value))));
                }
                said.insert(section.clone(), json!({ "value": tables, "from": from }));
                continue;
            }
            let mut shown = Map::new();
            for (key, value) in keys.as_object().into_iter().flatten() {
                if value.is_null() {
                    continue;
                }
                let from = origin(&|source| !source[section][key].is_null());
                if shown.is_empty() {
                    lines.push(format!("[{section}]"));
                }
                lines.push(format!("{key} = {}  # {from}", toml(value)));
                shown.insert(key.clone(), json!({ "value": value, "from": from }));
            }
            if !shown.is_empty() {
                said.insert(section.clone(), Value::Object(shown));
            }
        }
        Ok(context.print(&Value::Object(said), lines.join("\n"))?)
    }
}

/// A value as TOML has it: texts, numbers and lists are written as in JSON, tables are not.
fn toml(value: &Value) -> String {
    match value {
        Value::Object(table) => {
            let key = |key: &str| Value::from(key).to_string();
            let keys = table.iter().map(|(name, value)| format!("{} = {}", key(name), toml(value)));
            format!("{{ {} }}", keys.collect::<Vec<_>>().join(", "))
        }
        Value::Array(values) => {
            format!("[{}]", values.iter().map(toml).collect::<Vec<_>>().join(", "))
        }
        value => value.to_string(),
    }
}
