//! A refusal the client gets to see.
//!
//! A server that answers and closes while the client is still sending makes the
//! client's machine drop the answer: what the user sees is "connection reset", not
//! why. So what is left of the body is read, up to a point, before the answer goes
//! out.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::Request;
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use futures_util::{Stream, StreamExt};
use tokio::sync::oneshot;

const DRAIN_BYTES: u64 = 64 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// Reads the rest of a refused request's body.
pub(super) async fn drain_after_refusal(request: Request, next: Next) -> Response {
    // Such a client sends nothing before it is told to, and it is told by our reading.
    let waits = request.headers().contains_key(header::EXPECT);
    let (parts, body) = request.into_parts();
    let (back, rest) = oneshot::channel();
    let body = Reclaimed { body: Some(body.into_data_stream()), back: Some(back), read: false };
    let response = next.run(Request::from_parts(parts, Body::from_stream(body))).await;
    if !response.status().is_success() {
        let drained = async {
            if let Ok((rest, read)) = rest.await
                && (read || !waits)
            {
                drain(rest).await;
            }
        };
        // Whether it was enough or not, the answer goes out now.
        let _ = tokio::time::timeout(DRAIN_TIME, drained).await;
    }
    response
}

async fn drain(mut rest: BodyDataStream) {
    let mut bytes = 0;
    while let Some(Ok(chunk)) = rest.next().await {
        bytes += chunk.len() as u64;
        if bytes > DRAIN_BYTES {
            return;
        }
    }
}

/// A body that comes back when whoever read it drops it before its end.
struct Reclaimed {
    body: Option<BodyDataStream>,
    back: Option<oneshot::Sender<(BodyDataStream, bool)>>,
    read: bool,
}

impl Stream for Reclaimed {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.read = true;
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = body.poll_next_unpin(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            // Nothing more can come.
            self.body = None;
        }
        polled
    }
}

impl Drop for Reclaimed {
    fn drop(&mut self) {
        if let (Some(body), Some(back)) = (self.body.take(), self.back.take()) {
            // Where nobody waits for it any more, the request is gone.
            let _ = back.send((body, self.read));
        }
    }
}
