//! A connection's byte stream: non-blocking reads and writes, and waiting for readiness.

use std::io::{self, IoSlice, Read};

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::pipe::{Pipe, Refusal};

/// Where a connection's bytes come from and go to.
#[derive(Debug)]
pub enum Stream {
    /// A plain TCP socket.
    Tcp(TcpStream),
    /// The body of a response.
    Pipe(Pipe),
}

/// What a read gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    /// This many bytes, and more may be waiting.
    More(usize),
    /// This many bytes, and the socket is empty now.
    Last(usize),
    /// Nothing is waiting.
    Empty,
    /// The peer ended the stream, or it failed.
    Ended,
}

impl Stream {
    /// Writes without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when the stream takes nothing now; anything else ends the connection.
    pub fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.try_write_vectored(slices),
            Self::Pipe(pipe) => pipe.try_write_vectored(slices),
        }
    }

    /// Waits until a read may give something.
    ///
    /// # Errors
    /// The runtime is shutting down.
    pub async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.readable().await,
            Self::Pipe(pipe) => {
                pipe.readable().await;
                Ok(())
            }
        }
    }

    /// Waits until a write may take something.
    ///
    /// # Errors
    /// The runtime is shutting down.
    pub async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.writable().await,
            Self::Pipe(pipe) => {
                pipe.writable().await;
                Ok(())
            }
        }
    }

    /// Says why the client is not connected, where a response may still tell it.
    pub fn refuse(&self, code: u32, text: &str) {
        if let Self::Pipe(pipe) = self {
            let text = text.to_owned();
            pipe.refuse(Refusal { code, text });
        }
    }

    /// Everything was written and nothing follows. A TCP stream waits for its peer's end.
    pub fn finish(&self) {
        if let Self::Pipe(pipe) = self {
            pipe.finish();
        }
    }

    /// Ends the stream in both directions: the driver's next read sees the end.
    pub fn shutdown(&self) {
        let result = match self {
            Self::Tcp(socket) => SockRef::from(socket).shutdown(std::net::Shutdown::Both),
            Self::Pipe(pipe) => {
                pipe.shutdown();
                Ok(())
            }
        };
        if let Err(error) = result {
            tracing::trace!(%error, "socket was closed already");
        }
    }
}

/// Sets an accepted socket up for many small writes.
///
/// # Errors
/// Its options could not be set: it is dead.
pub fn set_up(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    // Without it the kernel buffers up to 4 MB for a slow client, beyond the outbox's limit.
    SockRef::from(socket).set_tcp_notsent_lowat(32 * 1024)
}

/// Reads what is there, without waiting.
///
/// A read that does not fill the buffer emptied the socket (the poller is edge-triggered), so readiness is cleared
/// at once and the second system call that would answer "try again" is saved.
pub fn try_read(socket: &TcpStream, buffer: &mut [u8]) -> ReadOutcome {
    let mut count = None;
    let result = socket.try_io(Interest::READABLE, || {
        let read = (&*SockRef::from(socket)).read(buffer)?;
        count = Some(read);
        if read > 0 && read < buffer.len() {
            Err(io::ErrorKind::WouldBlock.into())
        } else {
            Ok(())
        }
    });
    match (result, count) {
        (Ok(()), Some(0)) => ReadOutcome::Ended,
        (Ok(()), Some(read)) => ReadOutcome::More(read),
        (Err(_), Some(read)) => ReadOutcome::Last(read),
        (Err(error), None) if error.kind() == io::ErrorKind::WouldBlock => ReadOutcome::Empty,
        (_, None) => ReadOutcome::Ended,
    }
}
