//! The body of a request, for a thread that may block.
//!
//! ```text
//!   connection ──frames──▶ task ──bounded channel──▶ thread
//! ```
//!
//! With a channel the thread finds the next frame there, as a rule. Where it asked the runtime for each,
//! waking one another took as long as all that was done with an image.

use std::io::{self, Read};

use axum::body::{Body, Bytes};
use futures_util::StreamExt;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Frames that may wait: of 16 KiB, as TLS and HTTP/2 bring them, or of hyper's buffer at most.
const WAITING: usize = 16;

/// The bytes of a body. Nothing is asked of the client before the first read; a client that is too slow
/// ends it: see `connection/mod.rs`.
pub(crate) struct Incoming {
    runtime: Handle,
    unread: Option<Body>,
    waiting: Option<Receiver<io::Result<Bytes>>>,
    frame: Bytes,
    ended: bool,
}

impl Incoming {
    /// To be read on a thread of the runtime that this is called in.
    pub(crate) fn new(body: Body) -> Self {
        let runtime = Handle::current();
        Self { runtime, unread: Some(body), waiting: None, frame: Bytes::new(), ended: false }
    }

    /// The next frame; an empty one at the end.
    fn next(&mut self) -> io::Result<Bytes> {
        if let Some(body) = self.unread.take() {
            let (full, waiting) = channel(WAITING);
            self.runtime.spawn(pass_on(body, full));
            self.waiting = Some(waiting);
        }
        let next = self.waiting.as_mut().and_then(Receiver::blocking_recv);
        // Who passes them on says when it is the end. Where they cannot, the runtime stops.
        next.unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()))
    }
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.frame.is_empty() && !self.ended {
            self.frame = self.next()?;
            self.ended = self.frame.is_empty();
        }
        let length = buffer.len().min(self.frame.len());
        buffer[..length].copy_from_slice(&self.frame.split_to(length));
        Ok(length)
    }
}

/// Passes frames on to their end, or for as long as somebody reads them.
async fn pass_on(body: Body, full: Sender<io::Result<Bytes>>) {
    let mut frames = body.into_data_stream();
    loop {
        let frame = tokio::select! {
            frame = frames.next() => frame,
            // What is left of the body can be read by others then.
            () = full.closed() => return,
        };
        let frame = match frame {
            Some(Ok(frame)) if frame.is_empty() => continue,
            Some(frame) => frame.map_err(io::Error::other),
            None => Ok(Bytes::new()),
        };
        let is_last = frame.as_ref().map_or(true, Bytes::is_empty);
        if full.send(frame).await.is_err() || is_last {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    fn body(frames: Vec<io::Result<&'static [u8]>>) -> Body {
        Body::from_stream(stream::iter(frames))
    }

    async fn read(mut incoming: Incoming) -> (Vec<u8>, Option<String>) {
        let reading = tokio::task::spawn_blocking(move || {
            let mut all = Vec::new();
            let error = incoming.read_to_end(&mut all).err();
            assert!(error.is_some() || incoming.read(&mut [0]).unwrap() == 0, "after the end, too");
            (all, error.map(|error| error.to_string()))
        });
        reading.await.unwrap()
    }

    #[tokio::test]
    async fn body_is_read_to_its_end_and_an_error_is_none() {
        let whole = body(vec![Ok(b"ab"), Ok(b""), Ok(b"c")]);
        assert_eq!(read(Incoming::new(whole)).await, (b"abc".to_vec(), None));
        assert_eq!(read(Incoming::new(Body::empty())).await, (Vec::new(), None));
        let broken = body(vec![Ok(b"ab"), Err(io::Error::other("it broke off"))]);
        let (found, error) = read(Incoming::new(broken)).await;
        assert_eq!(found, b"ab");
        assert!(error.unwrap().contains("it broke off"));
        let frames: Vec<_> = (0..1000).map(|_| Ok(&[7; 1000][..])).collect();
        assert_eq!(read(Incoming::new(body(frames))).await, (vec![7; 1_000_000], None));
    }

    #[tokio::test]
    async fn nothing_is_asked_for_before_the_first_read_nor_kept_after_the_last() {
        let (asked, mut was_asked) = channel::<()>(100);
        let frames = stream::unfold(asked, async |asked| {
            asked.send(()).await.ok()?;
            Some((Ok::<_, io::Error>(Bytes::from_static(b"abc")), asked))
        });
        let mut incoming = Incoming::new(Body::from_stream(frames));
        tokio::task::yield_now().await;
        assert!(was_asked.try_recv().is_err());
        let read = tokio::task::spawn_blocking(move || {
            let mut three = [0; 3];
            incoming.read_exact(&mut three).unwrap();
            (three, incoming)
        });
        let (three, incoming) = read.await.unwrap();
        assert_eq!(&three, b"abc");
        drop(incoming);
        // To the end: the body is dropped.
        while was_asked.recv().await.is_some() {}
    }
}
