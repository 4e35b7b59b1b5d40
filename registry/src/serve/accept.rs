//! Taking connections at every address.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use crate::client_address::Arrival;
use crate::config::Live;
use crate::connection::{Lines, Server};

/// Where connections come in.
pub(super) struct Doors {
    pub(super) https: Vec<TcpListener>,
    pub(super) http: Vec<TcpListener>,
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
        let lines = Lines::new(server.limits.connections);
        let https = self.https.iter().map(|listener| (listener, false));
        let http = self.http.iter().map(|listener| (listener, true));
        let all = join_all(https.chain(http).map(|(listener, plain)| {
            server
                .stopping
                .run_until_cancelled(self.take(&server, listener, plain, &lines, &running))
        }));
        tokio::join!(all, async {
            shutdown.await;
            server.stopping.cancel();
        });
        running.close();
        running
    }

    /// Takes those of one address.
    async fn take(
        &self,
        server: &Server,
        listener: &TcpListener,
        plain: bool,
        lines: &Arc<Lines>,
        running: &TaskTracker,
    ) {
        loop {
            lines.room().await;
            match listener.accept().await {
                Ok((stream, peer)) => {
                    // All have begun a request since there was room: rare, and soon over.
                    let Some(line) = lines.open_line() else { continue };
                    let arrival = Arrival { peer, plain };
                    let timeouts = self.live.now().timeouts.clone();
                    let server = Server { timeouts, ..server.clone() };
                    let acceptor = self.acceptor.clone();
                    running.spawn(async move {
                        let ended = match plain {
                            true => server.serve_plain(stream, arrival, line).await,
                            false => server.serve_tls(stream, arrival, acceptor, line).await,
                        };
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
