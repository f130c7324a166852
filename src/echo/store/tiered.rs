//! A near store before a far one.
//!
//! # Invariants
//! - COPY: what is in the near store is a copy of what the far one has, or had no longer than
//!   `most` ago. It lives no longer than the original is known to.
//! - FILL: a copy is written under the key's refresh lock in the near store, taken before the far
//!   one is read or written. Whoever writes or removes the key takes that lock away, after the far
//!   store has been written. So no copy of what was read before such a write comes after it.

use std::time::Duration;

use super::layer::{drive, layer};
use super::{Begun, Calls, Found, Life, Store, Tasks, Threads, Within, Written, blocking};
use crate::echo::error::StoreError;
use crate::echo::lock::RefreshLock;

/// Two stores: what is in the near one is served from there and touches nothing else; the far one
/// has the truth, and the locks.
///
/// What is found in the far store is copied into the near one, for as long as it still lives there
/// and no longer than `most`: for so long this process may not see what another one writes or
/// removes. Writes go to the far store first. A near store that fails is done without.
///
/// ```
/// use docache::echo::{EchoCache, MemoryStore, TieredStore};
/// use std::time::Duration;
/// let shared = MemoryStore::new(10_000); // such as a Redis
/// let store = TieredStore::new(MemoryStore::new(100), shared, Duration::from_secs(1));
/// let cache = EchoCache::<_, u32, String>::new(store);
/// assert_eq!(*cache.fetch("key", || Ok(1)).unwrap(), 1);
/// assert_eq!(cache.store().near().len(), 1);
/// ```
#[derive(Clone, Debug)]
pub struct TieredStore<L1, L2> {
    near: L1,
    far: L2,
    most: Duration,
}

/// How long a fill may take before another one may try.
const FILL: Duration = Duration::from_secs(10);

impl<L1, L2> TieredStore<L1, L2> {
    /// A near store before a far one, for copies that live no longer than `most`.
    #[must_use]
    pub fn new(near: L1, far: L2, most: Duration) -> TieredStore<L1, L2> {
        TieredStore { near, far, most }
    }

    /// The near store.
    #[must_use]
    pub fn near(&self) -> &L1 {
        &self.near
    }

    /// The far store.
    #[must_use]
    pub fn far(&self) -> &L2 {
        &self.far
    }

    fn layer<C1, C2>(&self, near: C1, far: C2) -> Tiers<C1, C2> {
        Tiers { near, far, most: self.most }
    }

    #[inline]
    fn at_once<T>(&self, key: &str, within: &Within<'_>) -> Option<Found<T>>
    where
        L1: Store<T>,
    {
        blocking(|| self.near.get(key, within)).ok().flatten()
    }
}

layer!(TieredStore<L1: near, L2: far>);

#[derive(Clone, Copy)]
struct Tiers<C1, C2> {
    near: C1,
    far: C2,
    most: Duration,
}

impl<C1, C2> Tiers<C1, C2> {
    /// The life of a copy of what lives so long.
    fn copied(&self, life: Life) -> Life {
        Life { ttl: Some(life.ttl.map_or(self.most, |ttl| ttl.min(self.most))), ..life }
    }

    /// Takes the near lock for a fill that comes after all others. `None`: the near store fails.
    async fn claim<T>(&self, key: &str, within: &Within<'_>) -> Option<RefreshLock>
    where
        T: Send + Sync,
        C1: Calls<T>,
    {
        let lock = RefreshLock::new(FILL);
        // Twice: whoever fills loses the lock to us, and another may be quicker once.
        for _ in 0..2 {
            if self.near.begin_refresh(key, &lock, within).await.ok()?.granted {
                return Some(lock);
            }
            self.near.remove(key, within).await.ok()?;
        }
        None
    }

    /// What is in the near store may be old.
    async fn drop_copy<T>(&self, key: &str, within: &Within<'_>)
    where
        T: Send + Sync,
        C1: Calls<T>,
    {
        let _ = self.near.remove(key, within).await;
    }

    /// Ends a fill with a value that the far store has taken, or without.
    async fn fill<T>(
        &self,
        key: &str,
        value: Option<(&T, Life)>,
        lock: Option<RefreshLock>,
        within: &Within<'_>,
    ) where
        T: Send + Sync,
        C1: Calls<T>,
    {
        match (value, lock) {
            (Some((value, life)), Some(lock)) => {
                let value = (value, self.copied(life));
                if self.near.finish_refresh(key, value, &lock, within).await.is_err() {
                    self.drop_copy(key, within).await;
                }
            }
            (_, lock) => {
                self.drop_copy(key, within).await;
                if let Some(lock) = lock {
                    let _ = self.near.abandon_refresh(key, &lock, within).await;
                }
            }
        }
    }
}

impl<T, C1, C2> Calls<T> for Tiers<C1, C2>
where
    T: Send + Sync,
    C1: Calls<T>,
    C2: Calls<T>,
{
    async fn get(&self, key: &str, within: &Within<'_>) -> Result<Option<Found<T>>, StoreError> {
        if let Ok(Some(found)) = self.near.get(key, within).await {
            return Ok(Some(found));
        }
        let lock = RefreshLock::new(FILL);
        // FILL. Where another call fills, that is enough.
        let begun = self.near.begin_refresh(key, &lock, within).await;
        let lock = begun.is_ok_and(|begun| begun.granted).then_some(lock);
        let found = self.far.get(key, within).await;
        match (&found, lock) {
            (Ok(Some(found)), Some(lock)) => {
                let life = self.copied(Life { ttl: found.left, age: found.age });
                let value = (&found.value, life);
                let _ = self.near.finish_refresh(key, value, &lock, within).await;
            }
            (_, Some(lock)) => {
                let _ = self.near.abandon_refresh(key, &lock, within).await;
            }
            (_, None) => {}
        }
        found
    }

    async fn begin_refresh(
        &self,
        key: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<Begun<T>, StoreError> {
        self.far.begin_refresh(key, lock, within).await
    }

    async fn renew(
        &self,
        key: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<bool, StoreError> {
        self.far.renew(key, lock, within).await
    }

    async fn finish_refresh(
        &self,
        key: &str,
        (value, life): (&T, Life),
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<Written, StoreError> {
        let claim = self.claim(key, within).await;
        let written = self.far.finish_refresh(key, (value, life), lock, within).await;
        let is_written = matches!(written, Ok(Written::Yes));
        self.fill(key, is_written.then_some((value, life)), claim, within).await;
        written
    }

    async fn abandon_refresh(
        &self,
        key: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<(), StoreError> {
        self.far.abandon_refresh(key, lock, within).await
    }

    async fn put(
        &self,
        key: &str,
        (value, life): (&T, Life),
        within: &Within<'_>,
    ) -> Result<(), StoreError> {
        let claim = self.claim(key, within).await;
        let put = self.far.put(key, (value, life), within).await;
        self.fill(key, put.is_ok().then_some((value, life)), claim, within).await;
        put
    }

    async fn remove(&self, key: &str, within: &Within<'_>) -> Result<(), StoreError> {
        let removed = self.far.remove(key, within).await;
        // Also if that has failed: this process does not want it.
        self.drop_copy(key, within).await;
        removed
    }
}
