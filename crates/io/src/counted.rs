//! How much a transport has taken: TLS says only that a record went out whole.

use std::io::{self, IoSlice, Write};

/// A stream, and how many octets it has taken.
pub(crate) struct Counted<T> {
    pub(crate) stream: T,
    pub(crate) taken: u64,
}

impl<T> Counted<T> {
    pub(crate) fn new(stream: T) -> Self {
        Self { stream, taken: 0 }
    }
}

impl<T: Write> Write for Counted<T> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let taken = self.stream.write(octets)?;
        self.taken += taken as u64;
        Ok(taken)
    }

    fn write_vectored(&mut self, octets: &[IoSlice<'_>]) -> io::Result<usize> {
        let taken = self.stream.write_vectored(octets)?;
        self.taken += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[cfg(feature = "tokio")]
mod asynchronous {
    use super::{Counted, IoSlice, io};
    use std::pin::Pin;
    use std::task::{Context, Poll, ready};
    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    impl<T: AsyncRead + Unpin> AsyncRead for Counted<T> {
        fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.stream).poll_read(cx, into)
        }
    }

    impl<T: AsyncWrite + Unpin> AsyncWrite for Counted<T> {
        fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
            let taken = ready!(Pin::new(&mut self.stream).poll_write(cx, octets))?;
            self.taken += taken as u64;
            Poll::Ready(Ok(taken))
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            octets: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let taken = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, octets))?;
            self.taken += taken as u64;
            Poll::Ready(Ok(taken))
        }

        fn is_write_vectored(&self) -> bool {
            self.stream.is_write_vectored()
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.stream).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.stream).poll_shutdown(cx)
        }
    }
}
