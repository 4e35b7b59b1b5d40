//! `gantry run`: an image of the store, through the runtime that is there.

use std::io::{IsTerminal, stdin, stdout};

use aci::Limits;
use discovery::render;
use discovery::runtime::{self, Kind, RunError, RunFolder};
use discovery::store::Wanted;

use super::client::wanted;
use super::image;
use super::image::bundle::{Changes, host, search_path, terminal_kind, warn};
use super::image::render::{refused, tell, unrendered};
use super::{Context, Failure};

/// Run an image of the store through crun, runc or systemd-nspawn
///
/// The program has your input and output, and your terminal where there is one. Its exit
/// code is passed on. The container and its files are gone when it has ended.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry run example.com/team/hello
  gantry run example.com/team/hello:1.0.0 -- --verbose 'an argument'
  gantry run sha512-8f1c --net host --exec /bin/sh
  gantry run example.com/team/hello --runtime runc

Signals that ask for an end are passed on; ten seconds later the container is killed.")]
pub(crate) struct Args {
    /// The image: the beginning of its image ID, or NAME[:VERSION][,LABEL=VALUE…]
    #[arg(value_name = "ID|NAME", value_parser = wanted)]
    image: Wanted,
    /// The runtime; by default the first of the three that can start a container
    #[arg(long, value_name = "crun|runc|systemd-nspawn")]
    runtime: Option<Kind>,
    #[command(flatten)]
    changes: Changes,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let image = image::open(context, &self.image)?;
        let path = search_path();
        let host = host();
        let runtimes = runtime::installed(&path, self.runtime, &host).map_err(unrun)?;
        // Through a pipe a terminal would only turn line ends into two bytes.
        let terminal = stdin().is_terminal() && stdout().is_terminal();
        let options = self.changes.options(terminal.then(terminal_kind));

        let runs = context.store()?.root().join("run");
        let unshare = runtime::program_in(&path, "unshare");
        let folder = RunFolder::new(&runs, &host, unshare).map_err(unrun)?;
        let (rendered, bundle) =
            render::render_bundle(&image, &folder.bundle(), &options, &host, &Limits::default())
                .map_err(unrendered)?;
        // From here on the image may be removed from the store.
        drop(image);
        tell(context, &rendered);
        warn(context, bundle.notes());

        let threads = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let ended =
            threads.block_on(runtime::run(&folder, &bundle, &runtimes, &host)).map_err(unrun)?;
        for attempt in &ended.failed {
            context.note(format_args!(
                "{} could not start the container ({}); {} did",
                attempt.runtime,
                discovery::printable(&attempt.message),
                ended.runtime
            ));
        }
        for note in runtime::notes(ended.runtime, &bundle) {
            context.note(note);
        }
        if let Err(error) = folder.remove() {
            context.warn(error);
        }
        match ended.code {
            0 => Ok(()),
            code => Err(Failure::Child(code)),
        }
    }
}

fn unrun(error: RunError) -> Failure {
    refused(error.kind(), &error)
}
