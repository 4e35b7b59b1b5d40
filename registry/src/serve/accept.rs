//! Taking connections, and serving each to its end.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use futures_util::future::join_all;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::client_address::Arrival;
use crate::config::{Live, Timeouts};
use crate::connection::Silence;
use crate::tls;

/// Connections at once; the next wait in the kernel's queue.
const CONNECTIONS: usize = 4096;

/// An address that is listened on, and for what.
pub(super) struct Door {
    pub(super) listener: TcpListener,
    pub(super) kind: DoorKind,
}

/// What is spoken at a door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DoorKind {
    Https,
    /// Without TLS: for this machine, or for trusted proxies.
    Http,
    /// Without TLS, and for challenges of a certificate authority alone.
    Challenges,
}

#[derive(Clone)]
pub(super) struct Server {
    router: Router,
    challenges: Router,
    live: Live,
    acceptor: TlsAcceptor,
    places: Arc<Semaphore>,
}

impl Server {
    pub(super) fn new(
        router: Router,
        challenges: Router,
        live: Live,
        acceptor: TlsAcceptor,
    ) -> Self {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        Self { router, challenges, live, acceptor, places }
    }

    /// Takes connections until `shutdown`; returns what is still running then.
    pub(super) async fn accept_all(
        &self,
        doors: &[Door],
        shutdown: impl Future<Output = ()>,
    ) -> GracefulShutdown {
        let graceful = GracefulShutdown::new();
        let stop = CancellationToken::new();
        let all = join_all(
            doors.iter().map(|door| stop.run_until_cancelled(self.accept(door, &graceful))),
        );
        tokio::join!(all, async {
            shutdown.await;
            stop.cancel();
        });
        graceful
    }

    async fn accept(&self, door: &Door, graceful: &GracefulShutdown) {
        loop {
            let place = Arc::clone(&self.places).acquire_owned().await;
            match (place, door.listener.accept().await) {
                (Ok(place), Ok((stream, peer))) => {
                    let (server, watcher) = (self.clone(), graceful.watcher());
                    let kind = door.kind;
                    let arrival = Arrival { peer: peer.ip(), plain: kind == DoorKind::Http };
                    tokio::spawn(async move {
                        server.connection(stream, arrival, kind, watcher, place).await
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
        arrival: Arrival,
        kind: DoorKind,
        watcher: Watcher,
        _place: OwnedSemaphorePermit,
    ) {
        // Small answers must not wait for the acknowledgement of earlier ones.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was not set");
        }
        let timeouts = self.live.now().timeouts.clone();
        let requests = Requests { arrival, timeouts: &timeouts, watcher, http2: false };
        match kind {
            DoorKind::Https => {}
            DoorKind::Http => return requests.serve(stream, &self.router).await,
            DoorKind::Challenges => return requests.serve(stream, &self.challenges).await,
        }
        let handshake =
            tokio::time::timeout(timeouts.handshake, self.acceptor.accept(stream)).await;
        let stream = match handshake {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => return tracing::debug!("a TLS handshake took too long"),
        };
        let protocol = stream.get_ref().1.alpn_protocol();
        if protocol == Some(tls::CHALLENGE_PROTOCOL) {
            // The handshake was all there is to it.
            return;
        }
        let http2 = protocol == Some(b"h2");
        Requests { http2, ..requests }.serve(stream, &self.router).await;
    }
}

/// The requests of one connection, once it is known how they come.
struct Requests<'a> {
    arrival: Arrival,
    timeouts: &'a Timeouts,
    watcher: Watcher,
    http2: bool,
}

impl Requests<'_> {
    async fn serve(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        router: &Router,
    ) {
        let Self { arrival, timeouts, watcher, http2 } = self;
        let io = TokioIo::new(Silence::new(stream, timeouts.silence));
        let router = TowerToHyperService::new(router.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(arrival);
            router.call(request)
        });
        let ended = if http2 {
            let connection = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .serve_connection(io, service);
            watcher.watch(connection).await
        } else {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(timeouts.headers)
                .serve_connection(io, service);
            watcher.watch(connection).await
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}
