//! Deltas as clients decode them, and tag filters.

use futures::future::join_all;
use serde_json::{Value, json};
use tidewire_edge::delta;
use tidewire_protocol::SubscribeRequest;

use crate::support::client::{Client, ProtobufClient};
use crate::support::server::Server;

fn channels() -> Value {
    let stream = |name: &str| {
        json!({
            "name": name, "allow_subscribe_for_client": true, "history_size": 100, "history_ttl": "60s",
            "force_positioning": true, "allowed_delta_types": ["fossil"], "allow_tags_filter": true,
        })
    };
    let mut all = stream("all");
    all["delta_publish"] = true.into();
    all["force_recovery"] = true.into();
    let mut refused = stream("refused");
    refused["allowed_delta_types"] = json!([]);
    refused["delta_publish"] = true.into();
    json!({"channel": {"namespaces": [all, stream("asked"), refused]}})
}

/// What a subscriber with deltas makes of what it gets.
#[derive(Default)]
struct Decoder {
    base: Vec<u8>,
    patches: usize,
}

impl Decoder {
    fn take(&mut self, data: &[u8], is_patch: bool) -> Value {
        self.base = if is_patch {
            self.patches += 1;
            delta::apply(&self.base, data, 1 << 20).expect("a patch of the last data")
        } else {
            data.to_vec()
        };
        serde_json::from_slice(&self.base).expect("JSON")
    }

    /// With JSON every `data` is a string.
    fn take_json(&mut self, publication: &Value) -> Value {
        let data = publication["data"].as_str().expect("a string");
        self.take(data.as_bytes(), publication["delta"] == true)
    }
}

/// Long, so that patches pay off, with characters of several bytes.
fn document(n: usize) -> Value {
    json!({"title": "ü".repeat(n % 3), "text": "Lorem ipsum ж ".repeat(20), "n": n, "end": "€".repeat(n % 5)})
}

#[tokio::test]
async fn patches_decoded_are_the_full_data_in_json_and_protobuf() {
    let server = Server::start(&channels());
    let mut whole = Client::connected(&server, "42").await;
    whole.subscribe_as(json!({"channel": "all:a"})).await;
    let mut json_client = Client::connected(&server, "42").await;
    let request = json!({"channel": "all:a", "delta": "fossil"});
    assert_eq!(json_client.subscribe_as(request).await["delta"], true);
    let mut protobuf = ProtobufClient::connected(&server, "42").await;
    let request = SubscribeRequest {
        channel: "all:a".to_owned(),
        delta: "fossil".to_owned(),
        ..SubscribeRequest::default()
    };
    assert!(protobuf.subscribe_as(request).await.delta);
    let (mut json_decoder, mut protobuf_decoder) = (Decoder::default(), Decoder::default());
    for n in 0..40 {
        server.keep("all:a", &document(n)).await;
        assert_eq!(whole.publication("all:a").await, document(n));
        let push = json_client.push("all:a").await;
        assert_eq!(json_decoder.take_json(&push["pub"]), document(n));
        let publication = protobuf.recv().await.push.unwrap().r#pub.unwrap();
        let decoded = protobuf_decoder.take(&publication.data, publication.delta);
        assert_eq!(decoded, document(n));
    }
    assert_eq!(protobuf_decoder.patches, 39, "all but the first");
    // Some patches would cut a character in two.
    assert!(
        (10..=39).contains(&json_decoder.patches),
        "{}",
        json_decoder.patches
    );
}

#[tokio::test]
async fn patches_are_made_where_both_sides_want_them_and_only_against_what_the_client_has() {
    let server = Server::start(&channels());
    let publish = async |channel: &str, n: usize, more: Value| {
        let mut request = json!({"channel": channel, "data": document(3 * n)});
        tidewire_config::merge(&mut request, more);
        server.result("publish", request).await
    };
    // channel, how the second publication is published, whether it is a patch
    let rows = [
        ("all:a", json!({}), true),
        ("asked:a", json!({"delta": true}), true),
        ("asked:b", json!({}), false),
    ];
    for (channel, second, is_patch) in rows {
        let mut client = Client::connected(&server, "42").await;
        publish(channel, 9, json!({})).await;
        let request = json!({"channel": channel, "delta": "fossil"});
        client.subscribe_as(request).await;
        let mut decoder = Decoder::default();
        let more = [
            json!({"delta": true}),
            second,
            json!({"skip_history": true}),
            json!({"delta": true}),
            json!({"delta": true}),
        ];
        // After the one that is not in the stream a patch has nothing to be against.
        let expected = [false, is_patch, false, false, true];
        for ((n, more), is_patch) in more.into_iter().enumerate().zip(expected) {
            publish(channel, n, more).await;
            let push = client.push(channel).await;
            assert_eq!(push["pub"]["delta"] == true, is_patch, "{channel} {n}");
            assert_eq!(
                decoder.take_json(&push["pub"]),
                document(3 * n),
                "{channel}"
            );
        }
    }
    let mut client = Client::connected(&server, "42").await;
    let request = json!({"channel": "refused:a", "delta": "fossil"});
    assert_eq!(client.subscribe_as(request).await.get("delta"), None);
    for n in 0..2 {
        publish("refused:a", n, json!({"delta": true})).await;
        assert_eq!(client.publication("refused:a").await, document(3 * n));
    }
}

#[tokio::test]
async fn recovered_publications_begin_whole_and_go_on_as_patches() {
    let server = Server::start(&channels());
    for n in 0..6 {
        server.keep("all:a", &document(3 * n)).await;
    }
    let mut client = Client::connected(&server, "42").await;
    let request = json!({"channel": "all:a", "delta": "fossil", "recover": true, "offset": 2});
    let result = client.subscribe_as(request).await;
    let mut decoder = Decoder::default();
    let recovered = result["publications"].as_array().unwrap();
    let decoded: Vec<Value> = recovered.iter().map(|it| decoder.take_json(it)).collect();
    let expected: Vec<Value> = (2..6).map(|n| document(3 * n)).collect();
    assert_eq!(decoded, expected);
    assert_eq!(decoder.patches, 3);
    server.keep("all:a", &document(30)).await;
    let push = client.push("all:a").await;
    assert_eq!(push["pub"]["delta"], true, "against the last recovered one");
    assert_eq!(decoder.take_json(&push["pub"]), document(30));
    let history = json!({"channel": "all:a", "limit": -1});
    let stored = server.result("history", history).await;
    assert_eq!(
        stored["publications"][6]["data"],
        document(30),
        "never patches"
    );
}

#[tokio::test]
async fn each_subscriber_gets_what_its_filter_lets_through_and_keeps_its_position() {
    let server = Server::start(&channels());
    let filter = |cmp: &str, val: &str| json!({"key": "n", "cmp": cmp, "val": val});
    let filters = [
        (json!({"op": "not", "nodes": [filter("gte", "0")]}), 0..0),
        (filter("lt", "5"), 0..5),
        (filter("gte", "5"), 5..10),
        (
            json!({"op": "and", "nodes": [filter("gt", "2"), filter("lte", "7")]}),
            3..8,
        ),
        (json!({"key": "n", "cmp": "ex"}), 0..10),
        (json!({"key": "n", "cmp": "in", "vals": ["9", "x"]}), 9..10),
    ];
    let mut clients = join_all(filters.iter().map(async |(filter, _)| {
        let mut client = Client::connected(&server, "42").await;
        let request = json!({"channel": "all:f", "tf": filter});
        client.subscribe_as(request).await;
        client.subscribe_as(json!({"channel": "asked:end"})).await;
        client
    }))
    .await;
    for n in 0..10_u64 {
        let request = json!({"channel": "all:f", "data": n, "tags": {"n": n.to_string()}});
        server.result("publish", request).await;
    }
    // Without tags only the first filter lets it through.
    server.keep("all:f", &json!("untagged")).await;
    server.keep("asked:end", &json!("the end")).await;
    for (client, (filter, range)) in clients.iter_mut().zip(&filters) {
        for n in range.clone() {
            let push = client.push("all:f").await;
            assert_eq!(push["pub"]["data"], n, "{filter}");
            assert_eq!(push["pub"]["offset"], n + 1, "{filter}");
        }
        if range.is_empty() {
            assert_eq!(client.publication("all:f").await, "untagged");
        }
        let end = client.publication("asked:end").await;
        assert_eq!(end, "the end", "{filter}: nothing else was sent");
        client
            .call(json!({"unsubscribe": {"channel": "all:f"}}))
            .await;
        let recover = json!({"channel": "all:f", "tf": filter, "recover": true, "offset": 4});
        let result = client.subscribe_as(recover).await;
        assert_eq!(result["recovered"], true, "{filter}");
        let recovered: Vec<u64> = result["publications"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|it| it["data"].as_u64())
            .collect();
        let expected: Vec<u64> = range.clone().filter(|n| *n >= 4).collect();
        assert_eq!(recovered, expected, "{filter}");
    }
}
