//! Running the server: open the data, listen, take connections, end in order.

mod accept;
mod reload;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::catalog::{Catalog, CatalogError};
use crate::config::{Config, Live, Tls};
use crate::data::{DataDir, DataError};
use crate::router::router;
use crate::state::State;
use crate::tls::{self, Certificates, TlsError};
use accept::{Door, DoorKind, Server};

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
    let catalog = Catalog::open(&data.database(), &data.database_lock()).await?;
    let doors = listen(&config).await?;
    let authority = (config.tls == Tls::OwnAuthority && !config.listen.is_empty())
        .then(|| tls::authority_file(&folder));
    let clock = config.clock.clone();
    let (sender, live) = Live::new(config);
    let state = Arc::new(State::new(data, catalog.clone(), live.clone(), clock));
    sweep(&state).await?;
    raise_file_limit();
    let acceptor = TlsAcceptor::from(certificates.server_config()?);
    let reloader = Reloader { sender, folder: folder.clone() };
    let (https, http) = (addresses(&doors, DoorKind::Https), addresses(&doors, DoorKind::Http));
    ready(&Ready { https, http, authority, reloader });
    let challenges = tls::challenge_router(Arc::clone(certificates.challenges()));
    let server = Server::new(router(state), challenges, live.clone(), acceptor);
    let running = tokio::select! {
        running = server.accept_all(&doors, shutdown) => running,
        () = tls::keep(Arc::clone(&certificates), live.clone(), folder.clone()) => return Ok(()),
        () = tls::order_certificates(certificates, live.clone(), folder) => return Ok(()),
    };
    if tokio::time::timeout(live.now().timeouts.drain, running.shutdown()).await.is_err() {
        tracing::warn!("requests that were still running were cut off");
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

/// Removes what a crash left: spooled files on file systems that cannot do without
/// a name, and blobs whose row was never written.
async fn sweep(state: &State) -> Result<(), ServeError> {
    let spool = aci::stage::clean(&state.data.spool());
    spool.map_err(|error| ServeError::Sweep(error.to_string()))?;
    let removed = state.blobs.sweep(&state.catalog).await;
    match removed.map_err(|error| ServeError::Sweep(error.to_string()))? {
        0 => {}
        files => tracing::info!(files, "removed files of pushes that were cut off"),
    }
    Ok(())
}

/// Each connection, each download and each push needs a file descriptor; shells give
/// few, and leave the rest to be asked for.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}
