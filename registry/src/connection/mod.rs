//! One connection, from its handshake to its end, and what it may cost.
//!
//! A client may be slow, silent, or one of ten thousand that mean harm. Each can hold
//! three things of ours: a connection (memory and a descriptor), a request (a task, a file)
//! and a place for a push (two threads). So:
//!
//! ```text
//! the handshake           Timeouts::handshake
//! the headers             Timeouts::headers, from the opening or the end of the request before
//! no request in progress  Timeouts::silence; HTTP/2's pings keep nothing open
//! a request's body        must arrive, a response must be taken, at ConnectionLimits::rate;
//!                         ConnectionLimits::grace is what one may be behind (`pace.rs`)
//! headers, URLs, streams  ConnectionLimits, told to hyper; too much is 431, 414, or the end
//! connections             ConnectionLimits::connections: a new one takes the place of the one
//!                         that has waited longest without a request in progress (`line.rs`)
//! places for pushes       so many in all, and so many of one token (`places.rs`)
//! ```
//!
//! Only time in which we wait for the client counts: an image that takes long to be
//! verified, or a push that waits for a place, cuts nobody off. A request that arrives too
//! slowly is answered with 408. What goes on inside of a response cannot be answered any
//! more, so the connection ends. All of it is looked after in one loop ([`Server::keep`]),
//! for HTTP/1 and HTTP/2 alike.
//!
//! An answer goes out when it is there, though the client may still be sending what is refused:
//! it is heard at once by clients that listen, and by the others because what they send after it
//! is read for a while (`wire.rs`).

mod limits;
mod line;
mod pace;
mod places;
mod wire;

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

pub use limits::ConnectionLimits;
pub(crate) use line::{Line, Lines};
pub(crate) use pace::is_too_slow;
pub(crate) use places::{Place, Places};

use crate::client_address::Arrival;
use crate::config::Timeouts;
use crate::metrics::Metrics;
use crate::tls::CHALLENGE_PROTOCOL;
use line::Judged;
use pace::{Arriving, Leaving, Pace};
use wire::Wire;

/// Bytes of a connection of HTTP/1 that wait to be understood, or to be sent before the
/// next piece of a file is read.
const BUFFER: usize = 64 << 10;
/// Bytes of a request of HTTP/2 that may be under way before they are read. The connection has room
/// for those of all requests: one that waits for its turn must not hold up those whose turn it is.
const WINDOW: u32 = 512 << 10;
/// How long a client has to hear that the server stops, where it asks for nothing.
const PARTING: Duration = Duration::from_secs(1);

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// As connections end: by the client, or after its last answer.
    Done,
    /// The TLS handshake failed.
    Handshake,
    /// A handshake or headers took too long.
    Late,
    /// No request for too long.
    Silent,
    /// A response was not taken.
    Slow,
    /// Another one needed the place.
    Displaced,
    /// The client broke the protocol, or went away within a request.
    Broken,
}

impl Ended {
    /// The word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Handshake => "handshake",
            Self::Late => "late",
            Self::Silent => "silent",
            Self::Slow => "not_taken",
            Self::Displaced => "displaced",
            Self::Broken => "broken",
        }
    }
}

/// Serves connections.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) router: Router,
    pub(crate) timeouts: Timeouts,
    pub(crate) limits: ConnectionLimits,
    pub(crate) lines: Arc<Lines>,
    pub(crate) metrics: Metrics,
    /// Cancelled when no more requests are taken.
    pub(crate) stopping: CancellationToken,
    /// Cancelled when bodies that still arrive are waited for no longer.
    pub(crate) cut: Arc<CancellationToken>,
}

impl Server {
    /// Serves a connection that begins with TLS.
    pub(crate) async fn serve_tls(
        &self,
        stream: TcpStream,
        arrival: Arrival,
        acceptor: TlsAcceptor,
        line: Arc<Line>,
    ) -> Ended {
        let stream = Wire::new(stream);
        let handshake = timeout(self.timeouts.handshake, acceptor.accept(stream));
        let stream = tokio::select! {
            shaken = handshake => match shaken {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    tracing::debug!(%error, "a TLS handshake failed");
                    return Ended::Handshake;
                }
                Err(_) => return Ended::Late,
            },
            () = line.displaced() => return Ended::Displaced,
            () = self.stopping.cancelled() => return Ended::Done,
        };
        let protocol = stream.get_ref().1.alpn_protocol();
        if protocol == Some(CHALLENGE_PROTOCOL) {
            // The handshake was all there is to it.
            return Ended::Done;
        }
        let http2 = protocol == Some(b"h2");
        self.serve(stream, http2, arrival, line).await
    }

    /// Serves a connection without TLS.
    pub(crate) async fn serve_plain(
        &self,
        stream: TcpStream,
        arrival: Arrival,
        line: Arc<Line>,
    ) -> Ended {
        self.serve(Wire::new(stream), false, arrival, line).await
    }

    /// Serves what a connection says, by this protocol.
    async fn serve(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        http2: bool,
        arrival: Arrival,
        line: Arc<Line>,
    ) -> Ended {
        let io = TokioIo::new(stream);
        let limits = &self.limits;
        let inner = TowerToHyperService::new(self.router.clone());
        let pace = Pace { rate: limits.rate, grace: limits.grace };
        let visited = Arc::clone(&line);
        let (received, cut) = (self.metrics.received.clone(), Arc::clone(&self.cut));
        let service = service_fn(move |request: Request<Incoming>| {
            let visit = visited.begin(pace);
            let arriving = |body| Arriving::new(body, pace, received.clone(), Arc::clone(&cut));
            let mut request = request.map(|body| Body::new(arriving(body)));
            request.extensions_mut().insert(arrival);
            let answer = inner.call(request);
            async move {
                let response = answer.await?;
                Ok::<_, Infallible>(response.map(|body| Leaving::new(body, visit)))
            }
        });
        if http2 {
            let connection = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_concurrent_streams(limits.streams)
                .initial_stream_window_size(WINDOW)
                .initial_connection_window_size(WINDOW.saturating_mul(limits.streams))
                .max_header_list_size(limits.header_bytes)
                .max_pending_accept_reset_streams(limits.resets)
                .keep_alive_interval(self.timeouts.silence / 3)
                .keep_alive_timeout(self.timeouts.silence / 3)
                .serve_connection(io, service);
            self.keep(pin!(connection), &line).await
        } else {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                // Who has asked and says no more still hears the answer.
                .half_close(true)
                .header_read_timeout(self.timeouts.headers)
                .max_header_size(limits.header_bytes as usize)
                // Headers without an end are kept up to here, by each connection.
                .max_buf_size(BUFFER.max(limits.header_bytes as usize))
                .serve_connection(io, service);
            self.keep(pin!(connection), &line).await
        }
    }

    /// Keeps a connection for as long as it may be kept.
    async fn keep<C>(&self, mut connection: Pin<&mut C>, line: &Line) -> Ended
    where
        C: GracefulConnection<Error = hyper::Error>,
    {
        let mut stopping = None;
        let mut silent = false;
        let mut look = interval(self.step());
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    return match ended {
                        Ok(()) if silent => Ended::Silent,
                        Ok(()) => Ended::Done,
                        Err(error) if error.is_timeout() => Ended::Late,
                        Err(error) => {
                            tracing::debug!(%error, "a connection ended early");
                            Ended::Broken
                        }
                    };
                }
                () = line.displaced() => return Ended::Displaced,
                () = self.stopping.cancelled(), if stopping.is_none() => {
                    let now = Instant::now();
                    stopping = Some(now + PARTING);
                    look = interval_at(now + PARTING, PARTING);
                    connection.as_mut().graceful_shutdown();
                }
                now = look.tick() => match line.judge(now, &self.timeouts) {
                    // A client that does not hear it must not hold up the end.
                    Judged::Fine if line.is_idle() && stopping.is_some_and(|end| end <= now) => {
                        return Ended::Done;
                    }
                    Judged::Fine => {}
                    Judged::Slow => return Ended::Slow,
                    // It is told so once, if it listens.
                    Judged::Silent if silent => return Ended::Silent,
                    Judged::Silent => {
                        silent = true;
                        connection.as_mut().graceful_shutdown();
                    }
                },
            }
        }
    }

    /// How often a connection is looked after: often enough that no limit is passed by much.
    fn step(&self) -> Duration {
        let least = self.timeouts.silence.min(self.timeouts.headers).min(self.limits.grace);
        (least / 4).max(Duration::from_millis(10))
    }
}
