//! The legacy endpoint: commands in the body of a request to the API's own path.

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::server::{API_KEY, Response, Server};

const KEY: [(&str, &str); 1] = [("X-API-Key", API_KEY)];

fn kept() -> Value {
    json!({
        "client": {"allow_anonymous_connect_without_token": true},
        "channel": {
            "without_namespace": {
                "history_size": 10,
                "history_ttl": "60s",
                "allow_subscribe_for_client": true,
                "allow_subscribe_for_anonymous": true,
            },
            "namespaces": [{
                "name": "bin", "publication_data_format": "binary", "history_size": 1, "history_ttl": "60s",
            }],
        },
    })
}

/// The replies of one request, which must be answered.
async fn replies(server: &Server, body: &str) -> Vec<Value> {
    let response = server.request("POST", "/api", &KEY, body).await;
    assert_eq!(response.status, 200, "{body}: {response:?}");
    assert_eq!(response.content_type, "application/json");
    assert!(!response.body.ends_with('\n'));
    let lines = response.body.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

async fn offset(server: &Server) -> Value {
    let position = server.result("history", json!({"channel": "a"})).await;
    position["offset"].clone()
}

#[tokio::test]
async fn commands_run_one_after_another_however_they_are_separated() {
    let server = Server::start(&kept());
    let mut client = Client::open(&server).await;
    client.call(json!({"connect": {}})).await;
    client.subscribe_as(json!({"channel": "a"})).await;
    let publish = |id: u32| {
        json!({"id": id, "method": "publish", "params": {"channel": "a", "data": id}}).to_string()
    };
    let all = (1..=9).map(publish).collect::<Vec<_>>();
    let body = format!(
        " {}{}\n{}\r\n",
        all[..3].concat(),
        all[3..6].join("\n"),
        all[6..].join(" \t")
    );
    let replies = replies(&server, &body).await;
    assert_eq!(replies.len(), 9);
    for (id, reply) in (1..).zip(&replies) {
        assert_eq!(
            (&reply["id"], &reply["result"]["offset"]),
            (&json!(id), &json!(id))
        );
        assert_eq!(client.publication("a").await, id);
    }
}

#[tokio::test]
async fn an_error_concerns_its_command_only() {
    let server = Server::start(&kept());
    let body = r#"{"id":1,"method":"publish","params":{"channel":"no:a","data":1}}
        {"method":"publish","params":{"channel":1}}
        {"method":"publish","params":[]}
        {"method":"channels","params":null}
        {"METHOD":"Publish","Params":{"channel":"a","data":1},"ID":5,"other":true}
        null
        {"id":7,"method":"map_clear","params":{"channel":"a"}}"#;
    let bad_request = json!({"error": {"code": 107, "message": "bad request"}});
    let replies = replies(&server, body).await;
    assert_eq!(
        replies[0],
        json!({"id": 1, "error": {"code": 102, "message": "unknown channel"}})
    );
    assert_eq!(replies[1..3], [bad_request.clone(), bad_request.clone()]);
    assert_eq!(replies[3], json!({"result": {"channels": {}}}));
    assert_eq!(replies[4]["id"], 5);
    assert_eq!(replies[4]["result"]["offset"], 1);
    assert_eq!(replies[5], bad_request);
    assert_eq!(
        replies[6],
        json!({"id": 7, "error": {"code": 104, "message": "not found"}})
    );
}

#[tokio::test]
async fn what_stands_before_something_malformed_was_done() {
    let server = Server::start(&kept());
    let refused = Response::text(400, "Bad Request\n");
    let publish = r#"{"method":"publish","params":{"channel":"a","data":1}}"#;
    let malformed = [
        "{",
        "[]",
        "1",
        "\"publish\"",
        r#"{"method":"publish","params":{]}"#,
        r#"{"method":null}"#,
        r#"{"method":"0"}"#,
        r#"{"id":"1"}"#,
        r#"{"id":-1}"#,
    ];
    for (done, rest) in (1..).zip(malformed) {
        let body = format!("{publish}{rest}{publish}");
        let response = server.request("POST", "/api", &KEY, body).await;
        assert_eq!(response, refused, "{rest}");
        assert_eq!(offset(&server).await, done, "{rest}");
    }
    for empty in ["", " \n"] {
        assert_eq!(server.request("POST", "/api", &KEY, empty).await, refused);
    }
}

#[tokio::test]
async fn it_asks_for_verb_and_key_and_knows_no_transport_errors() {
    let server = Server::start(&json!({"http_api": {"error_mode": "transport"}}));
    assert_eq!(server.get("/api").await, Response::empty(405));
    let response = server.request("POST", "/api", &[], "{}").await;
    assert_eq!(response, Response::empty(401));
    let bad_request = r#"{"error":{"code":107,"message":"bad request"}}"#;
    let response = server.request("POST", "/api", &KEY, "{}").await;
    assert_eq!(response, Response::json(200, bad_request));
    let disabled = Server::start(&json!({"http_api": {"disabled": true}}));
    assert_eq!(
        disabled.request("POST", "/api", &KEY, "{}").await.status,
        404
    );
    let root = Server::start(&json!({"http_api": {"handler_prefix": "/"}}));
    let response = root.request("POST", "/", &KEY, "{}").await;
    assert_eq!(response, Response::json(200, bad_request));
}

#[tokio::test]
async fn a_result_that_is_no_json_is_an_error_in_its_reply() {
    let server = Server::start(&kept());
    let body = r#"{"params":{"channel":"bin:a","b64data":"AAE="}}{"method":6,"params":{"channel":"bin:a","limit":1}}"#;
    let replies = replies(&server, body).await;
    assert_eq!(replies[0]["result"]["offset"], 1);
    assert_eq!(replies[1]["error"]["code"], 100);
}
