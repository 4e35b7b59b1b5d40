//! A connection as the kernel has it: read in large pieces, and closed so that its last answer is heard.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::io::poll_read_buf;

/// Bytes that are read at once, where so many have come.
const AHEAD: usize = 32 << 10;
/// Who asks for so many has a large buffer of its own, as hyper has. rustls asks for 4 KiB at most each
/// time, which would be four calls to the kernel for a record.
const LARGE: usize = 8 << 10;

/// How long what a client sends after our end is read, and how long it may be silent then. nginx has the
/// same (`lingering_time`, `lingering_timeout`).
const HEARD: Duration = Duration::from_secs(30);
const SILENT: Duration = Duration::from_secs(5);

/// A connection.
///
/// The buffer is there only while something is in it: clients that wait cost nothing.
///
/// Shutting it down reads what the client still sends, to no purpose but that its system does not throw
/// our last answer away, as it does where it meets a closed connection. Such a client's user would see
/// "connection reset" instead of why an image is refused.
pub(super) struct Wire<S> {
    stream: S,
    ahead: BytesMut,
    parting: Option<Parting>,
}

/// The time after our end. The client's may be long in coming.
struct Parting {
    end: Instant,
    silence: Pin<Box<Sleep>>,
}

impl<S> Wire<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, ahead: BytesMut::new(), parting: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, ahead, .. } = &mut *self;
        if ahead.is_empty() {
            if buffer.remaining() >= LARGE {
                return Pin::new(stream).poll_read(context, buffer);
            }
            ahead.reserve(AHEAD);
            let read = poll_read_buf(Pin::new(stream), context, ahead);
            if ahead.is_empty() {
                *ahead = BytesMut::new();
            }
            ready!(read)?;
        }
        let length = ahead.len().min(buffer.remaining());
        buffer.put_slice(&ahead[..length]);
        ahead.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, ahead, parting } = &mut *self;
        let parting = match parting {
            Some(parting) => parting,
            None => {
                ready!(Pin::new(&mut *stream).poll_shutdown(context))?;
                let (end, silence) = (Instant::now() + HEARD, Box::pin(sleep(SILENT)));
                parting.insert(Parting { end, silence })
            }
        };
        loop {
            ahead.clear();
            ahead.reserve(AHEAD);
            match poll_read_buf(Pin::new(&mut *stream), context, ahead) {
                Poll::Ready(Ok(1..)) => {
                    let now = Instant::now();
                    if now >= parting.end {
                        return Poll::Ready(Ok(()));
                    }
                    parting.silence.as_mut().reset(parting.end.min(now + SILENT));
                }
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    *ahead = BytesMut::new();
                    return parting.silence.as_mut().poll(context).map(Ok);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn bytes_come_in_their_order_and_nothing_is_kept_while_there_are_none() {
        let (mut there, here) = duplex(3 * AHEAD);
        let mut here = Wire::new(here);
        let sent: Vec<u8> = (0..2 * AHEAD + 100).map(|at| (at % 251) as u8).collect();
        there.write_all(&sent).await.unwrap();
        let mut found = Vec::new();
        while found.len() < sent.len() {
            let mut piece = [0; 4096];
            let read = here.read(&mut piece).await.unwrap();
            found.extend_from_slice(&piece[..read]);
        }
        assert_eq!(found, sent);
        let mut piece = [0; 4096];
        let waiting = std::time::Duration::from_millis(20);
        tokio::time::timeout(waiting, here.read(&mut piece)).await.unwrap_err();
        assert_eq!(here.ahead.capacity(), 0);
        here.write_all(b"back").await.unwrap();
        let mut back = [0; 4];
        there.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"back");
        drop(there);
        assert_eq!(here.read(&mut piece).await.unwrap(), 0, "the end");
    }

    #[tokio::test(start_paused = true)]
    async fn client_that_goes_on_sending_is_heard_out_and_not_for_ever() {
        let (there, here) = duplex(1000);
        let (mut from_us, mut to_us) = tokio::io::split(there);
        let mut here = Wire::new(here);
        here.write_all(b"no").await.unwrap();
        let sending = tokio::spawn(async move {
            to_us.write_all(&[0; 100_000]).await.unwrap();
            // Its end.
            to_us.shutdown().await.unwrap();
        });
        let begun = Instant::now();
        here.shutdown().await.unwrap();
        sending.await.unwrap();
        assert!(begun.elapsed() < SILENT);
        let mut answer = Vec::new();
        from_us.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"no");

        let (_silent, here) = duplex(1000);
        let begun = Instant::now();
        Wire::new(here).shutdown().await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), SILENT.as_secs());

        let (mut slow, here) = duplex(1000);
        let sending = tokio::spawn(async move {
            while slow.write_all(b"x").await.is_ok() {
                tokio::time::sleep(SILENT / 2).await;
            }
        });
        let begun = Instant::now();
        Wire::new(here).shutdown().await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), HEARD.as_secs());
        sending.await.unwrap();
    }
}
