//! A connection's byte stream: non-blocking reads and writes, and waiting for readiness.

use std::io::{self, IoSlice, Read};

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Where a connection's bytes come from and go to.
#[derive(Debug)]
pub enum Stream {
    /// A plain TCP socket.
    Tcp(TcpStream),
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
    /// A stream over an accepted socket, set up for many small writes.
    ///
    /// # Errors
    /// The socket's options could not be set: it is dead.
    pub fn tcp(socket: TcpStream) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        // Without it the kernel buffers up to 4 MB for a slow client, beyond the outbox's limit.
        SockRef::from(&socket).set_tcp_notsent_lowat(32 * 1024)?;
        Ok(Self::Tcp(socket))
    }

    /// Reads what is there, without waiting.
    ///
    /// A read that does not fill the buffer emptied the socket (the poller is edge-triggered), so readiness
    /// is cleared at once and the second system call that would answer "try again" is saved.
    pub fn try_read(&self, buffer: &mut [u8]) -> ReadOutcome {
        let Self::Tcp(socket) = self;
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

    /// Writes without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when the socket takes nothing now; anything else ends the connection.
    pub fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let Self::Tcp(socket) = self;
        socket.try_write_vectored(slices)
    }

    /// Waits until a read may give something.
    ///
    /// # Errors
    /// The runtime is shutting down.
    pub async fn readable(&self) -> io::Result<()> {
        let Self::Tcp(socket) = self;
        socket.readable().await
    }

    /// Waits until a write may take something.
    ///
    /// # Errors
    /// The runtime is shutting down.
    pub async fn writable(&self) -> io::Result<()> {
        let Self::Tcp(socket) = self;
        socket.writable().await
    }

    /// Ends the stream in both directions: the driver's next read sees the end.
    pub fn shutdown(&self) {
        let Self::Tcp(socket) = self;
        if let Err(error) = SockRef::from(socket).shutdown(std::net::Shutdown::Both) {
            tracing::trace!(%error, "socket was closed already");
        }
    }
}
