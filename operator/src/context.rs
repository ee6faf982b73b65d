//! What every reconcile shares: the client, the images of this release, events and metrics.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use kube::{
    Client,
    runtime::{
        events::{Event, EventType, Recorder, Reporter},
        reflector::ObjectRef,
    },
};

use crate::{api::RealtimeCluster, metrics::Metrics, nodes::NodeClient};

/// Field manager of every child; one stable name, or fields would change hands at an upgrade.
pub const FIELD_MANAGER: &str = "realtime-operator";
/// Field manager of the status.
pub const STATUS_MANAGER: &str = "realtime-operator-status";

/// Images that the operator uses where the spec names none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// The edge.
    pub edge: String,
    /// The NATS server.
    pub nats: String,
}

/// What every reconcile shares.
pub struct Context {
    /// Client of the API server.
    pub client: Client,
    /// Default images.
    pub images: Images,
    /// Asks nodes for their state.
    pub nodes: NodeClient,
    /// Metrics of this process.
    pub metrics: Arc<Metrics>,
    recorder: Recorder,
    failures: Mutex<HashMap<ObjectRef<RealtimeCluster>, u32>>,
}

impl Context {
    /// A context that reports events as `instance`, the name of this pod.
    #[must_use]
    pub fn new(
        client: Client,
        images: Images,
        metrics: Arc<Metrics>,
        instance: Option<String>,
    ) -> Self {
        let reporter = Reporter {
            controller: "realtime.tidewire.dev/operator".to_owned(),
            instance,
        };
        Self {
            recorder: Recorder::new(client.clone(), reporter),
            nodes: NodeClient::new(),
            failures: Mutex::default(),
            client,
            images,
            metrics,
        }
    }

    /// Publishes an event on a cluster. A lost event is logged, never an error: the status says the same.
    pub async fn publish(&self, cluster: &RealtimeCluster, note: Note) {
        let Note {
            kind,
            reason,
            action,
            text,
        } = note;
        let event = Event {
            type_: kind,
            reason: reason.to_owned(),
            note: Some(text.chars().take(NOTE_CHARS_MAX).collect()),
            action: action.to_owned(),
            secondary: None,
        };
        let reference = kube::Resource::object_ref(cluster, &());
        if let Err(error) = self.recorder.publish(&event, &reference).await {
            tracing::warn!(%error, reason, "event not published");
        }
    }

    /// Counts one more failure in a row of this cluster.
    pub fn failed(&self, cluster: &ObjectRef<RealtimeCluster>) -> u32 {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(cluster.clone()).or_default();
        *count = count.saturating_add(1);
        *count
    }

    /// Ends the row of failures of this cluster, also when it is gone.
    pub fn succeeded(&self, cluster: &ObjectRef<RealtimeCluster>) {
        self.failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(cluster);
    }
}

/// The API server refuses a longer note of an event.
const NOTE_CHARS_MAX: usize = 1000;

/// An event to publish.
#[derive(Clone, Debug)]
pub struct Note {
    /// Normal or Warning.
    pub kind: EventType,
    /// Stable word; events with the same one are counted together.
    pub reason: &'static str,
    /// What was being done.
    pub action: &'static str,
    /// Numbers and names for people.
    pub text: String,
}

impl Note {
    /// Something that went as it should.
    pub fn normal(reason: &'static str, action: &'static str, text: impl Into<String>) -> Self {
        Self {
            kind: EventType::Normal,
            reason,
            action,
            text: text.into(),
        }
    }

    /// Something to look at.
    pub fn warning(reason: &'static str, action: &'static str, text: impl Into<String>) -> Self {
        Self {
            kind: EventType::Warning,
            reason,
            action,
            text: text.into(),
        }
    }
}
