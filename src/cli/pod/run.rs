//! `gantry pod run`.

use std::path::PathBuf;

use aci::Limits;
use discovery::bundle::{BundleOptions, Network};
use discovery::runtime::{self, AppRun, Kind};

use super::super::run::{able, finish, open as open_sockets, run_folder, run_to_end, start};
use super::super::running::{NetworkOptions, host, search_path, unmade, unrun};
use super::{Context, Failure, name_of, open, options, tell};

/// Run the apps of a pod manifest together
///
/// They share network, IPC, host name and processes: one reaches another on 127.0.0.1. The pod
/// ends when all its apps have; one that fails ends the others, and its exit code is passed on.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry pod run pod.json
  gantry pod run pod.json --net host
  gantry pod run pod.json --hostname shop --runtime runc

Signals that ask for an end are passed on to all apps; ten seconds later they are killed.")]
pub(crate) struct Args {
    /// The pod manifest
    #[arg(value_name = "POD.json")]
    manifest: PathBuf,
    /// The runtime; by default the first that can start a container
    #[arg(long, value_name = "crun|runc")]
    runtime: Option<Kind>,
    /// The host name in the pod; by default the manifest file's name
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// The address of a metadata service, for AC_METADATA_URL
    #[arg(long, value_name = "URL")]
    metadata_url: Option<String>,
    /// Keep the pod's folder when it has ended, and say where it is
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    network: NetworkOptions,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let pod = open(context, &self.manifest)?;
        let host = host();
        let runtimes = runtime::installed(&search_path(), self.runtime, &host).map_err(unrun)?;
        let runtimes = able(runtimes, true)?;
        let network: Network = self.network.with_ports(!pod.manifest().ports.is_empty());
        let openings = pod.openings(network).map_err(unmade)?;

        let folder = run_folder(context, &host)?;
        let wanted = BundleOptions { network, ..BundleOptions::default() };
        let (sandbox, resolver) = start(context, &wanted, &openings, &folder, &host)?;
        let hostname = self.hostname.unwrap_or_else(|| name_of(&self.manifest));
        let mut options = options(&hostname, self.metadata_url.as_deref());
        (options.network, options.resolver) = (network, resolver);
        options.shared = Some(sandbox.shared());
        options.holds_memory = true;

        let at = folder.bundle();
        std::fs::create_dir(&at)?;
        let written = pod
            .fill(&at, &options, &openings.sockets, &host, &Limits::default())
            .map_err(unmade)?;
        tell(context, &pod, &written);
        // From here on the images may be removed from the store.
        drop(pod);
        let mut apps = Vec::new();
        for one in written {
            let own = openings.sockets.iter().filter(|socket| socket.app == one.name);
            let own: Vec<_> = own.cloned().collect();
            let folder = at.join("apps").join(one.name.as_str());
            apps.push(AppRun { bundle: one.bundle, folder, sockets: open_sockets(&own)? });
        }
        let ended = run_to_end(context, &folder, &apps, &runtimes, &host, Some(sandbox))?;
        for (name, code) in ended.apps.iter().filter(|(_, code)| *code != 0) {
            context.note(format_args!("{name} ended with code {code}"));
        }
        finish(context, folder, &ended, self.keep)
    }
}
