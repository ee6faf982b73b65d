//! What every client endpoint has in common: paths, sizes, CORS, the warm-up endpoint, the rate of connections.

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

#[tokio::test]
async fn the_endpoints_stand_where_they_are_configured() {
    // section, its default path, a request that ends at once, and its status
    let rows = [
        ("sse", "/connection/sse", "PUT", 405),
        ("http_stream", "/connection/http_stream", "PUT", 405),
        ("emulation", "/emulation", "POST", 400),
        ("uni_websocket", "/connection/uni_websocket", "GET", 400),
        ("uni_sse", "/connection/uni_sse", "PUT", 405),
        ("uni_http_stream", "/connection/uni_http_stream", "PUT", 405),
        ("init", "/connection/init", "GET", 200),
    ];
    let enabled = |section: &str| match section {
        "emulation" => json!({}),
        _ => json!({"enabled": true}),
    };
    let (mut usual, mut moved) = (json!({}), json!({}));
    for (section, ..) in rows {
        usual[section] = enabled(section);
        moved[section] = enabled(section);
        moved[section]["handler_prefix"] = format!("/at/{section}").into();
    }
    let (usual, moved) = (Server::start(&usual), Server::start(&moved));
    for (section, path, method, status) in rows {
        let new = format!("/at/{section}");
        for (server, path, expected) in [
            (&usual, path, status),
            (&usual, &*new, 404),
            (&moved, &*new, status),
            (&moved, path, 404),
        ] {
            let response = server.request(method, path, &[], "zz").await;
            assert_eq!(response.status, expected, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn each_endpoint_has_its_own_limit_of_a_request() {
    // section, path, limit, status of a body of that size: blanks, which is no request
    let rows = [
        ("sse", "/connection/sse", 100, 200),
        ("http_stream", "/connection/http_stream", 200, 200),
        ("emulation", "/emulation", 300, 400),
        ("uni_sse", "/connection/uni_sse", 400, 400),
        ("uni_http_stream", "/connection/uni_http_stream", 500, 400),
    ];
    let mut options = json!({});
    for (section, _, limit, _) in rows {
        options[section] = json!({"max_request_body_size": limit});
        if section != "emulation" {
            options[section]["enabled"] = true.into();
        }
    }
    let server = Server::start(&options);
    for (_, path, limit, status) in rows {
        for (size, expected) in [(limit, status), (limit + 1, 413)] {
            let response = server.request("POST", path, &[], " ".repeat(size)).await;
            assert_eq!(response.status, expected, "{path} {size}");
        }
    }
}
