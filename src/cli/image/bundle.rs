//! `gantry image bundle`.

use std::ffi::OsString;
use std::path::PathBuf;

use aci::Limits;
use discovery::bundle::{BundleOptions, Host, Network, Note};
use discovery::render;
use discovery::runtime::program_in;
use discovery::store::Wanted;
use serde_json::json;

use super::super::client::wanted;
use super::super::files::in_json;
use super::render::{tell, unrendered};
use super::{Context, Failure, open};

/// Make an OCI bundle of an image: config.json and rootfs/, for any OCI runtime
///
/// What the image asks for and no OCI runtime has a place for is told.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry image bundle example.com/team/hello ./hello && sudo runc run --bundle ./hello hello
  gantry image bundle sha512-8f1c ./shell --exec /bin/sh --terminal
  gantry image bundle example.com/team/hello ./hello --net host -- --port 8080")]
pub(crate) struct Args {
    /// The image: the beginning of its image ID, or NAME[:VERSION][,LABEL=VALUE…]
    #[arg(value_name = "ID|NAME", value_parser = wanted)]
    image: Wanted,
    /// The folder to make; it must not exist, or be empty
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    #[command(flatten)]
    changes: Changes,
    /// Give the program a terminal
    #[arg(long)]
    terminal: bool,
}

/// How an app is to differ from what its image says.
#[derive(clap::Args)]
pub(in crate::cli) struct Changes {
    /// The network: none (a loopback interface only), or the host's
    #[arg(long, value_name = "none|host", default_value = "none", value_parser = network)]
    net: Network,
    /// Run this program of the image instead of its own program and arguments
    #[arg(long, value_name = "PROGRAM")]
    exec: Option<String>,
    /// Arguments added after the image's own
    #[arg(last = true, value_name = "ARGS")]
    arguments: Vec<String>,
}

fn network(text: &str) -> Result<Network, String> {
    match text {
        "none" => Ok(Network::None),
        "host" => Ok(Network::Host),
        _ => Err(format!("{text:?} is not one of none, host")),
    }
}

impl Changes {
    /// These changes, and a terminal of this kind where there is to be one.
    pub(in crate::cli) fn options(self, terminal: Option<String>) -> BundleOptions {
        let Self { net, exec, arguments } = self;
        BundleOptions { network: net, terminal, exec, arguments }
    }
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let image = open(context, &self.image)?;
        let options = self.changes.options(self.terminal.then(terminal_kind));
        let host = host();
        let (rendered, bundle) =
            render::render_bundle(&image, &self.folder, &options, &host, &Limits::default())
                .map_err(unrendered)?;
        tell(context, &rendered);
        warn(context, bundle.notes());
        let value = json!({
            "imageId": rendered.image_id,
            "folder": in_json(&self.folder),
            "program": bundle.program(),
            "remarks": rendered.remarks,
            "notes": bundle.notes(),
        });
        Ok(context.print(&value, self.folder.display())?)
    }
}

/// Says what is not done as the image asks, and what it was granted.
pub(in crate::cli) fn warn(context: &Context, notes: &[Note]) {
    for note in notes {
        if note.is_warning() {
            context.warn(note);
        } else {
            context.note(note);
        }
    }
}

/// Where programs are sought.
pub(in crate::cli) fn search_path() -> OsString {
    #[expect(clippy::disallowed_methods, reason = "the command reads the environment")]
    std::env::var_os("PATH").unwrap_or_default()
}

/// What this machine and this caller can do.
pub(in crate::cli) fn host() -> Host {
    let path = search_path();
    Host::detect(["newuidmap", "newgidmap"].iter().all(|tool| program_in(&path, tool).is_some()))
}

/// The kind of the caller's terminal.
pub(in crate::cli) fn terminal_kind() -> String {
    #[expect(clippy::disallowed_methods, reason = "the command reads the environment")]
    std::env::var("TERM").ok().filter(|kind| !kind.is_empty()).unwrap_or_else(|| "xterm".to_owned())
}
