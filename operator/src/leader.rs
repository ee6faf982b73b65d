//! Leader election on a Lease: at most one process acts.
//!
//! Every write carries the `resourceVersion` that was read, so two candidates cannot both win. A lease counts as
//! expired by the time *this process* has seen it unchanged, never by comparing clocks. Who cannot renew in time stops
//! being leader before another may start: the caller must end the process on [`LeaderError::Lost`].

use std::{fmt, future::Future, time::Duration};

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use kube::{Api, api::PostParams};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How long a lease holds without renewal. Renewed at a third, given up at two thirds.
pub const LEASE: Duration = Duration::from_secs(15);

/// Why this process does not lead.
#[derive(Debug, thiserror::Error)]
pub enum LeaderError {
    /// The lease could not be renewed in time, or somebody else holds it: end the process.
    #[error("the lease was lost")]
    Lost,
}

/// Outcome of a conditional write.
#[derive(Debug)]
pub enum Write {
    /// Written; the new record.
    Done(Box<Lease>),
    /// Somebody else wrote first.
    Outrun,
}

/// Where the lease lives.
pub trait LeaseStore {
    /// Why a request failed.
    type Error: fmt::Display;
    /// The record, if there is one.
    fn read(&self) -> impl Future<Output = Result<Option<Lease>, Self::Error>> + Send;
    /// Creates the record if there is none.
    fn create(&self, lease: &Lease) -> impl Future<Output = Result<Write, Self::Error>> + Send;
    /// Replaces the record if its `resourceVersion` is still the given one.
    fn replace(&self, lease: &Lease) -> impl Future<Output = Result<Write, Self::Error>> + Send;
}

/// A Lease object behind the API server.
#[derive(Clone, Debug)]
pub struct KubeLease {
    api: Api<Lease>,
    name: String,
}

impl KubeLease {
    /// The Lease `name` behind `api`.
    #[must_use]
    pub fn new(api: Api<Lease>, name: &str) -> Self {
        Self {
            api,
            name: name.to_owned(),
        }
    }
}

fn conditional(result: kube::Result<Lease>) -> kube::Result<Write> {
    match result {
        Ok(lease) => Ok(Write::Done(Box::new(lease))),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(Write::Outrun),
        Err(error) => Err(error),
    }
}

impl LeaseStore for KubeLease {
    type Error = kube::Error;

    async fn read(&self) -> kube::Result<Option<Lease>> {
        self.api.get_opt(&self.name).await
    }

    async fn create(&self, lease: &Lease) -> kube::Result<Write> {
        let mut lease = lease.clone();
        lease.metadata.name = Some(self.name.clone());
        conditional(self.api.create(&PostParams::default(), &lease).await)
    }

    async fn replace(&self, lease: &Lease) -> kube::Result<Write> {
        conditional(
            self.api
                .replace(&self.name, &PostParams::default(), lease)
                .await,
        )
    }
}

/// One candidate.
#[derive(Debug)]
pub struct Elector<S> {
    store: S,
    identity: String,
    lease: Duration,
    observed: Option<(Option<String>, Instant)>,
    /// When the last successful attempt began: the write landed at that time or later.
    renewed: Instant,
}

impl<S: LeaseStore> Elector<S> {
    /// A candidate called `identity`, which must be unique among the candidates.
    #[must_use]
    pub fn new(store: S, identity: &str, lease: Duration) -> Self {
        Self {
            store,
            identity: identity.to_owned(),
            lease,
            observed: None,
            renewed: Instant::now(),
        }
    }

    /// Waits until this process leads.
    pub async fn acquire(&mut self) {
        loop {
            if self.attempt().await {
                tracing::info!(identity = self.identity, "leading");
                return;
            }
            sleep(self.lease / 5).await;
        }
    }

    /// Keeps the lease until `stop`, then gives it back.
    ///
    /// # Errors
    /// [`LeaderError::Lost`] when the lease could not be kept: the process must end at once.
    pub async fn hold(&mut self, stop: &CancellationToken) -> Result<(), LeaderError> {
        loop {
            tokio::select! {
                () = stop.cancelled() => {
                    self.release().await;
                    return Ok(());
                }
                () = sleep(self.lease / 3) => {}
            }
            let deadline = self.renewed + self.lease * 2 / 3;
            while !self.attempt().await {
                if Instant::now() >= deadline {
                    return Err(LeaderError::Lost);
                }
                sleep(self.lease / 15).await;
            }
        }
    }

    /// One try to take or renew the lease; false when somebody else has it or the store does not answer.
    async fn attempt(&mut self) -> bool {
        let began = Instant::now();
        match timeout(self.lease / 3, self.try_take()).await {
            Ok(Ok(taken)) => {
                if taken {
                    self.renewed = began;
                }
                taken
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "lease request failed");
                false
            }
            Err(elapsed) => {
                tracing::warn!(error = %elapsed, "lease request timed out");
                false
            }
        }
    }

    async fn try_take(&mut self) -> Result<bool, S::Error> {
        let Some(current) = self.store.read().await? else {
            let fresh = Lease {
                metadata: ObjectMeta::default(),
                spec: Some(self.claim(None)),
            };
            let written = self.store.create(&fresh).await?;
            return Ok(self.note(written));
        };
        if !self.may_take(&current) {
            return Ok(false);
        }
        let claim = self.claim(current.spec.as_ref());
        let written = self
            .store
            .replace(&Lease {
                spec: Some(claim),
                ..current
            })
            .await?;
        Ok(self.note(written))
    }

    /// Whether the record is ours, given back, or unchanged for a whole lease under our eyes.
    fn may_take(&mut self, current: &Lease) -> bool {
        let version = current.metadata.resource_version.clone();
        let seen = match &self.observed {
            Some((seen, since)) if *seen == version => *since,
            _ => {
                let now = Instant::now();
                self.observed = Some((version, now));
                now
            }
        };
        let holder = current
            .spec
            .as_ref()
            .and_then(|spec| spec.holder_identity.as_deref())
            .unwrap_or_default();
        holder.is_empty() || holder == self.identity || seen.elapsed() >= self.lease
    }

    fn note(&mut self, written: Write) -> bool {
        match written {
            Write::Done(lease) => {
                self.observed = Some((lease.metadata.resource_version, Instant::now()));
                true
            }
            Write::Outrun => false,
        }
    }

    fn claim(&self, previous: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let ours = previous.filter(|spec| spec.holder_identity.as_deref() == Some(&self.identity));
        let transitions = previous
            .and_then(|spec| spec.lease_transitions)
            .unwrap_or(0);
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(self.lease.as_secs()).ok(),
            acquire_time: ours.map_or_else(|| Some(now.clone()), |spec| spec.acquire_time.clone()),
            renew_time: Some(now),
            lease_transitions: Some(if ours.is_some() {
                transitions
            } else {
                transitions.saturating_add(1)
            }),
            ..LeaseSpec::default()
        }
    }

    /// Gives the lease back so that the next leader need not wait; best effort, expiry does the same later.
    async fn release(&mut self) {
        let released = async {
            let Some(current) = self.store.read().await? else {
                return Ok(());
            };
            let spec = current.spec.clone().unwrap_or_default();
            if spec.holder_identity.as_deref() != Some(self.identity.as_str()) {
                return Ok(());
            }
            let given_back = LeaseSpec {
                holder_identity: Some(String::new()),
                ..spec
            };
            self.store
                .replace(&Lease {
                    spec: Some(given_back),
                    ..current
                })
                .await
                .map(drop)
        };
        match timeout(self.lease / 3, released).await {
            Ok(Ok(())) => tracing::info!(identity = self.identity, "lease given back"),
            Ok(Err::<(), S::Error>(error)) => tracing::warn!(%error, "lease not given back"),
            Err(elapsed) => tracing::warn!(error = %elapsed, "lease not given back"),
        }
    }
}

#[cfg(test)]
mod tests;
