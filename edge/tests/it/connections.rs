//! Commands and their replies, the order of what a client gets, and what is left when it has gone.

use serde_json::{Value, json};
use tidewire_protocol::{
    Command, ConnectRequest, PublishRequest, RPCRequest, RefreshRequest, SubscribeRequest,
    UnsubscribeRequest,
};
use tokio_tungstenite::tungstenite::Message;

use crate::support::client::{Client, Incoming, ProtobufClient, open};
use crate::support::server::{Response, SECRET, Server};
use crate::support::{eventually, raw, token};

/// Everybody may do everything in channels without namespace.
fn open_channels() -> Value {
    json!({
        "client": {"allow_anonymous_connect_without_token": true},
        "channel": {"without_namespace": {
            "allow_subscribe_for_client": true,
            "allow_subscribe_for_anonymous": true,
            "allow_publish_for_client": true,
            "allow_publish_for_anonymous": true,
        }},
    })
}

#[tokio::test]
async fn commands_pipelined_in_one_frame_are_answered_in_their_order() {
    let server = Server::start(&open_channels());
    let mut client = Client::open(&server).await;
    let token = token::of("42");
    client
        .send(&format!(
            "{{\"id\":1,\"connect\":{{\"token\":\"{token}\"}}}}\n\
             {{\"id\":2,\"subscribe\":{{\"channel\":\"a\"}}}}\n\
             {{\"id\":3,\"subscribe\":{{\"channel\":\"nowhere:b\"}}}}\n\
             {{\"id\":4,\"publish\":{{\"channel\":\"a\",\"data\":{{\"n\": 1}}}}}}\n\
             {{\"id\":5,\"unsubscribe\":{{\"channel\":\"a\"}}}}\n"
        ))
        .await;
    assert!(client.recv().await["connect"]["client"].is_string());
    assert_eq!(client.recv().await, json!({"id": 2, "subscribe": {}}));
    assert_eq!(client.recv().await["error"]["code"], 102);
    assert_eq!(client.publication("a").await, json!({"n": 1}));
    assert_eq!(client.recv().await, json!({"id": 4, "publish": {}}));
    assert_eq!(client.recv().await, json!({"id": 5, "unsubscribe": {}}));
}

#[tokio::test]
async fn a_publisher_gets_its_own_publication_before_the_reply() {
    let server = Server::start(&open_channels());
    let mut client = Client::open(&server).await;
    let connected = client.call(json!({"connect": {}})).await["connect"].clone();
    client.subscribe("a").await;
    for n in 0..50 {
        let id = client
            .command(json!({"publish": {"channel": "a", "data": n}}))
            .await;
        let push = client.recv().await;
        let info = json!({"user": "", "client": connected["client"]});
        assert_eq!(
            push,
            json!({"push": {"channel": "a", "pub": {"data": n, "info": info}}})
        );
        assert_eq!(client.recv().await, json!({"id": id, "publish": {}}));
    }
}

#[tokio::test]
async fn publications_arrive_only_between_the_replies_to_subscribe_and_unsubscribe() {
    let server = Server::start(&open_channels());
    let mut publisher = Client::connected(&server, "publisher").await;
    let mut client = Client::connected(&server, "42").await;
    let publishing = async {
        for n in 0.. {
            publisher
                .call(json!({"publish": {"channel": "a", "data": n}}))
                .await;
        }
    };
    let subscribing = async {
        let mut last = -1;
        for _ in 0..40 {
            // The very next message is the reply: no publication comes first, none is left over.
            client.subscribe("a").await;
            for _ in 0..3 {
                let n = client.publication("a").await.as_i64().unwrap();
                assert!(n > last, "{n} after {last}");
                last = n;
            }
            let id = client
                .command(json!({"unsubscribe": {"channel": "a"}}))
                .await;
            loop {
                let message = client.recv().await;
                match message["push"]["pub"]["data"].as_i64() {
                    Some(n) => last = n,
                    None => break assert_eq!(message, json!({"id": id, "unsubscribe": {}})),
                }
            }
        }
    };
    tokio::select! {
        () = publishing => {}
        () = subscribing => {}
    }
}

#[tokio::test]
async fn a_protobuf_client_does_what_a_json_client_does() {
    let server = Server::start(&open_channels());
    let mut json_client = Client::connected(&server, "json").await;
    json_client.subscribe("a").await;
    let mut client = ProtobufClient::open(&server).await;
    let command = |id| Command {
        id,
        ..Command::default()
    };
    let channel = || "a".to_owned();
    let token = token::expiring(60);
    client
        .send(&[
            Command {
                connect: Some(ConnectRequest {
                    token,
                    ..Default::default()
                }),
                ..command(1)
            },
            Command {
                subscribe: Some(SubscribeRequest {
                    channel: channel(),
                    ..Default::default()
                }),
                ..command(2)
            },
            Command {
                publish: Some(PublishRequest {
                    channel: channel(),
                    data: "{\"n\" : 1}".into(),
                    ..Default::default()
                }),
                ..command(3)
            },
            Command {
                rpc: Some(RPCRequest::default()),
                ..command(4)
            },
            Command {
                unsubscribe: Some(UnsubscribeRequest { channel: channel() }),
                ..command(5)
            },
            Command {
                refresh: Some(RefreshRequest {
                    token: token::expiring(160),
                }),
                ..command(6)
            },
        ])
        .await;
    let connected = client.recv().await.connect.unwrap();
    assert!(connected.expires && connected.pong && connected.ping == 25);
    assert!(client.recv().await.subscribe.is_some());
    let push = client.recv().await.push.unwrap();
    let publication = push.r#pub.unwrap();
    assert_eq!(
        (push.channel.as_str(), &publication.data[..]),
        ("a", &b"{\"n\" : 1}"[..])
    );
    assert_eq!(publication.info.unwrap().client, connected.client);
    assert_eq!(client.recv().await.publish, Some(Default::default()));
    assert_eq!(client.recv().await.error.unwrap().code, 108);
    assert_eq!(client.recv().await.unsubscribe, Some(Default::default()));
    assert!(client.recv().await.refresh.unwrap().ttl > 150);
    assert_eq!(json_client.publication("a").await, json!({"n": 1}));
    client.send_bytes(vec![5, 1]).await;
    assert_eq!(
        client.closed().await,
        3501,
        "a length beyond the frame's end"
    );
}

#[tokio::test]
async fn bytes_that_are_not_json_reach_protobuf_clients_and_end_json_clients() {
    let server = Server::start(&open_channels());
    let mut json_client = Client::connected(&server, "json").await;
    json_client.subscribe("a").await;
    let mut client = ProtobufClient::open(&server).await;
    let connect = ConnectRequest::default();
    let subscribe = SubscribeRequest {
        channel: "a".into(),
        ..Default::default()
    };
    client
        .send(&[
            Command {
                id: 1,
                connect: Some(connect),
                ..Command::default()
            },
            Command {
                id: 2,
                subscribe: Some(subscribe),
                ..Command::default()
            },
        ])
        .await;
    client.recv().await;
    client.recv().await;
    server
        .api("publish", &json!({"channel": "a", "b64data": "AAEC"}))
        .await;
    let push = client.recv().await.push.unwrap();
    assert_eq!(push.r#pub.unwrap().data, &[0_u8, 1, 2][..]);
    assert_eq!(
        json_client.closed().await,
        (3506, "inappropriate protocol".into())
    );
    eventually("one client is left", [1, 1, 1, 1], async || {
        server.counts().await
    })
    .await;
}

#[tokio::test]
async fn protobuf_is_chosen_by_subprotocol_or_query() {
    let server = Server::start(&open_channels());
    let connect = Command {
        id: 1,
        connect: Some(ConnectRequest::default()),
        ..Command::default()
    };
    for (path, subprotocol) in [
        ("/connection/websocket", Some("centrifuge-protobuf")),
        (
            "/connection/websocket",
            Some("other, centrifuge-protobuf, centrifuge-json"),
        ),
        ("/connection/websocket?cf_protocol=protobuf", None),
        ("/connection/websocket?format=protobuf", None),
    ] {
        // The client's library insists on an answer to its subprotocol, so it checks that too.
        let mut client = ProtobufClient::open_path(&server, path, subprotocol).await;
        client.send(std::slice::from_ref(&connect)).await;
        assert!(
            client.recv().await.connect.is_some(),
            "{path} {subprotocol:?}"
        );
    }
}

#[tokio::test]
async fn a_client_has_at_most_as_many_channels_as_configured() {
    let mut options = open_channels();
    options["client"]["channel_limit"] = 2.into();
    let server = Server::start(&options);
    let mut client = Client::connected(&server, "42").await;
    client.subscribe("a").await;
    client.subscribe("b").await;
    let third = json!({"subscribe": {"channel": "c"}});
    assert_eq!(client.refused(third.clone()).await, 106);
    client.call(json!({"unsubscribe": {"channel": "a"}})).await;
    assert_eq!(client.call(third).await["subscribe"], json!({}));
}

#[tokio::test]
async fn garbage_ends_a_connection_and_nothing_else() {
    let server = Server::start(&open_channels());
    let mut witness = Client::connected(&server, "witness").await;
    witness.subscribe("a").await;
    for garbage in [
        "",
        "garbage",
        "[]",
        "{\"id\":\"1\"}",
        "\n",
        "{\"id\":1}",
        "\u{0}",
        "{\"id\":1",
    ] {
        let mut client = Client::connected(&server, "42").await;
        client.send(garbage).await;
        assert_eq!(
            client.closed().await,
            (3501, "bad request".into()),
            "{garbage:?}"
        );
    }
    let mut client = Client::connected(&server, "42").await;
    client.message(Message::binary(vec![0xFF, 0xFE])).await;
    assert_eq!(client.closed().await.0, 3501);
    server.publish("a", &json!("still here")).await;
    assert_eq!(witness.publication("a").await, "still here");
    assert_eq!(server.disconnects(3501).await, 9);
}

#[tokio::test]
async fn commands_before_a_malformed_one_are_answered() {
    let server = Server::start(&open_channels());
    let mut client = Client::open(&server).await;
    client
        .send("{\"id\":1,\"connect\":{}}\n\n{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}")
        .await;
    assert!(client.recv().await["connect"].is_object());
    assert_eq!(client.closed().await.0, 3501);
    eventually("nobody is left", [0; 4], async || server.counts().await).await;
}

#[tokio::test]
async fn clients_that_leave_in_any_way_leave_nothing_behind() {
    let server = Server::start(&open_channels());
    let mut polite = Client::connected(&server, "polite").await;
    let mut rude = Client::connected(&server, "rude").await;
    let mut bad = Client::connected(&server, "bad").await;
    let mut wordless = raw::Raw::open(server.address).await;
    let mut half = raw::Raw::open(server.address).await;
    for client in [&mut polite, &mut rude, &mut bad] {
        client.subscribe("shared").await;
    }
    rude.subscribe("own").await;
    wordless
        .text("{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"shared\"}}")
        .await;
    assert!(wordless.recv().await.contains("connect"));
    // Half a frame, and then no more.
    half.send(&raw::frame(raw::TEXT, b"{\"id\":1}")[..5]).await;
    eventually("four are there", [4, 4, 5, 2], async || {
        server.counts().await
    })
    .await;
    let channels = server.api("channels", &json!({})).await;
    assert_eq!(
        channels["result"]["channels"],
        json!({"own": {"num_clients": 1}, "shared": {"num_clients": 4}})
    );
    assert_eq!(server.metric("tidewire_connections").await, 5);

    polite.close().await;
    drop(rude);
    drop(wordless);
    drop(half);
    bad.send("garbage").await;
    assert_eq!(bad.closed().await.0, 3501);
    drop(bad);
    eventually("nobody is left", [0; 4], async || server.counts().await).await;
    eventually("no connection is left", 0, async || {
        server.metric("tidewire_connections").await
    })
    .await;
    for name in [
        "num_clients",
        "num_users",
        "num_subscriptions",
        "num_channels",
    ] {
        let name = format!("centrifugo_node_{name}");
        assert_eq!(server.metric(&name).await, 0, "{name}");
    }
    let channels = server.api("channels", &json!({})).await;
    assert_eq!(channels["result"]["channels"], json!({}));
}

#[tokio::test]
async fn a_user_with_several_connections_is_one_user() {
    let server = Server::start(&open_channels());
    let first = Client::connected(&server, "42").await;
    let _second = Client::connected(&server, "42").await;
    let mut nobody = Client::open(&server).await;
    nobody.call(json!({"connect": {}})).await;
    assert_eq!(server.counts().await, [3, 2, 0, 0]);
    first.close().await;
    eventually("the user stays", [2, 2, 0, 0], async || {
        server.counts().await
    })
    .await;
}

#[tokio::test]
async fn beyond_the_connection_limit_handshakes_are_refused_until_somebody_leaves() {
    let mut options = open_channels();
    options["client"]["connection_limit"] = 2.into();
    let server = Server::start(&options);
    // A socket that has not connected does not count.
    let _waiting = Client::open(&server).await;
    let first = Client::connected(&server, "1").await;
    let _second = Client::connected(&server, "2").await;
    let mut third = raw::Raw::dial(server.address).await;
    let head = third
        .request("GET", "/connection/websocket", raw::UPGRADE)
        .await;
    assert_eq!((head.status, head.body.as_str()), (503, ""));
    let health = server.get("/health").await;
    assert_eq!(
        health,
        Response::json(200, "{}"),
        "other requests are served"
    );
    assert_eq!(
        server
            .metric("centrifugo_node_client_connection_limit")
            .await,
        2
    );
    first.close().await;
    eventually("one is left", 1, async || server.counts().await[0]).await;
    Client::connected(&server, "3").await;
}

#[tokio::test]
async fn a_refused_connect_is_answered_and_the_rest_is_silence_until_the_socket_is_cut() {
    let server = Server::start(&open_channels());
    let expired = token::signed(&json!({"sub": "42", "exp": 100}), SECRET);
    let mut client = Client::open(&server).await;
    // Whatever is pipelined behind it is dropped.
    client
        .send(&format!(
            "{{\"id\":1,\"connect\":{{\"token\":\"{expired}\"}}}}\n{{\"id\":2,\"subscribe\":{{\"channel\":\"a\"}}}}"
        ))
        .await;
    let refused = std::pin::pin!(tokio::time::sleep(std::time::Duration::from_millis(4500)));
    let reply = client.recv().await;
    assert_eq!(
        reply,
        json!({"id": 1, "error": {"code": 109, "message": "token expired"}})
    );
    client.send("{\"id\":3,\"connect\":{}}").await;
    tokio::select! {
        incoming = client.next() => assert_eq!(incoming, Incoming::Cut, "too early"),
        () = refused => assert_eq!(client.next().await, Incoming::Cut),
    }
    eventually("no connection is left", 0, async || {
        server.metric("tidewire_connections").await
    })
    .await;
    assert_eq!(server.counts().await, [0; 4]);
}

#[tokio::test]
async fn many_channels_and_clients_over_all_shards_get_what_is_theirs_and_nothing_else() {
    let server = Server::start(&open_channels());
    let mut clients = Vec::new();
    for n in 0..40 {
        let mut client = Client::connected(&server, &format!("user{n}")).await;
        client.subscribe("all").await;
        client.subscribe(&format!("third_{}", n % 3)).await;
        client.subscribe(&format!("own_{n}")).await;
        clients.push(client);
    }
    assert_eq!(server.counts().await, [40, 40, 120, 44]);
    for round in 0..5 {
        for n in 0..40 {
            server
                .publish(&format!("own_{n}"), &json!([round, n]))
                .await;
        }
        for third in 0..3 {
            server
                .publish(&format!("third_{third}"), &json!([round, third]))
                .await;
        }
        server.publish("all", &json!([round])).await;
    }
    for (n, client) in clients.iter_mut().enumerate() {
        for round in 0..5 {
            assert_eq!(
                client.publication(&format!("own_{n}")).await,
                json!([round, n])
            );
            assert_eq!(
                client.publication(&format!("third_{}", n % 3)).await,
                json!([round, n % 3])
            );
            assert_eq!(client.publication("all").await, json!([round]));
        }
    }
    assert_eq!(server.metric("tidewire_deliveries_total").await, 5 * 120);
}

#[tokio::test]
async fn without_a_subprotocol_the_answer_has_none() {
    let server = Server::start(&open_channels());
    let mut socket = raw::Raw::dial(server.address).await;
    let head = socket
        .request("GET", "/connection/websocket", raw::UPGRADE)
        .await;
    assert_eq!(head.header("sec-websocket-protocol"), None);
    drop(
        open(
            server.address,
            "/connection/websocket",
            Some("centrifuge-json"),
        )
        .await,
    );
}
