//! Nodes that share a NATS server, which is late, frozen and killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use regex::Regex;
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

use crate::support::client::Client;
use crate::support::raw::{self, Raw};
use crate::support::server::Server;
use crate::support::stream::Stream;
use crate::support::{eventually, token};

#[allow(dead_code, reason = "each test binary uses its part")]
#[path = "../support/nats_server.rs"]
mod nats_server;

use nats_server::{NatsServer, free_port, url};

/// Long enough to notice what must not happen.
const MOMENT: Duration = Duration::from_millis(300);

fn options(url: &str) -> Value {
    json!({
        "broker": {"enabled": true, "type": "nats", "nats": {"url": url, "prefix": "test"}},
        "http_stream": {"enabled": true},
        "channel": {
            "without_namespace": {
                "allow_subscribe_for_client": true,
                "allow_publish_for_client": true,
            },
            "namespaces": [{
                "name": "room", "allow_subscribe_for_client": true, "presence": true,
                "allow_presence_for_subscriber": true,
                "join_leave": true, "force_push_join_leave": true,
            }],
        },
    })
}

fn internal_error() -> Value {
    json!({"error": {"code": 100, "message": "internal server error"}})
}

/// A node that is connected to this server.
async fn node(nats: &NatsServer) -> Server {
    let node = Server::start(&options(&nats.url()));
    publishes(&node).await;
    node
}

/// Waits until the node publishes.
async fn publishes(node: &Server) {
    let request = json!({"channel": "probe", "data": 0});
    let publish = async || node.api("publish", &request).await;
    eventually("publishing", json!({"result": {}}), publish).await;
}

/// Two nodes that know each other.
async fn pair(nats: &NatsServer) -> (Server, Server) {
    let (a, b) = (node(nats).await, node(nats).await);
    for node in [&a, &b] {
        let nodes = async || {
            let answer = node.api("info", &json!({})).await;
            answer["result"]["nodes"].as_array().map(Vec::len)
        };
        eventually("nodes", Some(2), nodes).await;
    }
    (a, b)
}

/// A client of this user that answers its pings, and its id.
async fn client(node: &Server, user: &str) -> (Client, String) {
    let mut client = Client::open(node).await;
    client.answer_pings();
    let connected = client.connect(&token::of(user)).await;
    let id = connected["client"].as_str().unwrap().to_owned();
    (client, id)
}

#[tokio::test]
async fn any_node_takes_commands_for_the_node_that_holds_the_stream() {
    let nats = NatsServer::start();
    let (a, b) = pair(&nats).await;
    let body = json!({"id": 1, "connect": {"token": token::of("1")}}).to_string();
    let mut stream = Stream::open(&a, "POST", "/connection/http_stream", &[], body).await;
    let ids = Regex::new(r#""session":"([^"]+)","node":"([^"]+)"\}\}\n$"#).unwrap();
    let ids = stream.expect(&ids).await;
    let emulate = async |session: &str, node: &str, data: &str| {
        let body = json!({"session": session, "node": node, "data": data}).to_string();
        b.request("POST", "/emulation", &[], body).await.status
    };
    let subscribe = "{\"id\":2,\"subscribe\":{\"channel\":\"x\"}}";
    assert_eq!(emulate(&ids[0], &ids[1], subscribe).await, 204);
    stream.recv("{\"id\":2,\"subscribe\":{}}\n").await;
    b.publish("x", &json!(1)).await;
    stream
        .recv("{\"push\":{\"channel\":\"x\",\"pub\":{\"data\":1}}}\n")
        .await;
    assert_eq!(emulate("zz", &ids[1], subscribe).await, 204);
    assert_eq!(emulate(&ids[0], "zz", subscribe).await, 404);
}

#[tokio::test]
async fn a_subscribe_that_is_given_up_leaves_no_channel_behind() {
    let nats = NatsServer::start();
    let frame = |text: &str| raw::frame(raw::TEXT, text.as_bytes());
    let connect = frame(&json!({"id": 1, "connect": {"token": token::of("1")}}).to_string());
    let subscribe = |channel: &str| json!({"id": 2, "subscribe": {"channel": channel}});
    // Closed while the broker is asked.
    let node = node(&nats).await;
    for number in 0..10 {
        let mut client = Raw::open(node.address).await;
        let subscribe = frame(&subscribe(&format!("x{number}")).to_string());
        let bad = raw::unmasked(raw::TEXT, b"{}");
        client
            .send(&[connect.clone(), subscribe, bad].concat())
            .await;
        assert!(client.recv().await.contains("connect"));
        assert_eq!(client.closed().await.0, 1002);
    }
    eventually("nothing", [0; 4], async || node.counts().await).await;
    // Unsubscribed while the broker is asked.
    drop(node);
    let nats = NatsServer::start();
    let mut options = options(&nats.url());
    options["client"] = json!({"concurrency": 4});
    let node = Server::start(&options);
    publishes(&node).await;
    let mut client = Raw::open(node.address).await;
    client.send(&connect).await;
    client.recv().await;
    for number in 0..10 {
        let channel = format!("x{number}");
        let unsubscribe = json!({"id": 3, "unsubscribe": {"channel": channel}});
        client
            .text(&format!("{}\n{unsubscribe}", subscribe(&channel)))
            .await;
        assert_eq!(client.recv().await, "{\"id\":2,\"subscribe\":{}}");
        assert_eq!(client.recv().await, "{\"id\":3,\"unsubscribe\":{}}");
    }
    eventually("no channel", [1, 1, 0, 0], async || node.counts().await).await;
}

#[tokio::test]
async fn control_frames_are_answered_and_publications_sent_while_commands_wait() {
    let nats = NatsServer::start();
    for concurrency in [0, 2, 8] {
        let mut options = options(&nats.url());
        options["client"] = json!({"concurrency": concurrency});
        let node = Server::start(&options);
        publishes(&node).await;
        let mut reader = Client::connected(&node, "2").await;
        reader.subscribe("x").await;
        let mut client = Raw::open(node.address).await;
        let frame = |text: &str| raw::frame(raw::TEXT, text.as_bytes());
        let connect = json!({"id": 1, "connect": {"token": token::of("1")}});
        client.send(&frame(&connect.to_string())).await;
        client.recv().await;
        // The server that would answer is frozen.
        nats.freeze();
        let subscribe = |id: u32| json!({"id": id, "subscribe": {"channel": format!("{id}")}});
        let two = format!("{}\n{}", subscribe(2), subscribe(3));
        client
            .send(&[frame(&two), raw::frame(raw::PING, b"p")].concat())
            .await;
        assert_eq!(client.next().await, Some((raw::PONG, b"p".to_vec())));
        nats.thaw();
        let mut replies = [client.recv().await, client.recv().await];
        replies.sort();
        let subscribed = |id: u32| format!("{{\"id\":{id},\"subscribe\":{{}}}}");
        assert_eq!(replies, [subscribed(2), subscribed(3)]);
        let publish = json!({"id": 4, "publish": {"channel": "x", "data": "last words"}});
        let close = raw::frame(raw::CLOSE, &raw::close(1000, ""));
        client
            .send(&[frame(&publish.to_string()), close].concat())
            .await;
        assert_eq!(client.closed().await.0, 1000);
        drop(client);
        assert_eq!(reader.publication("x").await, "last words");
    }
}

#[tokio::test]
async fn what_one_node_publishes_the_other_delivers_in_order() {
    let nats = NatsServer::start();
    let (a, b) = pair(&nats).await;
    let (mut publisher, _) = client(&a, "1").await;
    let (mut subscriber, _) = client(&b, "2").await;
    subscriber.subscribe("x").await;
    for number in 0..100 {
        a.publish("x", &json!(number)).await;
    }
    for number in 100..200 {
        let publish = json!({"publish": {"channel": "x", "data": number}});
        let reply = publisher.call(publish).await;
        assert_eq!(reply["publish"], json!({}), "{reply}");
    }
    for number in 0..200 {
        assert_eq!(subscriber.publication("x").await, number);
    }
}

#[tokio::test]
async fn what_is_published_after_the_reply_to_a_subscribe_is_not_missed() {
    let nats = NatsServer::start();
    let (a, b) = pair(&nats).await;
    let (mut subscriber, _) = client(&b, "1").await;
    for number in 0..100 {
        let channel = format!("x{number}");
        subscriber.subscribe(&channel).await;
        a.publish(&channel, &json!(number)).await;
        assert_eq!(subscriber.publication(&channel).await, number);
    }
}

#[tokio::test]
async fn commands_behind_a_subscribe_that_waits_for_nats_run_in_order_after_it() {
    let nats = NatsServer::start();
    let node = node(&nats).await;
    let (mut client, _) = client(&node, "1").await;
    nats.freeze();
    let frame = [
        json!({"id": 11, "subscribe": {"channel": "x"}}),
        json!({"id": 12, "publish": {"channel": "x", "data": "x"}}),
        json!({"id": 13, "subscribe": {"channel": "y"}}),
    ]
    .map(|command| command.to_string())
    .join("\n");
    client.send(&frame).await;
    client
        .send("{\"id\":14,\"publish\":{\"channel\":\"y\",\"data\":\"y\"}}")
        .await;
    client
        .send("{\"id\":15,\"unsubscribe\":{\"channel\":\"nothing\"}}")
        .await;
    client.silence(MOMENT).await;
    nats.thaw();
    let (mut replies, mut publications) = (Vec::new(), Vec::new());
    while replies.len() < 5 || publications.len() < 2 {
        let message = client.recv().await;
        assert_eq!(message["error"], Value::Null, "{message}");
        match message["id"].as_u64() {
            Some(id) => replies.push(id),
            None => publications.push(message["push"]["pub"]["data"].clone()),
        }
    }
    assert_eq!(replies, [11, 12, 13, 14, 15]);
    assert_eq!(publications, ["x", "y"]);
}

#[tokio::test]
async fn a_connection_that_ends_while_its_subscribe_waits_leaves_nothing_behind() {
    let nats = NatsServer::start();
    let node = node(&nats).await;
    let (mut client, _) = client(&node, "1").await;
    nats.freeze();
    client.command(json!({"subscribe": {"channel": "x"}})).await;
    client.silence(MOMENT).await;
    assert_eq!(node.counts().await[0], 1);
    drop(client);
    eventually("counts", [0; 4], async || node.counts().await).await;
    nats.thaw();
    let (mut next, _) = self::client(&node, "2").await;
    next.subscribe("y").await;
    // Whatever the server had to say about "x" came before the proof of "y".
    assert_eq!(node.counts().await, [1; 4]);
    let channels = node.result("channels", json!({})).await;
    assert_eq!(channels, json!({"channels": {"y": {"num_clients": 1}}}));
    // Its second attempt does not find remains of the first.
    next.subscribe("x").await;
    node.publish("x", &json!(1)).await;
    assert_eq!(next.publication("x").await, 1);
}

#[tokio::test]
async fn while_nats_is_away_calls_fail_connections_live_and_everything_heals() {
    let port = free_port();
    let mut options = options(&url(port));
    // The first ping comes after half to one interval, so its pong is due before the subscribe is answered.
    options["client"] = json!({"ping_interval": "3s", "pong_timeout": "900ms"});
    let node = Server::start(&options);
    let mut client = Client::connected(&node, "1").await;
    let began = Instant::now();
    let id = client.command(json!({"subscribe": {"channel": "x"}})).await;
    let mut pings = 0;
    let reply = loop {
        let message = client.recv().await;
        if message != json!({}) {
            break message;
        }
        pings += 1;
        client.send("{}").await;
    };
    let waited = began.elapsed().as_secs_f64();
    assert_eq!(
        (&reply["id"], &reply["error"]["code"]),
        (&json!(id), &json!(100)),
        "{reply}"
    );
    assert!((3.9..6.0).contains(&waited), "{waited}");
    assert_eq!(pings, 1, "pings before the answer");
    client.answer_pings();

    let began = Instant::now();
    let request = json!({"channel": "x", "data": 1});
    assert_eq!(node.api("publish", &request).await, internal_error());
    assert_eq!(client.refused(json!({"publish": request})).await, 100);
    assert!(began.elapsed() < Duration::from_secs(1), "at once");
    // The answers to its pings were not late, whenever they were looked at.
    client.silence(Duration::from_secs(4)).await;

    let _nats = NatsServer::start_on(port);
    tokio::select! {
        () = publishes(&node) => {}
        // Its pings are answered meanwhile.
        message = client.recv() => panic!("nothing expected: {message}"),
    }
    assert_eq!(
        node.counts().await,
        [1, 1, 0, 0],
        "the failed subscribe left nothing"
    );
    client.subscribe("x").await;
    node.publish("x", &json!(2)).await;
    assert_eq!(client.publication("x").await, 2);
    assert_eq!(node.disconnects(3012).await, 0);
}

#[tokio::test]
async fn what_a_backend_does_to_a_user_happens_on_all_nodes() {
    let nats = NatsServer::start();
    let (a, b) = pair(&nats).await;
    let (mut near, near_id) = client(&a, "42").await;
    let (mut far, far_id) = client(&b, "42").await;
    let (mut other, _) = client(&b, "43").await;

    let request = json!({"user": "42", "channel": "room:a", "data": {"hello": 1}});
    a.result("subscribe", request).await;
    for client in [&mut near, &mut far] {
        // Another's join may come first.
        loop {
            let push = client.push("room:a").await;
            if push["subscribe"].is_object() {
                assert_eq!(push["subscribe"]["data"], json!({"hello": 1}));
                break;
            }
        }
    }
    for node in [&a, &b] {
        let result = node.result("presence", json!({"channel": "room:a"})).await;
        let expected = json!({
            &near_id: {"user": "42", "client": near_id},
            &far_id: {"user": "42", "client": far_id},
        });
        assert_eq!(result["presence"], expected);
        let stats = node.result("presence_stats", json!({"channel": "room:a"}));
        assert_eq!(stats.await, json!({"num_clients": 2, "num_users": 1}));
        let channels = node.result("channels", json!({})).await;
        assert_eq!(channels["channels"]["room:a"]["num_clients"], 2);
    }
    let asked = json!({"presence": {"channel": "room:a"}});
    let (_, reply) = near.call_among_pushes(asked).await;
    let present = reply["presence"]["presence"].as_object().unwrap();
    assert!(present.contains_key(&far_id), "{reply}");

    let request = json!({"user": "42", "client": far_id, "channel": "room:a"});
    a.result("unsubscribe", request).await;
    while !far.push("room:a").await["unsubscribe"].is_object() {}
    let result = a.result("presence", json!({"channel": "room:a"})).await;
    let expected = json!({&near_id: {"user": "42", "client": near_id}});
    assert_eq!(result["presence"], expected);

    let request = json!({"user": "42", "whitelist": [near_id]});
    a.result("disconnect", request).await;
    assert_eq!(far.closed().await, (3503, "force disconnect".into()));
    other.subscribe("x").await;
    let left = json!({"channel": "room:a"});
    let (_, reply) = near.call_among_pushes(json!({"unsubscribe": left})).await;
    assert_eq!(
        reply["unsubscribe"],
        json!({}),
        "the spared one lives: {reply}"
    );
}

#[tokio::test]
async fn joins_and_leaves_reach_the_other_node_in_order() {
    let nats = NatsServer::start();
    let (a, b) = pair(&nats).await;
    let (mut observer, observer_id) = client(&a, "1").await;
    observer.subscribe("room:a").await;
    let push = observer.push("room:a").await;
    assert_eq!(push["join"]["info"]["client"], observer_id, "{push}");
    let (mut visitor, id) = client(&b, "2").await;
    let event = |name: &str| json!({name: {"info": {"user": "2", "client": id}}});
    for _ in 0..10 {
        visitor.subscribe("room:a").await;
        assert_eq!(visitor.push("room:a").await, event("join"));
        assert_eq!(observer.push("room:a").await, event("join"));
        let unsubscribe = json!({"unsubscribe": {"channel": "room:a"}});
        let reply = visitor.call(unsubscribe).await;
        assert_eq!(reply["unsubscribe"], json!({}), "{reply}");
        assert_eq!(observer.push("room:a").await, event("leave"));
    }
    visitor.subscribe("room:a").await;
    assert_eq!(observer.push("room:a").await, event("join"));
    drop(visitor);
    assert_eq!(observer.push("room:a").await, event("leave"));
}

#[tokio::test]
async fn nodes_come_together_again_after_their_server_was_killed() {
    let nats = NatsServer::start();
    let (a, b) = pair(&nats).await;
    let (mut subscriber, _) = client(&b, "1").await;
    subscriber.subscribe("x").await;
    let port = nats.port();
    drop(nats);
    // Nobody's channel: what is accepted before the loss is noticed may still be sent when the server is back.
    let request = json!({"channel": "nobody", "data": "lost"});
    let publish = async || a.api("publish", &request).await;
    eventually("the loss", internal_error(), publish).await;
    assert_eq!(a.api("info", &json!({})).await, internal_error());
    sleep(MOMENT).await;

    let _nats = NatsServer::start_on(port);
    publishes(&a).await;
    publishes(&b).await;
    // The proof of a new subscription says that the old ones are restored.
    subscriber.subscribe("y").await;
    a.publish("x", &json!("again")).await;
    assert_eq!(subscriber.publication("x").await, "again");
    let nodes = a.result("info", json!({})).await["nodes"].clone();
    assert_eq!(nodes.as_array().map(Vec::len), Some(2), "{nodes}");
}

#[tokio::test]
async fn nodes_with_another_prefix_are_another_cluster() {
    let nats = NatsServer::start();
    let mut others = options(&nats.url());
    others["broker"]["nats"]["prefix"] = "other".into();
    let (a, b) = pair(&nats).await;
    let other = Server::start(&others);
    publishes(&other).await;
    let (mut near, _) = client(&b, "1").await;
    let (mut far, _) = client(&other, "1").await;
    for client in [&mut near, &mut far] {
        client.subscribe("x").await;
    }
    a.publish("x", &json!("for one cluster")).await;
    assert_eq!(near.publication("x").await, "for one cluster");
    other.publish("x", &json!("for the other")).await;
    assert_eq!(far.publication("x").await, "for the other");
    let nodes = other.result("info", json!({})).await["nodes"].clone();
    assert_eq!(nodes.as_array().map(Vec::len), Some(1), "{nodes}");
}

#[tokio::test]
async fn a_connection_may_take_as_long_as_configured() {
    let nats = NatsServer::start();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let accepted = Arc::new(AtomicUsize::new(0));
    let (count, server) = (Arc::clone(&accepted), nats.port());
    tokio::spawn(async move {
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                // Longer than the default.
                sleep(Duration::from_millis(1500)).await;
                let mut far = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                // An error is an end too.
                let _ended = copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    let mut options = options(&url(port));
    options["broker"]["nats"]["dial_timeout"] = "30s".into();
    let node = Server::start(&options);
    publishes(&node).await;
    assert_eq!(
        accepted.load(Ordering::SeqCst),
        1,
        "the first was waited for"
    );
}

#[tokio::test]
async fn a_publication_waits_for_its_server_as_long_as_configured() {
    let nats = NatsServer::start();
    let mut options = options(&nats.url());
    options["broker"]["nats"]["write_timeout"] = "30s".into();
    let node = Server::start(&options);
    publishes(&node).await;
    nats.freeze();
    // More than queue and sockets hold.
    let channels: Vec<String> = (0..6000).map(|n| format!("x{n}")).collect();
    let request = json!({"channels": channels, "data": "x".repeat(8000)});
    let thaw = async {
        // Longer than the default, and not so long that the connection is given up.
        sleep(Duration::from_millis(2500)).await;
        nats.thaw();
    };
    let (result, ()) = tokio::join!(node.result("broadcast", request), thaw);
    let responses = result["responses"].as_array().unwrap();
    assert_eq!(responses.len(), 6000);
    let failed = responses.iter().find(|it| !it["error"].is_null());
    assert_eq!(failed, None);
}
