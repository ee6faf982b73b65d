//! A session fed arbitrary commands, over a real memory engine that sometimes fails, while backends interfere.
//!
//! Its promises: a command gets one reply with its number, unless it ends the connection; after a refused connect
//! there is none at all; no subscription is left half open; a reply comes before what it announces.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use tidewire_config::load;
use tidewire_protocol::{
    ClientInfo, Command, ConnectRequest, Encoding, FilterNode, HistoryRequest, PingRequest,
    PresenceRequest, PresenceStatsRequest, PublishRequest, RPCRequest, RefreshRequest, SendRequest,
    StreamPosition, SubRefreshRequest, SubscribeRequest, UnsubscribeRequest, decode,
};

use super::tape::Tape;
use crate::auth::{InvalidToken, TokenError};
use crate::broker::{Broker, BrokerError, Channels, Delivery, Inbox, Memory};
use crate::config::Live;
use crate::session::{Answer, Call, Link, Request, Session, Step};

use place::Place;

mod place;

/// The time that sessions see, in seconds since the Unix epoch.
const NOW: u64 = 1_800_000_000;

/// Commands of a session that wait at a time.
const CONCURRENCY: usize = 3;

/// Commands of all sessions of an input.
const COMMANDS_MAX: usize = 200;

static LIVE: LazyLock<Live> = LazyLock::new(|| {
    let all = json!({
        "allow_subscribe_for_client": true, "allow_publish_for_subscriber": true,
        "allow_presence_for_subscriber": true, "allow_history_for_subscriber": true,
        "history_size": 3, "history_ttl": "60s", "presence": true, "join_leave": true,
        "allow_tags_filter": true, "allowed_delta_types": ["fossil"], "delta_publish": true,
        "allow_user_limited_channels": true,
    });
    let with = |name: &str, more: Value| {
        let mut options = all.clone();
        tidewire_config::merge(&mut options, more);
        options["name"] = name.into();
        options
    };
    let options = json!({
        "client": {
            "token": {"hmac_secret_key": "secret"},
            "allow_anonymous_connect_without_token": true,
            "channel_limit": 4,
            "user_connection_limit": 1,
            "recovery_max_publication_limit": 2,
            "subscribe_to_user_personal_channel": {
                "enabled": true, "personal_channel_namespace": "stream", "single_connection": true,
            },
        },
        "channel": {"namespaces": [
            with("stream", json!({"force_recovery": true})),
            with("cache", json!({"force_recovery": true, "force_recovery_mode": "cache", "auto_cache_recover": true})),
            with("free", json!({"allow_positioning": true, "allow_subscribe_for_anonymous": true})),
            {"name": "bare"},
        ]},
    });
    let config = load::from_value("fuzz", &options)
        .expect("good options")
        .config;
    assert_eq!(config.check(), Ok(()));
    let boot = Arc::new(config.clone());
    Live::new(config, boot, String::new(), &Default::default()).expect("good options")
});

const CHANNELS: [&str; 11] = [
    "stream:a",
    "stream:b",
    "stream:#42",
    "stream:#43",
    "cache:a",
    "free:a",
    "free:b",
    "bare:a",
    "$free:a",
    "unknown:a",
    "none",
];

static TOKENS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let key = EncodingKey::from_secret(b"secret");
    let soon = NOW + 60;
    let claims = [
        json!({"sub": "42"}),
        json!({"sub": "42", "exp": soon}),
        json!({"sub": "42", "exp": NOW - 1}),
        json!({"sub": "43"}),
        json!({}),
        json!({"sub": "42", "channels": ["stream:a", "cache:a"]}),
        json!({"sub": "42", "subs": {"free:b": {"override": {"force_recovery": {"value": true}}}}}),
        json!({"sub": "42", "channels": ["stream:a", "stream:b", "cache:a", "free:a", "free:b"]}),
        json!({"sub": "42", "channels": ["unknown:a"]}),
        json!({"sub": "42", "channel": "stream:a"}),
        json!({"sub": "42", "channel": "stream:a", "exp": soon, "info": {"a": 1}}),
        json!({"sub": "42", "channel": "stream:a", "exp": NOW - 1}),
        json!({"sub": "42", "channel": "$free:a"}),
        json!({"sub": "42", "channel": "bare:a", "expire_at": soon}),
        json!({"channel": "free:a"}),
    ];
    let signed = |claims: &Value| encode(&Header::default(), claims, &key).expect("a key");
    let bad = [String::new(), "eyJ".to_owned()];
    claims.iter().map(signed).chain(bad).collect()
});

/// An inbox that is full from time to time, and takes nothing in.
#[derive(Default)]
struct Drain {
    full: AtomicBool,
}

impl Inbox for Drain {
    fn has_room(&self, _: usize) -> bool {
        !self.full.load(Ordering::Relaxed)
    }

    fn push(&self, _: Delivery) {}

    fn room(&self) -> BoxFuture<'_, ()> {
        std::future::ready(()).boxed()
    }
}

/// A session, its place, and the broker that it shares with those before it.
struct Client<'b> {
    session: Session,
    place: Place,
    broker: &'b Broker,
    inbox: &'b Drain,
    next_id: u32,
    /// Commands that wait for an answer, with their numbers.
    waiting: Vec<(u32, Call)>,
}

/// Lives of sessions, one after the other, out of any bytes.
pub fn session(input: &[u8]) {
    let mut tape = Tape(input);
    let inbox = Arc::new(Drain::default());
    let channels = Channels::new(vec![Arc::clone(&inbox) as Arc<dyn Inbox>]);
    let broker = Broker::Memory(Memory::new(Arc::new(channels)));
    let mut left = COMMANDS_MAX;
    while !tape.is_over() {
        let encoding = if tape.flag() {
            Encoding::Protobuf
        } else {
            Encoding::Json
        };
        let link = match tape.byte() {
            0..32 => Link::Emulated(Box::default()),
            32..64 => Link::Unidirectional(Box::default()),
            _ => Link::PLAIN,
        };
        let client = Client {
            session: Session::new(encoding, tape.seldom().then(|| "42".into())),
            place: Place::new(&LIVE, encoding, link),
            broker: &broker,
            inbox: &inbox,
            next_id: 1,
            waiting: Vec::new(),
        };
        client.live(&mut tape, &mut left);
    }
}

impl Client<'_> {
    fn live(mut self, tape: &mut Tape<'_>, left: &mut usize) {
        // Most lives begin with a connect, or they would be short.
        if self.place.is_unidirectional() || !tape.seldom() {
            let connect = connect(tape, 1);
            self.run(connect, tape);
        }
        while !tape.is_over() && !self.place.is_over() && !self.place.is_unidirectional() {
            let Some(fewer) = left.checked_sub(1) else {
                // The rest would only take time.
                tape.take(usize::MAX);
                break;
            };
            *left = fewer;
            for command in self.commands(tape) {
                self.run(command, tape);
            }
        }
        while !self.place.is_over() && !self.waiting.is_empty() {
            self.answer_one(tape);
        }
    }

    /// The next command, or a frame of them.
    fn commands(&mut self, tape: &mut Tape<'_>) -> Vec<Command> {
        if tape.seldom() {
            let length = usize::from(tape.byte());
            let frame = decode::commands(self.session.who().encoding, tape.take(length));
            // The shard sorts out pongs, and closes for what is malformed.
            let commands = frame.map_while(Result::ok);
            return commands
                .filter(|command| command.id > 0 || command.send.is_some())
                .collect();
        }
        self.next_id += 1;
        vec![command(tape, self.next_id)]
    }

    fn run(&mut self, command: Command, tape: &mut Tape<'_>) {
        if self.place.is_over() {
            return;
        }
        let id = command.id;
        self.place.begin();
        let step = self.session.handle(command, &mut self.place);
        self.after(id, step, tape);
    }

    /// Does as the shard does after each step of a command.
    fn after(&mut self, id: u32, step: Step, tape: &mut Tape<'_>) {
        match step {
            Step::Idle => {
                self.place.answered(id, &self.session, self.waiting.len());
                self.interfere(tape);
            }
            Step::Call(call) => {
                self.place.no_reply_yet();
                self.waiting.push((id, call));
                let full = self.waiting.len() >= CONCURRENCY;
                if full || self.session.is_connecting() || tape.flag() {
                    self.answer_one(tape);
                }
            }
            Step::Close(reason) => {
                assert!(reason.code >= 3000, "{reason:?}");
                self.place.closed();
            }
            Step::Refused(_) => {
                assert!(self.place.is_unidirectional());
                assert!(!self.session.is_ready());
                self.place.closed();
            }
            Step::Dead => {
                self.place.refused(id);
                assert!(!self.session.is_ready());
                let next = self.session.handle(connect(tape, 2), &mut self.place);
                assert!(matches!(next, Step::Close(_)), "{next:?}");
                self.place.refused(id);
            }
        }
    }

    /// Answers one of the commands that wait, whichever.
    fn answer_one(&mut self, tape: &mut Tape<'_>) {
        let at = usize::from(tape.byte()) % self.waiting.len();
        let (id, Call { request, then }) = self.waiting.swap_remove(at);
        self.interfere(tape);
        let answer = self.answer(*request, tape);
        self.place.begin();
        let step = self.session.resume(then, answer, &mut self.place);
        self.after(id, step, tape);
    }

    /// What others do at the same time.
    fn interfere(&mut self, tape: &mut Tape<'_>) {
        let channel = tape.one_of(&CHANNELS);
        match tape.byte() {
            // The backend unsubscribes the client, live or opening.
            0..16 => self.place.unsubscribed(channel),
            16..32 => self.place.expired(channel),
            32..48 => {
                let removed = self.broker.remove_history(channel).now_or_never();
                assert!(matches!(removed, Some(Ok(()))));
            }
            48..56 => self.inbox.full.store(true, Ordering::Relaxed),
            56..64 => self.inbox.full.store(false, Ordering::Relaxed),
            _ => {}
        }
    }

    fn answer(&self, request: Request, tape: &mut Tape<'_>) -> Answer {
        let broken = tape.seldom();
        let failed = || match tape.0.len() % 3 {
            0 => BrokerError::Disconnected,
            1 => BrokerError::NoHistory,
            _ => BrokerError::BadChannel,
        };
        let unavailable = || TokenError::Invalid(InvalidToken::KeysUnavailable);
        let now = NOW as f64;
        match request {
            Request::Verify { .. } if broken => Answer::Verified(Err(unavailable())),
            Request::Verify { token } => {
                let verified = LIVE.verifier.verify_connect_now(&token, now);
                Answer::Verified(verified.expect("no key is fetched").map(Box::new))
            }
            Request::VerifySubscription { .. } if broken => {
                Answer::VerifiedSubscription(Err(unavailable()))
            }
            Request::VerifySubscription { token } => {
                let verified = LIVE.subscription_verifier.verify_subscribe_now(&token, now);
                Answer::VerifiedSubscription(verified.expect("no key is fetched").map(Box::new))
            }
            Request::Attach { .. } if broken => Answer::Attached(Err(failed())),
            Request::Attach { channel, options } => {
                let attached = self.broker.attach_now(&channel, 0, &options);
                Answer::Attached(attached.expect("memory answers at once"))
            }
            Request::Publish { .. } if broken => Answer::Published(Err(failed())),
            Request::Publish {
                channel,
                publication,
                options,
            } => {
                let published = self.broker.publish_now(&channel, &publication, &options);
                Answer::Published(published.expect("memory answers at once"))
            }
            Request::History { .. } if broken => Answer::History(Err(failed())),
            Request::History {
                channel,
                filter,
                options,
            } => {
                let page = self
                    .broker
                    .history(&channel, &filter, options)
                    .now_or_never();
                Answer::History(page.expect("memory answers at once"))
            }
            Request::DisconnectUser { .. } => Answer::DisconnectedUser(!broken),
            Request::Presence { .. } if broken => Answer::Presence(None),
            Request::Presence { .. } => {
                let info = ClientInfo::default();
                Answer::Presence(Some([("a".to_owned(), info)].into()))
            }
        }
    }
}

fn connect(tape: &mut Tape<'_>, id: u32) -> Command {
    let token = token(tape);
    let wanted = usize::from(tape.byte().saturating_sub(250));
    let subs = (0..wanted)
        .map(|_| {
            let request = subscribe(tape);
            (request.channel.clone(), request)
        })
        .collect();
    Command {
        id,
        connect: Some(ConnectRequest {
            token,
            subs,
            ..ConnectRequest::default()
        }),
        ..Command::default()
    }
}

fn subscribe(tape: &mut Tape<'_>) -> SubscribeRequest {
    let channel = channel(tape);
    let wishes = tape.byte();
    let is = |bit: u8| wishes >> bit & 1 == 1;
    let special = tape.byte();
    SubscribeRequest {
        channel,
        token: if special < 64 {
            token(tape)
        } else {
            String::new()
        },
        recover: is(0) || is(1),
        positioned: is(2),
        recoverable: is(3),
        join_leave: is(4),
        delta: if is(5) { "fossil" } else { "" }.to_owned(),
        tf: is(6).then(|| Box::new(filter(tape))),
        flag: i64::from(is(7)) * 3,
        offset: u64::from(tape.byte() % 8),
        epoch: tape.one_of(&["", "", "another"]).to_owned(),
        r#type: i32::from(special == 255) * 4,
        ..SubscribeRequest::default()
    }
}

fn filter(tape: &mut Tape<'_>) -> FilterNode {
    FilterNode {
        op: tape.one_of(&["", "", "", "and", "x"]).to_owned(),
        key: "k".to_owned(),
        cmp: tape.one_of(&["ex", "eq", "nex", "x"]).to_owned(),
        ..FilterNode::default()
    }
}

fn channel(tape: &mut Tape<'_>) -> String {
    match tape.byte() {
        255 => "free:".repeat(200),
        254 => String::new(),
        _ => tape.one_of(&CHANNELS).to_owned(),
    }
}

fn token(tape: &mut Tape<'_>) -> String {
    TOKENS[usize::from(tape.byte()) % TOKENS.len()].clone()
}

fn command(tape: &mut Tape<'_>, id: u32) -> Command {
    let kind = tape.byte() % 32;
    let mut command = Command {
        id,
        ..Command::default()
    };
    match kind {
        0..12 => command.subscribe = Some(subscribe(tape)),
        12..18 => {
            let channel = channel(tape);
            command.unsubscribe = Some(UnsubscribeRequest { channel });
        }
        18..23 => {
            command.publish = Some(PublishRequest {
                channel: channel(tape),
                data: tape.one_of(&["{}", "1", "", "no JSON"]).to_owned().into(),
                r#type: i32::from(tape.seldom()),
                ..PublishRequest::default()
            });
        }
        23 => {
            command.presence = Some(PresenceRequest {
                channel: channel(tape),
            });
        }
        24 => {
            command.presence_stats = Some(PresenceStatsRequest {
                channel: channel(tape),
            });
        }
        25 => {
            command.history = Some(HistoryRequest {
                channel: channel(tape),
                limit: i32::from(tape.byte()) - 100,
                since: tape.flag().then(|| StreamPosition {
                    offset: u64::from(tape.byte() % 8),
                    epoch: tape.one_of(&["", "another"]).to_owned(),
                }),
                reverse: tape.flag(),
            });
        }
        26 => command.refresh = Some(RefreshRequest { token: token(tape) }),
        27 | 28 => {
            command.sub_refresh = Some(SubRefreshRequest {
                channel: channel(tape),
                token: token(tape),
                ..SubRefreshRequest::default()
            });
        }
        29 => command.rpc = Some(RPCRequest::default()),
        30 if tape.seldom() => command.connect = connect(tape, id).connect,
        31 if tape.seldom() => command.send = Some(SendRequest::default()),
        31 if tape.seldom() => command.ping = Some(PingRequest::default()),
        _ => command.rpc = Some(RPCRequest::default()),
    }
    command
}
