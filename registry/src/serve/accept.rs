//! Taking connections at every address.

use std::time::Duration;

use axum::Router;
use futures_util::future::join_all;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use crate::client_address::Arrival;
use crate::config::Live;
use crate::connection::Server;

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

/// Where connections come in.
pub(super) struct Doors {
    pub(super) doors: Vec<Door>,
    pub(super) challenges: Router,
    pub(super) acceptor: TlsAcceptor,
    pub(super) live: Live,
}

impl Doors {
    /// Takes connections until `shutdown`; what still runs then is of the tracker's tasks.
    pub(super) async fn accept(
        &self,
        server: Server,
        shutdown: impl Future<Output = ()>,
    ) -> TaskTracker {
        let running = TaskTracker::new();
        let all =
            join_all(self.doors.iter().map(|door| {
                server.stopping.run_until_cancelled(self.take(&server, door, &running))
            }));
        tokio::join!(all, async {
            shutdown.await;
            server.stopping.cancel();
        });
        running.close();
        running
    }

    /// Takes those of one door.
    async fn take(&self, server: &Server, door: &Door, running: &TaskTracker) {
        let kind = door.kind;
        let router = match kind {
            DoorKind::Https | DoorKind::Http => &server.router,
            DoorKind::Challenges => &self.challenges,
        };
        loop {
            server.lines.room().await;
            match door.listener.accept().await {
                Ok((stream, peer)) => {
                    // All have begun a request since there was room: rare, and soon over.
                    let Some(line) = server.lines.open_line() else { continue };
                    // Small answers must not wait for the acknowledgement of earlier ones.
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "TCP_NODELAY was not set");
                    }
                    let arrival = Arrival { peer, plain: kind == DoorKind::Http };
                    let timeouts = self.live.now().timeouts.clone();
                    let server = Server { timeouts, router: router.clone(), ..server.clone() };
                    let acceptor = self.acceptor.clone();
                    running.spawn(async move {
                        let ended = match kind {
                            DoorKind::Https => {
                                server.serve_tls(stream, arrival, acceptor, line).await
                            }
                            DoorKind::Http | DoorKind::Challenges => {
                                server.serve_plain(stream, arrival, line).await
                            }
                        };
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
    }
}
