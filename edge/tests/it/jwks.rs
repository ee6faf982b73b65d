//! Tokens whose keys come from a server, from the first connect to the change of the key.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

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
use crate::support::token;
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

/// A client of this many commands at once whose two subscribes wait for a key, with a third command behind them.
async fn waiting(concurrency: u32) -> Vec<u64> {
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
    let mut ids = Vec::new();
    for channel in ["a", "b"] {
        let token = key.token(&json!({"sub": "42", "channel": channel}));
        let subscribe = json!({"subscribe": {"channel": channel, "token": token}});
        ids.push(u64::from(client.command(subscribe).await));
    }
    ids.push(u64::from(client.command(json!({"rpc": {}})).await));
    let mut order = Vec::new();
    if concurrency > 2 {
        order.push(client.recv().await["id"].as_u64().unwrap());
    } else {
        client.silence(Duration::from_millis(50)).await;
    }
    drop(held);
    while order.len() < 3 {
        order.push(client.recv().await["id"].as_u64().unwrap());
    }
    let place = |id: &u64| ids.iter().position(|it| it == id).unwrap() as u64;
    order.iter().map(place).collect()
}

#[tokio::test]
async fn as_many_commands_wait_for_keys_as_the_concurrency_says() {
    assert_eq!(waiting(0).await, [0, 1, 2]);
    assert_eq!(waiting(1).await, [0, 1, 2]);
    let two = waiting(2).await;
    assert_ne!(two[0], 2, "the third waits for one of them: {two:?}");
    let three = waiting(3).await;
    assert_eq!(three[0], 2, "{three:?}");
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
