//! How fast bytes must move.
//!
//! A client is behind by the time we have waited for it, less what that time is worth
//! in bytes. Who was fast earns nothing, so that nobody can send much and then hold a
//! place for hours; who is slow for a while and recovers is not cut off.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, Incoming, SizeHint};
use prometheus_client::metrics::counter::Counter;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::line::Visit;

/// The least pace.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Bytes a second.
    pub(super) rate: u64,
    /// How far one may be behind.
    pub(super) grace: Duration,
}

impl Pace {
    /// How long so many bytes may take.
    fn worth(&self, bytes: u64) -> Duration {
        Duration::from_secs(bytes) / u32::try_from(self.rate.max(1)).unwrap_or(u32::MAX)
    }
}

/// How far behind a client is.
#[derive(Debug)]
pub(super) struct Behind {
    pace: Pace,
    by: Duration,
    /// Since when we wait, and for how many bytes to be taken.
    waiting: Option<(Instant, u64)>,
}

impl Behind {
    pub(super) fn new(pace: Pace) -> Self {
        Self { pace, by: Duration::ZERO, waiting: None }
    }

    /// We wait from now on: for bytes to come, or for so many to be taken.
    pub(super) fn wait(&mut self, now: Instant, bytes: u64) {
        self.waiting.get_or_insert((now, bytes));
    }

    /// We wait no longer: so many bytes came, or those we waited for were taken.
    pub(super) fn moved(&mut self, now: Instant, bytes: u64) {
        if let Some((since, taken)) = self.waiting.take() {
            self.by += now.duration_since(since);
            self.by = self.by.saturating_sub(self.pace.worth(bytes + taken));
        }
    }

    /// When it is too much, if nothing moves.
    pub(super) fn end(&self) -> Option<Instant> {
        let (since, bytes) = self.waiting?;
        Some(since + (self.pace.grace + self.pace.worth(bytes)).saturating_sub(self.by))
    }
}

/// A body that arrived too slowly.
#[derive(Debug, thiserror::Error)]
#[error("the body arrived too slowly")]
struct TooSlow;

/// Whether a body failed because it arrived too slowly.
pub(crate) fn is_too_slow(error: &(dyn Error + 'static)) -> bool {
    let mut error = Some(error);
    while let Some(cause) = error {
        if cause.is::<TooSlow>() {
            return true;
        }
        // `source` of an error of io passes over the one it was made from.
        error = match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => cause.source(),
        };
    }
    false
}

/// A request's body. It fails when it arrives too slowly, and when the server waits no longer for it.
pub(super) struct Arriving<B = Incoming> {
    body: B,
    behind: Behind,
    timer: Option<Pin<Box<Sleep>>>,
    received: Counter,
    cut: Cut,
}

/// Until bodies are cut off.
enum Cut {
    /// Not waited for yet: most bodies never wait. To count another owner of a token takes a lock.
    When(Arc<CancellationToken>),
    Waiting(Pin<Box<WaitForCancellationFutureOwned>>),
}

impl Cut {
    fn is_now(&mut self, context: &mut Context<'_>) -> bool {
        loop {
            match self {
                Self::When(token) => {
                    *self = Self::Waiting(Box::pin((**token).clone().cancelled_owned()));
                }
                Self::Waiting(waiting) => return waiting.as_mut().poll(context).is_ready(),
            }
        }
    }
}

impl<B> Arriving<B> {
    pub(super) fn new(body: B, pace: Pace, received: Counter, cut: Arc<CancellationToken>) -> Self {
        Self { body, behind: Behind::new(pace), timer: None, received, cut: Cut::When(cut) }
    }
}

impl<B> HttpBody for Arriving<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            let bytes = frame.as_ref().and_then(|frame| frame.as_ref().ok()).map_or(0, length);
            this.behind.moved(Instant::now(), bytes);
            this.received.inc_by(bytes);
            // A stream of HTTP/2 that its client resets without an error seems to end.
            if frame.is_none() && this.body.size_hint().lower() > 0 {
                let early = io::Error::from(io::ErrorKind::UnexpectedEof);
                return Poll::Ready(Some(Err(early.into())));
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        if this.cut.is_now(context) {
            let stopped = io::Error::other("the server has stopped");
            return Poll::Ready(Some(Err(stopped.into())));
        }
        this.behind.wait(Instant::now(), 0);
        let Some(end) = this.behind.end() else { return Poll::Pending };
        let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(end)));
        if timer.deadline() != end {
            timer.as_mut().reset(end);
        }
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Some(Err(TooSlow.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A response's body. Until it has ended its request is in progress.
pub(super) struct Leaving {
    body: Body,
    visit: Visit,
}

impl Leaving {
    pub(super) fn new(body: Body, visit: Visit) -> Self {
        visit.waits(0);
        Self { body, visit }
    }
}

impl HttpBody for Leaving {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        // Asked for more: what was handed out has been taken.
        self.visit.taken();
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame {
            self.visit.waits(length(frame));
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

fn length(frame: &Frame<Bytes>) -> u64 {
    frame.data_ref().map_or(0, |data| data.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace { rate: 1000, grace: Duration::from_secs(10) };

    /// How long a body lasts that comes in pieces of so many bytes, one each second.
    async fn lasts(bytes: usize, pieces: usize) -> (Duration, bool) {
        let start = Instant::now();
        let stream = futures_util::stream::unfold(0, move |sent| async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            (sent < pieces).then(|| (Ok::<_, axum::Error>(Bytes::from(vec![0; bytes])), sent + 1))
        });
        let body = Body::new(Arriving::new(
            Body::from_stream(Box::pin(stream)),
            PACE,
            Counter::default(),
            Arc::default(),
        ));
        let read = axum::body::to_bytes(body, usize::MAX).await;
        (start.elapsed(), read.is_err_and(|error| is_too_slow(&error)))
    }

    #[tokio::test(start_paused = true)]
    async fn body_that_drips_ends_and_one_that_keeps_the_pace_does_not() {
        assert_eq!(lasts(1000, 60).await, (Duration::from_secs(61), false));
        let (after, slow) = lasts(1, 1000).await;
        assert!(slow && after >= PACE.grace && after < 2 * PACE.grace, "{after:?}");
        // Half the pace is half a second more behind with each.
        let (after, slow) = lasts(500, 1000).await;
        assert!(slow && after >= 2 * PACE.grace - Duration::from_secs(2), "{after:?}");
        assert!(!lasts(500, 10).await.1, "behind, but not too far");
    }

    /// A body that was announced with more than it brings.
    struct CutOff(Body);

    impl HttpBody for CutOff {
        type Data = Bytes;
        type Error = axum::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
            Pin::new(&mut self.0).poll_frame(context)
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(1)
        }
    }

    #[tokio::test]
    async fn body_that_ends_before_what_was_announced_has_failed() {
        let body =
            Arriving::new(CutOff(Body::from("half")), PACE, Counter::default(), Arc::default());
        let error = axum::body::to_bytes(Body::new(body), usize::MAX).await.unwrap_err();
        assert!(!is_too_slow(&error) && error.to_string().contains("end of file"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn body_that_was_fast_earns_nothing() {
        let start = Instant::now();
        let first =
            futures_util::stream::iter([Ok::<_, axum::Error>(Bytes::from(vec![0; 1 << 20]))]);
        let stream = futures_util::StreamExt::chain(first, futures_util::stream::pending());
        let body = Body::new(Arriving::new(
            Body::from_stream(stream),
            PACE,
            Counter::default(),
            Arc::default(),
        ));
        let error = axum::body::to_bytes(body, usize::MAX).await.unwrap_err();
        assert!(is_too_slow(&error) && is_too_slow(&io::Error::other(error)));
        assert!(start.elapsed() < PACE.grace + Duration::from_secs(1));
    }

    #[test]
    fn waiting_counts_alone_and_what_was_handed_out_is_worth_its_time() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut behind = Behind::new(PACE);
        assert_eq!(behind.end(), None);
        behind.wait(start, 5000);
        assert_eq!(behind.end(), Some(start + 15 * second));
        behind.moved(start + 8 * second, 0);
        assert_eq!(behind.end(), None, "our own time is not the client's");
        behind.wait(start + 100 * second, 1000);
        assert_eq!(behind.end(), Some(start + (100 + 11 - 3) * second));
        behind.moved(start + 101 * second, 0);
        behind.wait(start + 101 * second, 0);
        assert_eq!(behind.end(), Some(start + (101 + 10 - 3) * second));
    }
}
