//! Keys fetched from JWKS endpoints, kept for all verifiers of a node.
//!
//! A key stays for an hour after its last use. A token with an unknown key id
//! makes the set be fetched, every time; while a fetch of an address runs,
//! everybody who needs that address waits for it instead of starting another.
//! Whoever joined a fetch that did not bring its key joins or starts one more,
//! because the key may be younger than the answer it got.
//!
//! There is no task of its own: a fetch is driven by those who wait for it, on
//! whatever runtime they are, and ends when nobody waits any more. The lock is
//! never held across an await.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, WeakShared};
use tokio::time::Instant;

use super::InvalidToken;
use super::fetch::{FetchError, Http};
use super::jwk;
use super::keys::PublicKey;

/// How long a key stays after its last use.
const KEPT: Duration = Duration::from_secs(3600);
/// How often one fetch asks, at most.
const ATTEMPTS: usize = 2;
/// Sets kept. Only endpoints whose placeholders take any text come near it; the
/// set that was not used for longest goes first.
const SETS_MAX: usize = 1000;

/// The fetched keys. Clones share them; one lives as long as the node, so that a
/// reload of the configuration forgets no key.
#[derive(Clone, Default)]
pub struct KeySets(Arc<Inner>);

#[derive(Default)]
struct Inner {
    http: Http,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By address.
    sets: HashMap<String, Set>,
    /// The running fetches by address. One that nobody waits for is dead.
    flights: HashMap<String, WeakShared<Flight>>,
}

/// By key id.
type Set = HashMap<String, Kept>;

struct Kept {
    key: Arc<PublicKey>,
    until: Instant,
}

/// A fetch; its keys are in the state when it is done.
type Flight = BoxFuture<'static, Result<(), InvalidToken>>;

impl fmt::Debug for KeySets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySets")
            .field("sets", &self.0.state().sets.len())
            .finish_non_exhaustive()
    }
}

impl KeySets {
    /// The key, if it is here.
    pub(super) fn kept(&self, address: &str, id: &str) -> Option<Arc<PublicKey>> {
        let now = Instant::now();
        let mut state = self.0.state();
        let kept = state.sets.get_mut(address)?.get_mut(id)?;
        if kept.until <= now {
            return None;
        }
        kept.until = now + KEPT;
        Some(Arc::clone(&kept.key))
    }

    /// The key, fetched if it is not here.
    ///
    /// # Errors
    /// [`InvalidToken::KeysUnavailable`] when the endpoint does not answer,
    /// [`InvalidToken::KeyId`] when it has no usable key of this id.
    pub(super) async fn key(
        &self,
        address: &str,
        id: &str,
    ) -> Result<Arc<PublicKey>, InvalidToken> {
        if let Some(key) = self.kept(address, id) {
            return Ok(key);
        }
        let (flight, joined) = self.flight(address);
        flight.await?;
        if let Some(key) = self.kept(address, id) {
            return Ok(key);
        }
        if joined {
            // Whatever runs now began after the first one was done.
            let (flight, _) = self.flight(address);
            flight.await?;
        }
        self.kept(address, id).ok_or(InvalidToken::KeyId)
    }

    /// The running fetch of an address and `true`, or a new one and `false`.
    fn flight(&self, address: &str) -> (Shared<Flight>, bool) {
        let mut state = self.0.state();
        if let Some(flight) = state.flights.get(address).and_then(WeakShared::upgrade) {
            return (flight, true);
        }
        state.flights.retain(|_, flight| flight.upgrade().is_some());
        let flight = fetch(Arc::clone(&self.0), address.to_owned())
            .boxed()
            .shared();
        if let Some(weak) = flight.downgrade() {
            state.flights.insert(address.to_owned(), weak);
        }
        (flight, false)
    }
}

/// Fetches a set and keeps its keys. A failure is logged here, once for all who
/// wait.
async fn fetch(inner: Arc<Inner>, address: String) -> Result<(), InvalidToken> {
    let result = attempts(&inner.http, &address).await;
    let mut state = inner.state();
    state.flights.remove(&address);
    match result {
        Ok(keys) => {
            state.keep(address, keys);
            Ok(())
        }
        Err(error) => {
            drop(state);
            // A query may hold a secret.
            let endpoint = address.split('?').next();
            let error = crate::chain(&error);
            tracing::warn!(jwks.endpoint = endpoint, error, "keys could not be fetched");
            Err(InvalidToken::KeysUnavailable)
        }
    }
}

async fn attempts(http: &Http, address: &str) -> Result<Vec<(String, PublicKey)>, FetchError> {
    let mut attempt = 1;
    loop {
        let answer = http.get(address).await;
        match answer.and_then(|text| jwk::parse(&text).map_err(FetchError::NotASet)) {
            Err(_) if attempt < ATTEMPTS => attempt += 1,
            done => return done,
        }
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn keep(&mut self, address: String, keys: Vec<(String, PublicKey)>) {
        let now = Instant::now();
        for set in self.sets.values_mut() {
            set.retain(|_, kept| kept.until > now);
        }
        self.sets.retain(|_, set| !set.is_empty());
        let until = now + KEPT;
        let mut fetched = Set::new();
        for (id, key) in keys {
            let key = Arc::new(key);
            // Of two keys with one id the first counts.
            fetched.entry(id).or_insert(Kept { key, until });
        }
        if fetched.is_empty() {
            return;
        }
        if self.sets.len() >= SETS_MAX && !self.sets.contains_key(&address) {
            self.forget_oldest();
        }
        self.sets.entry(address).or_default().extend(fetched);
    }

    fn forget_oldest(&mut self) {
        let last_use = |set: &Set| set.values().map(|kept| kept.until).max();
        let oldest = self.sets.iter().min_by_key(|(_, set)| last_use(set));
        if let Some(address) = oldest.map(|(address, _)| address.clone()) {
            self.sets.remove(&address);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn keys(id: &str) -> Vec<(String, PublicKey)> {
        let key = PublicKey::ed25519(&[7; 32]).unwrap();
        vec![(id.to_owned(), key)]
    }

    #[tokio::test(start_paused = true)]
    async fn least_recently_used_set_makes_room() {
        let key_sets = KeySets::default();
        for n in 0..SETS_MAX {
            key_sets.0.state().keep(n.to_string(), keys("a"));
            advance(Duration::from_secs(1)).await;
        }
        assert!(key_sets.kept("0", "a").is_some(), "used again");
        key_sets.0.state().keep("new".to_owned(), keys("a"));
        assert_eq!(key_sets.0.state().sets.len(), SETS_MAX);
        assert!(key_sets.kept("0", "a").is_some());
        assert!(key_sets.kept("1", "a").is_none());
        key_sets.0.state().keep("2".to_owned(), keys("b"));
        assert_eq!(key_sets.0.state().sets.len(), SETS_MAX);
        assert!(key_sets.kept("2", "a").is_some(), "of an earlier fetch");
    }

    #[tokio::test(start_paused = true)]
    async fn unused_keys_are_forgotten_with_the_next_fetch() {
        let key_sets = KeySets::default();
        key_sets.0.state().keep("old".to_owned(), keys("a"));
        advance(KEPT).await;
        key_sets.0.state().keep("new".to_owned(), keys("a"));
        let addresses: Vec<String> = key_sets.0.state().sets.keys().cloned().collect();
        assert_eq!(addresses, ["new"]);
        key_sets.0.state().keep("empty".to_owned(), Vec::new());
        assert_eq!(key_sets.0.state().sets.len(), 1);
    }
}
