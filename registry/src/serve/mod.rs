//! Running the server: open the data, listen, take connections, end in order.

mod accept;
mod reload;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::access::{Access, AccessError};
use crate::blobs::{self, Folder};
use crate::catalog::CatalogError;
use crate::config::{Config, Live, Tls};
use crate::connection::Server;
use crate::data::{DataDir, DataError};
use crate::keeping;
use crate::router::router;
use crate::serving::Serving;
use crate::state::State;
use crate::tls::{self, Certificates, TlsError};
use accept::{Door, DoorKind, Doors};

pub use reload::Reloader;

/// Why the server did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The data directory cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The catalogue cannot be opened.
    #[error("the catalogue cannot be opened")]
    Catalog(#[from] CatalogError),
    /// Nobody could be told from anybody else.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// There is no certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// What a crash left behind could not be removed.
    #[error("what an earlier run left half done cannot be removed: {0}")]
    Sweep(String),
}

/// A server that listens.
#[derive(Debug, Clone)]
pub struct Ready {
    /// The addresses for HTTPS, with the ports they were given.
    pub https: Vec<SocketAddr>,
    /// The addresses without TLS, likewise.
    pub http: Vec<SocketAddr>,
    /// The certificate of the registry's own authority, where it has one.
    pub authority: Option<PathBuf>,
    /// Gives it another configuration while it runs.
    pub reloader: Reloader,
}

/// How long what came of images that were cut off may take to be held.
const HOLDING: Duration = Duration::from_secs(10);

/// Runs a registry until `shutdown` is done. `ready` is called once it listens.
pub async fn serve(
    config: Config,
    ready: impl FnOnce(&Ready),
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let data = DataDir::open(&config.data)?;
    // Held to the end: whoever holds it may sweep.
    let _lock = data.lock()?;
    let folder = data.tls();
    let certificates = Arc::new(Certificates::default());
    if let Some(pair) = tls::load(&config, &folder)? {
        certificates.install(pair);
    }
    let catalog = data.open_catalog::<ServeError>(config.database.as_ref()).await?;
    let node = data.node()?;
    let blobs = Folder::new(&data.blobs());
    let doors = listen(&config).await?;
    let authority = (config.tls == Tls::OwnAuthority && !config.listen.is_empty())
        .then(|| tls::authority_file(&folder));
    let connections = config.connections.clone().fitting(raise_file_limit());
    let serving = Serving::new(&connections);
    let access = Access::new(config.issuer_ca.as_deref())?;
    let (sender, live) = Live::new(config);
    let stored = Arc::new(blobs.clone());
    let state = State::new(data, catalog.clone(), stored, node, live.clone(), serving, access);
    let state = Arc::new(state);
    sweep(&state, &blobs).await?;
    let acceptor = TlsAcceptor::from(certificates.server_config()?);
    let reloader = Reloader { sender, folder: folder.clone() };
    let (https, http) = (addresses(&doors, DoorKind::Https), addresses(&doors, DoorKind::Http));
    ready(&Ready { https, http, authority, reloader });
    // It ends with this function.
    let _work = keeping::start(&state);
    let leaving = state.serving.leaving.clone();
    let (cut, intakes) = (state.serving.cut.clone(), state.serving.intakes.clone());
    let server = Server {
        lines: Arc::clone(&state.serving.lines),
        metrics: state.serving.metrics.clone(),
        router: router(state, &connections),
        timeouts: live.now().timeouts.clone(),
        limits: connections,
        stopping: CancellationToken::new(),
        cut: Arc::new(cut.clone()),
    };
    let challenges = tls::challenge_router(Arc::clone(certificates.challenges()));
    let doors = Doors { doors, challenges, acceptor, live: live.clone() };
    let running = tokio::select! {
        running = doors.accept(server, async {
            shutdown.await;
            leaving.cancel();
            tokio::time::sleep(live.now().readiness.notice).await;
        }) => running,
        () = tls::keep(Arc::clone(&certificates), live.clone(), folder.clone()) => return Ok(()),
        () = tls::order_certificates(certificates, live.clone(), folder) => return Ok(()),
    };
    if tokio::time::timeout(live.now().timeouts.drain, running.wait()).await.is_err() {
        tracing::warn!("requests that were still running were cut off");
    }
    // What came of images that were still arriving is held: their pushers go on from there.
    cut.cancel();
    intakes.close();
    if tokio::time::timeout(HOLDING, intakes.wait()).await.is_err() {
        tracing::warn!("images that were still taken in were given up");
    }
    catalog.close().await;
    Ok(())
}

async fn listen(config: &Config) -> Result<Vec<Door>, ServeError> {
    let https = config.listen.iter().map(|&address| (address, DoorKind::Https));
    let http = config.http.iter().map(|&address| (address, DoorKind::Http));
    let challenges = config.challenge_listen().map(|address| (address, DoorKind::Challenges));
    let mut doors = Vec::new();
    for (address, kind) in https.chain(http).chain(challenges) {
        let bound = TcpListener::bind(address).await;
        let listener = bound.map_err(|source| ServeError::Listen { address, source })?;
        doors.push(Door { listener, kind });
    }
    Ok(doors)
}

/// The addresses of one kind, with the ports that were given.
fn addresses(doors: &[Door], kind: DoorKind) -> Vec<SocketAddr> {
    let doors = doors.iter().filter(|door| door.kind == kind);
    doors.filter_map(|door| door.listener.local_addr().ok()).collect()
}

/// Removes what a crash left: spooled files on file systems that cannot do without a name. Blobs
/// whose row was never written are nobody's from here on, and go soon.
async fn sweep(state: &State, folder: &Folder) -> Result<(), ServeError> {
    let spool = aci::stage::clean(&state.data.spool());
    spool.map_err(|error| ServeError::Sweep(error.to_string()))?;
    let swept = async {
        blobs::adopt(&state.data.blobs(), folder, &state.catalog).await?;
        state.catalog.release_all(&state.node).await?;
        Ok::<_, crate::error::ApiError>(state.catalog.leave_duties(&state.node).await?)
    };
    swept.await.map_err(|error| ServeError::Sweep(error.to_string()))
}

/// Each connection, each download and each push needs a file descriptor; shells give
/// few, and leave the rest to be asked for. Returns how many there are now.
fn raise_file_limit() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files stays as it is");
            current
        }
    }
}
