//! How backends publish: many commands at once, each thing only once, and nothing that is out of date.

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::server::{API_KEY, Response, Server};

fn channels() -> Value {
    json!({"channel": {
        "without_namespace": {"allow_subscribe_for_client": true},
        "namespaces": [{
            "name": "kept", "allow_subscribe_for_client": true, "history_size": 100, "history_ttl": "60s",
        }],
    }})
}

fn error(code: u32, message: &str) -> Value {
    json!({"error": {"code": code, "message": message}})
}

fn publish(channel: &str, data: i64) -> Value {
    json!({"publish": {"channel": channel, "data": data}})
}

#[tokio::test]
async fn a_sequential_batch_runs_its_commands_in_their_order_whatever_fails() {
    let server = Server::start(&channels());
    let mut client = Client::connected(&server, "42").await;
    client.subscribe("kept:a").await;
    let mut commands: Vec<Value> = (0..50).map(|n| publish("kept:a", n)).collect();
    commands.insert(20, publish("no:a", 1));
    commands.insert(30, json!(null));
    commands.insert(40, json!({"nothing": {}}));
    commands.push(json!({"history": {"channel": "kept:a", "limit": 1, "reverse": true}}));
    commands.push(json!({"unsubscribe": {"user": "42", "channel": "kept:a"}}));
    let answer = server.api("batch", &json!({"commands": commands})).await;
    let replies = answer["replies"].as_array().unwrap();
    assert_eq!(replies.len(), 55);
    assert_eq!(replies[20], error(102, "unknown channel"));
    assert_eq!(replies[30], error(107, "bad request"));
    assert_eq!(replies[40], error(104, "not found"));
    assert_eq!(replies[53]["history"]["publications"][0]["data"], 49);
    assert_eq!(replies[53]["history"]["offset"], 50);
    assert_eq!(replies[54], json!({"unsubscribe": {}}));
    let offsets: Vec<u64> = replies
        .iter()
        .filter_map(|reply| reply["publish"]["offset"].as_u64())
        .collect();
    assert_eq!(offsets, (1..=50).collect::<Vec<_>>());
    for n in 0..50 {
        assert_eq!(client.publication("kept:a").await, n);
    }
    assert_eq!(client.push("kept:a").await["unsubscribe"]["code"], 2000);
}

#[tokio::test]
async fn a_parallel_batch_answers_in_the_order_of_its_commands() {
    let server = Server::start(&channels());
    let mut commands: Vec<Value> = (0..40).map(|n| publish(&format!("kept:{n}"), n)).collect();
    commands[7] = publish("no:a", 1);
    let request = json!({"commands": commands, "parallel": true});
    let answer = server.api("batch", &request).await;
    let replies = answer["replies"].as_array().unwrap();
    assert_eq!(replies.len(), 40);
    assert_eq!(replies[7], error(102, "unknown channel"));
    for n in (0..40).filter(|n| *n != 7) {
        let request = json!({"channel": format!("kept:{n}"), "limit": -1});
        let stored = server.result("history", request).await;
        assert_eq!(stored["publications"], json!([{"data": n, "offset": 1}]));
        assert_eq!(stored["epoch"], replies[n]["publish"]["epoch"], "{n}");
    }
}

#[tokio::test]
async fn a_batch_of_another_shape_is_refused_as_a_whole() {
    let server = Server::start(&channels());
    for body in [
        "{\"commands\":{}}",
        "{\"commands\":[1]}",
        "{\"commands\":[[]]}",
        "{\"parallel\":1}",
        "{\"commands\":[{\"publish\":[]}]}",
        "{\"commands\":[{\"publish\":{\"channel\":1}}]}",
        "{\"commands\":[{\"publish\":{\"channel\":\"kept:a\",\"data\":1}},{\"history\":{\"limit\":\"1\"}}]}",
        "{\"commands\":[{\"publish\":{\"channel\":\"kept:a\",\"data\":1},\"info\":[]}]}",
    ] {
        let headers = [("X-API-Key", API_KEY)];
        let response = server.request("POST", "/api/batch", &headers, body).await;
        assert_eq!(response, Response::text(400, "Bad Request\n"), "{body}");
    }
    let request = json!({"channel": "kept:a"});
    let nothing = server.result("history", request).await;
    assert_eq!(nothing["offset"], 0, "no command ran before a wrong one");
    let commands = json!([{"publish": null, "info": null}, {"Channels": {}, "publish": null}]);
    let answer = server.api("batch", &json!({"commands": commands})).await;
    let replies = [
        error(104, "not found"),
        json!({"channels": {"channels": {}}}),
    ];
    assert_eq!(answer, json!({"replies": replies}), "a null member is none");
    let transport = [
        ("X-API-Key", API_KEY),
        ("X-Centrifugo-Error-Mode", "transport"),
    ];
    let body = "{\"commands\":[{\"publish\":{}}]}";
    let response = server.request("POST", "/api/batch", &transport, body).await;
    let expected = "{\"replies\":[{\"error\":{\"code\":107,\"message\":\"bad request\"}}]}";
    assert_eq!(response, Response::json(200, expected));
}

#[tokio::test]
async fn a_publication_with_a_key_that_was_used_in_its_channel_is_not_published_again() {
    let server = Server::start(&channels());
    let mut client = Client::connected(&server, "42").await;
    for channel in ["kept:a", "kept:b", "plain"] {
        client.subscribe(channel).await;
    }
    let publish = async |channel: &str, key: &str, data: u32| {
        let request = json!({"channel": channel, "data": data, "idempotency_key": key});
        server.result("publish", request).await["offset"]
            .as_u64()
            .unwrap_or(0)
    };
    assert_eq!(publish("kept:a", "one", 1).await, 1);
    assert_eq!(
        publish("kept:a", "one", 2).await,
        1,
        "the first result again"
    );
    assert_eq!(publish("kept:a", "two", 3).await, 2);
    assert_eq!(publish("kept:a", "one", 4).await, 1);
    assert_eq!(publish("kept:a", "", 5).await, 3);
    assert_eq!(publish("kept:a", "", 6).await, 4);
    for data in [1, 3, 5, 6] {
        assert_eq!(client.publication("kept:a").await, data);
    }
    let request = json!({"channels": ["kept:a", "kept:b"], "data": 7, "idempotency_key": "two"});
    let answer = server.result("broadcast", request).await;
    let offsets = [2, 1].map(|offset| json!(offset));
    for (response, offset) in answer["responses"].as_array().unwrap().iter().zip(offsets) {
        assert_eq!(response["result"]["offset"], offset);
    }
    assert_eq!(
        client.publication("kept:b").await,
        7,
        "a key counts in its channel"
    );
    for data in [8, 9] {
        publish("plain", "one", data).await;
    }
    server.publish("plain", &json!("end")).await;
    assert_eq!(client.publication("plain").await, 8);
    assert_eq!(client.publication("plain").await, "end");
}

#[tokio::test]
async fn a_version_that_is_not_newer_is_not_published() {
    let server = Server::start(&channels());
    let mut client = Client::connected(&server, "42").await;
    client.subscribe("kept:a").await;
    // version, its epoch, whether it is published
    let rows = [
        (5, "", true),
        (5, "", false),
        (4, "", false),
        (6, "", true),
        (1, "a", true),
        (1, "a", false),
        (1, "", false),
        (2, "a", true),
        (1, "b", true),
        (9, "a", true),
        (0, "", true),
        (9, "a", false),
    ];
    let mut top = 0;
    for (row, (version, epoch, published)) in rows.into_iter().enumerate() {
        let request = json!({
            "channel": "kept:a", "data": row, "version": version, "version_epoch": epoch,
        });
        top += u64::from(published);
        let result = server.result("publish", request).await;
        assert_eq!(result["offset"], top, "{row}");
        if published {
            assert_eq!(client.publication("kept:a").await, row);
        }
    }
}

#[tokio::test]
async fn what_is_not_kept_reaches_subscribers_and_leaves_the_stream_as_it_is() {
    let server = Server::start(&channels());
    let mut client = Client::connected(&server, "42").await;
    client.subscribe("kept:a").await;
    server.keep("kept:a", &json!(1)).await;
    let request = json!({"channel": "kept:a", "data": 2, "skip_history": true});
    assert_eq!(server.result("publish", request).await, json!({}));
    server.keep("kept:a", &json!(3)).await;
    let offsets = [Some(1), None, Some(2)];
    for (data, offset) in (1..).zip(offsets) {
        let publication = client.push("kept:a").await["pub"].clone();
        assert_eq!(publication["data"], data);
        assert_eq!(publication["offset"].as_u64(), offset);
    }
    let stored = server
        .result("history", json!({"channel": "kept:a", "limit": -1}))
        .await;
    let expected = json!([{"data": 1, "offset": 1}, {"data": 3, "offset": 2}]);
    assert_eq!(stored["publications"], expected);
}

#[tokio::test]
async fn a_channel_of_a_kind_that_is_not_there_yet_takes_no_publication() {
    for (namespace, refused, taken) in [
        ("/channel/namespaces/0", "kept:a", "a"),
        ("/channel/without_namespace", "a", "kept:a"),
    ] {
        let mut options = channels();
        options.pointer_mut(namespace).unwrap()["subscription_type"] = "map".into();
        let server = Server::start(&options);
        let publish = |channel: &str| json!({"channel": channel, "data": 1});
        let answer = server.api("publish", &publish(refused)).await;
        assert_eq!(answer, error(107, "bad request"));
        server.result("publish", publish(taken)).await;
    }
}
