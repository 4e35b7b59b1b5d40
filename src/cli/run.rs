//! `gantry run`: an image through the runtime that is there.

use std::io::{IsTerminal, stdin, stdout};
use std::path::PathBuf;

use aci::Limits;
use aci::manifest::ExposedPort;
use aci::stage::{self, Existing};
use discovery::bundle::{BundleOptions, Host, Network};
use discovery::pod::{self, Openings, PodError, Socket};
use discovery::render;
use discovery::runtime::{self, AppRun, Ended, Kind, RunFolder, Runtime, Sandbox};
use discovery::store::Wanted;

use super::client::wanted;
use super::fetching::PullOption;
use super::image::render::{tell, unrendered};
use super::running::{
    AppOptions, NetworkOptions, helper, host, port, search_path, terminal_kind, tools, unmade,
    unrun, warn,
};
use super::{Context, Failure};

/// Run an image through crun, runc or systemd-nspawn
///
/// An image that the store does not have is fetched first, and verified. The program has your
/// input and output, and your terminal where there is one. Its exit code is passed on. The
/// container and its files are gone when it has ended.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry run example.com/team/hello
  gantry run example.com/team/hello:1.0.0 -- --verbose 'an argument'
  gantry run sha512-8f1c --net host --exec /bin/sh
  gantry run example.com/team/web --port http:8080 --volume data,kind=host,source=/srv/data --memory 256M
  gantry run example.com/team/hello --user 1000 --group 1000 --env MODE=test --read-only
  gantry run example.com/team/hello --pull update
  gantry run example.com/team/hello --runtime runc

Signals that ask for an end are passed on; ten seconds later the container is killed.")]
pub(crate) struct Args {
    /// The image: the beginning of its image ID, or NAME[:VERSION][,LABEL=VALUE…]
    #[arg(value_name = "ID|NAME", value_parser = wanted)]
    image: Wanted,
    #[command(flatten)]
    pull: PullOption,
    /// The runtime; by default the first of the three that can start a container
    #[arg(long, value_name = "crun|runc|systemd-nspawn")]
    runtime: Option<Kind>,
    /// Let a port of the host lead to the image's port of this name; the network is then private
    #[arg(long = "port", value_name = "NAME:[IP:]PORT", value_parser = port)]
    ports: Vec<ExposedPort>,
    /// Keep the container's folder when it has ended, and say where it is
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    network: NetworkOptions,
    #[command(flatten)]
    app: AppOptions,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let image = self.pull.open(context, &self.image)?;
        let host = host();
        let runtimes = runtime::installed(&search_path(), self.runtime, &host).map_err(unrun)?;
        // Through a pipe a terminal would only turn line ends into two bytes.
        let terminal = stdin().is_terminal() && stdout().is_terminal();
        let mut options = self.app.options(terminal.then(terminal_kind))?;
        options.network = self.network.with_ports(!self.ports.is_empty());
        options.holds_memory = true;
        let app = options.changes.apply(image.manifest().app.as_ref());
        let app = app.map_err(|error| unmade(PodError::Bundle(error)))?;
        let name = options
            .name
            .clone()
            .or_else(|| discovery::bundle::app_name(image.manifest().name.as_str()).parse().ok());
        let apps: Vec<_> = name.map(|name| (name, &app)).into_iter().collect();
        let openings = pod::openings(&self.ports, &apps, options.network).map_err(unmade)?;
        options.sockets = openings.sockets.iter().map(|socket| socket.name.clone()).collect();

        let folder = run_folder(context, &host)?;
        let shares = options.network == Network::Private || !app.event_handlers.is_empty();
        let sandbox = shares.then(|| start(context, &options, &openings, &folder, &host));
        let sandbox = sandbox.transpose()?;
        if let Some((sandbox, resolver)) = &sandbox {
            options.shared = Some(sandbox.shared());
            options.resolver.clone_from(resolver);
        }
        let sockets = open(&openings.sockets)?;
        let runtimes = able(runtimes, shares || !sockets.is_empty())?;
        let (rendered, bundle) =
            render::render_bundle(&image, &folder.bundle(), &options, &host, &Limits::default())
                .map_err(unrendered)?;
        // From here on the image may be removed from the store.
        drop(image);
        tell(context, &rendered);
        warn(context, bundle.notes());
        let app = AppRun { bundle, folder: folder.bundle(), sockets };
        let sandbox = sandbox.map(|(sandbox, _)| sandbox);
        let ended = run_to_end(context, &folder, &[app], &runtimes, &host, sandbox)?;
        finish(context, folder, &ended, self.keep)
    }
}

/// A folder for a run, below the store.
pub(super) fn run_folder(context: &Context, host: &Host) -> Result<RunFolder, Failure> {
    let runs = context.store()?.root().join("run");
    let unshare = runtime::program_in(&search_path(), "unshare");
    RunFolder::new(&runs, host, unshare).map_err(unrun)
}

/// Makes the shared namespaces, and the file that says how names are looked up in them.
pub(super) fn start(
    context: &Context,
    options: &BundleOptions,
    openings: &Openings,
    folder: &RunFolder,
    host: &Host,
) -> Result<(Sandbox, Option<PathBuf>), Failure> {
    let sandbox = Sandbox::start(&helper(), options.network, &openings.forwards, &tools(), host)
        .map_err(unrun)?;
    if options.network != Network::Private {
        return Ok((sandbox, None));
    }
    if let Some(why) = sandbox.shut() {
        context.note(format_args!("the network has no way out: {}", discovery::printable(why)));
        return Ok((sandbox, None));
    }
    let resolver = folder.path().join("resolv.conf");
    // The address at which slirp4netns answers (slirp4netns(1)).
    stage::write(&resolver, b"nameserver 10.0.2.3\n", 0o644, Existing::Replace)?;
    Ok((sandbox, Some(resolver)))
}

/// Opens the sockets that are handed to apps.
pub(super) fn open(sockets: &[Socket]) -> Result<Vec<std::os::fd::OwnedFd>, Failure> {
    let open = |socket: &Socket| {
        socket.open().map_err(|source| {
            let at = PathBuf::from(format!("{}:{}", socket.address.0, socket.address.1));
            unrun(runtime::RunError::Io { doing: "listen on", path: at, source })
        })
    };
    sockets.iter().map(open).collect()
}

/// The runtimes that can do what is needed: systemd-nspawn joins no namespaces of others.
pub(super) fn able(runtimes: Vec<Runtime>, oci: bool) -> Result<Vec<Runtime>, Failure> {
    if !oci {
        return Ok(runtimes);
    }
    let able: Vec<Runtime> =
        runtimes.into_iter().filter(|runtime| runtime.kind() != Kind::Nspawn).collect();
    if able.is_empty() {
        let wanted = vec![Kind::Crun, Kind::Runc];
        return Err(unrun(runtime::RunError::NoRuntime { wanted, root: true }));
    }
    Ok(able)
}

/// Runs apps to their end and says what the runtime had no place for.
pub(super) fn run_to_end(
    context: &Context,
    folder: &RunFolder,
    apps: &[AppRun],
    runtimes: &[Runtime],
    host: &Host,
    sandbox: Option<Sandbox>,
) -> Result<Ended, Failure> {
    let threads = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = threads
        .block_on(runtime::run(folder, apps, runtimes, host, sandbox.as_ref()))
        .map_err(unrun)?;
    for attempt in &ended.failed {
        context.note(format_args!(
            "{} could not start the container ({}); {} did",
            attempt.runtime,
            discovery::printable(&attempt.message),
            ended.runtime
        ));
    }
    for note in apps.iter().flat_map(|app| runtime::notes(ended.runtime, &app.bundle)) {
        context.note(note);
    }
    Ok(ended)
}

/// Removes or keeps the folder, and passes on the code.
pub(super) fn finish(
    context: &Context,
    folder: RunFolder,
    ended: &Ended,
    keep: bool,
) -> Result<(), Failure> {
    if keep {
        match folder.keep() {
            Ok(path) => context.note(format_args!("kept as {}", path.display())),
            Err(error) => context.warn(error),
        }
    } else if let Err(error) = folder.remove() {
        context.warn(error);
    }
    match ended.code {
        0 => Ok(()),
        code => Err(Failure::Child(code)),
    }
}
