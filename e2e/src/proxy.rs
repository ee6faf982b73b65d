//! A TCP proxy on the loopback whose connections can be cut, as a network does it: without a word.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

/// How often the proxy looks whether it was dropped.
const ENDED_CHECK: Duration = Duration::from_secs(1);

/// A proxy in front of one server. It ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    /// Where it listens, host and port.
    pub address: String,
    open: watch::Sender<bool>,
    received: Arc<AtomicU64>,
}

impl Proxy {
    /// Starts a proxy in front of the server at `target` (host and port).
    ///
    /// # Errors
    /// When the loopback has no port left.
    pub async fn start(target: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (open, gate) = watch::channel(true);
        let proxy = Self {
            address: listener.local_addr()?.to_string(),
            open,
            received: Arc::default(),
        };
        let (target, received) = (target.to_owned(), Arc::clone(&proxy.received));
        tokio::spawn(async move {
            // The gate ends with the proxy.
            while gate.has_changed().is_ok() {
                let accepted = timeout(ENDED_CHECK, listener.accept()).await;
                if let Ok(Ok((client, _))) = accepted {
                    let received = Arc::clone(&received);
                    tokio::spawn(serve(client, target.clone(), gate.clone(), received));
                }
            }
        });
        Ok(proxy)
    }

    /// Cuts every connection, and each new one at once, until [`Proxy::restore`].
    pub fn cut(&self) {
        self.open.send_replace(false);
    }

    /// Lets connections through again.
    pub fn restore(&self) {
        self.open.send_replace(true);
    }

    /// How many bytes clients have received so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

async fn serve(
    client: TcpStream,
    target: String,
    mut gate: watch::Receiver<bool>,
    received: Arc<AtomicU64>,
) {
    if !*gate.borrow() {
        return;
    }
    let Ok(server) = TcpStream::connect(target).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let down = async {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
            received.fetch_add(count as u64, Ordering::Relaxed);
            let read = buffer.get(..count).unwrap_or_default();
            if to_client.write_all(read).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = down => {}
        // The end of either side, or a failure: the connection is over.
        _ = copy(&mut from_client, &mut to_server) => {}
        _ = gate.wait_for(|open| !open) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_cut_ends_connections_until_it_is_restored() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.write_all(b"hello").await.unwrap();
                // Open until the other side ends it.
                tokio::spawn(async move { stream.read_u8().await });
            }
        });
        let proxy = Proxy::start(&target).await.unwrap();
        let mut text = [0; 5];
        let mut first = TcpStream::connect(&proxy.address).await.unwrap();
        first.read_exact(&mut text).await.unwrap();
        assert_eq!((&text, proxy.received()), (b"hello", 5));
        proxy.cut();
        assert_eq!(first.read(&mut text).await.unwrap_or(0), 0);
        let mut second = TcpStream::connect(&proxy.address).await.unwrap();
        assert_eq!(second.read(&mut text).await.unwrap_or(0), 0);
        proxy.restore();
        let mut third = TcpStream::connect(&proxy.address).await.unwrap();
        third.read_exact(&mut text).await.unwrap();
        assert_eq!(proxy.received(), 10);
    }
}
