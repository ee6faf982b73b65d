//! Joins and leaves on their way to NATS: one bounded queue, emptied by one task, so they keep their order and a
//! node that loses all its clients at once holds no more than the queue.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use super::link::NatsLink;

/// How many joins and leaves may wait for the connection; more are dropped and counted.
const EVENTS_MAX: usize = 1024;

/// What the task finds in the queue.
#[derive(Debug)]
enum Queued {
    Event {
        subject: String,
        payload: Bytes,
    },
    /// Everything before this was handed to the connection.
    Flush(oneshot::Sender<()>),
}

/// The queue's entrance.
#[derive(Debug)]
pub(super) struct Events {
    link: NatsLink,
    queue: mpsc::Sender<Queued>,
}

impl Events {
    /// Starts the task, which ends with the connection.
    pub(super) fn start(link: NatsLink) -> Self {
        let (queue, queued) = mpsc::channel(EVENTS_MAX);
        tokio::spawn(
            link.closed()
                .run_until_cancelled_owned(run(link.clone(), queued)),
        );
        Self { link, queue }
    }

    /// Queues one event, or drops it if there is no room.
    pub(super) fn send(&self, subject: String, payload: Bytes) {
        match self.queue.try_send(Queued::Event { subject, payload }) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Closed(_)) => dropped(&self.link),
        }
    }

    /// Waits until everything queued so far was handed to the connection.
    pub(super) async fn flush(&self) {
        let (reply, flushed) = oneshot::channel();
        if self.queue.send(Queued::Flush(reply)).await.is_ok() {
            // An error: the task has ended, so nothing is left to wait for.
            flushed.await.ok();
        }
    }
}

async fn run(link: NatsLink, mut queued: mpsc::Receiver<Queued>) {
    while let Some(next) = queued.recv().await {
        match next {
            Queued::Event { subject, payload } => {
                if let Err(error) = link.publish(subject, payload).await {
                    tracing::debug!(%error, "a join or leave was not sent");
                    dropped(&link);
                }
            }
            Queued::Flush(reply) => {
                // An error: nobody waits any more.
                reply.send(()).ok();
            }
        }
    }
}

fn dropped(link: &NatsLink) {
    link.stats().events_dropped.fetch_add(1, Ordering::Relaxed);
}
