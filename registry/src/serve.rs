//! Running the server: open the data, listen, take connections, end in order.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::catalog::{Catalog, CatalogError};
use crate::config::{Config, Tls};
use crate::connection::Server;
use crate::data::{DataDir, DataError};
use crate::router::router;
use crate::serving::Serving;
use crate::state::State;
use crate::tls::{self, TlsError};

/// How often certificates are looked after.
const CERTIFICATES: Duration = Duration::from_secs(3600);

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
    /// The address, with the port it was given.
    pub address: SocketAddr,
    /// The certificate of the registry's own authority, where it has one.
    pub authority: Option<PathBuf>,
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
    let tls = Certificates { config: config.clone(), folder: data.tls() };
    let acceptor = TlsAcceptor::from(tls.load()?);
    let catalog = Catalog::open(&data.database(), &data.database_lock()).await?;
    let address = config.listen;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| ServeError::Listen { address, source })?;
    let address = listener.local_addr().map_err(|source| ServeError::Listen { address, source })?;
    let Config { domains, limits, clock, timeouts, connections, metrics, readiness, .. } = config;
    let connections = connections.fitting(raise_file_limit());
    let notice = readiness.notice;
    let serving = Serving::new(&connections, metrics, readiness);
    let state = Arc::new(State::new(data, catalog.clone(), domains, limits, clock, serving));
    sweep(&state).await?;
    let authority =
        matches!(tls.config.tls, Tls::OwnAuthority).then(|| tls::authority_file(&state.data.tls()));
    ready(&Ready { address, authority });
    let leaving = state.serving.leaving.clone();
    let server = Server {
        lines: Arc::clone(&state.serving.lines),
        metrics: state.serving.metrics.clone(),
        router: router(state, &connections),
        timeouts: timeouts.clone(),
        limits: connections,
        stopping: CancellationToken::new(),
    };
    let shutdown = async {
        shutdown.await;
        leaving.cancel();
        tokio::time::sleep(notice).await;
    };
    let running = accept(&server, listener, acceptor, tls, shutdown).await;
    if tokio::time::timeout(timeouts.drain, running.wait()).await.is_err() {
        tracing::warn!("requests that were still running were cut off");
    }
    catalog.close().await;
    Ok(())
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

/// Where the certificate comes from, to be asked again.
struct Certificates {
    config: Config,
    folder: PathBuf,
}

impl Certificates {
    fn load(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let Config { tls, domains, clock, .. } = &self.config;
        tls::load(tls, &self.folder, domains, clock.now())
    }
}

/// Takes connections until `shutdown`; what still runs then is of the tracker's tasks.
async fn accept(
    server: &Server,
    listener: TcpListener,
    mut acceptor: TlsAcceptor,
    tls: Certificates,
    shutdown: impl Future<Output = ()>,
) -> TaskTracker {
    let running = TaskTracker::new();
    let lines = &server.lines;
    let mut shutdown = pin!(shutdown);
    let mut certificates = tokio::time::interval(CERTIFICATES);
    certificates.reset();
    loop {
        let next = async {
            lines.room().await;
            listener.accept().await
        };
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            _ = certificates.tick() => {
                // A renewed certificate is taken up without a restart.
                match tls.load() {
                    Ok(config) => acceptor = TlsAcceptor::from(config),
                    Err(error) => tracing::error!(%error, "the certificate is kept as it was"),
                }
                continue;
            }
            next = next => next,
        };
        match accepted {
            Ok((stream, peer)) => {
                // All have begun a request since there was room: rare, and soon over.
                let Some(line) = lines.open_line() else { continue };
                // Small answers must not wait for the acknowledgement of earlier ones.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "TCP_NODELAY was not set");
                }
                let (server, acceptor) = (server.clone(), acceptor.clone());
                running.spawn(async move {
                    let ended = server.serve_tls(stream, peer, acceptor, line).await;
                    server.metrics.closed(ended);
                    tracing::debug!(%peer, ?ended, "a connection ended");
                });
            }
            Err(error) => {
                // No file descriptors left, or a client that went away while it
                // was waiting. Neither is a reason to end, nor to spin.
                tracing::warn!(%error, "a connection was not taken");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    server.stopping.cancel();
    running.close();
    running
}
