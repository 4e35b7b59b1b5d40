//! Running the server: open the data, listen, take connections, end in order.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;

use crate::access::{Access, AccessError};
use crate::blobs::{self, Folder};
use crate::catalog::{Catalog, CatalogError};
use crate::config::{Config, Timeouts, Tls};
use crate::connection::Silence;
use crate::data::{DataDir, DataError};
use crate::gc;
use crate::router::router;
use crate::state::State;
use crate::tls::{self, TlsError};

/// Connections at once; the next wait in the kernel's queue.
const CONNECTIONS: usize = 4096;
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
    /// Nobody could be told from anybody else.
    #[error(transparent)]
    Access(#[from] AccessError),
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
    let catalog = Catalog::open(&data.database(config.database.as_ref())).await?;
    let node = data.node()?;
    let folder = Folder::new(&data.blobs());
    let address = config.listen;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| ServeError::Listen { address, source })?;
    let address = listener.local_addr().map_err(|source| ServeError::Listen { address, source })?;
    let Config { domains, limits, clock, timeouts, issuer_ca, .. } = config;
    let state = Arc::new(State::new(
        data,
        catalog.clone(),
        Arc::new(folder.clone()),
        node,
        domains,
        limits,
        clock,
        Access::new(issuer_ca.as_deref())?,
    ));
    sweep(&state, &folder).await?;
    raise_file_limit();
    let authority =
        matches!(tls.config.tls, Tls::OwnAuthority).then(|| tls::authority_file(&state.data.tls()));
    ready(&Ready { address, authority });
    let server = Server { router: router(state), timeouts: timeouts.clone() };
    let running = server.accept(listener, acceptor, tls, shutdown).await;
    if tokio::time::timeout(timeouts.drain, running.shutdown()).await.is_err() {
        tracing::warn!("requests that were still running were cut off");
    }
    catalog.close().await;
    Ok(())
}

/// Removes what a crash left: spooled files on file systems that cannot do without
/// a name, and blobs whose row was never written.
async fn sweep(state: &State, folder: &Folder) -> Result<(), ServeError> {
    let spool = aci::stage::clean(&state.data.spool());
    spool.map_err(|error| ServeError::Sweep(error.to_string()))?;
    let removed = async {
        blobs::adopt(&state.data.blobs(), folder, &state.catalog).await?;
        state.catalog.release_all(&state.node).await?;
        gc::collect(state).await
    };
    match removed.await.map_err(|error| ServeError::Sweep(error.to_string()))? {
        gc::Collected { blobs: 0, .. } => {}
        gc::Collected { blobs, bytes } => {
            tracing::info!(blobs, bytes, "removed files of pushes that were cut off");
        }
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

#[derive(Clone)]
struct Server {
    router: Router,
    timeouts: Timeouts,
}

impl Server {
    /// Takes connections until `shutdown`; returns what is still running then.
    async fn accept(
        &self,
        listener: TcpListener,
        mut acceptor: TlsAcceptor,
        tls: Certificates,
        shutdown: impl Future<Output = ()>,
    ) -> GracefulShutdown {
        let graceful = GracefulShutdown::new();
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let mut shutdown = pin!(shutdown);
        let mut certificates = tokio::time::interval(CERTIFICATES);
        certificates.reset();
        loop {
            let next = async {
                let place = Arc::clone(&places).acquire_owned().await;
                (place, listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                () = &mut shutdown => return graceful,
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
            match (place, accepted) {
                (Ok(place), Ok((stream, _))) => {
                    let (server, acceptor) = (self.clone(), acceptor.clone());
                    let watcher = graceful.watcher();
                    tokio::spawn(async move {
                        server.connection(stream, acceptor, watcher, place).await
                    });
                }
                (_, error) => {
                    // No file descriptors left, or a client that went away while it
                    // was waiting. Neither is a reason to end, nor to spin.
                    tracing::warn!(error = ?error.err(), "a connection was not taken");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    /// One connection, from its handshake to its end. Failures of the client's are
    /// its own business; they are logged at a level nobody sees unless asked for.
    async fn connection(
        &self,
        stream: TcpStream,
        acceptor: TlsAcceptor,
        watcher: Watcher,
        _place: OwnedSemaphorePermit,
    ) {
        // Small answers must not wait for the acknowledgement of earlier ones.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was not set");
        }
        let handshake =
            tokio::time::timeout(self.timeouts.handshake, acceptor.accept(stream)).await;
        let stream = match handshake {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => return tracing::debug!("a TLS handshake took too long"),
        };
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let io = TokioIo::new(Silence::new(stream, self.timeouts.silence));
        let service = TowerToHyperService::new(self.router.clone());
        let ended = if http2 {
            let connection = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .serve_connection(io, service);
            watcher.watch(connection).await
        } else {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(self.timeouts.headers)
                .serve_connection(io, service);
            watcher.watch(connection).await
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}
