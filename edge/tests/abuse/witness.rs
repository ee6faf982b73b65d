//! A well-behaved client and what it is told: numbers, one after the other, as long as the abuse goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::support::client::Client;
use crate::support::server::Server;
use crate::support::soon;

const CHANNEL: &str = "witness:1";

/// Between two publications.
const PAUSE: Duration = Duration::from_millis(20);

/// A client that gets a number every 20 ms. Each is published by an API call on a connection of its own, so that
/// accepting is watched too.
pub(crate) struct Witness {
    publishing: JoinHandle<u64>,
    listening: JoinHandle<u64>,
    /// How many were published.
    published: Arc<AtomicU64>,
    /// How many came.
    heard: watch::Receiver<u64>,
    stop: Arc<AtomicBool>,
}

impl Witness {
    pub(crate) async fn start(server: &Server) -> Self {
        let mut client = Client::open(server).await;
        client.connect("").await;
        client.subscribe(CHANNEL).await;
        client.answer_pings();
        let (hearing, heard) = watch::channel(0);
        let listening = tokio::spawn(async move {
            for next in 0_u64.. {
                let data = client.publication(CHANNEL).await;
                if data == "end" {
                    return next;
                }
                assert_eq!(data, next, "in order, without a gap");
                hearing.send_replace(next + 1);
            }
            unreachable!("it counts for long")
        });
        let published = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let publisher = Server::elsewhere(server.address, server.internal);
        let (count, end) = (Arc::clone(&published), Arc::clone(&stop));
        let publishing = tokio::spawn(async move {
            while !end.load(Ordering::Relaxed) {
                let next = count.fetch_add(1, Ordering::Relaxed);
                publisher.publish(CHANNEL, &json!(next)).await;
                sleep(PAUSE).await;
            }
            publisher.publish(CHANNEL, &json!("end")).await;
            count.load(Ordering::Relaxed)
        });
        let mut witness = Self {
            publishing,
            listening,
            published,
            heard,
            stop,
        };
        witness.hears().await;
        witness
    }

    /// Waits for a publication that is younger than this call.
    pub(crate) async fn hears(&mut self) {
        let younger = self.published.load(Ordering::Relaxed);
        let heard = self.heard.wait_for(|heard| *heard > younger);
        soon("a publication for the witness", heard)
            .await
            .expect("it listens");
    }

    /// Ends it: it must have heard all there was. How many that were.
    pub(crate) async fn finish(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let published = soon("the last publication", self.publishing).await.unwrap();
        let heard = soon("the end", self.listening).await.unwrap();
        assert_eq!(heard, published);
        heard
    }
}
