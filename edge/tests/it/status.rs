//! Health, readiness, metrics, status, the two listeners, and a node's end.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::client::Client;
use crate::support::raw::Raw;
use crate::support::server::{API_KEY, Response, Server};
use crate::support::{eventually, soon};

const STATUS: [(&str, &str); 1] = [("Authorization", "Bearer status")];

#[tokio::test]
async fn health_and_metrics_are_served_where_they_are_enabled() {
    let server = Server::start(&json!({}));
    assert_eq!(server.get("/health").await, Response::json(200, "{}"));
    assert_eq!(
        server.request("POST", "/health", &[], "").await,
        Response::json(200, "{}")
    );
    assert_eq!(server.get("/health/ready").await, Response::json(200, "{}"));
    assert_eq!(server.get("/metrics").await.status, 200);
    let off = json!({"health": {"enabled": false}, "prometheus": {"enabled": false}});
    let server = Server::start(&off);
    for path in ["/health", "/health/ready", "/metrics"] {
        assert_eq!(server.get(path).await.status, 404, "{path}");
    }
    let moved =
        json!({"health": {"handler_prefix": "/up"}, "prometheus": {"handler_prefix": "/m"}});
    let server = Server::start(&moved);
    for (path, status) in [
        ("/up", 200),
        ("/up/ready", 200),
        ("/m", 200),
        ("/health", 404),
    ] {
        assert_eq!(server.get(path).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn the_status_is_for_the_bearer_of_its_token_only() {
    let server = Server::start(&json!({"node": {"name": "here"}}));
    for headers in [
        &[][..],
        &[("Authorization", "Bearer wrong")],
        &[("Authorization", "status")],
        &[("Authorization", "Bearer ")],
    ] {
        assert_eq!(
            server.request("GET", "/node", headers, "").await.status,
            401,
            "{headers:?}"
        );
    }
    let _client = Client::connected(&server, "42").await;
    let response = server.request("GET", "/node", &STATUS, "").await;
    assert_eq!(
        (response.status, response.content_type.as_str()),
        (200, "application/json")
    );
    let status: Value = serde_json::from_str(&response.body).unwrap();
    let info = server.info().await;
    assert_eq!(status["id"], info["uid"]);
    assert_eq!(status["name"], "here");
    assert_eq!(status["version"], tidewire_edge::VERSION);
    assert_eq!(status["connections"], 1);
    assert_eq!(status["draining"], false);
    assert_eq!(
        status["broker"],
        json!({"type": "memory", "connected": true})
    );
    for hash in ["boot_hash", "live_hash"] {
        assert_eq!(status[hash].as_str().unwrap().len(), 64, "{hash}");
    }
    let none = Server::start(&json!({"tidewire": {"node_status": {"token": ""}}}));
    assert_eq!(none.request("GET", "/node", &STATUS, "").await.status, 404);
}

#[tokio::test]
async fn metrics_count_connections_commands_and_errors() {
    let server = Server::start(&json!({}));
    let mut client = Client::connected(&server, "42").await;
    assert_eq!(
        client.refused(json!({"subscribe": {"channel": "a"}})).await,
        103
    );
    assert_eq!(client.refused(json!({"rpc": {}})).await, 108);
    client.send("garbage").await;
    client.closed().await;
    for (name, value) in [
        (
            "centrifugo_client_connections_accepted{encoding=\"json\",transport=\"websocket\"}",
            1,
        ),
        (
            "centrifugo_client_connections_accepted{encoding=\"protobuf\",transport=\"websocket\"}",
            0,
        ),
        ("centrifugo_client_num_server_disconnects{code=\"3501\"}", 1),
        ("tidewire_reply_errors_total{code=\"103\"}", 1),
        ("tidewire_reply_errors_total{code=\"108\"}", 1),
        ("tidewire_commands_total", 4),
        ("centrifugo_node_num_nodes", 1),
        ("tidewire_broker_connected", 1),
    ] {
        assert_eq!(server.metric(name).await, value, "{name}");
    }
    let text = server.get("/metrics").await.body;
    let build = format!(
        "centrifugo_node_build{{version=\"{}\"}} 1",
        tidewire_edge::VERSION
    );
    assert!(text.contains(&build), "{text}");
}

/// The status of each endpoint on each of the two listeners.
async fn reachable(server: &Server) -> [[u16; 5]; 2] {
    let mut all = [[0; 5]; 2];
    for (statuses, address) in all.iter_mut().zip([server.address, server.internal]) {
        let listener = Server::elsewhere(address, address);
        let key = [("X-API-Key", API_KEY)];
        *statuses = [
            listener.get("/connection/websocket").await,
            listener.request("POST", "/api/info", &key, "{}").await,
            listener.request("GET", "/node", &STATUS, "").await,
            listener.get("/health").await,
            listener.get("/metrics").await,
        ]
        .map(|response| response.status);
    }
    all
}

#[tokio::test]
async fn clients_and_operators_have_a_listener_each_or_one_together() {
    // The WebSocket endpoint answers a plain GET with 400.
    let one = Server::start(&json!({}));
    assert_eq!(reachable(&one).await, [[400, 200, 200, 200, 200]; 2]);
    let two = Server::start(&json!({"http_server": {"internal_port": "9000"}}));
    assert_eq!(
        reachable(&two).await,
        [[400, 404, 404, 404, 404], [404, 200, 200, 200, 200]]
    );
    let external = json!({
        "http_server": {"internal_address": "127.0.0.2"},
        "http_api": {"external": true},
    });
    let external = Server::start(&external);
    assert_eq!(
        reachable(&external).await,
        [[400, 200, 404, 404, 404], [404, 404, 200, 200, 200]]
    );
}

#[tokio::test]
async fn an_internal_listener_of_the_same_address_and_port_is_the_same_listener() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let server = Server::start(&json!({
        "http_server": {"port": port, "internal_port": port.to_string()}
    }));
    assert_eq!(server.internal, server.address);
    assert_eq!(reachable(&server).await, [[400, 200, 200, 200, 200]; 2]);
}

#[tokio::test]
async fn a_node_that_ends_says_so_waits_and_then_sends_its_clients_elsewhere() {
    let mut server = Server::start(&json!({
        "tidewire": {"drain": {"endpoint_propagation": "2s"}},
        "channel": {"without_namespace": {"allow_subscribe_for_client": true}},
    }));
    let mut early = Client::connected(&server, "early").await;
    let mut unconnected = Client::open(&server).await;
    server.begin_shutdown();
    eventually("not ready", Response::text(503, "draining\n"), async || {
        server.get("/health/ready").await
    })
    .await;
    assert_eq!(server.get("/health").await, Response::json(200, "{}"));
    let node = server.request("GET", "/node", &STATUS, "").await.body;
    assert!(node.contains("\"draining\":true"), "{node}");
    // Load balancers have not noticed yet: who comes now is served.
    let mut late = Client::connected(&server, "late").await;
    late.subscribe("a").await;
    server.publish("a", &json!(1)).await;
    assert_eq!(late.publication("a").await, 1);
    for client in [&mut early, &mut late, &mut unconnected] {
        assert_eq!(client.closed().await, (3001, "shutdown".into()));
    }
    drop((early, late, unconnected));
    let address = server.address;
    soon("the end", server.ended()).await;
    assert!(
        tokio::net::TcpStream::connect(address).await.is_err(),
        "nobody listens any more"
    );
}

#[tokio::test]
async fn a_node_ends_although_a_client_does_not_answer_its_close_frame() {
    let mut server = Server::start(&json!({}));
    let mut mute = Raw::open(server.address).await;
    server.begin_shutdown();
    assert_eq!(mute.closed().await, (3001, "shutdown".into()));
    soon("the end", server.ended()).await;
    mute.ended().await;
}

#[tokio::test]
async fn a_node_listens_where_it_is_configured() {
    let addresses = [[127, 0, 0, 2], [127, 0, 0, 3]].map(|ip| {
        let free = TcpListener::bind(SocketAddr::from((ip, 0))).unwrap();
        free.local_addr().unwrap()
    });
    let [external, internal] = addresses;
    let server = Server::start(&json!({"http_server": {
        "address": external.ip(), "port": external.port(),
        "internal_address": internal.ip(), "internal_port": internal.port().to_string(),
    }}));
    assert_eq!([server.address, server.internal], addresses);
    assert_eq!(
        reachable(&server).await,
        [[400, 404, 404, 404, 404], [404, 200, 200, 200, 200]]
    );
}

#[tokio::test]
async fn clients_are_sent_away_as_soon_as_configured() {
    let mut server = Server::start(&json!({
        "tidewire": {"drain": {"endpoint_propagation": "1ms"}}
    }));
    let mut client = Client::connected(&server, "42").await;
    let began = Instant::now();
    server.begin_shutdown();
    assert_eq!(client.closed().await, (3001, "shutdown".into()));
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "the default: {took:?}");
}

#[tokio::test]
async fn the_demonstration_page_is_served_where_it_is_enabled() {
    for (enabled, status) in [(false, 404), (true, 200)] {
        let server = Server::start(&json!({"tidewire": {"demo": {"enabled": enabled}}}));
        for path in ["/", "/demo/token?user=ann"] {
            assert_eq!(server.get(path).await.status, status, "{path} {enabled}");
        }
    }
}
