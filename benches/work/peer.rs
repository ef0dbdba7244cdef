//! A server in memory that takes every message, for clients.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Answers each command at once and looks at no more of a message than its end. What is written to it is not copied.
#[derive(Default)]
pub struct Peer {
    said: Vec<u8>,
    /// The last octets of the message so far, if one is on its way.
    message: Option<Vec<u8>>,
}

const END: &[u8] = b"\r\n.\r\n";

impl Peer {
    /// Takes what a client sends: whole lines, or part of a message.
    pub fn hear(&mut self, octets: &[u8]) {
        if let Some(last) = &mut self.message {
            last.extend_from_slice(&octets[octets.len().saturating_sub(END.len())..]);
            last.drain(..last.len().saturating_sub(END.len()));
            if last == END {
                self.message = None;
                self.said.extend_from_slice(b"250 2.0.0 Taken\r\n");
            }
            return;
        }
        for line in octets.split_inclusive(|&b| b == b'\n') {
            self.said.extend_from_slice(match line {
                b"DATA\r\n" => {
                    self.message = Some(b"\r\n".to_vec());
                    b"354 Go on\r\n"
                }
                line if line.starts_with(b"EHLO ") => b"250-mx.example.org\r\n250-PIPELINING\r\n250 SIZE\r\n",
                _ => b"250 2.0.0 OK\r\n",
            });
        }
    }

    /// What it says to that.
    pub fn take_said(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.said)
    }
}

impl AsyncWrite for Peer {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, octets: &[u8]) -> Poll<std::io::Result<usize>> {
        self.hear(octets);
        Poll::Ready(Ok(octets.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Peer {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let size = self.said.len().min(into.remaining());
        into.put_slice(&self.said[..size]);
        self.said.drain(..size);
        Poll::Ready(Ok(()))
    }
}
