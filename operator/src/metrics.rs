//! Every metric of the operator, and the small server that shows them.

use std::{future::Future, io, sync::Arc};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use kube::runtime::reflector::ObjectRef;
use prometheus::{
    Encoder, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry,
    TextEncoder,
};
use tokio::net::TcpListener;

use crate::{
    api::RealtimeCluster,
    conditions::{Finding, Verdict},
};

/// Metrics of this process.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    reconciles: IntCounterVec,
    reconcile_seconds: HistogramVec,
    conditions: GaugeVec,
    watch_errors: IntCounterVec,
    leader: IntGauge,
}

impl Metrics {
    /// Registers every metric in a registry of its own.
    ///
    /// # Errors
    /// When two metrics have the same name, which the tests exclude.
    pub fn new() -> Result<Self, prometheus::Error> {
        let metrics = Self {
            registry: Registry::new(),
            reconciles: IntCounterVec::new(
                Opts::new(
                    "tidewire_operator_reconciles_total",
                    "Reconciles by outcome: ok or the reason of the error",
                ),
                &["outcome"],
            )?,
            reconcile_seconds: HistogramVec::new(
                HistogramOpts::new(
                    "tidewire_operator_reconcile_duration_seconds",
                    "Time one reconcile took",
                )
                .buckets(vec![0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0]),
                &["outcome"],
            )?,
            conditions: GaugeVec::new(
                Opts::new(
                    "tidewire_operator_cluster_condition",
                    "1 if the condition is True, 0 if not, -1 if unknown",
                ),
                &["namespace", "name", "condition"],
            )?,
            watch_errors: IntCounterVec::new(
                Opts::new(
                    "tidewire_operator_watch_errors_total",
                    "Errors of the watches on the API server",
                ),
                &["kind"],
            )?,
            leader: IntGauge::new("tidewire_operator_leader", "1 if this process leads")?,
        };
        metrics
            .registry
            .register(Box::new(metrics.reconciles.clone()))?;
        metrics
            .registry
            .register(Box::new(metrics.reconcile_seconds.clone()))?;
        metrics
            .registry
            .register(Box::new(metrics.conditions.clone()))?;
        metrics
            .registry
            .register(Box::new(metrics.watch_errors.clone()))?;
        metrics
            .registry
            .register(Box::new(metrics.leader.clone()))?;
        Ok(metrics)
    }

    /// Counts one reconcile that took `seconds`.
    pub fn reconciled(&self, outcome: &str, seconds: f64) {
        self.reconciles.with_label_values(&[outcome]).inc();
        self.reconcile_seconds
            .with_label_values(&[outcome])
            .observe(seconds);
    }

    /// Counts one error of a watch or of the queue.
    pub fn watch_failed(&self, kind: &str) {
        self.watch_errors.with_label_values(&[kind]).inc();
    }

    /// Shows a cluster's conditions.
    pub fn show_conditions(&self, cluster: &ObjectRef<RealtimeCluster>, findings: &[Finding]) {
        let namespace = cluster.namespace.as_deref().unwrap_or_default();
        for finding in findings {
            let value = match finding.verdict {
                Verdict::True => 1.0,
                Verdict::False => 0.0,
                Verdict::Unknown => -1.0,
            };
            self.conditions
                .with_label_values(&[namespace, cluster.name.as_str(), finding.kind.as_str()])
                .set(value);
        }
    }

    /// Forgets a cluster that is gone.
    pub fn forget(&self, cluster: &ObjectRef<RealtimeCluster>) {
        let namespace = cluster.namespace.as_deref().unwrap_or_default();
        for kind in crate::conditions::ConditionType::ALL {
            // An error says that the series does not exist, which is what is wanted.
            drop(self.conditions.remove_label_values(&[
                namespace,
                cluster.name.as_str(),
                kind.as_str(),
            ]));
        }
    }

    /// Records that this process leads from now on.
    pub fn leads(&self) {
        self.leader.set(1);
    }

    /// All metrics in the Prometheus text format.
    ///
    /// # Errors
    /// When the encoder fails; the caller answers 500.
    pub fn render(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut out = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut out)?;
        Ok(out)
    }
}

/// Serves `/metrics` and `/health` until `stop` is ready.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let router = Router::new()
        .route("/health", get(|| async { "ok" }))
        .route("/metrics", get(show_metrics))
        .with_state(metrics);
    axum::serve(listener, router)
        .with_graceful_shutdown(stop)
        .await
}

async fn show_metrics(State(metrics): State<Arc<Metrics>>) -> Result<Vec<u8>, StatusCode> {
    metrics.render().map_err(|error| {
        tracing::error!(%error, "metrics could not be encoded");
        StatusCode::INTERNAL_SERVER_ERROR
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conditions::ConditionType;

    #[test]
    fn conditions_of_a_deleted_cluster_disappear() {
        let metrics = Metrics::new().unwrap();
        let cluster = ObjectRef::new("blue").within("team");
        metrics.show_conditions(&cluster, &[Finding::yes(ConditionType::Ready, "Ready", "")]);
        let shown = String::from_utf8(metrics.render().unwrap()).unwrap();
        assert!(
            shown.contains(r#"condition="Ready",name="blue",namespace="team"} 1"#),
            "{shown}"
        );
        metrics.forget(&cluster);
        let shown = String::from_utf8(metrics.render().unwrap()).unwrap();
        assert!(!shown.contains("blue"), "{shown}");
    }
}
