//! Two contenders on one record, time paused.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use super::*;

#[derive(Clone, Default)]
struct FakeStore {
    record: Arc<Mutex<(u64, Option<Lease>)>>,
    unreachable: Arc<AtomicBool>,
}

#[derive(Debug, thiserror::Error)]
#[error("unreachable")]
struct Unreachable;

impl FakeStore {
    fn cut_off(&self) -> Self {
        Self {
            record: self.record.clone(),
            unreachable: Arc::default(),
        }
    }

    fn check(&self) -> Result<(), Unreachable> {
        if self.unreachable.load(Ordering::Relaxed) {
            Err(Unreachable)
        } else {
            Ok(())
        }
    }

    fn write(&self, lease: &Lease, expected: Option<&String>) -> Write {
        let mut record = self.record.lock().unwrap();
        let current = record
            .1
            .as_ref()
            .and_then(|lease| lease.metadata.resource_version.clone());
        if current.as_ref() != expected {
            return Write::Outrun;
        }
        record.0 += 1;
        let mut stored = lease.clone();
        stored.metadata.resource_version = Some(record.0.to_string());
        record.1 = Some(stored.clone());
        Write::Done(Box::new(stored))
    }

    fn holder(&self) -> String {
        let record = self.record.lock().unwrap();
        let spec = record.1.as_ref().and_then(|lease| lease.spec.clone());
        spec.and_then(|spec| spec.holder_identity)
            .unwrap_or_default()
    }
}

impl LeaseStore for FakeStore {
    type Error = Unreachable;

    async fn read(&self) -> Result<Option<Lease>, Unreachable> {
        self.check()?;
        let lease = self.record.lock().unwrap().1.clone();
        // Both contenders read before either writes.
        tokio::task::yield_now().await;
        Ok(lease)
    }

    async fn create(&self, lease: &Lease) -> Result<Write, Unreachable> {
        self.check()?;
        Ok(self.write(lease, None))
    }

    async fn replace(&self, lease: &Lease) -> Result<Write, Unreachable> {
        self.check()?;
        Ok(self.write(lease, lease.metadata.resource_version.as_ref()))
    }
}

fn candidate(store: &FakeStore, name: &str) -> Elector<FakeStore> {
    Elector::new(store.clone(), name, LEASE)
}

#[tokio::test(start_paused = true)]
async fn of_two_simultaneous_candidates_exactly_one_wins() {
    let store = FakeStore::default();
    let (mut a, mut b) = (candidate(&store, "a"), candidate(&store, "b"));
    let (won_a, won_b) = tokio::join!(a.attempt(), b.attempt());
    assert!(won_a ^ won_b, "a: {won_a}, b: {won_b}");
}

#[tokio::test(start_paused = true)]
async fn of_two_simultaneous_takers_of_an_expired_lease_exactly_one_wins() {
    let store = FakeStore::default();
    assert!(candidate(&store, "gone").attempt().await);
    let (mut a, mut b) = (candidate(&store, "a"), candidate(&store, "b"));
    assert!(!a.attempt().await);
    assert!(!b.attempt().await);
    sleep(LEASE).await;
    let (won_a, won_b) = tokio::join!(a.attempt(), b.attempt());
    assert!(won_a ^ won_b, "a: {won_a}, b: {won_b}");
}

#[tokio::test(start_paused = true)]
async fn a_renewed_lease_is_never_taken() {
    let store = FakeStore::default();
    let mut leader = candidate(&store, "leader");
    leader.acquire().await;
    let stop = CancellationToken::new();
    let holding = tokio::spawn({
        let stop = stop.clone();
        async move { leader.hold(&stop).await }
    });
    let mut rival = candidate(&store, "rival");
    for _ in 0..100 {
        assert!(!rival.attempt().await);
        sleep(LEASE / 5).await;
    }
    stop.cancel();
    assert!(holding.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_cut_off_leader_gives_up_before_its_rival_may_lead() {
    let store = FakeStore::default();
    let mut leader = candidate(&store, "leader");
    leader.acquire().await;
    let mut rival = Elector::new(store.cut_off(), "rival", LEASE);
    assert!(!rival.attempt().await);
    let started = Instant::now();
    store.unreachable.store(true, Ordering::Relaxed);
    let lost = leader.hold(&CancellationToken::new()).await;
    assert!(matches!(lost, Err(LeaderError::Lost)));
    let given_up = started.elapsed();
    rival.acquire().await;
    let taken_over = started.elapsed();
    assert!(given_up < LEASE, "gave up after {given_up:?}");
    assert!(taken_over >= LEASE, "taken over after {taken_over:?}");
    assert!(
        taken_over <= LEASE + LEASE / 5 * 2,
        "taken over after {taken_over:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_stops_hands_over_without_waiting_for_expiry() {
    let store = FakeStore::default();
    let mut leader = candidate(&store, "leader");
    leader.acquire().await;
    let stop = CancellationToken::new();
    stop.cancel();
    assert!(leader.hold(&stop).await.is_ok());
    assert_eq!(store.holder(), "");
    assert!(candidate(&store, "next").attempt().await);
    assert_eq!(store.holder(), "next");
}

#[tokio::test(start_paused = true)]
async fn a_restarted_leader_continues_under_its_own_name_at_once() {
    let store = FakeStore::default();
    assert!(candidate(&store, "a").attempt().await);
    assert!(candidate(&store, "a").attempt().await);
    assert!(!candidate(&store, "b").attempt().await);
}
