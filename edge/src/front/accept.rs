//! Listening, and handing each raw socket to the least loaded shard.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::unix::AsyncFd;

use crate::shard::Handle;
use crate::shard::inbox::{Event, Listener};

/// Connections that the kernel may hold ready.
const BACKLOG: i32 = 4096;

/// Sockets that may wait in one shard's inbox.
const HANDED_MAX: u64 = 4096;

/// Pause after an accept that failed for lack of file descriptors or memory.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Binds a listener; an empty address means all interfaces, IPv6 included where there is any.
///
/// # Errors
/// The address cannot be parsed or is in use.
pub fn bind(address: &str, port: u16) -> io::Result<TcpListener> {
    if !address.is_empty() {
        let ip = address.parse().map_err(|error| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("\"{address}\": {error}"),
            )
        })?;
        return listen(SocketAddr::new(ip, port));
    }
    listen(SocketAddr::from(([0_u16; 8], port)))
        .or_else(|_| listen(SocketAddr::from(([0_u8; 4], port))))
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Accepts until it is dropped.
///
/// # Errors
/// The listener cannot be registered with the runtime.
pub async fn accept(
    listener: TcpListener,
    kind: Listener,
    shards: &[Arc<Handle>],
) -> io::Result<()> {
    // Tokio's own listener would register every socket with this thread's poller first, only to take it out
    // again for its shard.
    #[expect(
        deprecated,
        reason = "the replacement is unsafe to call; a TcpListener owned by the AsyncFd keeps its descriptor"
    )]
    let listener = AsyncFd::new(listener)?;
    loop {
        let mut ready = listener.readable().await?;
        match ready.try_io(|listener| listener.get_ref().accept()) {
            Ok(Ok((socket, _))) => {
                if let Err(error) = socket.set_nonblocking(true) {
                    tracing::debug!(%error, "an accepted socket was dead");
                    continue;
                }
                hand_over(socket, kind, shards);
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Ok(Err(error)) => {
                tracing::error!(%error, "accepting failed");
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
            Err(_would_block) => {}
        }
    }
}

/// Gives a socket to the least loaded shard; if even that one does not keep up, the socket is closed.
fn hand_over(socket: TcpStream, kind: Listener, shards: &[Arc<Handle>]) {
    let Some(shard) = shards.iter().min_by_key(|shard| load(shard)) else {
        return;
    };
    if shard.handed.load(Ordering::Relaxed) >= HANDED_MAX {
        tracing::warn!("no shard keeps up with new connections, one was closed");
        return;
    }
    shard.handed.fetch_add(1, Ordering::Relaxed);
    shard.inbox.post(Event::Socket(socket, kind));
}

fn load(shard: &Handle) -> u64 {
    let counters = &shard.counters;
    counters.connections.value()
        + counters.http_connections.value()
        + shard.handed.load(Ordering::Relaxed)
}
