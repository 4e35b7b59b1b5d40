//! What goes round every request: its ID, its span in the log, and its one line there.
//!
//! ```text
//! INFO request{id=5f1c0e2a9b7d4c36 peer=127.0.0.1:40312 client=192.0.2.1 host=example.com method=GET
//!   path="/-/blobs/sha512-….aci" caller=token:3a91c07b}: registry::trace: answered status=200 bytes=51200 ms=3
//! ```
//!
//! Every line of log that a request causes stands in that span. Neither headers nor
//! queries are logged: tokens stand in one, and nothing forbids people to put theirs into
//! the other.

use std::pin::Pin;
use std::str::FromStr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use aci::Refusal;
use aci::push::ErrorBody;
use axum::Json;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::{Frame, SizeHint};
use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::client_address::{Arrival, ClientAddress};
use crate::metrics::{Protocol, Route};
use crate::state::Shared;
use crate::token::random;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longer IDs of clients are not taken.
const ID_BYTES: usize = 64;
/// Longer paths are cut in the log.
const LOGGED_PATH: usize = 512;

/// What a request is called in the log and in front of its user: letters, digits, `.`,
/// `_` and `-`, and not many.
#[derive(Debug, Clone, PartialEq, Eq)]
struct RequestId(String);

/// Not the form of a request ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no request ID")]
struct NoRequestId;

impl FromStr for RequestId {
    type Err = NoRequestId;

    fn from_str(text: &str) -> Result<Self, NoRequestId> {
        let harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if (1..=ID_BYTES).contains(&text.len()) && text.bytes().all(harmless) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NoRequestId)
        }
    }
}

impl RequestId {
    /// The one that whoever passed the request on gave it, or one of our own.
    fn of(headers: &HeaderMap) -> Self {
        let mut given = headers.get_all(X_REQUEST_ID).iter();
        if let (Some(text), None) = (given.next(), given.next())
            && let Some(id) = text.to_str().ok().and_then(|text| text.parse().ok())
        {
            return id;
        }
        Self(format!("{:016x}", next_id()))
    }
}

/// Another one each time: steps of one odd length from a random place, which come to every number
/// before any of them again. Nobody is asked for randomness at each request.
fn next_id() -> u64 {
    static NEXT: LazyLock<AtomicU64> = LazyLock::new(|| {
        // A machine without randomness has worse troubles than requests whose names can be guessed.
        AtomicU64::new(random().map_or(0, u64::from_le_bytes))
    });
    NEXT.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed)
}

/// Why a request was refused, for what goes round it.
#[derive(Debug, Clone)]
pub(crate) struct Refused(pub(crate) Refusal);

/// Follows a request to the end of its response.
pub(crate) async fn follow(
    state: &Shared,
    request: Request,
    answer: impl AsyncFnOnce(Request) -> Response,
) -> Response {
    let id = RequestId::of(request.headers());
    let peer = request.extensions().get::<Arrival>().map(|arrival| arrival.peer);
    let client = request.extensions().get::<ClientAddress>().map(|client| client.0);
    let path = request.uri().path();
    // At the level of errors, so that the lines of errors have it whatever is logged.
    let span = tracing::error_span!(
        "request",
        id = %id.0,
        peer = peer.map(tracing::field::display),
        client = client.map(tracing::field::display),
        host = Empty,
        method = %request.method(),
        // URLs are ASCII.
        path = path.get(..LOGGED_PATH).unwrap_or(path),
        caller = Empty,
    );
    let mut report = Report {
        span,
        start: Instant::now(),
        method: request.method().clone(),
        route: Route(request.extensions().get().cloned()),
        status: None,
        bytes: 0,
        state: Shared::clone(state),
    };
    let mut response = answer(request).instrument(report.span.clone()).await;
    if let Some(Refused(refusal)) = response.extensions_mut().remove() {
        report.refused(&refusal, response.status());
        // A fault of the server's own is one that its user may have to ask about.
        if response.status().is_server_error() {
            response = tell(response, refusal, &id);
        }
    }
    let headers = response.headers_mut();
    // No browser is to guess that an image might be a page.
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(id) = HeaderValue::from_str(&id.0) {
        headers.insert(X_REQUEST_ID, id);
    }
    report.status = Some(response.status());
    response.map(|body| Body::new(Reported { body, report }))
}

/// The same answer, with the ID in it.
fn tell(response: Response, refusal: Refusal, id: &RequestId) -> Response {
    let found = format!("{}; the request's ID in the registry's log is {}", refusal.found, id.0);
    let error = Refusal { found, ..refusal };
    let (parts, _) = response.into_parts();
    let body = Json(ErrorBody { error, upload: None }).into_response().into_body();
    Response::from_parts(parts, body)
}

/// What a request ends with: its line of log, and its place in the counts.
struct Report {
    span: Span,
    start: Instant,
    method: Method,
    route: Route,
    status: Option<StatusCode>,
    bytes: u64,
    state: Shared,
}

impl Report {
    fn refused(&self, refusal: &Refusal, status: StatusCode) {
        if let Some(protocol) = Protocol::of(self.route.as_str()) {
            self.state.serving.metrics.refused(protocol, &refusal.code, status);
        }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        let took = self.start.elapsed();
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let _entered = self.span.enter();
        match self.status {
            Some(status) => {
                self.state.serving.metrics.answered(
                    &self.route,
                    &self.method,
                    status,
                    took,
                    self.bytes,
                );
                tracing::info!(status = status.as_u16(), bytes = self.bytes, ms, "answered");
            }
            None => tracing::info!(ms, "the client went away"),
        }
    }
}

/// The body of a response, until its end or the client's.
struct Reported {
    body: Body,
    report: Report,
}

impl HttpBody for Reported {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                self.report.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
            }
            Some(Err(error)) => {
                let error: &dyn std::error::Error = error;
                self.report.span.in_scope(|| tracing::error!(error, "an answer broke off"));
            }
            None => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_id_is_taken_where_it_is_short_and_harmless() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(X_REQUEST_ID, HeaderValue::from_str(value).unwrap());
            }
            RequestId::of(&headers).0
        };
        let longest = "a".repeat(ID_BYTES);
        for good in ["x", "6f1ae7c2-9d3c-4b9e-8d53-0a1b2c3d4e5f", "A.b_c", &longest] {
            assert_eq!(of(&[good]), good);
        }
        let longer = "a".repeat(ID_BYTES + 1);
        for bad in [&[][..], &[""], &["a b"], &["a\"b"], &["{}"], &[&longer], &["a", "a"]] {
            let made = of(bad);
            assert!(made.len() == 16 && made != of(bad), "{bad:?} {made}");
        }
    }
}
