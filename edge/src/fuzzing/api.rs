//! The bodies of API calls, with everything behind them on one node.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use tidewire_config::load;
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt as _;

use crate::api::Api;
use crate::broker::{Broker, Channels, Memory};
use crate::config::Settings;
use crate::control::{Answer, Answerer, Control, NodeIdentity, NodeInfo, Question};
use crate::services::Services;

static SETTINGS: LazyLock<Arc<Settings>> = LazyLock::new(|| {
    let options = json!({
        "http_api": {"insecure": true},
        "channel": {
            "without_namespace": {"history_size": 3, "history_ttl": "60s", "presence": true},
            "namespaces": [{"name": "bare"}],
        },
    });
    let loaded = load::from_value("fuzz", &options).expect("good options");
    Arc::new(Settings::new(loaded).expect("good options"))
});

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
}

const METHODS: [&str; 14] = [
    "publish",
    "broadcast",
    "subscribe",
    "unsubscribe",
    "disconnect",
    "history",
    "history_remove",
    "presence",
    "presence_stats",
    "info",
    "rpc",
    "refresh",
    "channels",
    "batch",
];

/// A node without clients.
struct Nobody;

impl Answerer for Nobody {
    fn answer(&self, question: Question) -> BoxFuture<'_, Answer> {
        let answer = match question {
            Question::Info {} => Answer::Info(NodeInfo::default()),
            Question::Channels { .. } => Answer::Channels([("a".to_owned(), 1)].into()),
            Question::Act(_) => Answer::Done,
            Question::Presence { .. } => Answer::Presence([].into()),
        };
        std::future::ready(answer).boxed()
    }

    fn emulate(&self, _: &str, _: Bytes) -> bool {
        false
    }
}

fn router() -> Router {
    let identity = NodeIdentity {
        id: "n".to_owned(),
        name: "n".to_owned(),
        version: "v".to_owned(),
    };
    let channels = Arc::new(Channels::new(Vec::new()));
    let control = Arc::new(Control::local(identity, Arc::new(Nobody)));
    let services = Services {
        settings: Arc::clone(&SETTINGS),
        broker: Arc::new(Broker::Memory(Memory::new(channels))),
        control: Arc::clone(&control),
        users: Arc::default(),
    };
    Api::new(services, control).router()
}

/// The first byte selects the method, the rest is the body. The call is made twice: what it stores is read then.
pub fn api(input: &[u8]) {
    let Some((method, body)) = input.split_first() else {
        return;
    };
    let method = METHODS[usize::from(*method) % METHODS.len()];
    let router = router();
    for _ in 0..2 {
        call(&router, method, body);
    }
    call(&router, "history", b"{\"channel\":\"a\",\"limit\":10}");
}

fn call(router: &Router, method: &str, body: &[u8]) {
    let request = Request::post(format!("/api/{method}"))
        .body(Body::from(body.to_vec()))
        .expect("a request");
    let (status, body) = RUNTIME.with(|runtime| {
        runtime.block_on(async {
            let response = router.clone().oneshot(request).await.expect("an answer");
            let status = response.status();
            let body = to_bytes(response.into_body(), usize::MAX).await;
            (status, body.expect("it is whole"))
        })
    });
    match status {
        StatusCode::OK => well_formed(method, &body),
        StatusCode::BAD_REQUEST => assert_eq!(body, "Bad Request\n"),
        // A payload that is no JSON was published in Base64.
        StatusCode::INTERNAL_SERVER_ERROR if method == "history" => {
            assert_eq!(body, "Internal Server Error\n");
        }
        other => panic!("{method}: {other}"),
    }
}

fn well_formed(method: &str, body: &[u8]) {
    let answer: Value = serde_json::from_slice(body).expect("JSON");
    let answer = answer.as_object().expect("an object");
    if method == "batch" {
        let replies = answer.get("replies");
        return assert!(replies.is_none_or(Value::is_array), "{answer:?}");
    }
    assert_eq!(answer.len(), 1, "{answer:?}");
    match answer.get("error") {
        None => assert!(answer["result"].is_object()),
        Some(error) => {
            let code = error["code"].as_u64().expect("a code");
            // 100 is for a reversed read before offset 0, a malformed pattern, and a time that is over.
            let internal = code == 100 && matches!(method, "history" | "channels" | "subscribe");
            let known = matches!(code, 102 | 104 | 107 | 108 | 112);
            assert!(known || internal, "{method}: {error}");
        }
    }
}
