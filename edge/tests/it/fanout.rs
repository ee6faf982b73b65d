//! One channel, a thousand subscribers.

use futures::future::join_all;
use serde_json::{Value, json};
use tidewire_protocol::{Command, ConnectRequest, SubscribeRequest};

use crate::support::client::{Client, ProtobufClient};
use crate::support::eventually;
use crate::support::server::Server;

const SUBSCRIBERS: usize = 1000;
const PUBLICATIONS: u64 = 30;

enum Subscriber {
    Json(Client),
    Protobuf(ProtobufClient),
}

impl Subscriber {
    /// Every tenth speaks Protobuf.
    async fn new(server: &Server, n: usize) -> Self {
        if !n.is_multiple_of(10) {
            let mut client = Client::open(server).await;
            client.call(json!({"connect": {}})).await;
            client.subscribe("a").await;
            return Self::Json(client);
        }
        let mut client = ProtobufClient::open(server).await;
        let connect = Some(ConnectRequest::default());
        let channel = "a".to_owned();
        let subscribe = Some(SubscribeRequest {
            channel,
            ..SubscribeRequest::default()
        });
        client
            .send(&[
                Command {
                    id: 1,
                    connect,
                    ..Command::default()
                },
                Command {
                    id: 2,
                    subscribe,
                    ..Command::default()
                },
            ])
            .await;
        assert!(client.recv().await.connect.is_some());
        assert!(client.recv().await.subscribe.is_some());
        Self::Protobuf(client)
    }

    async fn publication(&mut self) -> Value {
        match self {
            Self::Json(client) => client.publication("a").await,
            Self::Protobuf(client) => {
                let publication = client.recv().await.push.unwrap().r#pub.unwrap();
                serde_json::from_slice(&publication.data).unwrap()
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_subscribers_get_each_publication_exactly_once_and_in_order() {
    let server = Server::start(&json!({
        "client": {"allow_anonymous_connect_without_token": true},
        "channel": {"without_namespace": {
            "allow_subscribe_for_client": true,
            "allow_subscribe_for_anonymous": true,
        }},
    }));
    let mut subscribers = Vec::new();
    while subscribers.len() < SUBSCRIBERS {
        let next = subscribers.len();
        subscribers.extend(join_all((next..next + 50).map(|n| Subscriber::new(&server, n))).await);
    }
    assert_eq!(server.counts().await, [1000, 1, 1000, 1]);
    let readers: Vec<_> = subscribers
        .into_iter()
        .map(|mut subscriber| {
            tokio::spawn(async move {
                for n in 0..PUBLICATIONS {
                    assert_eq!(subscriber.publication().await, json!({"n": n}));
                }
                subscriber
            })
        })
        .collect();
    for n in 0..PUBLICATIONS {
        server.publish("a", &json!({"n": n})).await;
    }
    let mut subscribers = Vec::new();
    for reader in readers {
        subscribers.push(reader.await.unwrap());
    }
    let deliveries = server.metric("tidewire_deliveries_total").await;
    assert_eq!(deliveries, SUBSCRIBERS as u64 * PUBLICATIONS);
    drop(subscribers);
    eventually("nobody is left", [0; 4], async || server.counts().await).await;
    server.publish("a", &json!("to nobody")).await;
    assert_eq!(server.metric("tidewire_deliveries_total").await, deliveries);
}
