//! Reading a connection ahead of TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

/// Bytes that are read at once, where so many have come.
const AHEAD: usize = 32 << 10;

/// A connection that is read in large pieces. rustls asks for 4 KiB at most each time, which is four
/// calls to the kernel for a record.
///
/// The buffer is there only while something is in it: clients that wait cost nothing.
pub(super) struct ReadAhead<S> {
    stream: S,
    ahead: BytesMut,
}

impl<S> ReadAhead<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, ahead: BytesMut::new() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadAhead<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, ahead } = &mut *self;
        if ahead.is_empty() {
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

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadAhead<S> {
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
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn bytes_come_in_their_order_and_nothing_is_kept_while_there_are_none() {
        let (mut there, here) = duplex(3 * AHEAD);
        let mut here = ReadAhead::new(here);
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
}
