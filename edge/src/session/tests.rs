//! Sessions without sockets and without a runtime: a context that records, and services that answer at once.

use std::collections::BTreeMap;

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use tidewire_config::load;
use tidewire_protocol::{
    Command, ConnectRequest, PingRequest, PresenceRequest, PresenceStatsRequest, PublishRequest,
    RPCRequest, RefreshRequest, SendRequest, SubscribeRequest, UnsubscribeRequest,
};

use super::*;
use crate::broker::Position;

mod concurrency;
mod past;
mod plans;
mod questions;
mod recovery;
mod server_side;
mod tokens;

const NOW: u64 = 1_800_000_000;
const YEAR: u64 = 365 * 24 * 3600;

/// What a command came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Came {
    /// A reply without error; the session goes on.
    Done,
    /// An error reply; the session goes on.
    Error(u32),
    /// An error reply to `connect`; the connection is unusable.
    Refused(u32),
    /// The connection is closed with this code.
    Closed(u32),
}
use Came::{Closed, Done, Error, Refused};

/// A shard's place: records what the session asks of it.
struct Place {
    live: Live,
    link: Link,
    now: u64,
    replies: Vec<Reply>,
    identified: Vec<String>,
    expire_at: Option<u64>,
    /// Live ones, and the numbers of those that open.
    subscriptions: BTreeMap<String, Result<Grant, u32>>,
    openings: u32,
    /// Subscriptions that were ended because their time is over.
    expired: Vec<String>,
    /// What an attach to a stream finds.
    stream: Option<Attached>,
    /// What attaches asked for.
    attached: Vec<AttachOptions>,
    /// What history commands asked for.
    read: Vec<HistoryFilter>,
    published: Vec<(String, Publication)>,
    /// What the broker answers to the next attach or publish.
    broken: Option<BrokerError>,
}

impl Ctx for Place {
    fn live(&self) -> &Live {
        &self.live
    }

    fn link(&self) -> &Link {
        &self.link
    }

    fn node(&self) -> &str {
        "node"
    }

    fn unix_time(&self) -> u64 {
        self.now
    }

    fn reply(&mut self, reply: Reply) {
        self.replies.push(reply);
    }

    fn identified(&mut self, user: &str) -> bool {
        let limit = self.live.boot.client.user_connection_limit as usize;
        let known = self.identified.iter().filter(|it| *it == user).count();
        let allowed = limit == 0 || user.is_empty() || known < limit;
        if allowed {
            self.identified.push(user.to_owned());
        }
        allowed
    }

    fn expire_at(&mut self, unix_time: Option<u64>) {
        self.expire_at = unix_time;
    }

    fn subscribed(&self, channel: &str) -> Subscribed {
        match self.subscriptions.get(channel) {
            None => Subscribed::No,
            Some(Err(number)) => Subscribed::Opening(*number),
            Some(Ok(_)) => Subscribed::Yes,
        }
    }

    fn subscriptions(&self) -> usize {
        self.subscriptions.len()
    }

    fn grant(&self, channel: &str) -> Option<&Grant> {
        self.subscriptions.get(channel)?.as_ref().ok()
    }

    fn open(&mut self, channel: &str) -> u32 {
        self.openings += 1;
        self.subscriptions
            .insert(channel.to_owned(), Err(self.openings));
        self.openings
    }

    fn settle(&mut self, channel: &str, to: Settle) {
        match to {
            Settle::Ended => drop(self.subscriptions.remove(channel)),
            Settle::Expired => {
                self.subscriptions.remove(channel);
                self.expired.push(channel.to_owned());
            }
            Settle::Refreshed(Refreshed { member, expire_at }) => {
                if let Some(Ok(grant)) = self.subscriptions.get_mut(channel) {
                    grant.member = Some(member);
                    grant.expire_at = expire_at;
                }
            }
            Settle::Live(grant) => {
                if let Some(opening @ Err(_)) = self.subscriptions.get_mut(channel) {
                    *opening = Ok(grant);
                }
            }
        }
    }
}

/// A session in its place.
struct Client {
    session: Session,
    place: Place,
}

impl Client {
    fn new(options: &Value) -> Self {
        let config = load::from_value("test", options).unwrap().config;
        assert_eq!(config.check(), Ok(()), "{options}");
        Self {
            session: Session::new(tidewire_protocol::Encoding::Json, None),
            place: Place {
                live: Live::new(
                    config.clone(),
                    config.into(),
                    String::new(),
                    &Default::default(),
                )
                .unwrap(),
                link: Link::PLAIN,
                now: NOW,
                replies: Vec::new(),
                identified: Vec::new(),
                expire_at: None,
                subscriptions: BTreeMap::new(),
                openings: 0,
                expired: Vec::new(),
                stream: None,
                attached: Vec::new(),
                read: Vec::new(),
                published: Vec::new(),
                broken: None,
            },
        }
    }

    /// A connected client of this user; "" is anonymous.
    fn connected(options: &Value, user: &str) -> Self {
        let mut client = Self::new(&with_key(options));
        assert_eq!(client.connect(&token(&json!({"sub": user}))), Done);
        client
    }

    fn run(&mut self, command: Command) -> Came {
        let id = command.id;
        let before = self.place.replies.len();
        let step = self.session.handle(command, &mut self.place);
        let step = self.finish(step);
        let replies = self.place.replies.split_off(before);
        let error = match replies.as_slice() {
            [] => None,
            [reply] => {
                assert_eq!(reply.id, id);
                Some(reply.error.as_ref().map(|error| error.code))
            }
            more => panic!("more than one reply: {more:?}"),
        };
        self.place.replies.extend(replies);
        match (step, error) {
            (Step::Idle, Some(None)) => Done,
            (Step::Idle, Some(Some(code))) => Error(code),
            (Step::Dead, Some(Some(code))) => Refused(code),
            (Step::Close(reason), None) => Closed(reason.code),
            other => panic!("not an outcome of a command: {other:?}"),
        }
    }

    /// Answers requests as the services would, until the session has no more.
    fn finish(&mut self, mut step: Step) -> Step {
        while let Step::Call(Call { request, then }) = step {
            let answer = self.answer(*request);
            step = self.session.resume(then, answer, &mut self.place);
        }
        step
    }

    fn answer(&mut self, request: Request) -> Answer {
        let broken = self.place.broken.take();
        let now = self.place.now as f64 + 0.5;
        let verifier = &self.place.live.verifier;
        let subscription_verifier = &self.place.live.subscription_verifier;
        match request {
            Request::Verify { token } => Answer::Verified(
                verifier
                    .verify_connect_now(&token, now)
                    .unwrap()
                    .map(Box::new),
            ),
            Request::VerifySubscription { token } => Answer::VerifiedSubscription(
                subscription_verifier
                    .verify_subscribe_now(&token, now)
                    .unwrap()
                    .map(Box::new),
            ),
            Request::Attach { options, .. } => {
                let attached = match (options.stream, &self.place.stream) {
                    (Some(_), Some(found)) => found.clone(),
                    _ => Attached::default(),
                };
                self.place.attached.push(options);
                Answer::Attached(broken.map_or(Ok(attached), Err))
            }
            Request::Publish {
                channel,
                publication,
                ..
            } => {
                if broken.is_none() {
                    self.place.published.push((channel.into(), *publication));
                }
                Answer::Published(broken.map_or(Ok(Outcome::default()), Err))
            }
            Request::History { filter, .. } => {
                self.place.read.push(filter);
                let page = HistoryPage {
                    top: Position {
                        offset: 7,
                        epoch: "e".into(),
                    },
                    ..HistoryPage::default()
                };
                Answer::History(broken.map_or(Ok(page), Err))
            }
            Request::Presence { channel } => {
                let client = |client: &str, user: &str| {
                    let info = ClientInfo {
                        client: client.to_owned(),
                        user: user.to_owned(),
                        ..ClientInfo::default()
                    };
                    (client.to_owned(), info)
                };
                assert!(!channel.is_empty());
                let clients = [client("a", "1"), client("b", "1"), client("c", "")];
                Answer::Presence(Some(clients.into()))
            }
            Request::DisconnectUser { user } => {
                self.place.identified.retain(|it| **it != *user);
                Answer::DisconnectedUser(broken.is_none())
            }
        }
    }

    fn connect(&mut self, token: &str) -> Came {
        self.run(connect(token))
    }

    fn subscribe(&mut self, channel: &str) -> Came {
        self.run(subscribe(SubscribeRequest {
            channel: channel.to_owned(),
            ..SubscribeRequest::default()
        }))
    }

    /// Subscribes as this request says.
    fn subscribe_as(&mut self, request: SubscribeRequest) -> Came {
        self.run(subscribe(request))
    }

    /// What the live subscription was granted.
    fn granted(&self, channel: &str) -> Grant {
        self.place.subscriptions[channel].clone().unwrap()
    }

    fn publish(&mut self, channel: &str, data: &str) -> Came {
        self.run(publish(channel, data))
    }

    fn refresh(&mut self, token: &str) -> Came {
        self.run(Command {
            id: 9,
            refresh: Some(RefreshRequest {
                token: token.to_owned(),
            }),
            ..Command::default()
        })
    }

    fn last(&self) -> &Reply {
        self.place.replies.last().unwrap()
    }
}

fn connect(token: &str) -> Command {
    Command {
        id: 1,
        connect: Some(ConnectRequest {
            token: token.to_owned(),
            ..ConnectRequest::default()
        }),
        ..Command::default()
    }
}

fn subscribe(request: SubscribeRequest) -> Command {
    Command {
        id: 2,
        subscribe: Some(request),
        ..Command::default()
    }
}

fn publish(channel: &str, data: &str) -> Command {
    Command {
        id: 3,
        publish: Some(PublishRequest {
            channel: channel.to_owned(),
            data: data.to_owned().into(),
            ..PublishRequest::default()
        }),
        ..Command::default()
    }
}

fn unsubscribe(channel: &str) -> Command {
    Command {
        id: 4,
        unsubscribe: Some(UnsubscribeRequest {
            channel: channel.to_owned(),
        }),
        ..Command::default()
    }
}

/// Commands whose features the channel does not have.
fn others() -> Vec<Command> {
    let command = Command {
        id: 5,
        ..Command::default()
    };
    let channel = || "a".to_owned();
    vec![
        Command {
            presence: Some(PresenceRequest { channel: channel() }),
            ..command.clone()
        },
        Command {
            presence_stats: Some(PresenceStatsRequest { channel: channel() }),
            ..command.clone()
        },
        Command {
            rpc: Some(RPCRequest::default()),
            ..command.clone()
        },
        Command {
            history: Some(tidewire_protocol::HistoryRequest {
                channel: channel(),
                ..Default::default()
            }),
            ..command
        },
    ]
}

fn send() -> Command {
    Command {
        send: Some(SendRequest::default()),
        ..Command::default()
    }
}

/// A command without any request, and one with only `ping`.
fn senseless() -> [Command; 2] {
    let command = Command {
        id: 6,
        ..Command::default()
    };
    let ping = Command {
        ping: Some(PingRequest::default()),
        ..command.clone()
    };
    [command, ping]
}

fn token(claims: &Value) -> String {
    signed(claims, "secret")
}

fn signed(claims: &Value, secret: &str) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    encode(&Header::default(), claims, &key).unwrap()
}

fn with_key(options: &Value) -> Value {
    let mut all = json!({"client": {"token": {"hmac_secret_key": "secret"}}});
    tidewire_config::merge(&mut all, options.clone());
    all
}

#[test]
fn who_connects_is_decided_in_the_order_of_the_contract() {
    let anonymous = json!({"client": {"allow_anonymous_connect_without_token": true}});
    let insecure = json!({"client": {"insecure": true}});
    let known_only = json!({"client": {"disallow_anonymous_connection_tokens": true}});
    let nothing = json!({});
    let audience = json!({"client": {"token": {"audience": "me", "issuer": "it"}}});
    let user = || token(&json!({"sub": "42"}));
    let expired = || token(&json!({"sub": "42", "exp": NOW - 1}));
    #[rustfmt::skip]
    let rows: Vec<(&str, &Value, String, Came)> = vec![
        ("valid token", &nothing, user(), Done),
        ("token without user", &nothing, token(&json!({})), Done),
        ("token expired", &nothing, expired(), Refused(109)),
        ("token not valid yet", &nothing, token(&json!({"nbf": NOW + 5})), Refused(109)),
        ("not a token", &nothing, "x".into(), Closed(3500)),
        ("another key", &nothing, signed(&json!({"sub": "42"}), "other"), Closed(3500)),
        ("expired and of another key", &nothing, signed(&json!({"exp": 1}), "other"), Closed(3500)),
        ("user is a number", &nothing, token(&json!({"sub": 42})), Closed(3500)),
        ("subscription token", &nothing, token(&json!({"sub": "42", "channel": "c"})), Closed(3500)),
        ("wrong audience", &audience, token(&json!({"aud": "you", "iss": "it"})), Closed(3500)),
        ("wrong issuer", &audience, token(&json!({"aud": "me", "iss": "you"})), Closed(3500)),
        ("right audience, issuer", &audience, token(&json!({"aud": ["me"], "iss": "it"})), Done),
        ("nobody, but users only", &known_only, token(&json!({})), Closed(3507)),
        ("somebody, users only", &known_only, user(), Done),
        ("expiry in the past", &nothing, token(&json!({"expire_at": NOW - 1})), Refused(110)),
        ("expires this very second", &nothing, token(&json!({"expire_at": NOW})), Refused(110)),
        ("token wins over anonymous", &anonymous, "x".into(), Closed(3500)),
        ("token wins over insecure", &insecure, "x".into(), Closed(3500)),
        ("insecure, token expired", &insecure, expired(), Refused(109)),
        ("insecure, expiry in the past", &insecure, token(&json!({"expire_at": 1})), Done),
        ("no token", &nothing, String::new(), Closed(3501)),
        ("no token, anonymous allowed", &anonymous, String::new(), Done),
        ("no token, insecure", &insecure, String::new(), Done),
        ("no token, users only", &known_only, String::new(), Closed(3501)),
        ("server-side subscriptions", &nothing, token(&json!({"channels": ["a"]})), Done),
        ("server-side subscriptions to an unknown namespace", &nothing, token(&json!({"channels": ["unknown:a"]})), Refused(102)),
    ];
    for (name, options, token, expected) in rows {
        let mut client = Client::new(&with_key(options));
        assert_eq!(client.connect(&token), expected, "{name}");
        assert_eq!(client.session.is_ready(), expected == Done, "{name}");
        assert_eq!(
            client.place.identified.len(),
            usize::from(expected == Done),
            "{name}"
        );
    }
}

#[test]
fn without_a_key_every_token_is_invalid() {
    let mut client = Client::new(&json!({"client": {"insecure": true}}));
    assert_eq!(client.connect(&token(&json!({"sub": "42"}))), Closed(3500));
}

#[test]
fn the_connect_reply_tells_client_version_pings_and_expiry() {
    let mut client = Client::new(&with_key(&json!({})));
    let token = token(&json!({"sub": "42", "exp": NOW + 60}));
    assert_eq!(client.connect(&token), Done);
    let result = client.last().connect.clone().unwrap();
    assert_eq!(result.client, client.session.client.to_string());
    assert_eq!(result.version, crate::VERSION);
    assert_eq!((result.ping, result.pong), (25, true));
    assert_eq!((result.expires, result.ttl), (true, 60));
    assert_eq!(result.time, 0);
    assert_eq!(client.place.identified, ["42"]);
    assert_eq!(client.place.expire_at, Some(NOW + 60));
    assert_eq!(client.session.user(), Some("42"));
}

#[test]
fn the_servers_time_is_told_where_it_is_configured() {
    let mut client = Client::new(&json!({
        "client": {"insecure": true, "connect_include_server_time": true, "ping_interval": "9s500ms"}
    }));
    assert_eq!(client.connect(""), Done);
    let result = client.last().connect.clone().unwrap();
    assert_eq!(result.time, i64::try_from(NOW).unwrap() * 1000);
    assert_eq!(result.ping, 9);
    assert_eq!((result.expires, result.ttl), (false, 0));
}

#[test]
fn the_expiry_of_a_connection_follows_its_token() {
    #[rustfmt::skip]
    let rows = [
        ("no expiry", json!({}), None),
        ("exp", json!({"exp": NOW + 60}), Some(NOW + 60)),
        ("expire_at wins over exp", json!({"exp": NOW + 60, "expire_at": NOW + 5}), Some(NOW + 5)),
        ("expire_at 0 is never", json!({"exp": NOW + 60, "expire_at": 0}), None),
        ("a year at most", json!({"exp": NOW + 2 * YEAR}), Some(NOW + YEAR)),
    ];
    for (name, claims, expected) in rows {
        let mut client = Client::new(&with_key(&json!({})));
        assert_eq!(client.connect(&token(&claims)), Done, "{name}");
        assert_eq!(client.place.expire_at, expected, "{name}");
        let result = client.last().connect.clone().unwrap();
        assert_eq!(result.expires, expected.is_some(), "{name}");
        let ttl = expected.map_or(0, |at| at - NOW);
        assert_eq!(u64::from(result.ttl), ttl, "{name}");
    }
}

#[test]
fn in_insecure_mode_a_token_names_the_user_but_does_not_limit_the_connection() {
    let mut client = Client::new(&with_key(&json!({"client": {"insecure": true}})));
    let token = token(&json!({"sub": "42", "exp": NOW + 60}));
    assert_eq!(client.connect(&token), Done);
    assert_eq!(client.session.user(), Some("42"));
    assert_eq!(client.place.expire_at, None);
    assert!(!client.last().connect.clone().unwrap().expires);
}

/// A command, and what it comes to for a new session and for one that is ready.
fn every_command() -> Vec<(Command, Came)> {
    let mut all = vec![
        (connect(""), Closed(3501)),
        (
            subscribe(SubscribeRequest {
                channel: "a".into(),
                ..Default::default()
            }),
            Done,
        ),
        (unsubscribe("a"), Done),
        (publish("a", "1"), Done),
        (send(), Closed(3508)),
        (
            Command {
                id: 7,
                refresh: Some(RefreshRequest::default()),
                ..Command::default()
            },
            Closed(3501),
        ),
    ];
    all.extend(others().into_iter().map(|command| (command, Error(108))));
    all.extend(senseless().map(|command| (command, Closed(3501))));
    all
}

#[test]
fn before_connect_every_other_command_ends_the_connection() {
    for (command, _) in every_command().into_iter().skip(1) {
        let mut client = Client::new(&json!({"client": {"insecure": true}}));
        assert_eq!(client.run(command.clone()), Closed(3501), "{command:?}");
    }
}

#[test]
fn a_connected_client_gets_each_commands_own_answer() {
    for (command, expected) in every_command() {
        let mut client = Client::new(&json!({"client": {"insecure": true}}));
        assert_eq!(client.connect(""), Done);
        assert_eq!(client.run(command.clone()), expected, "{command:?}");
    }
}

#[test]
fn after_a_refused_connect_nothing_is_accepted_not_even_a_connect() {
    for (command, _) in every_command() {
        let mut client = Client::new(&with_key(&json!({"client": {"insecure": true}})));
        assert_eq!(client.connect(&token(&json!({"exp": 1}))), Refused(109));
        assert_eq!(client.run(command.clone()), Closed(3501), "{command:?}");
        assert_eq!(client.session.user(), None);
    }
}

#[test]
fn while_connect_waits_for_its_answer_nothing_is_accepted() {
    let mut client = Client::new(&with_key(&json!({})));
    let step = client
        .session
        .handle(connect(&token(&json!({}))), &mut client.place);
    assert!(matches!(step, Step::Call(_)));
    assert_eq!(client.subscribe("a"), Closed(3501));
}

#[test]
fn an_answer_that_fits_no_command_is_our_fault() {
    let mut client = Client::new(&with_key(&json!({})));
    let step = client
        .session
        .handle(connect(&token(&json!({}))), &mut client.place);
    let Call { then, .. } = called(step);
    let answer = Answer::Attached(Ok(Attached::default()));
    let step = client.session.resume(then, answer, &mut client.place);
    assert!(matches!(step, Step::Close(reason) if reason.code == 3004));
}

/// The command must wait.
fn called(step: Step) -> Call {
    let Step::Call(call) = step else {
        panic!("a call expected: {step:?}")
    };
    call
}

/// Namespaces that differ in who may subscribe and publish.
fn namespaces() -> Value {
    json!({
        "client": {"allow_anonymous_connect_without_token": true, "channel_limit": 3},
        "channel": {"max_length": 20, "without_namespace": {}, "namespaces": [
            {"name": "closed"},
            {"name": "users", "allow_subscribe_for_client": true},
            {"name": "all", "allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true},
            {"name": "anonymous_alone", "allow_subscribe_for_anonymous": true},
            {"name": "limited", "allow_user_limited_channels": true},
            {"name": "limited_open", "allow_user_limited_channels": true, "allow_subscribe_for_client": true,
             "allow_subscribe_for_anonymous": true},
            {"name": "regex", "allow_subscribe_for_client": true, "channel_regex": "^[a-z]+$"},
            {"name": "map", "allow_subscribe_for_client": true, "allow_publish_for_client": true,
             "subscription_type": "map"},
        ]},
    })
}

#[test]
fn who_may_subscribe_is_decided_in_the_order_of_the_contract() {
    #[rustfmt::skip]
    let rows = [
        // channel, a user's outcome, an anonymous client's, in insecure mode
        ("unknown:a", Error(102), Error(102), Error(102)),
        ("$unknown:a", Error(102), Error(102), Error(102)),
        ("users:ж", Error(107), Error(107), Error(107)),
        ("regex:abc", Done, Error(103), Done),
        ("regex:ABC", Error(107), Error(107), Error(107)),
        ("users:aaaaaaaaaaaaaa", Done, Error(103), Done),
        ("users:aaaaaaaaaaaaaaa", Error(107), Error(107), Error(107)),
        ("$users:a", Error(103), Error(103), Error(103)),
        ("a", Error(103), Error(103), Done),
        ("closed:a", Error(103), Error(103), Done),
        ("users:a", Done, Error(103), Done),
        ("users:a#41", Done, Error(103), Done),
        ("all:a", Done, Done, Done),
        ("anonymous_alone:a", Error(103), Error(103), Done),
        ("limited:a#42", Done, Error(103), Done),
        ("limited:a#41,42", Done, Error(103), Done),
        ("limited:a#41", Error(103), Error(103), Done),
        ("limited:a#4,2", Error(103), Error(103), Done),
        ("limited:a#42#41", Error(103), Error(103), Done),
        ("limited:a#", Error(103), Error(103), Done),
        ("limited:a", Error(103), Error(103), Done),
        ("limited_open:a", Done, Done, Done),
        ("limited_open:a#41", Error(103), Error(103), Done),
    ];
    let mut insecure = namespaces();
    insecure["client"]["insecure"] = true.into();
    for (channel, user, anonymous, in_insecure_mode) in rows {
        assert_eq!(
            Client::connected(&namespaces(), "42").subscribe(channel),
            user,
            "{channel}"
        );
        assert_eq!(
            Client::connected(&namespaces(), "").subscribe(channel),
            anonymous,
            "{channel}"
        );
        let outcome = Client::connected(&insecure, "").subscribe(channel);
        assert_eq!(outcome, in_insecure_mode, "{channel}, insecure");
    }
}

#[test]
fn a_refused_subscribe_leaves_no_subscription() {
    let mut client = Client::connected(&namespaces(), "42");
    assert_eq!(client.subscribe("closed:a"), Error(103));
    assert!(client.place.subscriptions.is_empty());
}

#[test]
fn what_a_subscribe_asks_for_is_checked_too() {
    let request = |change: fn(&mut SubscribeRequest)| {
        let mut request = SubscribeRequest {
            channel: "users:a".to_owned(),
            ..SubscribeRequest::default()
        };
        change(&mut request);
        subscribe(request)
    };
    #[rustfmt::skip]
    let rows = [
        ("no channel", request(|it| it.channel.clear()), Closed(3501)),
        ("unknown delta", request(|it| it.delta = "zip".into()), Closed(3501)),
        ("known delta", request(|it| it.delta = "fossil".into()), Done),
        ("map", request(|it| it.r#type = 1), Error(103)),
        ("stream of a map", request(|it| it.channel = "map:a".into()), Error(103)),
        (
            "map of a map",
            request(|it| {
                it.channel = "map:a".into();
                it.r#type = 1;
            }),
            Error(108),
        ),
        (
            "map in an unknown namespace",
            request(|it| {
                it.r#type = 1;
                it.channel = "unknown:a".into();
            }),
            Error(102),
        ),
        ("shared poll", request(|it| it.r#type = 4), Error(108)),
        ("shared poll and unknown delta", request(|it| { it.r#type = 4; it.delta = "zip".into(); }), Error(108)),
        ("a malformed token", request(|it| it.token = "x".into()), Error(103)),
        ("a filter that is not allowed", request(|it| it.tf = Some(Default::default())), Error(107)),
        (
            "a filter where nothing is allowed",
            request(|it| {
                it.channel = "closed:a".into();
                it.tf = Some(Default::default());
            }),
            Error(103),
        ),
        ("flags of newer clients", request(|it| it.flag = 1), Done),
        (
            "positioned, recoverable and join_leave without permission",
            request(|it| {
                (it.positioned, it.recoverable, it.join_leave) = (true, true, true);
            }),
            Done,
        ),
    ];
    for (name, command, expected) in rows {
        assert_eq!(
            Client::connected(&namespaces(), "42").run(command),
            expected,
            "{name}"
        );
    }
}

#[test]
fn a_subscribe_that_wants_recovery_is_told_that_there_was_none() {
    let mut client = Client::connected(&namespaces(), "42");
    let outcome = client.run(subscribe(SubscribeRequest {
        channel: "users:a".into(),
        recover: true,
        recoverable: true,
        positioned: true,
        ..SubscribeRequest::default()
    }));
    assert_eq!(outcome, Done);
    let expected = tidewire_protocol::SubscribeResult {
        was_recovering: true,
        ..Default::default()
    };
    assert_eq!(client.last().subscribe, Some(expected));
}

#[test]
fn length_comes_before_the_second_subscribe_that_before_the_limit_and_the_limit_before_permission()
{
    let mut client = Client::connected(&namespaces(), "42");
    for channel in ["users:a", "users:b", "users:c"] {
        assert_eq!(client.subscribe(channel), Done);
    }
    assert_eq!(client.subscribe("users:aaaaaaaaaaaaaaa"), Error(107));
    assert_eq!(client.subscribe("users:a"), Error(105));
    assert_eq!(client.subscribe("users:d"), Error(106));
    assert_eq!(client.subscribe("unknown:d"), Error(106));
    assert_eq!(client.run(unsubscribe("users:b")), Done);
    assert_eq!(client.subscribe("users:d"), Done);
}

#[test]
fn a_subscription_that_is_opening_counts_as_one() {
    let mut client = Client::connected(&namespaces(), "42");
    client.place.open("users:a");
    assert_eq!(client.subscribe("users:a"), Error(105));
    client.place.open("users:b");
    client.place.open("users:c");
    assert_eq!(client.subscribe("users:d"), Error(106));
}

#[test]
fn a_subscription_is_live_only_after_its_reply() {
    let mut client = Client::connected(&namespaces(), "42");
    let command = subscribe(SubscribeRequest {
        channel: "users:a".into(),
        ..Default::default()
    });
    let step = client.session.handle(command, &mut client.place);
    assert!(matches!(&step, Step::Call(call) if matches!(*call.request, Request::Attach { .. })));
    assert_eq!(client.place.subscribed("users:a"), Subscribed::Opening(1));
    assert_eq!(client.place.replies.len(), 1);
    assert!(matches!(client.finish(step), Step::Idle));
    assert_eq!(client.place.subscribed("users:a"), Subscribed::Yes);
}

#[test]
fn when_the_broker_fails_a_subscribe_can_be_tried_again() {
    for (error, code) in [
        (BrokerError::Disconnected, 100),
        (BrokerError::Full, 100),
        (BrokerError::BadChannel, 107),
        (BrokerError::TooLarge, 107),
    ] {
        let mut client = Client::connected(&namespaces(), "42");
        client.place.broken = Some(error);
        assert_eq!(client.subscribe("users:a"), Error(code));
        let error = client.last().error.clone().unwrap();
        assert_eq!(error.temporary, code == 100);
        assert_eq!(client.place.subscribed("users:a"), Subscribed::No);
        assert_eq!(client.subscribe("users:a"), Done);
    }
}

#[test]
fn unsubscribing_ends_the_subscription_and_is_fine_twice() {
    let mut client = Client::connected(&namespaces(), "42");
    assert_eq!(client.subscribe("users:a"), Done);
    for channel in ["users:a", "users:a", "never", "unknown:a"] {
        assert_eq!(client.run(unsubscribe(channel)), Done, "{channel}");
        assert_eq!(client.place.subscribed(channel), Subscribed::No);
    }
    assert_eq!(client.run(unsubscribe("")), Closed(3501));
}

#[test]
fn who_may_publish_is_decided_in_the_order_of_the_contract() {
    let options = json!({"channel": {
        "publication_data_format": "",
        "without_namespace": {},
        "namespaces": [
            {"name": "closed"},
            {"name": "users", "allow_publish_for_client": true},
            {"name": "all", "allow_publish_for_client": true, "allow_publish_for_anonymous": true},
            {"name": "subscribers", "allow_publish_for_subscriber": true},
            {"name": "any_subscribers", "allow_publish_for_subscriber": true,
             "allow_publish_for_anonymous": true},
            {"name": "anonymous_alone", "allow_publish_for_anonymous": true},
            {"name": "regex", "allow_publish_for_client": true, "channel_regex": "^[a-z]+$"},
            {"name": "json", "allow_publish_for_client": true, "publication_data_format": "json"},
        ],
    }});
    let mut insecure = options.clone();
    insecure["client"] = json!({"insecure": true});
    // namespace: outcome for a user, an anonymous client, both again when subscribed, in insecure mode
    #[rustfmt::skip]
    let rows = [
        ("unknown:a", [Error(102), Error(102), Error(102), Error(102), Error(102)]),
        ("users:ж", [Error(107), Error(107), Error(107), Error(107), Error(107)]),
        ("regex:A", [Error(107), Error(107), Error(107), Error(107), Error(107)]),
        ("regex:a", [Done, Error(103), Done, Error(103), Done]),
        ("a", [Error(103), Error(103), Error(103), Error(103), Done]),
        ("closed:a", [Error(103), Error(103), Error(103), Error(103), Done]),
        ("users:a", [Done, Error(103), Done, Error(103), Done]),
        ("$users:a", [Done, Error(103), Done, Error(103), Done]),
        ("all:a", [Done, Done, Done, Done, Done]),
        ("subscribers:a", [Error(103), Error(103), Done, Error(103), Done]),
        ("any_subscribers:a", [Error(103), Error(103), Done, Done, Done]),
        ("anonymous_alone:a", [Error(103), Error(103), Error(103), Error(103), Done]),
    ];
    for (channel, expected) in rows {
        let mut outcomes = Vec::new();
        for subscribed in [None, Some(Grant::default())] {
            for user in ["42", ""] {
                let mut client = Client::connected(&options, user);
                if let Some(grant) = subscribed.clone() {
                    let subscriptions = &mut client.place.subscriptions;
                    subscriptions.insert(channel.to_owned(), Ok(grant));
                }
                outcomes.push(client.publish(channel, "{}"));
            }
        }
        outcomes.push(Client::connected(&insecure, "").publish(channel, "{}"));
        assert_eq!(outcomes, expected, "{channel}");
    }
}

#[test]
fn a_subscription_that_is_still_opening_gives_no_right_to_publish() {
    let options = json!({"channel": {"without_namespace": {"allow_publish_for_subscriber": true}}});
    let mut client = Client::connected(&options, "42");
    client.place.open("a");
    assert_eq!(client.publish("a", "1"), Error(103));
}

#[test]
fn a_channel_of_another_kind_takes_no_publication() {
    let mut client = Client::connected(&namespaces(), "42");
    assert_eq!(client.publish("map:a", "1"), Error(107));
}

#[test]
fn published_data_has_the_format_of_its_namespace() {
    let namespace = |name: &str, format: &str| {
        json!({
            "name": name, "allow_publish_for_client": true, "publication_data_format": format
        })
    };
    let options = json!({"channel": {"namespaces": [
        namespace("unset", ""), namespace("json", "json"), namespace("object", "json_object"),
        namespace("binary", "binary"),
    ]}});
    #[rustfmt::skip]
    let rows = [
        ("", [Error(107), Error(107), Error(107), Done]),
        ("null", [Done, Done, Error(107), Done]),
        ("[1]", [Done, Done, Error(107), Done]),
        (" {\"a\":1}", [Done, Done, Done, Done]),
        ("{", [Done, Error(107), Error(107), Done]),
        ("\u{1}", [Done, Error(107), Error(107), Done]),
    ];
    for (data, expected) in rows {
        let mut client = Client::connected(&options, "42");
        let outcomes = ["unset:a", "json:a", "object:a", "binary:a"]
            .map(|channel| client.publish(channel, data));
        assert_eq!(outcomes, expected, "{data:?}");
    }
    let mut options = options;
    options["channel"]["publication_data_format"] = "json_object".into();
    let mut client = Client::connected(&options, "42");
    assert_eq!(
        client.publish("unset:a", "[1]"),
        Error(107),
        "the global format"
    );
    assert_eq!(
        client.publish("binary:a", ""),
        Done,
        "the namespace's own wins"
    );
}

#[test]
fn the_format_is_checked_before_permission() {
    let mut client = Client::connected(&json!({}), "42");
    assert_eq!(client.publish("a", ""), Error(107));
    assert_eq!(client.publish("a", "1"), Error(103));
    assert_eq!(client.publish("", "1"), Closed(3501));
}

#[test]
fn a_publication_for_a_map_is_refused() {
    let mut client = Client::connected(&json!({"client": {"insecure": true}}), "42");
    let mut command = publish("a", "1");
    command.publish.as_mut().unwrap().r#type = 1;
    assert_eq!(client.run(command), Error(107));
}

#[test]
fn a_publication_says_who_published_it_and_keeps_its_data_byte_for_byte() {
    let options = json!({"channel": {"without_namespace": {"allow_publish_for_client": true}}});
    let mut client = Client::new(&with_key(&options));
    let token = token(&json!({"sub": "42", "info": {"name": "Ann"}}));
    assert_eq!(client.connect(&token), Done);
    assert_eq!(client.publish("a", "{\"x\" : 1}"), Done);
    let (channel, publication) = client.place.published.pop().unwrap();
    assert_eq!(
        (channel.as_str(), publication.data.as_ref()),
        ("a", &b"{\"x\" : 1}"[..])
    );
    let info = publication.info.unwrap();
    assert_eq!(
        (info.user.as_str(), info.client),
        ("42", client.session.client.to_string())
    );
    assert_eq!(info.conn_info, r#"{"name":"Ann"}"#);
    assert!(info.chan_info.is_empty() && publication.tags.is_empty());
}

#[test]
fn a_publication_that_the_broker_refuses_is_an_error_reply() {
    for (error, code) in [
        (BrokerError::Disconnected, 100),
        (BrokerError::Full, 100),
        (BrokerError::BadChannel, 107),
        (BrokerError::TooLarge, 107),
    ] {
        let mut client = Client::connected(&json!({"client": {"insecure": true}}), "42");
        client.place.broken = Some(error);
        assert_eq!(client.publish("a", "1"), Error(code));
        assert_eq!(client.publish("a", "1"), Done);
    }
}

#[test]
fn a_refresh_moves_the_expiry_or_ends_the_connection() {
    let user = |claims: Value| {
        let mut all = json!({"sub": "42"});
        tidewire_config::merge(&mut all, claims);
        token(&all)
    };
    #[rustfmt::skip]
    let rows = [
        ("later", user(json!({"exp": NOW + 160})), Done, Some(NOW + 160)),
        ("never", user(json!({})), Done, None),
        ("never, by expire_at", user(json!({"exp": NOW + 5, "expire_at": 0})), Done, None),
        ("a year at most", user(json!({"exp": NOW + 2 * YEAR})), Done, Some(NOW + YEAR)),
        ("empty", String::new(), Closed(3501), Some(NOW + 60)),
        ("not a token", "x".into(), Closed(3500), Some(NOW + 60)),
        ("another key", signed(&json!({"sub": "42"}), "other"), Closed(3500), Some(NOW + 60)),
        ("another user", token(&json!({"sub": "43"})), Closed(3500), Some(NOW + 60)),
        ("no user", token(&json!({})), Closed(3500), Some(NOW + 60)),
        ("expired", user(json!({"exp": NOW})), Closed(3005), Some(NOW + 60)),
        ("expiry in the past", user(json!({"expire_at": NOW})), Closed(3005), Some(NOW + 60)),
    ];
    for (name, refresh, expected, expire_at) in rows {
        let mut client = Client::new(&with_key(&json!({})));
        assert_eq!(client.connect(&user(json!({"exp": NOW + 60}))), Done);
        assert_eq!(client.refresh(&refresh), expected, "{name}");
        assert_eq!(client.place.expire_at, expire_at, "{name}");
        if expected == Done {
            let result = client.last().refresh.clone().unwrap();
            let ttl = expire_at.map_or(0, |at| at - NOW);
            assert_eq!(
                (result.expires, u64::from(result.ttl)),
                (expire_at.is_some(), ttl),
                "{name}"
            );
        }
    }
}

#[test]
fn a_refresh_adopts_the_new_info() {
    let mut client = Client::new(&with_key(&json!({"channel": {
        "without_namespace": {"allow_publish_for_client": true}
    }})));
    assert_eq!(
        client.connect(&token(&json!({"sub": "42", "info": 1}))),
        Done
    );
    for (claims, info) in [
        (json!({"sub": "42", "info": 2}), "2"),
        (json!({"sub": "42"}), ""),
    ] {
        assert_eq!(client.refresh(&token(&claims)), Done);
        assert_eq!(client.publish("a", "1"), Done);
        let (_, publication) = client.place.published.pop().unwrap();
        assert_eq!(publication.info.unwrap().conn_info, info);
    }
}

#[test]
fn a_live_option_counts_from_the_next_command_on() {
    let mut client = Client::connected(&json!({}), "42");
    assert_eq!(client.subscribe("news:a"), Error(102));
    let options = with_key(&json!({"channel": {"namespaces": [
        {"name": "news", "allow_subscribe_for_client": true}
    ]}}));
    let config = load::from_value("test", &options).unwrap().config;
    client.place.live = Live::new(
        config.clone(),
        config.into(),
        String::new(),
        &Default::default(),
    )
    .unwrap();
    assert_eq!(client.subscribe("news:a"), Done);
}
