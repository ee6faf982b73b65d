//! What a shard counts: relaxed atomics with the shard as their only writer, summed when somebody asks.
//!
//! Nothing is counted per delivery with a shared variable: the fan-out adds once per publication.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tidewire_protocol::{DisconnectCode, Encoding};

use crate::transport::Variant;

/// One figure with one writer.
#[derive(Debug, Default)]
pub struct Figure(AtomicU64);

impl Figure {
    /// Adds; no read-modify-write is needed with one writer.
    pub fn add(&self, count: u64) {
        self.0.store(
            self.0.load(Ordering::Relaxed).wrapping_add(count),
            Ordering::Relaxed,
        );
    }

    /// Subtracts.
    pub fn sub(&self, count: u64) {
        self.0.store(
            self.0.load(Ordering::Relaxed).saturating_sub(count),
            Ordering::Relaxed,
        );
    }

    /// Sets the value.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A shard's figures.
#[derive(Debug, Default)]
pub struct Counters {
    /// Open sockets in the HTTP layer: API calls, and clients before their handshake is over.
    pub http_connections: Figure,
    /// Open client connections, authenticated or not.
    pub connections: Figure,
    /// Authenticated clients.
    pub clients: Figure,
    /// Subscriptions.
    pub subscriptions: Figure,
    /// Channels with a subscriber on this shard.
    pub channels: Figure,
    /// Distinct users.
    pub users: Figure,
    /// Commands received.
    pub commands: Figure,
    /// Publications taken from the broker.
    pub publications: Figure,
    /// Publications queued to clients.
    pub deliveries: Figure,
    /// Vectored writes to sockets.
    pub writes: Figure,
    /// Frames written.
    pub frames: Figure,
    /// Bytes written.
    pub bytes: Figure,
    /// Wake-ups of the flusher.
    pub flushes: Figure,
    /// Client connections ever accepted, by transport and encoding.
    accepted: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
    /// Disconnects by the server, by code. Rare, so a lock is fine.
    disconnects: Mutex<BTreeMap<u32, u64>>,
    /// Error replies by code.
    errors: Mutex<BTreeMap<u32, u64>>,
}

impl Counters {
    /// Counts an accepted client.
    pub fn accept(&self, variant: Variant) {
        let encoding = match variant.encoding {
            Encoding::Json => "json",
            Encoding::Protobuf => "protobuf",
        };
        count(&self.accepted, (variant.transport(), encoding));
    }

    /// Counts a disconnect by the server. Codes that a backend made up are one figure, under 0.
    pub fn disconnect(&self, code: u32) {
        let known = code < 3000 || DisconnectCode::ALL.iter().any(|it| it.code() == code);
        let code = if known { code } else { 0 };
        count(&self.disconnects, code);
    }

    /// Counts an error reply.
    pub fn error(&self, code: u32) {
        count(&self.errors, code);
    }

    /// Accepted connections by transport and encoding.
    #[must_use]
    pub fn accepted(&self) -> BTreeMap<(&'static str, &'static str), u64> {
        counts(&self.accepted)
    }

    /// Disconnects by code.
    #[must_use]
    pub fn disconnects(&self) -> BTreeMap<u32, u64> {
        counts(&self.disconnects)
    }

    /// Error replies by code.
    #[must_use]
    pub fn errors(&self) -> BTreeMap<u32, u64> {
        counts(&self.errors)
    }
}

/// Adds one to a figure of rare events.
fn count<K: Ord>(counts: &Mutex<BTreeMap<K, u64>>, key: K) {
    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    *counts.entry(key).or_default() += 1;
}

fn counts<K: Clone>(counts: &Mutex<BTreeMap<K, u64>>) -> BTreeMap<K, u64> {
    counts
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}
