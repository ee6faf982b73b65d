//! What every client endpoint has in common: CORS, the warm-up endpoint, the rate of connections.

use serde_json::json;

use crate::support::raw::{Raw, UPGRADE};
use crate::support::server::Server;

#[tokio::test]
async fn allowed_origins_get_cors_headers_and_others_none() {
    let server = Server::start(&json!({
        "init": {"enabled": true},
        "client": {"allowed_origins": ["https://good.example"]},
    }));
    let rows = [
        (Some("https://good.example"), Some("https://good.example")),
        (Some("https://bad.example"), None),
        (None, Some("")),
    ];
    for (origin, allowed) in rows {
        let mut headers = vec![("Access-Control-Request-Headers", "X-Test")];
        headers.extend(origin.map(|origin| ("Origin", origin)));
        let mut raw = Raw::dial(server.address).await;
        let head = raw.request("GET", "/connection/init", &headers).await;
        assert_eq!((head.status, head.body.as_str()), (200, "{}"), "{origin:?}");
        assert_eq!(
            head.header("content-type"),
            Some("application/json; charset=utf-8")
        );
        assert_eq!(
            head.header("access-control-allow-origin"),
            allowed,
            "{origin:?}"
        );
        let rest = allowed.map(|_| ("true", "X-Test"));
        let credentials = head.header("access-control-allow-credentials");
        let echoed = head.header("access-control-allow-headers");
        assert_eq!(credentials.zip(echoed), rest, "{origin:?}");
    }
}

#[tokio::test]
async fn the_warm_up_endpoint_is_off_unless_it_is_asked_for() {
    let server = Server::start(&json!({}));
    assert_eq!(server.get("/connection/init").await.status, 404);
}

#[tokio::test]
async fn connections_that_come_too_fast_are_refused() {
    let server = Server::start(&json!({"client": {"connection_rate_limit": 2}}));
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let mut raw = Raw::dial(server.address).await;
        let head = raw.request("GET", "/connection/websocket", UPGRADE).await;
        statuses.push(head.status);
    }
    assert_eq!(statuses, [101, 101, 503, 503]);
}
