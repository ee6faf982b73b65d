//! Work under a name that many want at the same time: one at a time is done, and the next is done once for all who
//! came meanwhile. Nobody gets a result of work that began before they came.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, WeakShared};

/// The work under way, by name.
pub(super) struct Turns<T: Clone>(Mutex<HashMap<String, Weak<Turn<T>>>>);

/// One name's work.
struct Turn<T: Clone> {
    /// Held while the work is done.
    busy: tokio::sync::Mutex<()>,
    /// The work that has not begun.
    next: Mutex<Option<WeakShared<BoxFuture<'static, T>>>>,
}

impl<T: Clone + Send + Sync + 'static> Turns<T> {
    /// Awaits work of this name that has not begun yet, or this `work`. It goes on while anybody awaits it.
    pub(super) fn join(
        &self,
        name: &str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Shared<BoxFuture<'static, T>> {
        let turn = self.turn(name);
        let mut next = lock(&turn.next);
        if let Some(shared) = next.as_ref().and_then(WeakShared::upgrade) {
            return shared;
        }
        let own = Arc::clone(&turn);
        let shared = async move {
            let _busy = own.busy.lock().await;
            lock(&own.next).take();
            work.await
        }
        .boxed()
        .shared();
        *next = shared.downgrade();
        shared
    }

    fn turn(&self, name: &str) -> Arc<Turn<T>> {
        let mut turns = lock(&self.0);
        if let Some(turn) = turns.get(name).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::new(Turn {
            busy: tokio::sync::Mutex::default(),
            next: Mutex::default(),
        });
        turns.insert(name.to_owned(), Arc::downgrade(&turn));
        turn
    }
}

impl<T: Clone> Default for Turns<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

/// The maps stay consistent between statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    /// Counts how often it is done, each time as soon as it may.
    #[derive(Clone)]
    struct Work {
        done: Arc<AtomicU32>,
        gate: Arc<Semaphore>,
    }

    impl Work {
        fn new() -> Self {
            Self {
                done: Arc::default(),
                gate: Arc::new(Semaphore::new(0)),
            }
        }

        async fn run(self) -> u32 {
            self.gate.acquire().await.unwrap().forget();
            self.done.fetch_add(1, Ordering::SeqCst) + 1
        }
    }

    #[tokio::test]
    async fn who_comes_meanwhile_shares_the_next_turn() {
        let (turns, work) = (Turns::default(), Work::new());
        let mut first = turns.join("a", work.clone().run());
        assert!(futures::poll!(&mut first).is_pending(), "it has begun");
        let mut later: Vec<_> = (0..100)
            .map(|_| turns.join("a", work.clone().run()))
            .collect();
        for joined in &mut later {
            assert!(futures::poll!(joined).is_pending());
        }
        work.gate.add_permits(1);
        assert_eq!(first.await, 1);
        work.gate.add_permits(1);
        assert_eq!(futures::future::join_all(later).await, [2; 100]);
        assert_eq!(work.done.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn another_name_does_not_wait() {
        let (turns, slow, quick) = (Turns::default(), Work::new(), Work::new());
        let mut first = turns.join("a", slow.run());
        assert!(futures::poll!(&mut first).is_pending());
        quick.gate.add_permits(1);
        assert_eq!(turns.join("b", quick.run()).await, 1);
    }

    #[tokio::test]
    async fn work_that_nobody_awaits_any_more_gives_its_turn_away() {
        let (turns, work) = (Turns::default(), Work::new());
        let mut first = turns.join("a", work.clone().run());
        assert!(futures::poll!(&mut first).is_pending());
        let mut second = turns.join("a", work.clone().run());
        assert!(futures::poll!(&mut second).is_pending());
        drop((first, second));
        work.gate.add_permits(1);
        assert_eq!(turns.join("a", work.clone().run()).await, 1);
    }

    #[tokio::test]
    async fn names_that_nobody_uses_are_forgotten() {
        let (turns, work) = (Turns::default(), Work::new());
        work.gate.add_permits(1000);
        for number in 0..1000 {
            turns.join(&number.to_string(), work.clone().run()).await;
        }
        assert!(lock(&turns.0).len() <= 1, "{}", lock(&turns.0).len());
    }
}
