//! `gantry pod systemd`.

use std::path::{Path, PathBuf};

use aci::stage::{self, Existing};
use aci::{AcName, Limits};
use anyhow::anyhow;
use discovery::bundle::Shared;
use discovery::pod::systemd::{UnitOptions, units};
use serde_json::json;

use super::super::files::in_json;
use super::super::running::{NetworkOptions, host, unmade, warn};
use super::super::{Context, Failure, Kind};
use super::{name_of, open, options, tell};

/// Write units with which systemd runs a pod itself, without a container runtime
///
/// The apps' files are rendered first. Then there is a service for each app, one that holds the
/// namespaces, a slice with the pod's limits, sockets for its ports, and a target for all of it.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry pod systemd pod.json -o ./units
  sudo gantry pod systemd shop.json -o /etc/systemd/system --restart always
  sudo systemctl daemon-reload && sudo systemctl start shop.target")]
pub(crate) struct Args {
    /// The pod manifest
    #[arg(value_name = "POD.json")]
    manifest: PathBuf,
    /// Write the units into this folder
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    output: PathBuf,
    /// Render the pod into this folder; by default pods/NAME below the store
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// The pod's name, with which the units' names begin; by default the manifest file's
    #[arg(long, value_name = "NAME")]
    name: Option<AcName>,
    /// When systemd starts an app again
    #[arg(long, value_name = "WHEN", default_value = "on-failure",
        value_parser = ["no", "always", "on-success", "on-failure", "on-abnormal", "on-abort"])]
    restart: String,
    /// The address of a metadata service, for AC_METADATA_URL
    #[arg(long, value_name = "URL")]
    metadata_url: Option<String>,
    #[command(flatten)]
    network: NetworkOptions,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let host = host();
        if !host.is_root() {
            let text = "units whose root is another folder are run by the system's systemd: \
                run the same command as root";
            return Err(Failure::new(Kind::Failed, anyhow!(text)));
        }
        let pod = open(context, &self.manifest)?;
        let name = self.name.map_or_else(|| name_of(&self.manifest), |name| name.to_string());
        let network = self.network.with_ports(!pod.manifest().ports.is_empty());
        let openings = pod.openings(network).map_err(unmade)?;
        let folder = match self.folder {
            Some(folder) => std::path::absolute(folder)?,
            None => std::path::absolute(context.store()?.root())?.join("pods").join(&name),
        };
        let mut options = options(&name, self.metadata_url.as_deref());
        options.network = network;
        // systemd runs the event handlers.
        options.shared =
            Some(Shared { namespaces: Vec::new(), inside_user: false, supervised: true });
        let written = pod.write(&folder, &options, &host, &Limits::default()).map_err(unmade)?;
        tell(context, &pod, &written);
        let proxies =
            ["/usr/lib/systemd/systemd-socket-proxyd", "/lib/systemd/systemd-socket-proxyd"];
        let proxy = proxies.iter().map(Path::new).find(|path| path.exists());
        let unit_options = UnitOptions {
            pod: &name,
            folder: &folder,
            restart: &self.restart,
            network,
            proxy: proxy.unwrap_or(Path::new(proxies[0])),
        };
        let (units, notes) = units(&pod, &written, &openings, &unit_options);
        warn(context, &notes);
        stage::create_folders(&self.output)?;
        for (file, text) in &units {
            stage::write(&self.output.join(file), text.as_bytes(), 0o644, Existing::Replace)?;
        }
        let names: Vec<&String> = units.keys().collect();
        let value = json!({
            "target": format!("{name}.target"),
            "folder": in_json(&folder),
            "units": names,
            "apps": super::in_json(&written, &folder),
            "notes": notes,
        });
        Ok(context.print(&value, format_args!("{name}.target"))?)
    }
}
