//! `gantry pod bundle`.

use std::path::PathBuf;

use aci::Limits;
use discovery::bundle::Shared;
use serde_json::json;

use super::super::files::in_json;
use super::super::running::{NetworkOptions, host, unmade};
use super::{Context, Failure, name_of, open, options, tell};

/// Make a folder of OCI bundles, one for each app of a pod manifest
///
/// Each app's config.json joins namespaces at the paths that --namespaces gives; without it, each
/// app has its own.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry pod bundle pod.json ./pod
  gantry pod bundle pod.json ./pod --net private --namespaces /run/shop

The files /run/shop/net, ipc and uts are then to be namespaces, as unshare makes them as root:
  mkdir /run/shop && touch /run/shop/net /run/shop/ipc /run/shop/uts
  unshare --net=/run/shop/net --ipc=/run/shop/ipc --uts=/run/shop/uts ip link set lo up")]
pub(crate) struct Args {
    /// The pod manifest
    #[arg(value_name = "POD.json")]
    manifest: PathBuf,
    /// The folder to make; it must not exist, or be empty
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Join the namespaces net, ipc and uts in this folder
    #[arg(long, value_name = "DIR")]
    namespaces: Option<PathBuf>,
    /// The host name in the pod; by default the manifest file's name
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// The address of a metadata service, for AC_METADATA_URL
    #[arg(long, value_name = "URL")]
    metadata_url: Option<String>,
    #[command(flatten)]
    network: NetworkOptions,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let pod = open(context, &self.manifest)?;
        let hostname = self.hostname.unwrap_or_else(|| name_of(&self.manifest));
        let mut options = options(&hostname, self.metadata_url.as_deref());
        options.network = self.network.with_ports(!pod.manifest().ports.is_empty());
        options.shared = self.namespaces.map(|folder| {
            let names = [("network", "net"), ("ipc", "ipc"), ("uts", "uts")];
            let namespaces = names.map(|(kind, name)| (kind, folder.join(name))).to_vec();
            Shared { namespaces, inside_user: false, supervised: false }
        });
        // Wrong ones are refused here, too, though nobody opens them.
        pod.openings(options.network).map_err(unmade)?;
        let written =
            pod.write(&self.folder, &options, &host(), &Limits::default()).map_err(unmade)?;
        tell(context, &pod, &written);
        let apps = super::in_json(&written, &self.folder);
        let value = json!({ "folder": in_json(&self.folder), "apps": apps, "notes": pod.notes() });
        Ok(context.print(&value, self.folder.display())?)
    }
}
