//! A connection's deadlines on the shard's wheel: stale close, pings and pongs, expiry, end of closing.

use std::rc::Rc;
use std::time::Duration;

use rand::Rng;
use tidewire_config::Client;
use tidewire_protocol::{DisconnectCode, UnsubscribeCode};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::conn::{Ending, NEVER, Phase};
use super::outbox::Frame;
use super::turn::Turn;
use super::wheel::Tick;
use super::{ConnKey, Shard, State};
use crate::services::unix_time;
use crate::session::Link;
use crate::transport::Variant;
use crate::transport::websocket::frame;

/// The wheel's tick: a quarter of the shortest configured interval, within 10 ms and 1 s.
pub(super) fn tick(client: &Client) -> Duration {
    let shortest = client
        .ping_interval
        .get()
        .min(client.pong_timeout.get())
        .min(client.stale_close_delay.get());
    (shortest / 4).clamp(Duration::from_millis(10), Duration::from_secs(1))
}

/// A duration in ticks, rounded up, at least one.
pub(super) fn ticks(duration: Duration, tick: Duration) -> Tick {
    let ticks = duration.as_nanos().div_ceil(tick.as_nanos().max(1));
    Tick::try_from(ticks).unwrap_or(NEVER - 1).max(1)
}

impl Shard {
    /// Turns the wheel.
    pub(super) async fn ticker(self: Rc<Self>) {
        let mut interval = interval(self.tick);
        interval.set_missed_tick_behavior(MissedTickBehavior::Burst);
        interval.tick().await;
        let mut fired = Vec::new();
        loop {
            interval.tick().await;
            let began = Instant::now();
            let mut state = self.state.borrow_mut();
            state.wheel.turn(&mut fired);
            let mut turn = Turn::new(&self, &mut state);
            for key in fired.drain(..) {
                turn.fire(key);
            }
            turn.finish(began);
        }
    }
}

impl State {
    /// Sets the deadline at which the connection ends.
    pub(super) fn set_end(&mut self, key: ConnKey, end: Tick) {
        if let Some(conn) = self.get_mut(key) {
            conn.deadlines.end = end;
        }
        self.arm(key);
    }

    /// Puts the connection's earliest deadline onto the wheel, unless an entry fires before it anyway.
    pub(super) fn arm(&mut self, key: ConnKey) {
        let Some(conn) = self.get(key) else { return };
        let (next, armed) = (conn.deadlines.next(), conn.deadlines.armed);
        if next < armed {
            let fires = self.wheel.arm(key, next);
            if let Some(conn) = self.get_mut(key) {
                conn.deadlines.armed = fires;
            }
        }
    }
}

impl Turn<'_> {
    /// Starts the pings of an authenticated client, spread so that they never clump.
    pub(super) fn start_pings(&mut self, key: ConnKey) {
        let interval = self
            .shard
            .ticks(self.shard.services.settings.boot.client.ping_interval.get());
        let first = rand::rng().random_range(interval.div_ceil(2)..interval.max(2));
        let now = self.state.wheel.now();
        if let Some(conn) = self.state.get_mut(key) {
            conn.deadlines.ping = now.saturating_add(first);
            conn.deadlines.end = NEVER;
        }
        self.state.arm(key);
    }

    /// Ends the connection some time after `unix_time`, unless that is moved.
    pub(super) fn expire_at(&mut self, key: ConnKey, at: Option<u64>) {
        let grace = self
            .shard
            .services
            .settings
            .boot
            .client
            .expired_close_delay
            .get();
        let end = at.map_or(NEVER, |at| {
            let left = Duration::from_secs(at.saturating_sub(unix_time()));
            self.state
                .wheel
                .now()
                .saturating_add(self.shard.ticks(left.saturating_add(grace)))
        });
        self.state.set_end(key, end);
    }

    /// Looks at expiring subscriptions from time to time, spread over the interval.
    pub(super) fn start_checks(&mut self, key: ConnKey) {
        let client = &self.shard.services.settings.boot.client;
        let interval = self.shard.ticks(client.presence_update_interval.get());
        let first = rand::rng().random_range(interval.div_ceil(2)..interval.max(2));
        let due = self.state.wheel.now().saturating_add(first);
        if let Some(conn) = self.state.get_mut(key)
            && conn.deadlines.check == NEVER
        {
            conn.deadlines.check = due;
        }
        self.state.arm(key);
    }

    /// Ends subscriptions whose time is over; looks again if others have one.
    fn check_subscriptions(&mut self, key: ConnKey, now: Tick) {
        let Some(conn) = self.state.get_mut(key) else {
            return;
        };
        let client = &self.shard.services.settings.boot.client;
        let grace = client.expired_sub_close_delay.get().as_secs();
        let interval = self.shard.ticks(client.presence_update_interval.get());
        let oldest = unix_time().saturating_sub(grace);
        let mut over = Vec::new();
        let mut more = false;
        for subscription in &conn.subscriptions {
            let grant = subscription.grant.as_ref();
            let Some((at, server_side)) =
                grant.and_then(|it| Some((it.expire_at?, it.server_side)))
            else {
                continue;
            };
            if at < oldest {
                over.push((subscription.channel, server_side));
            } else {
                more = true;
            }
        }
        conn.deadlines.check = if more {
            now.saturating_add(interval)
        } else {
            NEVER
        };
        for (channel, server_side) in over {
            if server_side {
                return self.close(key, &DisconnectCode::SubscriptionExpired.into());
            }
            self.push_unsubscribe(key, channel, UnsubscribeCode::SubscriptionExpired);
        }
    }

    fn fire(&mut self, key: ConnKey) {
        let now = self.state.wheel.now();
        let Some(conn) = self.state.get_mut(key) else {
            return;
        };
        if conn.deadlines.armed != now {
            return;
        }
        conn.deadlines.armed = NEVER;
        if conn.deadlines.end <= now {
            return self.end(key);
        }
        if conn.deadlines.pong <= now {
            if Pings::of(conn.variant, &conn.link).frame {
                return self.lost(key);
            }
            if conn.phase != Phase::Calling {
                return self.close(key, &DisconnectCode::NoPong.into());
            }
            // Its pong is a message like another: it may be parked behind a command that we have not answered.
            conn.deadlines.pong = now.saturating_add(1);
        }
        let (ping, check) = (conn.deadlines.ping <= now, conn.deadlines.check <= now);
        if ping {
            self.ping(key, now);
        }
        if check {
            self.check_subscriptions(key, now);
        }
        self.state.arm(key);
    }

    /// A client that does not answer frames is not there to read a close frame.
    fn lost(&mut self, key: ConnKey) {
        let code = DisconnectCode::NoPong.code();
        self.shard.handle.counters.disconnect(code);
        self.cut(key);
    }

    /// The connection's time is over.
    fn end(&mut self, key: ConnKey) {
        let Some(conn) = self.state.get(key) else {
            return;
        };
        match conn.phase {
            Phase::Dead(Ending::Cut) | Phase::Closing => self.cut(key),
            Phase::Dead(Ending::Stale) => self.close(key, &DisconnectCode::Stale.into()),
            Phase::Open | Phase::Calling => {
                let code = if conn.session.is_ready() {
                    DisconnectCode::ConnectionExpired
                } else {
                    DisconnectCode::Stale
                };
                self.close(key, &code.into());
            }
        }
    }

    fn ping(&mut self, key: ConnKey, now: Tick) {
        let client = &self.shard.services.settings.boot.client;
        let interval = self.shard.ticks(client.ping_interval.get());
        let patience = self.shard.ticks(client.pong_timeout.get());
        let Some(conn) = self.state.get_mut(key) else {
            return;
        };
        conn.deadlines.ping = now.saturating_add(interval);
        if conn.phase == Phase::Calling && conn.deadlines.pong != NEVER {
            // The pong to the last one may be parked; another ping would call for a second one.
            return;
        }
        let pings = Pings::of(conn.variant, &conn.link);
        if pings.answered() {
            conn.deadlines.pong = now.saturating_add(patience);
        }
        conn.outbox.shrink();
        let frame = self.state.ping(pings);
        self.push(key, frame);
    }
}

/// What the pings of a connection consist of. Connections with equal ones share a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pings {
    variant: Variant,
    /// An empty message.
    message: bool,
    /// A ping frame of WebSocket, which clients answer by themselves.
    frame: bool,
}

impl Pings {
    fn of(variant: Variant, link: &Link) -> Self {
        let (message, frame) = match link {
            Link::Duplex { frame_pings } => (!frame_pings, *frame_pings),
            Link::Emulated(_) => (true, false),
            Link::Unidirectional(_) => (true, variant.framing.is_websocket()),
        };
        Self {
            variant,
            message,
            frame,
        }
    }

    /// Whether the client must answer.
    fn answered(self) -> bool {
        self.frame || !self.variant.unidirectional
    }

    fn bytes(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if self.message {
            bytes.extend(self.variant.frame(self.variant.encoding.ping(), None));
        }
        if self.frame {
            bytes.extend(frame::ping());
        }
        bytes
    }
}

impl State {
    /// The shared frame of these pings.
    fn ping(&mut self, pings: Pings) -> Rc<Frame> {
        if let Some((_, frame)) = self.pings.iter().find(|(known, _)| *known == pings) {
            return Rc::clone(frame);
        }
        let frame = Frame::new(pings.bytes());
        self.pings.push((pings, Rc::clone(&frame)));
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Framing;

    #[test]
    fn a_tick_is_a_quarter_of_the_shortest_interval() {
        let client = Client::default();
        assert_eq!(tick(&client), Duration::from_secs(1));
        let client = Client {
            pong_timeout: tidewire_config::Duration::from_millis(200),
            ..Client::default()
        };
        assert_eq!(tick(&client), Duration::from_millis(50));
    }

    #[test]
    fn pings_are_messages_frames_or_both() {
        let session = || Box::new(uuid::Uuid::nil());
        let json = Variant::websocket(tidewire_protocol::Encoding::Json);
        let tool = Pings::of(json, &Link::Duplex { frame_pings: true });
        assert_eq!((tool.bytes(), tool.answered()), (b"\x89\0".to_vec(), true));
        let sdk = Pings::of(json, &Link::Duplex { frame_pings: false });
        assert_eq!(
            (sdk.bytes(), sdk.answered()),
            (b"\x81\x02{}".to_vec(), true)
        );
        let uni = Variant::unidirectional(Framing::WebSocket);
        let both = Pings::of(uni, &Link::Unidirectional(session()));
        assert_eq!(
            (both.bytes(), both.answered()),
            (b"\x81\x02{}\x89\0".to_vec(), true)
        );
        let sse = Variant::unidirectional(Framing::Sse);
        let events = Pings::of(sse, &Link::Unidirectional(session()));
        assert_eq!(
            (events.bytes(), events.answered()),
            (b"data: {}\n\n".to_vec(), false)
        );
        let emulated =
            Variant::bidirectional(tidewire_protocol::Encoding::Protobuf, Framing::HttpStream);
        let message = Pings::of(emulated, &Link::Emulated(session()));
        assert_eq!(
            (message.bytes(), message.answered()),
            (b"\0".to_vec(), true)
        );
    }

    #[test]
    fn durations_round_up_to_whole_ticks() {
        let tick = Duration::from_millis(100);
        assert_eq!(ticks(Duration::from_millis(101), tick), 2);
        assert_eq!(ticks(Duration::ZERO, tick), 1);
        assert_eq!(ticks(Duration::MAX, tick), NEVER - 1);
    }
}
