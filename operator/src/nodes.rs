//! What the edge nodes say about themselves: `GET /node` on their internal port, by pod address.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, body::Bytes, header::AUTHORIZATION};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde::Deserialize;

use crate::resources::names::INTERNAL_PORT;

/// Longest wait for one node. A node that is slower counts as unreachable.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Nodes asked at the same time, over all clusters one reconcile at a time.
const CONCURRENCY: usize = 32;
/// Longest answer that is read.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// What a node answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct NodeReport {
    /// Version of the edge.
    pub version: String,
    /// Hash of the boot options it runs with.
    pub boot_hash: String,
    /// Hash of the live options it runs with.
    pub live_hash: String,
    /// Client connections.
    pub connections: i64,
    /// Whether it is shutting down.
    pub draining: bool,
    /// Its message broker.
    pub broker: NodeBroker,
}

/// What a node says about its message broker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct NodeBroker {
    /// Kind of broker.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it is connected.
    pub connected: bool,
    /// Why it is not.
    pub error: Option<String>,
}

/// One edge pod and what it answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Name of the pod.
    pub pod: String,
    /// Whether Kubernetes counts it as ready.
    pub ready: bool,
    /// What it was told of new live options, and when: the value of the annotation.
    pub told: Option<String>,
    /// Its answer, or why there is none.
    pub report: Result<NodeReport, String>,
}

/// Why a node did not answer.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("no address yet")]
    NoAddress,
    #[error("the address is not valid")]
    Address(#[from] hyper::http::Error),
    #[error("no answer within {} s", TIMEOUT.as_secs())]
    TimedOut,
    #[error("no connection: {0}")]
    Connect(#[from] hyper_util::client::legacy::Error),
    #[error("answered {0}")]
    Refused(hyper::StatusCode),
    #[error("the answer broke off: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    #[error("the answer is not a node's: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// Asks nodes for their state.
#[derive(Clone, Debug)]
pub struct NodeClient {
    http: Client<HttpConnector, Empty<Bytes>>,
    port: u16,
}

impl Default for NodeClient {
    fn default() -> Self {
        Self::new()
    }
}

impl NodeClient {
    /// A client that asks on the internal port.
    #[must_use]
    pub fn new() -> Self {
        Self::with_port(INTERNAL_PORT)
    }

    /// A client that asks on another port, for tests.
    #[must_use]
    pub fn with_port(port: u16) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(TIMEOUT));
        Self {
            http: Client::builder(TokioExecutor::new()).build(connector),
            port,
        }
    }

    /// Asks every pod, at most 32 at a time, in the order of their names.
    pub async fn survey(&self, pods: &[Pod], token: Option<&str>) -> Vec<Node> {
        let token: Option<Arc<str>> = token.map(Arc::from);
        let questions: Vec<_> = pods
            .iter()
            .cloned()
            .map(|pod| {
                let (client, token) = (self.clone(), token.clone());
                async move {
                    let report = client
                        .ask(&pod, token.as_deref())
                        .await
                        .map_err(|error| error.to_string());
                    Node {
                        pod: pod.name_any(),
                        ready: is_ready(&pod),
                        told: told(&pod),
                        report,
                    }
                }
            })
            .collect();
        let mut nodes: Vec<Node> = stream::iter(questions)
            .buffer_unordered(CONCURRENCY)
            .collect()
            .await;
        nodes.sort_by(|a, b| a.pod.cmp(&b.pod));
        nodes
    }

    async fn ask(&self, pod: &Pod, token: Option<&str>) -> Result<NodeReport, AskError> {
        let address = pod
            .status
            .as_ref()
            .and_then(|status| status.pod_ip.as_deref())
            .ok_or(AskError::NoAddress)?;
        let host = if address.contains(':') {
            format!("[{address}]")
        } else {
            address.to_owned()
        };
        let mut request = Request::get(format!("http://{host}:{}/node", self.port));
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Empty::new())?;
        let answer = async {
            let response = self.http.request(request).await?;
            if !response.status().is_success() {
                return Err(AskError::Refused(response.status()));
            }
            let body = Limited::new(response.into_body(), BODY_BYTES_MAX)
                .collect()
                .await
                .map_err(AskError::Body)?;
            Ok(serde_json::from_slice(&body.to_bytes())?)
        };
        tokio::time::timeout(TIMEOUT, answer)
            .await
            .unwrap_or(Err(AskError::TimedOut))
    }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_deref())
        .unwrap_or_default();
    conditions
        .iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn told(pod: &Pod) -> Option<String> {
    pod.annotations()
        .get(crate::resources::names::LIVE_ANNOTATION)
        .cloned()
}

/// Versions of the nodes that answered, with how many run each.
#[must_use]
pub fn versions(nodes: &[Node]) -> BTreeMap<&str, usize> {
    let mut versions = BTreeMap::new();
    for report in nodes.iter().filter_map(|node| node.report.as_ref().ok()) {
        *versions.entry(report.version.as_str()).or_default() += 1;
    }
    versions
}

#[cfg(test)]
mod tests {
    use axum::{Json, Router, http::HeaderMap, http::StatusCode, routing::get};
    use serde_json::{Value, json};
    use tokio::net::TcpListener;

    use super::*;

    async fn edge() -> NodeClient {
        let answer = |headers: HeaderMap| async move {
            if headers
                .get(AUTHORIZATION)
                .is_some_and(|value| value == "Bearer right")
            {
                Ok(Json(json!({
                    "id": "1", "name": "blue-x", "version": "1.2.3", "boot_hash": "aa", "live_hash": "bb",
                    "connections": 7, "draining": false, "broker": {"type": "nats", "connected": true},
                })))
            } else {
                Err::<Json<Value>, _>(StatusCode::UNAUTHORIZED)
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            axum::serve(listener, Router::new().route("/node", get(answer))).await
        });
        NodeClient::with_port(port)
    }

    fn pod(name: &str, address: Option<&str>) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": name},
            "status": {"podIP": address, "conditions": [{"type": "Ready", "status": "True"}]},
        }))
        .unwrap()
    }

    #[tokio::test]
    async fn nodes_answer_with_the_right_token_and_come_back_by_name() {
        let pods = [pod("b", None), pod("a", Some("127.0.0.1"))];
        let nodes = edge().await.survey(&pods, Some("right")).await;
        assert_eq!(nodes[0].pod, "a");
        assert!(nodes[0].ready);
        let report = nodes[0].report.as_ref().unwrap();
        assert_eq!((report.connections, report.broker.connected), (7, true));
        assert_eq!(nodes[1].report, Err("no address yet".to_owned()));
        assert_eq!(versions(&nodes), BTreeMap::from([("1.2.3", 1)]));
    }

    #[tokio::test]
    async fn a_refusal_is_an_unreachable_node_with_its_reason() {
        let nodes = edge()
            .await
            .survey(&[pod("a", Some("127.0.0.1"))], Some("wrong"))
            .await;
        assert_eq!(nodes[0].report, Err("answered 401 Unauthorized".to_owned()));
    }
}
