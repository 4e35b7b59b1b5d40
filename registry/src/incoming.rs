//! The body of a request, for a thread that may block.
//!
//! ```text
//!   connection ──frames──▶ task ──bounded channel──▶ thread
//! ```
//!
//! With a channel the thread finds the next frames there, as a rule. Where it asked the runtime for each,
//! waking one another took as long as all that was done with an image. Frames go on many at a time, as a
//! client that brings them one by one would wake the thread for each otherwise.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::mem;

use axum::body::{Body, Bytes};
use futures_util::StreamExt;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Bytes that go on together, or all that there are at the end. A frame is of 16 KiB, as TLS and HTTP/2
/// bring them, or of hyper's buffer at most.
const TOGETHER: usize = 128 << 10;
/// So many times those may wait.
const WAITING: usize = 2;

/// Frames in their order. None are the end.
type Frames = VecDeque<Bytes>;

/// The bytes of a body. Nothing is asked of the client before the first read; a client that is too slow
/// ends it: see `connection/mod.rs`.
pub(crate) struct Incoming {
    runtime: Handle,
    unread: Option<Body>,
    waiting: Option<Receiver<io::Result<Frames>>>,
    frames: Frames,
    ended: bool,
}

impl Incoming {
    /// To be read on a thread of the runtime that this is called in.
    pub(crate) fn new(body: Body) -> Self {
        let runtime = Handle::current();
        Self { runtime, unread: Some(body), waiting: None, frames: Frames::new(), ended: false }
    }

    /// The next frames.
    fn next(&mut self) -> io::Result<Frames> {
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
        if self.frames.is_empty() && !self.ended {
            self.frames = self.next()?;
            self.ended = self.frames.is_empty();
        }
        let Some(frame) = self.frames.front_mut() else { return Ok(0) };
        let length = buffer.len().min(frame.len());
        buffer[..length].copy_from_slice(&frame.split_to(length));
        if frame.is_empty() {
            self.frames.pop_front();
        }
        Ok(length)
    }
}

/// Passes frames on to their end, or for as long as somebody reads them.
async fn pass_on(body: Body, full: Sender<io::Result<Frames>>) {
    let mut frames = body.into_data_stream();
    let (mut gathered, mut bytes) = (Frames::new(), 0);
    loop {
        let frame = tokio::select! {
            frame = frames.next() => frame,
            // What is left of the body can be read by others then.
            () = full.closed() => return,
        };
        let last = match frame {
            Some(Ok(frame)) if frame.is_empty() => continue,
            Some(Ok(frame)) => {
                bytes += frame.len();
                gathered.push_back(frame);
                None
            }
            Some(Err(error)) => Some(Err(io::Error::other(error))),
            None => Some(Ok(Frames::new())),
        };
        if !gathered.is_empty() && (bytes >= TOGETHER || last.is_some()) {
            bytes = 0;
            if full.send(Ok(mem::take(&mut gathered))).await.is_err() {
                return;
            }
        }
        if let Some(last) = last {
            let _ = full.send(last).await;
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
            Some((Ok::<_, io::Error>(Bytes::from_static(&[7; TOGETHER])), asked))
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
        assert_eq!(three, [7; 3]);
        drop(incoming);
        // To the end: the body is dropped.
        while was_asked.recv().await.is_some() {}
    }
}
