//! What other threads hand to a shard: one bounded queue, swapped out whole once per turn, one wake-up per
//! batch.

use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use tidewire_protocol::DisconnectReason;
use tokio::sync::{Notify, oneshot};
use uuid::Uuid;

use crate::broker::{self, Delivery};

use super::ask::{Ask, Told};

/// Bytes of deliveries that may wait in one inbox.
const BYTES_MAX: usize = 32 * 1024 * 1024;

/// Counted for commands beside their bytes.
const EVENT_BYTES: usize = 64;

/// Which listener accepted a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// Client transports; everything, if no internal port is set.
    External,
    /// API, health, metrics, status.
    Internal,
}

/// One thing for a shard to do.
#[derive(Debug)]
pub enum Event {
    /// A channel's event.
    Delivery(Delivery),
    /// Commands of an emulated client, by its session's id.
    Emulated(Uuid, Bytes),
    /// An accepted socket to serve.
    Socket(TcpStream, Listener),
    /// A question about the shard's state.
    Ask(Ask, oneshot::Sender<Told>),
    /// Close every connection with this reason.
    CloseAll(DisconnectReason),
}

/// What commands of an emulated client cost in an inbox, in bytes.
#[must_use]
pub fn emulated_cost(commands: &Bytes) -> usize {
    commands.len() + EVENT_BYTES
}

/// A shard's queue.
#[derive(Debug, Default)]
pub struct Inbox {
    queue: Mutex<Vec<Event>>,
    /// Bytes of what is in `queue`; written under its lock, read without.
    bytes: AtomicUsize,
    filled: Notify,
    emptied: Notify,
}

impl Inbox {
    /// Queues an event. Sockets and questions are bounded by their senders, which wait for the answer or
    /// count their open connections.
    pub fn post(&self, event: Event) {
        let cost = match &event {
            Event::Delivery(delivery) => delivery.cost(),
            Event::Emulated(_, commands) => emulated_cost(commands),
            Event::Socket(..) | Event::Ask(..) | Event::CloseAll(_) => 0,
        };
        let was_empty = {
            let mut queue = self.lock();
            self.bytes.fetch_add(cost, Ordering::Relaxed);
            queue.push(event);
            queue.len() == 1
        };
        if was_empty {
            self.filled.notify_one();
        }
    }

    /// Swaps the queued events into `batch`, which must be empty.
    pub fn take(&self, batch: &mut Vec<Event>) {
        let had_bytes = {
            let mut queue = self.lock();
            std::mem::swap(&mut *queue, batch);
            self.bytes.swap(0, Ordering::Relaxed) > 0
        };
        if had_bytes {
            self.emptied.notify_waiters();
        }
    }

    /// Takes only the deliveries, in order; everything else stays.
    pub fn take_deliveries(&self) -> Vec<Delivery> {
        let mut queue = self.lock();
        if queue.is_empty() {
            return Vec::new();
        }
        let deliveries: Vec<Delivery> = queue
            .extract_if(.., |event| matches!(event, Event::Delivery(_)))
            .filter_map(|event| {
                if let Event::Delivery(delivery) = event {
                    Some(delivery)
                } else {
                    None
                }
            })
            .collect();
        let taken = deliveries.iter().map(Delivery::cost).sum();
        self.bytes.fetch_sub(taken, Ordering::Relaxed);
        drop(queue);
        self.emptied.notify_waiters();
        deliveries
    }

    /// Waits until something was queued.
    pub async fn filled(&self) {
        self.filled.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Event>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl broker::Inbox for Inbox {
    fn has_room(&self, cost: usize) -> bool {
        let bytes = self.bytes.load(Ordering::Relaxed);
        bytes == 0 || bytes + cost <= BYTES_MAX
    }

    fn push(&self, delivery: Delivery) {
        self.post(Event::Delivery(delivery));
    }

    fn room(&self) -> BoxFuture<'_, ()> {
        async {
            let emptied = self.emptied.notified();
            tokio::pin!(emptied);
            emptied.as_mut().enable();
            if self.bytes.load(Ordering::Relaxed) > BYTES_MAX / 2 {
                emptied.await;
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::broker::{Inbox as _, Published};
    use tidewire_protocol::Publication;

    fn delivery(bytes: usize) -> Delivery {
        let publication = Publication {
            data: vec![b'1'; bytes].into(),
            ..Publication::default()
        };
        Delivery {
            channel: Arc::from("c"),
            event: broker::Event::Publication(Arc::new(Published {
                publication,
                ..Published::default()
            })),
        }
    }

    #[tokio::test]
    async fn a_full_inbox_has_room_again_once_it_was_taken() {
        let inbox = Inbox::default();
        inbox.push(delivery(BYTES_MAX));
        assert!(!inbox.has_room(1));
        let waiting = inbox.room();
        tokio::pin!(waiting);
        assert!((&mut waiting).now_or_never().is_none());
        let mut batch = Vec::new();
        inbox.take(&mut batch);
        waiting.await;
        assert!(inbox.has_room(1));
        assert_eq!(batch.len(), 1);
    }

    #[test]
    fn one_delivery_beyond_the_limit_still_fits_an_empty_inbox() {
        assert!(Inbox::default().has_room(BYTES_MAX + 1));
    }

    #[tokio::test]
    async fn a_batch_wakes_once() {
        let inbox = Inbox::default();
        inbox.push(delivery(1));
        inbox.push(delivery(1));
        inbox.filled().await;
        assert!(inbox.filled().now_or_never().is_none());
    }
}
