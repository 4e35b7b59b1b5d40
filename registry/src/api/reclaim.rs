//! What is left of a request's body when it is refused.
//!
//! A client that is answered while it sends goes on, or hears of it and stops. Either way the connection
//! is of no more use, unless so little is left that it is read first: clients of the appc push protocol
//! say why nothing came of it on the same connection. What of the rest still comes is read after the
//! answer: see `connection/wire.rs`.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, Version, header};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::{Stream, StreamExt};
use tokio::sync::oneshot;

/// So little.
const LITTLE: usize = 4 << 20;
const SOON: Duration = Duration::from_secs(1);

/// Reads what little is left of a refused request's body, or says that the connection ends.
pub(super) async fn finish_refused(request: Request, next: Next) -> Response {
    if request.version() > Version::HTTP_11 {
        // There a request ends without its connection.
        return next.run(request).await;
    }
    // Such a client sends nothing before it is told to, and it is told by our reading.
    let waits = request.headers().contains_key(header::EXPECT);
    let (parts, body) = request.into_parts();
    let (back, rest) = oneshot::channel();
    let body = Reclaimed { body: Some(body.into_data_stream()), back: Some(back), read: false };
    let mut response = next.run(Request::from_parts(parts, Body::from_stream(body))).await;
    if !response.status().is_success()
        && let Ok((rest, read)) = rest.await
    {
        let finished = (read || !waits)
            && tokio::time::timeout(SOON, is_little(rest)).await.is_ok_and(|little| little);
        if !finished {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
    response
}

/// Reads to the end, if that is near.
async fn is_little(mut rest: BodyDataStream) -> bool {
    let mut bytes = 0;
    while let Some(chunk) = rest.next().await {
        bytes += chunk.map_or(LITTLE, |chunk| chunk.len());
        if bytes >= LITTLE {
            return false;
        }
    }
    true
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
