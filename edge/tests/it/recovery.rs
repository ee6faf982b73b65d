//! Streams: what a client gets after its connection was cut, and when it is told that something is missing.

use std::ops::Range;
use std::time::Duration;

use futures::future::{join, join_all};
use rand::Rng as _;
use serde_json::{Value, json};
use tidewire_edge::delta;
use tokio::time::sleep;

use crate::support::client::Client;
use crate::support::server::{SECRET, Server};
use crate::support::token;

const CLIENTS: usize = 8;
const PUBLICATIONS: u64 = 600;
/// Data of the last publication.
const END: &str = "the end";
/// Publications between two cuts.
const BETWEEN_CUTS: Range<usize> = 0..40;

/// A channel `st:…` with a stream that everybody recovers, and `de:…` with deltas too.
fn streams() -> Value {
    let stream = |name: &str| {
        json!({
            "name": name, "allow_subscribe_for_client": true, "allow_publish_for_client": true,
            "history_size": 10_000, "history_ttl": "60s", "force_recovery": true,
        })
    };
    let mut with_delta = stream("de");
    with_delta["allowed_delta_types"] = json!(["fossil"]);
    with_delta["delta_publish"] = true.into();
    json!({
        "client": {"recovery_max_publication_limit": 10_000},
        "channel": {"namespaces": [stream("st"), with_delta]},
    })
}

/// A client that is cut off now and then, and what it has seen over all its connections.
struct Follower {
    channel: &'static str,
    delta: bool,
    position: Option<(u64, String)>,
    /// The last data, which a patch is against.
    base: Vec<u8>,
    /// Offset and data of each publication since the first subscribe.
    seen: Vec<(u64, Value)>,
    cuts: usize,
}

impl Follower {
    fn new(channel: &'static str, delta: bool) -> Self {
        Self {
            channel,
            delta,
            position: None,
            base: Vec::new(),
            seen: Vec::new(),
            cuts: 0,
        }
    }

    /// Subscribes and reads, cut after cut, until it has seen the end.
    async fn follow(mut self, server: &Server) -> Self {
        let user = format!("follower{}", self.delta);
        loop {
            let mut client = Client::connected(server, &user).await;
            self.subscribe(&mut client).await;
            let reads = rand::rng().random_range(BETWEEN_CUTS);
            for _ in 0..reads {
                if self.seen.last().is_some_and(|(_, data)| data == END) {
                    return self;
                }
                let push = client.push(self.channel).await;
                self.take(&push["pub"]);
            }
            drop(client);
            self.cuts += 1;
            let pause = rand::rng().random_range(0..20);
            sleep(Duration::from_millis(pause)).await;
        }
    }

    async fn subscribe(&mut self, client: &mut Client) {
        let mut request = json!({"channel": self.channel});
        if self.delta {
            request["delta"] = "fossil".into();
        }
        if let Some((offset, epoch)) = &self.position {
            request["recover"] = true.into();
            request["offset"] = (*offset).into();
            request["epoch"] = epoch.as_str().into();
        }
        let result = client.subscribe_as(request).await;
        assert_eq!(result["positioned"], true, "{result}");
        assert_eq!(result.get("delta").is_some(), self.delta, "{result}");
        let epoch = result["epoch"].as_str().unwrap().to_owned();
        let Some((since, known)) = &self.position else {
            let offset = result["offset"].as_u64().unwrap_or(0);
            self.position = Some((offset, epoch));
            return;
        };
        assert_eq!((result["recovered"].as_bool(), &epoch), (Some(true), known));
        assert_eq!(result["offset"].as_u64().unwrap_or(0), *since);
        // A patch would be against what came before the cut otherwise.
        self.base.clear();
        for publication in result["publications"].as_array().into_iter().flatten() {
            self.take(publication);
        }
    }

    fn take(&mut self, publication: &Value) {
        let data = if self.delta {
            let text = publication["data"].as_str().expect("a string").as_bytes();
            self.base = if publication["delta"] == true {
                delta::apply(&self.base, text, 1 << 20).expect("a patch of the last data")
            } else {
                text.to_vec()
            };
            serde_json::from_slice(&self.base).unwrap()
        } else {
            publication["data"].clone()
        };
        let offset = publication["offset"].as_u64().unwrap();
        self.position.as_mut().unwrap().0 = offset;
        self.seen.push((offset, data));
    }
}

/// Publishes for a while over the API and as a client, and then the end.
async fn publish(server: &Server, channel: &'static str) {
    let api = async {
        for n in 0..PUBLICATIONS / 2 {
            let data = json!({"by": "the API", "n": n, "padding": "x".repeat(100)});
            server.keep(channel, &data).await;
        }
    };
    let client = async {
        let mut publisher = Client::connected(server, "publisher").await;
        for n in 0..PUBLICATIONS / 2 {
            let data = json!({"by": "a client", "n": n, "padding": "x".repeat(100)});
            let command = json!({"publish": {"channel": channel, "data": data}});
            let reply = publisher.call(command).await;
            assert!(reply["publish"].is_object(), "{reply}");
        }
    };
    join(api, client).await;
    server.keep(channel, &json!(END)).await;
}

async fn cut_clients_miss_nothing(channel: &'static str, delta: bool) {
    let server = Server::start(&streams());
    let followers = (0..CLIENTS).map(|_| Follower::new(channel, delta).follow(&server));
    let (followers, ()) = join(join_all(followers), publish(&server, channel)).await;
    let stored = server
        .result("history", json!({"channel": channel, "limit": -1}))
        .await;
    let stored = stored["publications"].as_array().unwrap();
    assert_eq!(stored.len() as u64, PUBLICATIONS + 1);
    for follower in followers {
        assert!(follower.cuts > 0);
        let first = follower.seen[0].0;
        assert!(first < PUBLICATIONS / 2, "{first}");
        let expected = stored[usize::try_from(first).unwrap() - 1..].iter();
        let expected: Vec<(u64, Value)> = expected
            .map(|it| (it["offset"].as_u64().unwrap(), it["data"].clone()))
            .collect();
        assert_eq!(follower.seen, expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_are_cut_off_see_every_publication_exactly_once_and_in_order() {
    cut_clients_miss_nothing("st:a", false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_with_deltas_that_are_cut_off_decode_every_publication_exactly_once() {
    cut_clients_miss_nothing("de:a", true).await;
}

/// Channels that differ in how long they keep what.
fn short_streams() -> Value {
    let stream = |name: &str, size: u32, ttl: &str, meta_ttl: &str| {
        json!({
            "name": name, "allow_subscribe_for_client": true, "force_recovery": true,
            "history_size": size, "history_ttl": ttl, "history_meta_ttl": meta_ttl,
        })
    };
    json!({
        "client": {"recovery_max_publication_limit": 5},
        "channel": {"namespaces": [
            stream("small", 3, "60s", "60s"), stream("large", 100, "60s", "60s"),
            stream("brief", 100, "1s", "60s"), stream("forgotten", 100, "1s", "1s"),
        ]},
    })
}

#[tokio::test]
async fn what_cannot_be_recovered_is_not_said_to_be() {
    let server = Server::start(&short_streams());
    // channel, publications, the client's offset, what is done in between, whether that is recovered
    let rows = [
        ("small:kept", 4, 1, "nothing", true),
        ("small:trimmed", 5, 1, "nothing", false),
        ("small:at_top", 5, 5, "nothing", true),
        ("small:beyond", 5, 6, "nothing", false),
        ("large:within_limit", 10, 5, "nothing", true),
        ("large:over_limit", 10, 4, "nothing", false),
        ("large:removed", 4, 2, "remove", false),
        ("large:removed_at_top", 4, 4, "remove", true),
        ("large:another_epoch", 4, 4, "lie", false),
        ("large:no_epoch", 4, 3, "forget", true),
        ("brief:expired", 4, 2, "wait", false),
        ("brief:expired_at_top", 4, 4, "wait", true),
        ("forgotten:a", 4, 4, "wait", false),
    ];
    let attempts = rows.map(async |(channel, count, since, meanwhile, recovered)| {
        for n in 1..=count {
            assert_eq!(server.keep(channel, &json!(n)).await, n, "{channel}");
        }
        let stored = server.result("history", json!({"channel": channel})).await;
        let mut epoch = stored["epoch"].as_str().unwrap().to_owned();
        match meanwhile {
            "remove" => {
                let removed = server.result("history_remove", json!({"channel": channel}));
                assert_eq!(removed.await, json!({}));
            }
            "wait" => sleep(Duration::from_millis(1300)).await,
            "lie" => epoch.push('x'),
            "forget" => epoch.clear(),
            _ => {}
        }
        let mut client = Client::connected(&server, "42").await;
        let mut request =
            json!({"channel": channel, "recover": true, "offset": since, "epoch": epoch, "flag": 2});
        if !recovered {
            let refused = client.refused(json!({"subscribe": request})).await;
            assert_eq!(refused, 112, "{channel}: all or an error");
        }
        request["flag"] = 0.into();
        let result = client.subscribe_as(request).await;
        assert_eq!(result["was_recovering"], true, "{channel}");
        assert_eq!(result["recovered"] == true, recovered, "{channel}: {result}");
        let offsets: Vec<u64> = result["publications"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|it| it["offset"].as_u64().unwrap())
            .collect();
        let (offset, expected) = if recovered {
            (since, (since + 1..=count).collect())
        } else if channel == "forgotten:a" {
            assert_ne!(result["epoch"], epoch, "{channel}");
            (0, Vec::new())
        } else {
            (count, Vec::new())
        };
        assert_eq!(result["offset"].as_u64().unwrap_or(0), offset, "{channel}");
        assert_eq!(offsets, expected, "{channel}");
    });
    join_all(attempts).await;
}

#[tokio::test]
async fn whoever_relies_on_a_position_is_told_that_it_is_lost_and_gets_nothing_of_the_new_stream() {
    let namespace = json!({
        "name": "st", "allow_subscribe_for_client": true, "allow_positioning": true,
        "history_size": 10, "history_ttl": "1s", "history_meta_ttl": "1s",
    });
    let server = Server::start(&json!({"channel": {"namespaces": [namespace]}}));
    let mut server_side = Client::open(&server).await;
    let positioned = json!({"override": {"force_positioning": {"value": true}}});
    let claims = json!({"sub": "42", "subs": {"st:a": positioned}});
    let connected = server_side.connect(&token::signed(&claims, SECRET)).await;
    assert_eq!(connected["subs"]["st:a"]["positioned"], true);
    let mut client_side = Client::connected(&server, "42").await;
    let request = json!({"channel": "st:a", "positioned": true});
    assert_eq!(client_side.subscribe_as(request).await["positioned"], true);
    let mut careless = Client::connected(&server, "42").await;
    careless.subscribe("st:a").await;
    server.keep("st:a", &json!(1)).await;
    for client in [&mut server_side, &mut client_side, &mut careless] {
        assert_eq!(client.publication("st:a").await, 1);
    }
    // Nobody uses the stream for longer than it is remembered.
    sleep(Duration::from_millis(1300)).await;
    assert_eq!(server.keep("st:a", &json!(2)).await, 1, "a new stream");
    assert_eq!(
        server_side.closed().await,
        (3010, "insufficient state".into())
    );
    let push = json!({"unsubscribe": {"code": 2500, "reason": "insufficient state"}});
    assert_eq!(client_side.push("st:a").await, push);
    assert_eq!(careless.publication("st:a").await, 2);
    // It comes back, and goes on.
    let result = client_side
        .subscribe_as(json!({"channel": "st:a", "positioned": true}))
        .await;
    assert_eq!(result["offset"], 1);
    server.keep("st:a", &json!(3)).await;
    assert_eq!(client_side.publication("st:a").await, 3);
    assert_eq!(careless.publication("st:a").await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_who_comes_while_others_publish_gets_what_follows_its_position() {
    let server = Server::start(&streams());
    // One after the other within a shard, as fast as it goes: clients of the other shards subscribe in between.
    let publish = json!({"publish": {"channel": "st:a", "data": 1}});
    let batch = json!({"commands": vec![publish; 300]});
    let publishing = async {
        loop {
            server.api("batch", &batch).await;
        }
    };
    let coming = async {
        let mut clients = Vec::new();
        for _ in 0..4 {
            clients.push(Client::connected(&server, "42").await);
        }
        for client in &mut clients {
            for _ in 0..60 {
                let result = client.subscribe_as(json!({"channel": "st:a"})).await;
                let mut offset = result["offset"].as_u64().unwrap_or(0);
                for _ in 0..3 {
                    let push = client.push("st:a").await;
                    assert_eq!(push["pub"]["offset"], offset + 1, "{push}");
                    offset += 1;
                }
                let unsubscribe = json!({"unsubscribe": {"channel": "st:a"}});
                let (late, _) = client.call_among_pushes(unsubscribe).await;
                for push in late {
                    assert_eq!(push["push"]["pub"]["offset"], offset + 1, "{push}");
                    offset += 1;
                }
            }
        }
    };
    tokio::select! {
        () = publishing => {}
        () = coming => {}
    }
}
