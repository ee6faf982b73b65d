//! The reference program's observed behaviour, replayed against the edge.
//!
//! `data/transcripts.jsonl` holds 142 probes of Centrifugo v6.9.1, one JSON object a line: the options, the
//! tokens, and the steps with the program's answers, in which `<…>` stands for what differs between runs. A
//! probe runs here when [`COVERED`] or [`DEPARTURES`] names it, and then it must pass: all probes of which every
//! feature exists in this edge. The others need proxies, maps, shared polls, the admin API or the legacy endpoint
//! of the API; whoever adds such a feature adds the probes' names.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::{StreamExt as _, stream};
use regex::{Captures, Regex};
use serde_json::{Value, json};
use tokio::time::sleep;

use support::raw::{CLOSE, Raw, TEXT, UPGRADE};
use support::server::Server;
use support::stream::Stream;
use support::token;

/// The probes that must pass, in the order of the file.
const COVERED: &[&str] = &[
    "connect-anonymous",
    "connect-subprotocol-json",
    "frame-two-commands",
    "frame-trailing-newline",
    "frame-blank-line",
    "frame-empty",
    "frame-not-object",
    "frame-case-insensitive-fields",
    "frame-unknown-fields",
    "frame-string-id",
    "command-before-connect",
    "second-connect",
    "pong-without-ping",
    "command-without-id",
    "command-ping",
    "command-send",
    "rpc-no-handler",
    "message-too-big",
    "connect-token-exp",
    "connect-token-expired",
    "connect-token-invalid",
    "connect-token-bad-signature",
    "connect-token-nbf-future",
    "connect-token-expire-at-past",
    "connect-token-channels",
    "connect-token-subs-data",
    "subscribe-unsubscribe",
    "subscribe-twice",
    "subscribe-empty-channel",
    "subscribe-errors",
    "publish-history",
    "publish-empty-channel",
    "presence",
    "binary-data-on-json-connection",
    "subscribe-token-expired",
    "subscribe-token-wrong-user",
    "subscribe-token-wrong-channel",
    "subscribe-token-bad-signature",
    "subscribe-token-expire-at-past",
    "refresh",
    "refresh-expired",
    "refresh-other-user",
    "refresh-empty-token",
    "personal-channel",
    "recoverable-live",
    "recover-ok",
    "recover-from-start-no-epoch",
    "recover-wrong-epoch",
    "recover-wrong-epoch-reject-flag",
    "recover-lost-history",
    "cache-recover-empty",
    "cache-recover",
    "cache-recover-at-top",
    "cache-no-recover",
    "delta-fossil-json",
    "delta-not-allowed",
    "tags-filter",
    "tags-filter-invalid",
    "join-leave-requested",
    "user-limited",
    "channel-regex",
    "publish-permissions",
    "connect-no-credentials",
    "connect-subs",
    "connect-subs-unknown-namespace",
    "api-subscribe-unsubscribe",
    "api-refresh-past",
    "api-disconnect",
    "api-disconnect-custom",
    "api-disconnect-empty-object",
    "http-api-paths",
    "http-api-parse-errors",
    "http-api-publish",
    "http-api-version",
    "http-api-history",
    "http-api-history-binary",
    "http-api-transport-errors",
    "http-api-misc",
    "http-api-batch",
    "http-api-legacy",
    "http-health-init",
    "origin-allowed",
    "origin-refused",
    "http-stream",
    "http-stream-errors",
    "sse",
    "sse-post",
    "uni-sse",
    "uni-sse-errors",
    "uni-http-stream",
    "uni-http-stream-expired",
    "uni-websocket-expired",
    "uni-websocket-malformed",
    "uni-websocket-bad-query",
    "ping-pong",
    "stale",
    "expiry-connection",
    "expiry-subscription",
    "limit-channels",
    "limit-user-connections",
    "user-header",
    "insecure",
    "cache-recover-tags-filter",
    "stream-recover-tags-filter",
    "string-escapes",
    "uni-sse-recover",
    "uni-expiry",
    "api-subscribe-client-side-channel",
    "permission-for-subscriber-anonymous",
    "permission-for-client-user",
    "permission-for-client-anonymous",
    "tags-filter-numeric",
    "insufficient-state-client-side",
];

/// How many probes the reference program was put through.
const ALL: usize = 142;

/// A probe that shows a quirk of the reference program which this edge does not have, on purpose.
struct Departure {
    probe: &'static str,
    /// Why not (client-protocol, section 21).
    reason: &'static str,
    /// Steps with this edge's answer instead; `None`: nothing is sent.
    answers: &'static [(usize, Option<&'static str>)],
}

/// They run too, with their steps changed as they say.
const DEPARTURES: &[Departure] = &[
    Departure {
        probe: "delta-after-empty-recovery",
        reason: "after a recovery without publications the client may hold no base: the next one goes out whole",
        answers: &[(
            11,
            Some(
                r#"{"push":{"channel":"rd:z","pub":{"data":"{\"t\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"n\":7}","offset":3}}}"#,
            ),
        )],
    },
    Departure {
        probe: "delta-with-tags-filter",
        reason: "a patch needs the publication before it, which the filter may hold back: the filter wins, without deltas",
        answers: &[
            (
                4,
                Some(
                    r#"{"id":2,"subscribe":{"recoverable":true,"epoch":"<epoch:1>","positioned":true}}"#,
                ),
            ),
            (7, None),
            (
                10,
                Some(
                    r#"{"push":{"channel":"rd:y","pub":{"data":{"t":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","n":2},"offset":2,"tags":{"k":"1"}}}}"#,
                ),
            ),
        ],
    },
    Departure {
        probe: "delta-multibyte",
        reason: "a patch that is not UTF-8 would be damaged in JSON: the publication goes out whole",
        answers: &[(
            10,
            Some(
                r#"{"push":{"channel":"rd:m","pub":{"data":"{\"t\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"c\":\"з\"}","offset":2}}}"#,
            ),
        )],
    },
];

fn probes() -> Vec<Value> {
    include_str!("data/transcripts.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key]
        .as_str()
        .unwrap_or_else(|| panic!("no {key} in {value}"))
}

/// The probe with what this edge does instead.
fn departed(mut probe: Value, departure: &Departure) -> Value {
    let steps = probe["steps"].as_array_mut().expect("steps");
    for (step, answer) in departure.answers.iter().rev() {
        assert_eq!(steps[*step]["op"], "recv", "{}", departure.probe);
        match answer {
            Some(answer) => {
                assert_ne!(steps[*step]["data"], *answer, "{}", departure.reason);
                steps[*step]["data"] = (*answer).into();
            }
            None => drop(steps.remove(*step)),
        }
    }
    probe
}

/// Whether it measures time, which a busy machine would disturb.
fn is_timed(probe: &Value) -> bool {
    probe.pointer("/options/client/ping_interval").is_some()
}

#[test]
fn every_covered_probe_stands_once_in_the_data() {
    let names: Vec<String> = probes()
        .iter()
        .map(|probe| text(probe, "name").to_owned())
        .collect();
    assert_eq!(names.len(), ALL);
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), ALL);
    let in_order: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .filter(|name| COVERED.contains(name))
        .collect();
    assert_eq!(in_order, COVERED);
    for Departure { probe, .. } in DEPARTURES {
        assert!(names.iter().any(|name| name == probe), "{probe}");
        assert!(!COVERED.contains(probe), "{probe}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_edge_answers_as_the_reference_program() {
    let covered = probes().into_iter().filter_map(|probe| {
        let name = text(&probe, "name").to_owned();
        let departure = DEPARTURES.iter().find(|it| it.probe == name);
        match departure {
            Some(departure) => Some(departed(probe, departure)),
            None => COVERED.contains(&&*name).then_some(probe),
        }
    });
    let (timed, others): (Vec<_>, Vec<_>) = covered.partition(is_timed);
    assert!(!timed.is_empty());
    let mut failed = replay(others, 24).await;
    failed.extend(replay(timed, 24).await);
    assert!(
        failed.is_empty(),
        "{} failed, see above:\n{}",
        failed.len(),
        failed.join("\n")
    );
}

/// Replays so many probes at once and returns who failed.
async fn replay(probes: Vec<Value>, at_once: usize) -> Vec<String> {
    let running = stream::iter(probes).map(async |probe| {
        let name = text(&probe, "name").to_owned();
        let running = tokio::spawn(async move { Replay::new(&probe).run(&probe).await });
        running.await.err().map(|error| format!("{name}: {error}"))
    });
    let ended = running.buffer_unordered(at_once);
    ended.filter_map(async |failed| failed).collect().await
}

/// One probe on its way.
struct Replay {
    server: Server,
    connections: BTreeMap<String, Connection>,
    streams: BTreeMap<String, Stream>,
    /// What the placeholders stand for in this run.
    known: BTreeMap<String, String>,
    response: Option<support::server::Response>,
}

struct Connection {
    raw: Raw,
    head: support::raw::Head,
    /// Lines of a frame that were not compared yet.
    lines: Vec<String>,
}

impl Replay {
    fn new(probe: &Value) -> Self {
        let mut known = BTreeMap::new();
        for (name, token) in probe["tokens"].as_object().into_iter().flatten() {
            assert_eq!(token["alg"], "HS256");
            let signed = token::signed(&claims(&token["claims"]), text(token, "secret"));
            known.insert(format!("<{name}>"), signed);
        }
        Self {
            server: Server::start(&probe["options"]),
            connections: BTreeMap::new(),
            streams: BTreeMap::new(),
            known,
            response: None,
        }
    }

    async fn run(mut self, probe: &Value) {
        for (number, step) in probe["steps"].as_array().unwrap().iter().enumerate() {
            let at = format!("{}, step {number}: {step}", text(probe, "name"));
            self.step(step, &at).await;
        }
        drop(self.connections);
        drop(self.streams);
        self.server.begin_shutdown();
        self.server.ended().await;
    }

    async fn step(&mut self, step: &Value, at: &str) {
        match text(step, "op") {
            "open" => self.open(step).await,
            "stream" => self.stream(step).await,
            "opened" => self.opened(step, at),
            "recv_raw" => self.recv_raw(step, at).await,
            "end" => self.stream_of(step).ended().await,
            "send" => {
                let data = self.filled(text(step, "data"));
                self.connection(step).raw.text(&data).await;
            }
            "recv" => self.recv(step, at).await,
            "silence" => {
                self.connection(step)
                    .raw
                    .silence(Duration::from_secs(1))
                    .await
            }
            "close" => self.close(step, at).await,
            "http" => self.http(step).await,
            "response" => self.response(step, at),
            "wait" => sleep(Duration::from_secs(step["seconds"].as_u64().unwrap())).await,
            other => panic!("{other} is not understood; {at}"),
        }
    }

    fn connection(&mut self, step: &Value) -> &mut Connection {
        self.connections
            .get_mut(text(step, "conn"))
            .expect("it was opened")
    }

    async fn open(&mut self, step: &Value) {
        let mut raw = Raw::dial(self.server.address).await;
        let mut headers = UPGRADE.to_vec();
        for (name, value) in step["headers"].as_object().into_iter().flatten() {
            headers.push((name, value.as_str().unwrap()));
        }
        let subprotocols: Vec<&str> = step["subprotocols"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let subprotocols = subprotocols.join(", ");
        if !subprotocols.is_empty() {
            headers.push(("Sec-WebSocket-Protocol", &subprotocols));
        }
        let head = raw.request("GET", text(step, "path"), &headers).await;
        let connection = Connection {
            raw,
            head,
            lines: Vec::new(),
        };
        self.connections
            .insert(text(step, "conn").to_owned(), connection);
    }

    async fn stream(&mut self, step: &Value) {
        let path = self.filled(text(step, "path"));
        let body = self.filled(step["body"].as_str().unwrap_or_default());
        let stream = Stream::open(&self.server, text(step, "method"), &path, &[], body).await;
        self.streams.insert(text(step, "conn").to_owned(), stream);
    }

    fn stream_of(&mut self, step: &Value) -> &mut Stream {
        self.streams
            .get_mut(text(step, "conn"))
            .expect("it was opened")
    }

    async fn recv_raw(&mut self, step: &Value, at: &str) {
        let (pattern, names) = self.pattern(text(step, "data"));
        let values = self.stream_of(step).expect(&pattern).await;
        self.learn(names, values, at);
    }

    fn opened(&mut self, step: &Value, at: &str) {
        if let Some(stream) = self.streams.get(text(step, "conn")) {
            assert_eq!(u64::from(stream.status()), step["status"], "{at}");
            for (name, value) in step["headers"].as_object().into_iter().flatten() {
                assert_eq!(stream.header(name), value.as_str(), "{name}; {at}");
            }
            return;
        }
        let head = &self.connection(step).head;
        let status = step["status"].as_u64().unwrap_or(101);
        assert_eq!(u64::from(head.status), status, "{at}");
        assert_eq!(head.body, step["body"].as_str().unwrap_or_default(), "{at}");
        let subprotocol = head.header("sec-websocket-protocol");
        assert_eq!(subprotocol, step["subprotocol"].as_str(), "{at}");
    }

    async fn recv(&mut self, step: &Value, at: &str) {
        let expected = text(step, "data");
        let connection = self.connection(step);
        let line = loop {
            if connection.lines.is_empty() {
                match connection.raw.next().await {
                    Some((TEXT, payload)) => {
                        let text = String::from_utf8(payload).unwrap();
                        connection.lines = text.lines().map(str::to_owned).collect();
                    }
                    other => panic!("a message expected: {other:?}; {at}"),
                }
            }
            let line = connection.lines.remove(0);
            // Pings answered by pongs are left out, unless they are what is shown.
            if line != "{}" || expected == "{}" {
                break line;
            }
            connection.raw.text("{}").await;
        };
        self.compare(expected, &line, at);
    }

    async fn close(&mut self, step: &Value, at: &str) {
        let connection = self.connection(step);
        assert!(connection.lines.is_empty(), "{:?}; {at}", connection.lines);
        let next = loop {
            match connection.raw.next().await {
                Some((TEXT, ping)) if ping == b"{}" => connection.raw.text("{}").await,
                next => break next,
            }
        };
        match (step["code"].as_u64(), next) {
            (None, None) => {}
            (Some(code), Some((CLOSE, payload))) => {
                let (first, reason) = payload.split_first_chunk().unwrap();
                assert_eq!(u64::from(u16::from_be_bytes(*first)), code, "{at}");
                assert_eq!(reason, text(step, "reason").as_bytes(), "{at}");
            }
            (_, next) => panic!("the end expected: {next:?}; {at}"),
        }
    }

    async fn http(&mut self, step: &Value) {
        let headers: Vec<(&str, &str)> = step["headers"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
            .collect();
        let body = self.filled(step["body"].as_str().unwrap_or_default());
        let request = self
            .server
            .request(text(step, "method"), text(step, "path"), &headers, body);
        self.response = Some(request.await);
    }

    fn response(&mut self, step: &Value, at: &str) {
        let response = self.response.take().expect("a request was sent");
        assert_eq!(u64::from(response.status), step["status"], "{at}");
        for (name, value) in step["headers"].as_object().into_iter().flatten() {
            assert_eq!(name, "content-type", "{at}");
            assert_eq!(response.content_type, *value, "{at}");
        }
        self.compare(text(step, "body"), &response.body, at);
    }

    /// Puts in what the placeholders stand for.
    fn filled(&self, template: &str) -> String {
        let times = Regex::new(r"<(.)\*(\d+)>").unwrap();
        let filled = times.replace_all(template, |found: &Captures<'_>| {
            found[1].repeat(found[2].parse().unwrap())
        });
        let mut filled = filled.into_owned();
        for (placeholder, value) in &self.known {
            filled = filled.replace(placeholder, value);
        }
        filled
    }

    /// Compares byte for byte but for placeholders, which are learned where they are new.
    fn compare(&mut self, template: &str, actual: &str, at: &str) {
        let (pattern, names) = self.pattern(template);
        let Some(found) = pattern.captures(actual) else {
            panic!("answered {actual:?}; {at}");
        };
        let values = found.iter().skip(1).flatten();
        let values = values.map(|value| value.as_str().to_owned()).collect();
        self.learn(names, values, at);
    }

    /// What the template matches as a whole, and the placeholders of its groups.
    fn pattern(&self, template: &str) -> (Regex, Vec<String>) {
        let placeholder =
            Regex::new(r"<(client|session|node|uid|epoch|version|time_ms|int|ttl)[:~]?(\d*)>")
                .unwrap();
        let mut pattern = String::from("^");
        let mut names = Vec::new();
        let mut end = 0;
        for found in placeholder.captures_iter(template) {
            let whole = found.get(0).unwrap();
            pattern.push_str(&regex::escape(&template[end..whole.start()]));
            end = whole.end();
            if let Some(value) = self.known.get(whole.as_str()) {
                pattern.push_str(&regex::escape(value));
                continue;
            }
            pattern.push_str(match &found[1] {
                "client" | "session" | "node" | "uid" => {
                    "([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
                }
                "epoch" | "version" => "([^\"]+)",
                _ => "([1-9][0-9]*)",
            });
            names.push(whole.as_str().to_owned());
        }
        pattern.push_str(&regex::escape(&template[end..]));
        pattern.push('$');
        (Regex::new(&pattern).unwrap(), names)
    }

    /// What new placeholders stand for.
    fn learn(&mut self, names: Vec<String>, values: Vec<String>, at: &str) {
        for (name, value) in names.into_iter().zip(values) {
            if let Some(most) = name.strip_prefix("<ttl~") {
                let most: u64 = most.trim_end_matches('>').parse().unwrap();
                let ttl: u64 = value.parse().unwrap();
                assert!(
                    (most.saturating_sub(5)..=most).contains(&ttl),
                    "{ttl}; {at}"
                );
            } else if name != "<int>" && name != "<time_ms>" {
                self.known.insert(name, value);
            }
        }
    }
}

/// Claims with the times of this run.
fn claims(template: &Value) -> Value {
    let Some(fields) = template.as_object() else {
        return template.clone();
    };
    let now = |value: &Value| {
        let after = value.as_str()?.strip_prefix("<now+")?.strip_suffix('>')?;
        Some(json!(token::now() + after.parse::<u64>().ok()?))
    };
    fields
        .iter()
        .map(|(name, value)| (name.clone(), now(value).unwrap_or_else(|| value.clone())))
        .collect()
}
