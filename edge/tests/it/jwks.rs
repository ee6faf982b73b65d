//! Tokens whose keys come from a server, from the first connect to the change of the key.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::RwLock;

use crate::support::client::Client;
use crate::support::server::Server;
use crate::support::{eventually, token};
use crate::tokens::KINDS;

/// A key for ES256 under a name.
struct Key {
    kid: &'static str,
    pair: EcdsaKeyPair,
}

impl Key {
    fn new(kid: &'static str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self { kid, pair }
    }

    fn public(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        let (x, y) = point[1..].split_at(32);
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({"kid": self.kid, "use": "sig", "kty": "EC", "crv": "P-256", "x": text(x), "y": text(y)})
    }

    fn token(&self, claims: &Value) -> String {
        let header = json!({"alg": "ES256", "kid": self.kid});
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let message = format!("{}.{}", part(&header), part(claims));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(signature.unwrap());
        format!("{message}.{signature}")
    }
}

/// A server of key sets, as long as the test runs.
struct KeyServer {
    address: SocketAddr,
    keys: Arc<Mutex<Vec<Value>>>,
    requests: Arc<AtomicUsize>,
    /// Answers wait while somebody writes.
    gate: Arc<RwLock<()>>,
}

impl KeyServer {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            keys: Arc::default(),
            requests: Arc::default(),
            gate: Arc::default(),
        };
        let gate = Arc::clone(&server.gate);
        let (keys, requests) = (Arc::clone(&server.keys), Arc::clone(&server.requests));
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                requests.fetch_add(1, Ordering::SeqCst);
                drop(gate.read().await);
                let body = json!({"keys": *keys.lock().unwrap()}).to_string();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        server
    }

    fn serve(&self, keys: &[&Key]) {
        *self.keys.lock().unwrap() = keys.iter().map(|key| key.public()).collect();
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn clients_connect_subscribe_and_refresh_with_tokens_of_keys_that_are_fetched() {
    let keys = KeyServer::start().await;
    let (old, new, foreign) = (Key::new("old"), Key::new("new"), Key::new("old"));
    keys.serve(&[&old]);
    let server = Server::start(&json!({
        "client": {"token": {"jwks_public_endpoint": format!("http://{}/keys", keys.address)}},
        "channel": {"namespaces": [{"name": "st", "history_size": 10, "history_ttl": "60s", "force_recovery": true}]},
    }));
    server.keep("st:1", &json!("before")).await;
    let user = json!({"sub": "42", "exp": token::now() + 60, "channels": ["st:1", "st:2"]});
    let mut client = Client::open(&server).await;
    let connected = client.connect(&old.token(&user)).await;
    assert_eq!(connected["subs"]["st:1"]["offset"], 1);
    assert_eq!(connected["subs"]["st:2"]["recoverable"], true);
    assert_eq!(keys.requests(), 1);
    let channel = json!({"sub": "42", "channel": "st:3", "data": "for you"});
    let request = json!({"channel": "st:3", "token": old.token(&channel)});
    assert_eq!(client.subscribe_as(request).await["data"], "for you");
    server.keep("st:2", &json!("live")).await;
    assert_eq!(client.publication("st:2").await, "live");
    assert_eq!(keys.requests(), 1, "keys are kept");

    // A key that the server has not, and one that it gets later.
    let mut refused = Client::open(&server).await;
    let connect = |token: String| json!({"connect": {"token": token}});
    refused.command(connect(foreign.token(&user))).await;
    assert_eq!(refused.closed().await.0, 3500, "another key of that name");
    let mut refused = Client::open(&server).await;
    refused.command(connect(new.token(&user))).await;
    assert_eq!(refused.closed().await.0, 3500);
    assert_eq!(keys.requests(), 2, "an unknown key is looked for");
    keys.serve(&[&old, &new]);
    let reply = client
        .call(json!({"refresh": {"token": new.token(&user)}}))
        .await;
    assert_eq!(reply["refresh"]["expires"], true);
    assert_eq!(keys.requests(), 3);
    // The keys of the configuration do not count beside an endpoint.
    let mut refused = Client::open(&server).await;
    refused.command(connect(token::of("42"))).await;
    assert_eq!(refused.closed().await.0, 3500);
}

/// A client of this many commands at once, with these commands in one frame behind a subscribe that waits for a key,
/// and the ids of the replies in the order of their coming. `before` of them come before the key.
async fn replies(concurrency: u32, behind: &[Value], before: usize) -> Vec<u64> {
    let keys = KeyServer::start().await;
    let key = Key::new("key");
    keys.serve(&[&key]);
    let endpoint = format!("http://{}/keys", keys.address);
    let server = Server::start(&json!({"client": {
        "concurrency": concurrency,
        "subscription_token": {"enabled": true, "jwks_public_endpoint": endpoint},
    }}));
    let mut client = Client::connected(&server, "42").await;
    let held = keys.gate.write().await;
    let token = key.token(&json!({"sub": "42", "channel": "a"}));
    let mut frame = json!({"id": 100, "subscribe": {"channel": "a", "token": token}}).to_string();
    for command in behind {
        frame.push_str(&format!("\n{command}"));
    }
    client.send(&frame).await;
    // The whole frame was looked at when the key is asked for.
    eventually("a request", 1, async || keys.requests()).await;
    let mut order = Vec::new();
    let mut next = async || client.recv().await["id"].as_u64().unwrap();
    for _ in 0..before {
        order.push(next().await);
    }
    drop(held);
    while order.len() < behind.len() + 1 {
        order.push(next().await);
    }
    eventually("its end", [1, 1, 0, 0], async || {
        if behind.iter().any(|it| it["unsubscribe"].is_object()) {
            server.counts().await
        } else {
            [1, 1, 0, 0]
        }
    })
    .await;
    order
}

#[tokio::test]
async fn as_many_commands_wait_for_keys_as_the_concurrency_says() {
    let rpc = [json!({"id": 101, "rpc": {}})];
    for alone in [0, 1] {
        assert_eq!(replies(alone, &rpc, 0).await, [100, 101]);
    }
    assert_eq!(replies(2, &rpc, 1).await, [101, 100]);
}

#[tokio::test]
async fn an_unsubscribe_does_not_overtake_its_subscribe() {
    let unsubscribe = json!({"id": 101, "unsubscribe": {"channel": "a"}});
    let behind = [unsubscribe, json!({"id": 102, "rpc": {}})];
    for concurrency in [0, 2, 8] {
        assert_eq!(replies(concurrency, &behind, 0).await, [100, 101, 102]);
    }
}

#[tokio::test]
async fn the_token_may_say_whose_keys_count_where_that_is_configured() {
    let keys = KeyServer::start().await;
    let (own, foreign) = (Key::new("k"), Key::new("k"));
    keys.serve(&[&own]);
    let settings = json!({
        "jwks_public_endpoint": format!("http://{}/{{{{realm}}}}/keys", keys.address),
        "issuer_regex": "^(?P<realm>.+)$",
        // Any realm: no start without this.
        "insecure_skip_jwks_endpoint_safety_check": true,
    });
    for kind in KINDS {
        let server = kind.server(&settings);
        let claims = kind.claims(json!({"iss": "any"}));
        for (key, good) in [(&own, true), (&foreign, false)] {
            let accepted = kind.accepts(&server, &key.token(&claims)).await;
            assert_eq!(accepted, good, "{kind:?}");
        }
    }
}
