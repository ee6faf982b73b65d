//! The connection to NATS: opened lazily, restored for ever, never a buffer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ConnectOptions, Event, ServerAddr, Subscriber};
use bytes::Bytes;
use rand::Rng as _;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::subjects::{Subjects, is_literal};
use super::{NatsOptions, QUEUE_MESSAGES_MAX};
use crate::broker::BrokerError;

/// A silent connection is probed this often and given up after three probes without an answer.
const PING_INTERVAL: Duration = Duration::from_secs(2);

/// Longest pause between two attempts to connect.
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// Options that can never work.
#[derive(Debug, thiserror::Error)]
pub enum NatsError {
    /// An address is malformed. The address itself is not shown: it may hold a password.
    #[error("address number {0} is not a NATS address")]
    Address(usize),
    /// Two addresses have different credentials, or a percent sign in one is not an escape.
    #[error("the credentials in the addresses are malformed or differ")]
    Credentials,
    /// The prefix cannot stand in a subject.
    #[error("the prefix {0:?} cannot stand in a subject")]
    Prefix(String),
    /// The client library refused.
    #[error("the connection cannot be set up")]
    Client(#[source] async_nats::Error),
}

/// Counters of the connection, all from the start of the process.
#[derive(Debug, Default)]
pub struct NatsStats {
    /// Messages that the reader took, of all channels.
    pub messages_received: AtomicU64,
    /// Messages whose payload was no client-protocol push.
    pub decode_errors: AtomicU64,
    /// Times that messages were dropped because the reader was behind. One burst of more than 128 losses may
    /// count for less.
    pub slow_consumers: AtomicU64,
    /// Connections made after the first.
    pub reconnects: AtomicU64,
    /// Publications handed to the connection.
    pub published: AtomicU64,
    /// Joins and leaves that were not sent: their queue was full, or there was no connection.
    pub events_dropped: AtomicU64,
}

/// What the client library reported.
#[derive(Debug)]
struct Health {
    stats: NatsStats,
    error: Mutex<Option<String>>,
    connects: watch::Sender<u64>,
}

impl Health {
    fn on(&self, event: &Event) {
        match event {
            Event::Connected => {
                *self.error() = None;
                self.connects.send_modify(|connects| *connects += 1);
                if *self.connects.borrow() > 1 {
                    self.stats.reconnects.fetch_add(1, Ordering::Relaxed);
                }
                tracing::info!("connected to NATS");
            }
            Event::Disconnected => {
                *self.error() = Some("the connection was lost".to_owned());
                tracing::warn!("the connection to NATS was lost");
            }
            Event::SlowConsumer(_) => {
                self.stats.slow_consumers.fetch_add(1, Ordering::Relaxed);
            }
            Event::ServerError(error) => self.fault(error.to_string()),
            Event::ClientError(error) => self.fault(error.to_string()),
            Event::LameDuckMode | Event::Draining | Event::Closed => {
                tracing::debug!(%event, "NATS")
            }
        }
    }

    /// Logs an error once, not with every attempt.
    fn fault(&self, error: String) {
        let mut known = self.error();
        if known.as_ref() != Some(&error) {
            tracing::warn!(error, "NATS");
            *known = Some(error);
        }
    }

    fn error(&self) -> MutexGuard<'_, Option<String>> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A cheap handle of the connection.
#[derive(Clone)]
pub struct NatsLink(Arc<Link>);

struct Link {
    client: Client,
    health: Arc<Health>,
    subjects: Subjects,
    node_id: String,
    write_timeout: Duration,
    closed: CancellationToken,
}

impl NatsLink {
    /// The handle, and how often a connection was made.
    pub(super) async fn connect(
        options: NatsOptions,
    ) -> Result<(Self, watch::Receiver<u64>), NatsError> {
        if !is_literal(&options.prefix) {
            return Err(NatsError::Prefix(options.prefix));
        }
        let (addresses, credentials) = addresses(&options.url)?;
        let (connects, connected) = watch::channel(0);
        let health = Arc::new(Health {
            stats: NatsStats::default(),
            error: Mutex::default(),
            connects,
        });
        let listener = Arc::clone(&health);
        let mut connect = ConnectOptions::new()
            .name(format!("tidewire {}", options.node_id))
            .retry_on_initial_connect()
            .max_reconnects(None)
            .connection_timeout(options.connect_timeout)
            .ping_interval(PING_INTERVAL)
            .subscription_capacity(QUEUE_MESSAGES_MAX)
            .reconnect_delay_callback(backoff)
            .event_callback(move |event| {
                listener.on(&event);
                std::future::ready(())
            });
        connect = match credentials {
            None => connect,
            Some(Credentials::Token(token)) => connect.token(token),
            Some(Credentials::Password(user, password)) => {
                connect.user_and_password(user, password)
            }
        };
        if let Some(tls) = options.tls {
            connect = connect.tls_client_config(tls);
        }
        let client = connect
            .connect(addresses)
            .await
            .map_err(|error| NatsError::Client(error.into()))?;
        let link = Link {
            client,
            health,
            subjects: Subjects::new(&options.prefix),
            node_id: options.node_id,
            write_timeout: options.write_timeout,
            closed: CancellationToken::new(),
        };
        Ok((Self(Arc::new(link)), connected))
    }

    pub(crate) fn subjects(&self) -> &Subjects {
        &self.0.subjects
    }

    pub(crate) fn node_id(&self) -> &str {
        &self.0.node_id
    }

    /// Ends with the connection, for good.
    pub(crate) fn closed(&self) -> CancellationToken {
        self.0.closed.clone()
    }

    pub(super) fn stats(&self) -> &NatsStats {
        &self.0.health.stats
    }

    pub(super) fn count_published(&self) {
        self.0
            .health
            .stats
            .published
            .fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn is_connected(&self) -> bool {
        !self.0.closed.is_cancelled() && self.0.client.connection_state() == State::Connected
    }

    /// What is wrong; the server's last complaint stays until the next connection.
    pub(super) fn error(&self) -> Option<String> {
        let away = || (!self.is_connected()).then(|| "not connected yet".to_owned());
        if self.0.closed.is_cancelled() {
            Some("closed".to_owned())
        } else {
            self.0.health.error().clone().or_else(away)
        }
    }

    /// The largest payload that the server takes, in bytes.
    pub(crate) fn payload_bytes_max(&self) -> usize {
        self.0.client.max_payload()
    }

    /// Follows every new connection.
    pub(crate) fn connects(&self) -> watch::Receiver<u64> {
        self.0.health.connects.subscribe()
    }

    /// Hands one message to the connection.
    pub(crate) async fn publish(&self, subject: String, payload: Bytes) -> Result<(), BrokerError> {
        if !self.is_connected() {
            return Err(BrokerError::Disconnected);
        }
        if payload.len() > self.0.client.max_payload() {
            return Err(BrokerError::TooLarge);
        }
        match timeout(
            self.0.write_timeout,
            self.0.client.publish(subject, payload),
        )
        .await
        {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(BrokerError::Disconnected),
        }
    }

    /// Subscribes now, and again after every reconnect.
    pub(crate) async fn subscribe(&self, subject: String) -> Result<Subscriber, NatsError> {
        self.0
            .client
            .subscribe(subject)
            .await
            .map_err(|error| NatsError::Client(error.into()))
    }

    /// Awaits what is still to be handed over (`rest`) and its way to the server, then closes for good.
    pub(super) async fn shutdown(&self, rest: impl Future<Output = ()>) {
        let flush = async {
            rest.await;
            self.0.client.flush().await
        };
        let flushed =
            self.is_connected() && matches!(timeout(self.0.write_timeout, flush).await, Ok(Ok(())));
        self.0.closed.cancel();
        let drained = matches!(
            timeout(self.0.write_timeout, self.0.client.drain()).await,
            Ok(Ok(()))
        );
        tracing::debug!(flushed, drained, "NATS is closed");
    }
}

impl std::fmt::Debug for NatsLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NatsLink")
            .field("connected", &self.is_connected())
            .finish_non_exhaustive()
    }
}

/// Pause before the attempt with this number, counted since the last connection: it doubles from 50 ms, and is
/// spread so that the nodes of a fleet do not come back at one moment.
fn backoff(attempt: usize) -> Duration {
    let doublings = u32::try_from(attempt.saturating_sub(1))
        .unwrap_or(u32::MAX)
        .min(8);
    let longest = Duration::from_millis(50)
        .saturating_mul(1 << doublings)
        .min(BACKOFF_MAX);
    longest.mul_f64(rand::rng().random_range(0.5..1.0))
}

#[derive(Debug, PartialEq, Eq)]
enum Credentials {
    Token(String),
    Password(String, String),
}

/// The addresses without their credentials (which the client library would ignore, and log), and these.
fn addresses(list: &str) -> Result<(Vec<ServerAddr>, Option<Credentials>), NatsError> {
    let mut credentials = None;
    let mut addresses = Vec::new();
    for (index, text) in list.split(',').map(str::trim).enumerate() {
        let malformed = NatsError::Address(index + 1);
        let Ok(address) = text.parse::<ServerAddr>() else {
            return Err(malformed);
        };
        if address.is_websocket() || address.host().is_empty() {
            return Err(malformed);
        }
        let found = match (address.username(), address.password()) {
            (None, None) => None,
            (Some(token), None) => Some(Credentials::Token(unescape(token)?)),
            (user, Some(password)) => Some(Credentials::Password(
                unescape(user.unwrap_or_default())?,
                unescape(password)?,
            )),
        };
        if index > 0 && found.is_some() && found != credentials {
            return Err(NatsError::Credentials);
        }
        credentials = credentials.or(found);
        let mut url = address.into_inner();
        if url
            .set_username("")
            .and_then(|()| url.set_password(None))
            .is_err()
        {
            return Err(malformed);
        }
        let Ok(address) = ServerAddr::from_url(url) else {
            return Err(malformed);
        };
        addresses.push(address);
    }
    Ok((addresses, credentials))
}

/// Percent-decodes.
fn unescape(text: &str) -> Result<String, NatsError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escaped)) = rest.split_once('%') {
        bytes.extend_from_slice(plain.as_bytes());
        let (digits, after) = escaped.split_at_checked(2).ok_or(NatsError::Credentials)?;
        bytes.push(
            u8::from_str_radix(digits, 16)
                .ok()
                .ok_or(NatsError::Credentials)?,
        );
        rest = after;
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok().ok_or(NatsError::Credentials)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_leave_the_addresses() {
        let (addresses, credentials) =
            addresses("nats://bob:s%40fe@a:1, nats://bob:s%40fe@b").unwrap();
        assert_eq!(
            credentials,
            Some(Credentials::Password("bob".into(), "s@fe".into()))
        );
        assert!(
            addresses
                .iter()
                .all(|address| !format!("{address:?}").contains("bob")),
            "{addresses:?}"
        );
        assert_eq!(
            addresses.iter().map(ServerAddr::port).collect::<Vec<_>>(),
            [1, 4222]
        );
    }

    #[test]
    fn a_lone_user_is_a_token() {
        assert_eq!(
            addresses("nats://t0ken@a").unwrap().1,
            Some(Credentials::Token("t0ken".into()))
        );
        assert_eq!(addresses("a:4222").unwrap().1, None);
    }

    #[test]
    fn malformed_addresses_are_refused_without_showing_them() {
        for list in [
            "",
            "nats://a,",
            "http://user:secret@a",
            "nats://user:secret@:x",
            "ws://a",
        ] {
            let error = addresses(list).unwrap_err();
            assert!(matches!(error, NatsError::Address(_)), "{list}: {error}");
            assert!(!format!("{error:?} {error}").contains("secret"));
        }
        assert!(matches!(
            addresses("nats://a:b@x,nats://c:d@y"),
            Err(NatsError::Credentials)
        ));
        assert!(matches!(
            addresses("nats://a:%zz@x"),
            Err(NatsError::Credentials)
        ));
    }

    #[test]
    fn pauses_grow_to_two_seconds_and_no_further() {
        for (attempt, longest_ms) in [(1, 50), (2, 100), (4, 400), (7, 2000), (1000, 2000)] {
            let pause = backoff(attempt);
            let longest = Duration::from_millis(longest_ms);
            assert!(
                pause <= longest && pause >= longest / 2,
                "{attempt}: {pause:?}"
            );
        }
    }
}
