//! The HTTP API of the backends.

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::raw::{Raw, TEXT};
use crate::support::server::{API_KEY, Response, Server};

type Headers<'a> = &'a [(&'a str, &'a str)];

fn namespaces() -> Value {
    json!({
        "client": {"allow_anonymous_connect_without_token": true},
        "channel": {
            "without_namespace": {
                "allow_subscribe_for_client": true,
                "allow_subscribe_for_anonymous": true,
            },
            "namespaces": [
                {"name": "json", "publication_data_format": "json"},
                {"name": "object", "publication_data_format": "json_object"},
                {"name": "binary", "publication_data_format": "binary"},
            ],
        },
    })
}

fn error(code: u32, message: &str) -> Value {
    json!({"error": {"code": code, "message": message}})
}

#[tokio::test]
async fn a_call_needs_the_key_in_one_of_three_places() {
    let server = Server::start(&json!({}));
    let rows: &[(Headers<'_>, &str, u16)] = &[
        (&[], "", 401),
        (&[("X-API-Key", API_KEY)], "", 200),
        (&[("x-api-key", "wrong")], "", 401),
        (&[("X-API-Key", "apikey2")], "", 401),
        (&[("X-API-Key", "apike")], "", 401),
        (&[("Authorization", "apikey apikey")], "", 200),
        (&[("Authorization", "ApiKey   apikey")], "", 200),
        (&[("Authorization", "apikey wrong")], "", 401),
        (&[("Authorization", "apikey")], "", 401),
        (&[("Authorization", "apikey apikey apikey")], "", 401),
        (&[("Authorization", "Bearer apikey")], "", 401),
        (
            &[("X-API-Key", "wrong"), ("Authorization", "apikey apikey")],
            "",
            401,
        ),
        (
            &[("X-API-Key", ""), ("Authorization", "apikey apikey")],
            "",
            200,
        ),
        (&[], "?api_key=apikey", 200),
        (&[], "?a=b&api_key=apikey", 200),
        (&[], "?api_key=wrong", 401),
        (&[], "?api_key=", 401),
        (&[("X-API-Key", "wrong")], "?api_key=apikey", 200),
    ];
    for (headers, query, status) in rows {
        let response = server
            .request("POST", &format!("/api/channels{query}"), headers, "{}")
            .await;
        let expected = if *status == 200 {
            Response::json(200, "{\"result\":{\"channels\":{}}}")
        } else {
            Response::empty(*status)
        };
        assert_eq!(response, expected, "{headers:?} {query}");
    }
}

#[tokio::test]
async fn without_a_configured_key_nobody_gets_in_unless_the_api_is_insecure() {
    let keyless = Server::start(&json!({"http_api": {"key": ""}}));
    for headers in [
        &[][..],
        &[("X-API-Key", "")],
        &[("Authorization", "apikey ")],
    ] {
        let response = keyless.request("POST", "/api/info", headers, "{}").await;
        assert_eq!(response, Response::empty(401), "{headers:?}");
    }
    let insecure = Server::start(&json!({"http_api": {"key": "", "insecure": true}}));
    let response = insecure
        .request("POST", "/api/channels", &[("X-API-Key", "x")], "{}")
        .await;
    assert_eq!(response.status, 200);
}

#[tokio::test]
async fn path_comes_before_method_and_method_before_key() {
    let server = Server::start(&json!({}));
    let not_found = Response::text(404, "404 page not found\n");
    for path in [
        "/api/nosuch",
        "/api/channels/",
        "/api/",
        "/api/a/b",
        "/apichannels",
    ] {
        assert_eq!(
            server.request("GET", path, &[], "").await,
            not_found,
            "{path}"
        );
    }
    for method in ["GET", "PUT", "DELETE", "OPTIONS"] {
        let response = server.request(method, "/api/publish", &[], "{}").await;
        assert_eq!(response, Response::empty(405), "{method}");
    }
    let response = server.request("POST", "/api/publish", &[], "garbage").await;
    assert_eq!(response, Response::empty(401));
}

#[tokio::test]
async fn a_body_that_is_not_the_right_json_is_refused() {
    let server = Server::start(&json!({}));
    let bad = [
        ("publish", ""),
        ("publish", "{"),
        ("publish", "[]"),
        ("publish", "{} {}"),
        ("publish", "{\"channel\":1}"),
        ("publish", "{\"channel\":\"a\",\"data\":}"),
        (
            "publish",
            "{\"channel\":\"a\",\"data\":1,\"tags\":{\"a\":1}}",
        ),
        ("broadcast", "{\"channels\":\"a\",\"data\":1}"),
        ("channels", "{\"pattern\":1}"),
        ("info", ""),
        ("info", "[]"),
    ];
    for (method, body) in bad {
        let headers = [("X-API-Key", API_KEY)];
        let path = format!("/api/{method}");
        let response = server.request("POST", &path, &headers, body).await;
        assert_eq!(
            response,
            Response::text(400, "Bad Request\n"),
            "{method} {body}"
        );
    }
}

#[tokio::test]
async fn publish_checks_channel_payload_and_namespace() {
    let server = Server::start(&namespaces());
    let bad = || error(107, "bad request");
    let done = || json!({"result": {}});
    let rows = [
        (json!({"channel": "a", "data": {"x": 1}}), done()),
        (json!({"channel": "a", "data": null}), done()),
        (json!({"channel": "a", "b64data": "eyJhIjoxfQ=="}), done()),
        (json!({"CHANNEL": "a", "Data": 1, "unknown": true}), done()),
        (json!({"channel": "$private", "data": 1}), done()),
        (json!({"channel": "ж", "data": 1}), done()),
        (json!({"channel": "", "data": 1}), bad()),
        (json!({"channel": null, "data": 1}), bad()),
        (json!({"data": 1}), bad()),
        (json!({"channel": "a"}), bad()),
        (json!({"channel": "a", "b64data": "!!"}), bad()),
        (json!({"channel": "a", "data": 1, "b64data": "!!"}), bad()),
        (
            json!({"channel": "nowhere:a", "data": 1}),
            error(102, "unknown channel"),
        ),
        (
            json!({"channel": "nowhere:a"}),
            error(102, "unknown channel"),
        ),
        (json!({"channel": "nowhere:a", "b64data": "!!"}), bad()),
        (json!({"channel": "json:a", "b64data": "AAE="}), bad()),
        (json!({"channel": "json:a", "data": [1]}), done()),
        (json!({"channel": "json:a"}), bad()),
        (json!({"channel": "object:a", "data": [1]}), bad()),
        (json!({"channel": "object:a", "data": {}}), done()),
        (json!({"channel": "binary:a", "b64data": "AAE="}), done()),
        (json!({"channel": "binary:a"}), done()),
    ];
    for (request, expected) in rows {
        assert_eq!(server.api("publish", &request).await, expected, "{request}");
    }
}

#[tokio::test]
async fn what_is_published_reaches_subscribers_byte_for_byte_with_its_tags() {
    let server = Server::start(&namespaces());
    let mut raw = Raw::open(server.address).await;
    raw.text("{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"a<b>\"}}")
        .await;
    assert!(raw.recv().await.contains("connect"));
    assert_eq!(raw.recv().await, "{\"id\":2,\"subscribe\":{}}");
    let rows = [
        (
            "{\"channel\":\"a<b>\",\"data\":{\"x\" : \"<&>\"},\"tags\":{\"k\":\"<v>\"}}",
            "\"data\":{\"x\" : \"<&>\"},\"tags\":{\"k\":\"\\u003cv\\u003e\"}",
        ),
        ("{\"channel\":\"a<b>\",\"data\":null}", "\"data\":null"),
        (
            "{\"channel\":\"a<b>\",\"data\":1,\"b64data\":\"WzJd\"}",
            "\"data\":[2]",
        ),
        (
            "{\"channel\":\"a<b>\",\"data\":{\n\"x\":\n1}}",
            "\"data\":{\"x\":1}",
        ),
    ];
    for (request, expected) in rows {
        let headers = [("X-API-Key", API_KEY)];
        let response = server
            .request("POST", "/api/publish", &headers, request)
            .await;
        assert_eq!(response, Response::json(200, "{\"result\":{}}"));
        let push = "{\"push\":{\"channel\":\"a\\u003cb\\u003e\",\"pub\":{";
        assert_eq!(
            raw.next().await,
            Some((TEXT, format!("{push}{expected}}}}}}}").into_bytes()))
        );
    }
}

#[tokio::test]
async fn broadcast_answers_for_each_channel_in_their_order() {
    let server = Server::start(&namespaces());
    let mut client = Client::open(&server).await;
    client.call(json!({"connect": {}})).await;
    client.subscribe("a").await;
    client.subscribe("b").await;
    let channels = json!(["b", "nowhere:a", "", "a", "object:a", "a"]);
    let answer = server
        .api("broadcast", &json!({"channels": channels, "data": [1]}))
        .await;
    let responses = json!([
        {"result": {}},
        error(102, "unknown channel"),
        error(107, "bad request"),
        {"result": {}},
        error(107, "bad request"),
        {"result": {}},
    ]);
    assert_eq!(answer, json!({"result": {"responses": responses}}));
    for channel in ["b", "a", "a"] {
        assert_eq!(client.publication(channel).await, json!([1]));
    }
    for request in [
        json!({"data": 1}),
        json!({"channels": [], "data": 1}),
        json!({"channels": ["a"], "b64data": "!!"}),
    ] {
        assert_eq!(
            server.api("broadcast", &request).await,
            error(107, "bad request"),
            "{request}"
        );
    }
}

#[tokio::test]
async fn in_transport_mode_an_error_is_an_http_status_with_a_bare_body() {
    let by_option = Server::start(&json!({"http_api": {"error_mode": "transport"}}));
    let by_header = Server::start(&json!({}));
    let rows = [
        (
            "publish",
            "{\"channel\":\"no:a\",\"data\":1}",
            404,
            "{\"code\":102,\"message\":\"unknown channel\"}",
        ),
        (
            "publish",
            "{\"data\":1}",
            400,
            "{\"code\":107,\"message\":\"bad request\"}",
        ),
        (
            "broadcast",
            "{}",
            400,
            "{\"code\":107,\"message\":\"bad request\"}",
        ),
        (
            "channels",
            "{\"pattern\":\"[\"}",
            500,
            "{\"code\":100,\"message\":\"internal server error\"}",
        ),
        (
            "publish",
            "{\"channel\":\"a\",\"data\":1}",
            200,
            "{\"result\":{}}",
        ),
        (
            "broadcast",
            "{\"channels\":[\"no:a\"],\"data\":1}",
            200,
            "{\"result\":{\"responses\":[{\"error\":{\"code\":102,\"message\":\"unknown channel\"}}]}}",
        ),
    ];
    for (method, request, status, body) in rows {
        let path = format!("/api/{method}");
        let key = ("X-API-Key", API_KEY);
        let expected = Response::json(status, body);
        assert_eq!(
            by_option.request("POST", &path, &[key], request).await,
            expected,
            "{request}"
        );
        let mode = ("X-Centrifugo-Error-Mode", "transport");
        let response = by_header
            .request("POST", &path, &[key, mode], request)
            .await;
        assert_eq!(response, expected, "{request}");
    }
    let response = by_header
        .request(
            "POST",
            "/api/publish",
            &[("X-API-Key", API_KEY), ("X-Centrifugo-Error-Mode", "x")],
            "{}",
        )
        .await;
    assert_eq!(response.status, 200, "another mode is none");
}

#[tokio::test]
async fn channels_are_counted_and_selected_by_pattern() {
    let server = Server::start(&namespaces());
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = Client::open(&server).await;
        client.call(json!({"connect": {}})).await;
        client.subscribe("room1").await;
        clients.push(client);
    }
    clients[0].subscribe("room2").await;
    clients[1].subscribe("hall").await;
    let count = |clients: u32| json!({"num_clients": clients});
    let rows = [
        (
            json!({}),
            json!({"room1": count(3), "room2": count(1), "hall": count(1)}),
        ),
        (
            json!({"pattern": ""}),
            json!({"room1": count(3), "room2": count(1), "hall": count(1)}),
        ),
        (
            json!({"pattern": "room*"}),
            json!({"room1": count(3), "room2": count(1)}),
        ),
        (
            json!({"pattern": "room?"}),
            json!({"room1": count(3), "room2": count(1)}),
        ),
        (json!({"pattern": "room[!1]"}), json!({"room2": count(1)})),
        (
            json!({"pattern": "{hall,room2}"}),
            json!({"room2": count(1), "hall": count(1)}),
        ),
        (json!({"pattern": "room"}), json!({})),
    ];
    for (request, channels) in rows {
        let answer = server.api("channels", &request).await;
        assert_eq!(
            answer,
            json!({"result": {"channels": channels}}),
            "{request}"
        );
    }
    let answer = server.api("channels", &json!({"pattern": "["})).await;
    assert_eq!(answer, error(100, "internal server error"));
}

#[tokio::test]
async fn info_describes_the_node() {
    let server = Server::start(&json!({"node": {"name": "here"}}));
    let info = server.info().await;
    assert_eq!(info["name"], "here");
    assert_eq!(info["version"], tidewire_edge::VERSION);
    assert_eq!(info["uid"].as_str().unwrap().len(), 36);
    for count in ["num_clients", "num_users", "num_subs", "num_channels"] {
        assert_eq!(info[count], 0, "{count}");
    }
    assert_eq!(info.get("process"), None);
    assert_eq!(server.info().await["uid"], info["uid"]);
    let other = Server::start(&json!({}));
    assert_ne!(other.info().await["uid"], info["uid"]);
}

#[tokio::test]
async fn the_api_stands_where_it_is_configured() {
    let moved = Server::start(&json!({"http_api": {"handler_prefix": "/v2/api/"}}));
    let key = [("X-API-Key", API_KEY)];
    assert_eq!(
        moved
            .request("POST", "/v2/api/info", &key, "{}")
            .await
            .status,
        200
    );
    assert_eq!(
        moved.request("POST", "/api/info", &key, "{}").await.status,
        404
    );
    let root = Server::start(&json!({"http_api": {"handler_prefix": "/"}}));
    assert_eq!(root.request("POST", "/info", &key, "{}").await.status, 200);
    assert_eq!(root.get("/health").await.status, 200);
    let disabled = Server::start(&json!({"http_api": {"disabled": true}}));
    assert_eq!(
        disabled
            .request("POST", "/api/info", &key, "{}")
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn two_thousand_calls_at_once_are_all_answered() {
    let server = Server::start(&namespaces());
    let mut client = Client::open(&server).await;
    client.call(json!({"connect": {}})).await;
    client.subscribe("a").await;
    let publish = |n: u32| {
        let server = &server;
        async move { server.publish("a", &json!(n)).await }
    };
    let publishing = async {
        for batch in 0..20 {
            futures::future::join_all((0..100).map(|n| publish(batch * 100 + n))).await;
        }
    };
    let reading = async {
        let mut seen: Vec<u64> = Vec::new();
        for _ in 0..2000 {
            seen.push(client.publication("a").await.as_u64().unwrap());
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..2000).collect::<Vec<_>>());
    };
    futures::join!(publishing, reading);
}
