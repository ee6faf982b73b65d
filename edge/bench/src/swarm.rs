//! The clients: connected, subscribed to one channel each, answering pings, watching what arrives. One poller
//! and one read buffer for all; a delivery costs one read and a few comparisons.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Registry, Token};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::check::Checker;
use crate::clock::{self, MILLISECOND, Nanos};
use crate::frame::{self, Opcode};
use crate::payload::Codec;

/// A process may have 20,000 files open, on either side.
pub(crate) const CONNECTIONS_MAX: usize = 19_000;

/// Tokens from here on are the caller's.
const OTHERS: usize = 1 << 32;

/// How long nothing may happen while clients connect.
const PATIENCE: Nanos = 10 * clock::SECOND;

const HANDSHAKE: &[u8] = b"GET /connection/websocket HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";

const PING: &[u8] = b"{}";

/// Who is to be there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// The server.
    pub(crate) address: SocketAddr,
    /// Clients, at most [`CONNECTIONS_MAX`].
    pub(crate) connections: usize,
    /// Channels that they are spread over evenly.
    pub(crate) channels: usize,
    /// Clients that connect at the same time.
    pub(crate) in_flight: usize,
}

/// What else happens on the generator's thread while clients are served.
pub(crate) trait Side {
    /// The source with this number is readable.
    ///
    /// # Errors
    /// The run cannot go on.
    fn readable(&mut self, source: usize) -> Result<()>;
    /// Called after each event: whatever is due is done now.
    ///
    /// # Errors
    /// The run cannot go on.
    fn pulse(&mut self) -> Result<()>;
}

/// Nothing else happens.
impl Side for () {
    fn readable(&mut self, _source: usize) -> Result<()> {
        Ok(())
    }

    fn pulse(&mut self) -> Result<()> {
        Ok(())
    }
}

/// What the clients have seen.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Of the deliveries.
    pub(crate) checker: Checker,
    /// Microseconds from due to received, one per delivery since it was last cleared.
    pub(crate) latencies: Vec<u32>,
    /// Pings of the protocol that were answered.
    pub(crate) pings: u64,
    /// Why connections ended.
    pub(crate) ended: Vec<String>,
    /// The next delivery is thrown away unseen, as if it had been lost.
    pub(crate) lose_one: bool,
    codec: Codec,
    /// Clients that are connected and subscribed.
    ready: usize,
}

/// All clients of a run.
#[derive(Debug)]
pub(crate) struct Swarm {
    plan: Plan,
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    clients: Vec<Client>,
    /// What they have seen.
    pub(crate) tally: Tally,
}

#[derive(Debug)]
struct Client {
    stream: TcpStream,
    phase: Phase,
    /// The beginning of a frame, or of the handshake's answer.
    partial: Vec<u8>,
    channel: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Handshake,
    Joining,
    Ready,
    Ended,
}

/// The parts of a reply that tell whether a command succeeded.
#[derive(Debug, Deserialize)]
struct Reply {
    id: u32,
    connect: Option<IgnoredAny>,
    subscribe: Option<IgnoredAny>,
}

/// The name of a channel.
pub(crate) fn channel(number: usize) -> String {
    format!("bench{number}")
}

impl Swarm {
    /// Connects and subscribes everybody.
    ///
    /// # Errors
    /// A client is refused, or nothing happens for 10 s.
    pub(crate) fn connect(plan: Plan) -> Result<Self> {
        ensure!(
            (1..=CONNECTIONS_MAX).contains(&plan.connections),
            "{} connections: 1 to {CONNECTIONS_MAX} are possible",
            plan.connections
        );
        let mut swarm = Self {
            plan,
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            buffer: vec![0; 64 * 1024],
            clients: Vec::with_capacity(plan.connections),
            tally: Tally {
                checker: Checker::new(plan.connections),
                ..Tally::default()
            },
        };
        let mut last = (0, clock::now());
        while swarm.tally.ready < plan.connections {
            while swarm.clients.len() < plan.connections
                && swarm.clients.len() - swarm.tally.ready < plan.in_flight
            {
                swarm.open()?;
            }
            swarm.turn(Some(Duration::from_millis(100)), &mut ())?;
            if let Some(reason) = swarm.tally.ended.first() {
                bail!("a client could not connect: {reason}");
            }
            if swarm.tally.ready > last.0 {
                last = (swarm.tally.ready, clock::now());
            }
            ensure!(
                clock::now() - last.1 < PATIENCE,
                "only {} clients could connect",
                last.0
            );
        }
        Ok(swarm)
    }

    /// Where other sources are registered, and the token of the first of them.
    pub(crate) fn registry(&self) -> (&Registry, Token) {
        (self.poll.registry(), Token(OTHERS))
    }

    /// Waits for events and handles them.
    ///
    /// # Errors
    /// Polling failed, or `side` did.
    pub(crate) fn turn(&mut self, timeout: Option<Duration>, side: &mut impl Side) -> Result<()> {
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            other => other.context("poll")?,
        }
        side.pulse()?;
        for event in &self.events {
            let Token(token) = event.token();
            if let Some(source) = token.checked_sub(OTHERS) {
                side.readable(source)?;
            } else if let Some(client) = self.clients.get_mut(token) {
                client.readable(token, &mut self.buffer, &mut self.tally);
            }
            side.pulse()?;
        }
        Ok(())
    }

    /// Serves the clients for so long.
    ///
    /// # Errors
    /// Polling failed.
    pub(crate) fn rest(&mut self, time: Nanos) -> Result<()> {
        let end = clock::now() + time;
        loop {
            let left = end.saturating_sub(clock::now());
            if left == 0 {
                return Ok(());
            }
            self.turn(Some(Duration::from_nanos(left.max(MILLISECOND))), &mut ())?;
        }
    }

    fn open(&mut self) -> Result<()> {
        let index = self.clients.len();
        // On the loopback the kernel answers a connect at once, whatever the server is doing.
        let stream = std::net::TcpStream::connect(self.plan.address).context("connect")?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        self.poll
            .registry()
            .register(&mut stream, Token(index), Interest::READABLE)?;
        let mut client = Client {
            stream,
            phase: Phase::Handshake,
            partial: Vec::new(),
            channel: index % self.plan.channels.max(1),
        };
        client.send(HANDSHAKE)?;
        self.clients.push(client);
        Ok(())
    }
}

impl Client {
    fn readable(&mut self, index: usize, buffer: &mut [u8], tally: &mut Tally) {
        if self.phase == Phase::Ended {
            return;
        }
        if let Err(error) = self.read(index, buffer, tally) {
            self.phase = Phase::Ended;
            tally.ended.push(format!("{error:#}"));
        }
    }

    fn read(&mut self, index: usize, buffer: &mut [u8], tally: &mut Tally) -> Result<()> {
        loop {
            let count = match self.stream.read(buffer) {
                Ok(0) => bail!("the server closed the connection"),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let now = clock::now();
            let bytes = buffer.get(..count).unwrap_or_default();
            if self.partial.is_empty() {
                let used = self.take(index, bytes, now, tally)?;
                self.partial
                    .extend_from_slice(bytes.get(used..).unwrap_or_default());
            } else {
                let mut all = std::mem::take(&mut self.partial);
                all.extend_from_slice(bytes);
                let used = self.take(index, &all, now, tally)?;
                all.drain(..used);
                self.partial = all;
            }
            // The poller is edge-triggered: a read that did not fill the buffer emptied the socket.
            if count < buffer.len() {
                return Ok(());
            }
        }
    }

    /// Handles what is whole and returns its length.
    fn take(&mut self, index: usize, bytes: &[u8], now: Nanos, tally: &mut Tally) -> Result<usize> {
        let mut used = 0;
        if self.phase == Phase::Handshake {
            const BLANK: &[u8] = b"\r\n\r\n";
            let Some(end) = bytes.windows(BLANK.len()).position(|it| it == BLANK) else {
                return Ok(0);
            };
            let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default());
            ensure!(head.starts_with("HTTP/1.1 101 "), "handshake: {head}");
            used = end + BLANK.len();
            self.phase = Phase::Joining;
            self.join()?;
        }
        while let Some(frame) = frame::first(bytes.get(used..).unwrap_or_default())? {
            used += frame.length;
            match frame.opcode {
                Opcode::Text => self.message(index, frame.payload, now, tally)?,
                Opcode::Ping => self.send(&frame::pong(frame.payload)?)?,
                Opcode::Pong => {}
                Opcode::Close => bail!("closed by the server: {}", close_reason(frame.payload)),
            }
        }
        Ok(used)
    }

    /// Both commands in one message, as the official SDKs send them.
    fn join(&mut self) -> Result<()> {
        let commands = format!(
            "{{\"id\":1,\"connect\":{{}}}}\n{{\"id\":2,\"subscribe\":{{\"channel\":\"{}\"}}}}",
            channel(self.channel)
        );
        self.send(&frame::text(commands.as_bytes())?)
    }

    fn message(
        &mut self,
        index: usize,
        message: &[u8],
        now: Nanos,
        tally: &mut Tally,
    ) -> Result<()> {
        for line in message
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            if line.starts_with(b"{\"push\":") {
                tally.publication(index, line, now);
            } else if line == PING {
                tally.pings += 1;
                self.send(&frame::text(PING)?)?;
            } else {
                self.reply(line, tally)?;
            }
        }
        Ok(())
    }

    fn reply(&mut self, line: &[u8], tally: &mut Tally) -> Result<()> {
        let refused = || format!("answer: {}", String::from_utf8_lossy(line));
        let reply: Reply = serde_json::from_slice(line).with_context(refused)?;
        match (self.phase, reply.id) {
            (Phase::Joining, 1) => ensure!(reply.connect.is_some(), refused()),
            (Phase::Joining, 2) => {
                ensure!(reply.subscribe.is_some(), refused());
                self.phase = Phase::Ready;
                tally.ready += 1;
            }
            _ => bail!(refused()),
        }
        Ok(())
    }

    /// What clients send is little: a socket that does not take it at once is out of order.
    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let count = self.stream.write(bytes).context("write")?;
        ensure!(count == bytes.len(), "the server does not read");
        Ok(())
    }
}

impl Tally {
    fn publication(&mut self, client: usize, line: &[u8], now: Nanos) {
        if std::mem::take(&mut self.lose_one) {
            return;
        }
        match self.codec.decode(line) {
            Some(stamp) => {
                self.checker.arrived(client, stamp.sequence);
                let latency = now.saturating_sub(stamp.due) / 1000;
                self.latencies
                    .push(u32::try_from(latency).unwrap_or(u32::MAX));
            }
            None => self.checker.damaged(),
        }
    }
}

fn close_reason(payload: &[u8]) -> String {
    payload.split_first_chunk::<2>().map_or_else(
        || "no code".to_owned(),
        |(code, reason)| {
            format!(
                "{} {}",
                u16::from_be_bytes(*code),
                String::from_utf8_lossy(reason)
            )
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::Stamp;

    fn push(sequence: u64) -> Vec<u8> {
        let data = Codec::default().encode(Stamp {
            sequence,
            due: 1_000_000,
        });
        [
            b"{\"push\":{\"channel\":\"c\",\"pub\":{\"data\":".as_slice(),
            &data,
            b"}}}",
        ]
        .concat()
    }

    #[test]
    fn latency_counts_from_the_time_at_which_a_publication_was_due() {
        let mut tally = Tally {
            checker: Checker::new(1),
            ..Tally::default()
        };
        tally.publication(0, &push(0), 3_500_000);
        assert_eq!(tally.latencies, [2500]);
        assert!(tally.checker.faults(1).is_empty());
    }

    #[test]
    fn an_injected_loss_is_a_fault() {
        let mut tally = Tally {
            checker: Checker::new(1),
            lose_one: true,
            ..Tally::default()
        };
        tally.publication(0, &push(0), 2_000_000);
        tally.publication(0, &push(1), 2_000_000);
        assert_eq!(
            tally.checker.faults(2),
            ["1 deliveries skipped (lost or late)"]
        );
    }

    #[test]
    fn a_close_frame_tells_its_code_and_reason() {
        assert_eq!(close_reason(b"\x0b\xc0slow"), "3008 slow");
        assert_eq!(close_reason(b""), "no code");
    }
}
