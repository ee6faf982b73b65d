//! A node on loopback ports that the system chose, on a thread of its own; it ends when dropped.

use std::net::SocketAddr;
use std::thread::JoinHandle;

use serde_json::{Value, json};
use tidewire_config::load::{self, Sources};
use tidewire_edge::front;
use tidewire_edge::node::{Listeners, Node};
use tokio::sync::oneshot;

/// The key of the API in every test's configuration.
pub(crate) const API_KEY: &str = "apikey";

/// The key that signs tokens in every test's configuration.
pub(crate) const SECRET: &str = "secret";

/// What every test's configuration holds, unless it says otherwise.
fn basis() -> Value {
    json!({
        "http_server": {"address": "127.0.0.1"},
        "client": {"token": {"hmac_secret_key": SECRET}},
        "http_api": {"key": API_KEY},
        "health": {"enabled": true},
        "prometheus": {"enabled": true},
        "tidewire": {
            "drain": {"endpoint_propagation": "1ms"},
            "node_status": {"token": "status"},
        },
    })
}

/// An answer to an HTTP request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: String,
}

impl Response {
    /// An answer without body and content type.
    pub(crate) fn empty(status: u16) -> Self {
        Self {
            status,
            content_type: String::new(),
            body: String::new(),
        }
    }

    pub(crate) fn text(status: u16, body: &str) -> Self {
        Self {
            status,
            content_type: "text/plain; charset=utf-8".to_owned(),
            body: body.to_owned(),
        }
    }

    pub(crate) fn json(status: u16, body: &str) -> Self {
        Self {
            status,
            content_type: "application/json".to_owned(),
            body: body.to_owned(),
        }
    }
}

/// A running node.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// The internal listener's, or the same.
    pub(crate) internal: SocketAddr,
    http: reqwest::Client,
    shutdown: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Server {
    /// Starts a node with these options over the basis of all tests.
    pub(crate) fn start(options: &Value) -> Self {
        let mut config = basis();
        tidewire_config::merge(&mut config, options.clone());
        let loaded = load::from_value("test", &config).expect("the options are valid");
        assert_eq!(loaded.config.check(), Ok(()), "{options}");
        let listeners = if options.pointer("/http_server/port").is_some() {
            Listeners::bind(&loaded.config).expect("a free port")
        } else {
            let server = &loaded.config.http_server;
            let single = server.internal_address.is_empty() && server.internal_port.is_empty();
            let bind = || front::bind("127.0.0.1", 0).expect("a free port");
            Listeners {
                external: bind(),
                internal: (!single).then(bind),
            }
        };
        let address = listeners.external.local_addr().expect("it is bound");
        let internal = listeners.internal.as_ref().map_or(address, |listener| {
            listener.local_addr().expect("it is bound")
        });
        let (shutdown, stop) = oneshot::channel();
        let (started, start) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async move {
                let node = Node::start(loaded).await?;
                started.send(())?;
                let shutdown = async {
                    if stop.await.is_err() {
                        std::future::pending().await
                    }
                };
                node.run(listeners, &Sources::default(), shutdown).await
            })
        });
        start.recv().expect("the node starts");
        let mut server = Self::elsewhere(address, internal);
        server.shutdown = Some(shutdown);
        server.thread = Some(thread);
        server
    }

    /// A node that somebody else runs.
    pub(crate) fn elsewhere(address: SocketAddr, internal: SocketAddr) -> Self {
        // A connection kept open would keep the node from ending.
        let http = reqwest::Client::builder()
            .pool_max_idle_per_host(0)
            .build()
            .expect("an HTTP client");
        Self {
            address,
            internal,
            http,
            shutdown: None,
            thread: None,
        }
    }

    /// Begins the shutdown; the node ends in its own time.
    pub(crate) fn begin_shutdown(&mut self) {
        if let Some(shutdown) = self.shutdown.take() {
            assert_eq!(shutdown.send(()), Ok(()), "the node runs");
        }
    }

    /// Waits for the end of a shutdown that has begun.
    pub(crate) async fn ended(mut self) {
        let thread = self.thread.take().expect("it is waited for once");
        tokio::task::spawn_blocking(|| thread.join().expect("no panic"))
            .await
            .expect("no panic")
            .expect("the node ends well");
    }

    /// Sends a request to the internal listener.
    pub(crate) async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> Response {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = self
            .http
            .request(method, format!("http://{}{path}", self.internal))
            .body(body.into());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.expect("an answer");
        let header = |name: &str| {
            let value = response.headers().get(name);
            value.map_or_else(String::new, |value| {
                value.to_str().expect("text").to_owned()
            })
        };
        Response {
            status: response.status().as_u16(),
            content_type: header("content-type"),
            body: response.text().await.expect("a body of text"),
        }
    }

    /// GET on the internal listener.
    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request("GET", path, &[], "").await
    }

    /// Calls a method of the API; the status must be 200.
    pub(crate) async fn api(&self, method: &str, request: &Value) -> Value {
        let headers = [("X-API-Key", API_KEY)];
        let path = format!("/api/{method}");
        let response = self
            .request("POST", &path, &headers, request.to_string())
            .await;
        assert_eq!(response.status, 200, "{response:?}");
        assert_eq!(response.content_type, "application/json");
        serde_json::from_str(&response.body).expect("JSON")
    }

    /// Publishes, and it must work.
    pub(crate) async fn publish(&self, channel: &str, data: &Value) {
        let request = json!({"channel": channel, "data": data});
        assert_eq!(self.api("publish", &request).await, json!({"result": {}}));
    }

    /// Calls a method of the API, which must work, and returns the result.
    pub(crate) async fn result(&self, method: &str, request: Value) -> Value {
        let mut answer = self.api(method, &request).await;
        assert!(answer["result"].is_object(), "{method} {request}: {answer}");
        answer["result"].take()
    }

    /// Publishes to a channel with history and returns the offset.
    pub(crate) async fn keep(&self, channel: &str, data: &Value) -> u64 {
        let request = json!({"channel": channel, "data": data});
        let result = self.result("publish", request).await;
        result["offset"].as_u64().expect("an offset")
    }

    /// The one node of `info`.
    pub(crate) async fn info(&self) -> Value {
        let answer = self.api("info", &json!({})).await;
        let nodes = answer["result"]["nodes"].as_array().expect("nodes");
        assert_eq!(nodes.len(), 1);
        nodes[0].clone()
    }

    /// Clients, users, subscriptions and channels, as `info` counts them.
    pub(crate) async fn counts(&self) -> [u64; 4] {
        let info = self.info().await;
        ["num_clients", "num_users", "num_subs", "num_channels"]
            .map(|name| info[name].as_u64().expect("a count"))
    }

    /// A sample of `/metrics`, named with its labels; 0 if there is none.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let response = self.get("/metrics").await;
        assert_eq!(response.status, 200);
        response
            .body
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
            .map_or(0, |value| value.parse().expect("a whole number"))
    }

    /// How often the server disconnected with this code.
    pub(crate) async fn disconnects(&self, code: u32) -> u64 {
        let name = format!("centrifugo_client_num_server_disconnects{{code=\"{code}\"}}");
        self.metric(&name).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let shutdown = self.shutdown.take();
        // An error: the node has ended already, which the join will tell.
        let _ended = shutdown.map(|shutdown| shutdown.send(()));
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking()
            && let Some(ended) = ended
        {
            ended.expect("no panic").expect("the node ends well");
        }
    }
}
