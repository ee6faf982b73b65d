//! Fixtures: a cluster whose name differs from the product's, so that swapped labels show, and a scripted API server.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use http_body_util::BodyExt;
use hyper::{Method, Request, Response, StatusCode};
use kube::{Client, client::Body};
use serde_json::{Value, json};

use crate::{
    api::RealtimeCluster,
    context::Images,
    fetch::Fetched,
    resources::names::Identity,
    rollout::{Plan, plan},
    validate::{Invalid, ValidatedCluster, identity, overlay, validate},
};

/// A cluster `blue` in namespace `team` with the given spec in YAML.
pub(crate) fn cluster(spec: &str) -> RealtimeCluster {
    let spec: Value = serde_saphyr::from_str(spec).unwrap();
    serde_json::from_value(json!({
        "apiVersion": "realtime.tidewire.dev/v1alpha1",
        "kind": "RealtimeCluster",
        "metadata": {"name": "blue", "namespace": "team", "uid": "uid-blue", "generation": 4},
        "spec": spec,
    }))
    .unwrap()
}

pub(crate) fn images() -> Images {
    Images {
        edge: "registry.example/edge:1".to_owned(),
        nats: "registry.example/nats:2".to_owned(),
    }
}

pub(crate) fn blue() -> Identity {
    identity(&cluster("{}")).unwrap()
}

pub(crate) fn try_validated(spec: &str) -> Result<ValidatedCluster, Invalid> {
    validate(&cluster(spec), &blue(), &images())
}

pub(crate) fn validated(spec: &str) -> ValidatedCluster {
    try_validated(spec).unwrap()
}

pub(crate) fn planned(cluster: &ValidatedCluster, fetched: &Fetched) -> Plan {
    plan(cluster, fetched, false, None).unwrap()
}

/// A small API server in memory: it stores what is applied and answers a fixed list of requests with failures.
#[derive(Clone, Default)]
pub(crate) struct ScriptedApi {
    objects: Arc<Mutex<BTreeMap<String, Value>>>,
    failures: Arc<Mutex<BTreeMap<String, StatusCode>>>,
    requests: Arc<Mutex<Vec<String>>>,
}

/// Last segments of paths that list objects.
const COLLECTIONS: &[&str] = &[
    "configmaps",
    "deployments",
    "persistentvolumeclaims",
    "poddisruptionbudgets",
    "pods",
    "replicasets",
    "secrets",
    "serviceaccounts",
    "services",
    "statefulsets",
];

impl ScriptedApi {
    pub(crate) fn client(&self) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move { Ok::<_, std::convert::Infallible>(api.answer(request).await) }
        });
        Client::new(service, "default")
    }

    /// Stores an object under its path: `/api/v1/namespaces/team/services/blue`.
    pub(crate) fn put(&self, path: &str, object: Value) {
        self.objects.lock().unwrap().insert(path.to_owned(), object);
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.objects.lock().unwrap().get(path).cloned()
    }

    pub(crate) fn remove(&self, path: &str) {
        self.objects.lock().unwrap().remove(path);
    }

    /// Paths of all objects.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.objects.lock().unwrap().keys().cloned().collect()
    }

    /// Answers `METHOD path` with a failure from now on.
    pub(crate) fn fail(&self, request: &str, code: u16) {
        self.failures
            .lock()
            .unwrap()
            .insert(request.to_owned(), StatusCode::from_u16(code).unwrap());
    }

    /// Requests that change something, `METHOD path` each, in order.
    pub(crate) fn writes(&self) -> Vec<String> {
        self.requests
            .lock()
            .unwrap()
            .iter()
            .filter(|request| !request.starts_with("GET"))
            .cloned()
            .collect()
    }

    pub(crate) fn forget_requests(&self) {
        self.requests.lock().unwrap().clear();
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().to_owned();
        let line = format!("{} {path}", parts.method);
        self.requests.lock().unwrap().push(line.clone());
        if let Some(code) = self.failures.lock().unwrap().get(&line).copied() {
            return failure(code);
        }
        let bytes = body.collect().await.unwrap().to_bytes();
        let sent: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        match parts.method {
            Method::GET => self.read(&path),
            Method::PATCH => self.write(&path, sent),
            Method::POST => response(StatusCode::CREATED, &sent),
            Method::DELETE => match self.objects.lock().unwrap().remove(&path) {
                Some(object) => response(StatusCode::OK, &object),
                None => failure(StatusCode::NOT_FOUND),
            },
            _ => failure(StatusCode::METHOD_NOT_ALLOWED),
        }
    }

    fn read(&self, path: &str) -> Response<Body> {
        let objects = self.objects.lock().unwrap();
        if let Some(object) = objects.get(path) {
            return response(StatusCode::OK, object);
        }
        let is_collection = path
            .rsplit('/')
            .next()
            .is_some_and(|last| COLLECTIONS.contains(&last));
        if !is_collection {
            return failure(StatusCode::NOT_FOUND);
        }
        let prefix = format!("{path}/");
        let items: Vec<&Value> = objects
            .range(prefix.clone()..)
            .take_while(|(p, _)| p.starts_with(&prefix))
            .map(|(_, o)| o)
            .collect();
        response(
            StatusCode::OK,
            &json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items}),
        )
    }

    fn write(&self, path: &str, sent: Value) -> Response<Body> {
        let mut objects = self.objects.lock().unwrap();
        let path = path.trim_end_matches("/status").to_owned();
        // A status is written to a cluster that exists.
        let is_status = sent.get("status").is_some();
        let stored = objects.entry(path).or_insert_with(|| {
            if is_status {
                json!({"spec": {}})
            } else {
                json!({})
            }
        });
        overlay(stored, sent);
        response(StatusCode::OK, stored)
    }
}

fn failure(code: StatusCode) -> Response<Body> {
    let reason = if code == StatusCode::NOT_FOUND {
        "NotFound"
    } else {
        "Scripted"
    };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "scripted", "reason": reason, "code": code.as_u16(),
    });
    response(code, &status)
}

fn response(code: StatusCode, body: &Value) -> Response<Body> {
    Response::builder()
        .status(code)
        .body(Body::from(serde_json::to_vec(body).unwrap()))
        .unwrap()
}
