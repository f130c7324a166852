//! The peers behind a few small traits: what can be read, what can be written, what loads.
//!
//! All hash with the same hasher, so that what differs is the store. Each is otherwise as its
//! builder makes it. They are alike and written out all the same: the calls are those of each
//! peer's own documentation.

use std::collections::HashMap;
use std::fmt;
use std::hash::BuildHasher;
use std::hint::black_box;
use std::num::NonZero;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

use quick_cache::UnitWeighter;
use quick_cache::sync::DefaultLifecycle;

/// The time to live of peers that are measured with one: ours has the same.
const TIME_TO_LIVE: Duration = Duration::from_secs(15 * 60);

/// What all hash with.
pub(crate) trait Hasher: BuildHasher + Default + Clone + Send + Sync + 'static {}

impl<S: BuildHasher + Default + Clone + Send + Sync + 'static> Hasher for S {}

/// What can be made.
pub(crate) trait Make<S>: Sized {
    /// An empty store for at most `capacity` entries, if it knows a limit.
    fn make(capacity: u64, hasher: S) -> Self;
}

/// What can be read.
pub(crate) trait Read: Sync {
    fn get(&self, key: u64) -> Option<u64>;
}

/// What can be written while it is read.
pub(crate) trait Store: Read {
    fn insert(&self, key: u64, value: u64);

    fn remove(&self, key: u64) -> bool;

    /// Does what it has put off.
    fn settle(&self) {}

    /// Entries held, once settled.
    fn len(&self) -> u64;
}

/// What loads a missing value, once for all who ask at the same time.
pub(crate) trait Loading: Store {
    /// The value of `key`, by [`load`] if it is missing.
    fn fetch(&self, key: u64) -> u64;
}

/// The work of a load: next to none.
#[inline]
pub(crate) fn load(key: u64) -> u64 {
    black_box(key)
}

/// A map that nobody writes to: no lock, no pin, no counting.
#[derive(Debug, Default)]
pub(crate) struct Frozen<S: Hasher>(pub(crate) hashbrown::HashMap<u64, u64, S>);

impl<S: Hasher> Read for Frozen<S> {
    #[inline]
    fn get(&self, key: u64) -> Option<u64> {
        self.0.get(&key).copied()
    }
}

#[derive(Debug)]
pub(crate) struct QuickCache<S: Hasher>(quick_cache::sync::Cache<u64, u64, UnitWeighter, S>);

impl<S: Hasher> Read for QuickCache<S> {
    #[inline]
    fn get(&self, key: u64) -> Option<u64> {
        self.0.get(&key)
    }
}

impl<S: Hasher> Make<S> for QuickCache<S> {
    fn make(capacity: u64, hasher: S) -> Self {
        let lifecycle = DefaultLifecycle::default();
        QuickCache(quick_cache::sync::Cache::with(
            capacity as usize,
            capacity,
            UnitWeighter,
            hasher,
            lifecycle,
        ))
    }
}

impl<S: Hasher> Store for QuickCache<S> {
    #[inline]
    fn insert(&self, key: u64, value: u64) {
        self.0.insert(key, value);
    }

    #[inline]
    fn remove(&self, key: u64) -> bool {
        self.0.remove(&key).is_some()
    }

    fn len(&self) -> u64 {
        self.0.len() as u64
    }
}

impl<S: Hasher> Loading for QuickCache<S> {
    #[inline]
    fn fetch(&self, key: u64) -> u64 {
        match self.0.get_or_insert_with(&key, || Ok::<_, std::convert::Infallible>(load(key))) {
            Ok(value) => value,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Moka<S: Hasher>(moka::sync::Cache<u64, u64, S>);

impl<S: Hasher> Read for Moka<S> {
    #[inline]
    fn get(&self, key: u64) -> Option<u64> {
        self.0.get(&key)
    }
}

impl<S: Hasher> Make<S> for Moka<S> {
    fn make(capacity: u64, hasher: S) -> Self {
        Moka(moka::sync::Cache::builder().max_capacity(capacity).build_with_hasher(hasher))
    }
}

impl<S: Hasher> Store for Moka<S> {
    #[inline]
    fn insert(&self, key: u64, value: u64) {
        self.0.insert(key, value);
    }

    #[inline]
    fn remove(&self, key: u64) -> bool {
        self.0.remove(&key).is_some()
    }

    fn settle(&self) {
        self.0.run_pending_tasks();
    }

    fn len(&self) -> u64 {
        self.0.entry_count()
    }
}

impl<S: Hasher> Loading for Moka<S> {
    #[inline]
    fn fetch(&self, key: u64) -> u64 {
        self.0.get_with_by_ref(&key, || load(key))
    }
}

/// moka with a time to live.
#[derive(Debug)]
pub(crate) struct MokaTtl<S: Hasher>(Moka<S>);

impl<S: Hasher> Read for MokaTtl<S> {
    #[inline]
    fn get(&self, key: u64) -> Option<u64> {
        self.0.get(key)
    }
}

impl<S: Hasher> Make<S> for MokaTtl<S> {
    fn make(capacity: u64, hasher: S) -> Self {
        let builder =
            moka::sync::Cache::builder().max_capacity(capacity).time_to_live(TIME_TO_LIVE);
        MokaTtl(Moka(builder.build_with_hasher(hasher)))
    }
}

impl<S: Hasher> Store for MokaTtl<S> {
    #[inline]
    fn insert(&self, key: u64, value: u64) {
        self.0.insert(key, value);
    }

    #[inline]
    fn remove(&self, key: u64) -> bool {
        self.0.remove(key)
    }

    fn settle(&self) {
        self.0.settle();
    }

    fn len(&self) -> u64 {
        self.0.len()
    }
}

/// Knows no limit.
#[derive(Debug)]
pub(crate) struct Papaya<S: Hasher>(pub(crate) papaya::HashMap<u64, u64, S>);

impl<S: Hasher> Read for Papaya<S> {
    #[inline]
    fn get(&self, key: u64) -> Option<u64> {
        self.0.pin().get(&key).copied()
    }
}

impl<S: Hasher> Make<S> for Papaya<S> {
    fn make(_capacity: u64, hasher: S) -> Self {
        Papaya(papaya::HashMap::with_hasher(hasher))
    }
}

impl<S: Hasher> Store for Papaya<S> {
    #[inline]
    fn insert(&self, key: u64, value: u64) {
        self.0.pin().insert(key, value);
    }

    #[inline]
    fn remove(&self, key: u64) -> bool {
        self.0.pin().remove(&key).is_some()
    }

    fn len(&self) -> u64 {
        self.0.len() as u64
    }
}

/// Knows no limit.
#[derive(Debug)]
pub(crate) struct DashMap<S: Hasher>(dashmap::DashMap<u64, u64, S>);

impl<S: Hasher> Read for DashMap<S> {
    #[inline]
    fn get(&self, key: u64) -> Option<u64> {
        self.0.get(&key).map(|value| *value)
    }
}

impl<S: Hasher> Make<S> for DashMap<S> {
    fn make(_capacity: u64, hasher: S) -> Self {
        DashMap(dashmap::DashMap::with_hasher(hasher))
    }
}

impl<S: Hasher> Store for DashMap<S> {
    #[inline]
    fn insert(&self, key: u64, value: u64) {
        self.0.insert(key, value);
    }

    #[inline]
    fn remove(&self, key: u64) -> bool {
        self.0.remove(&key).is_some()
    }

    fn len(&self) -> u64 {
        self.0.len() as u64
    }
}

/// std's own, without a limit.
#[derive(Debug)]
pub(crate) struct RwLockHashMap<S: Hasher>(RwLock<HashMap<u64, u64, S>>);

impl<S: Hasher> Read for RwLockHashMap<S> {
    #[inline]
    fn get(&self, key: u64) -> Option<u64> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&key).copied()
    }
}

impl<S: Hasher> Make<S> for RwLockHashMap<S> {
    fn make(_capacity: u64, hasher: S) -> Self {
        RwLockHashMap(RwLock::new(HashMap::with_hasher(hasher)))
    }
}

impl<S: Hasher> Store for RwLockHashMap<S> {
    #[inline]
    fn insert(&self, key: u64, value: u64) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(key, value);
    }

    #[inline]
    fn remove(&self, key: u64) -> bool {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&key).is_some()
    }

    fn len(&self) -> u64 {
        self.0.read().unwrap_or_else(PoisonError::into_inner).len() as u64
    }
}

#[derive(Debug)]
pub(crate) struct MutexLru<S: Hasher>(Mutex<lru::LruCache<u64, u64, S>>);

impl<S: Hasher> Read for MutexLru<S> {
    #[inline]
    fn get(&self, key: u64) -> Option<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied()
    }
}

impl<S: Hasher> Make<S> for MutexLru<S> {
    fn make(capacity: u64, hasher: S) -> Self {
        let capacity = NonZero::new(capacity as usize).unwrap_or(NonZero::<usize>::MIN);
        MutexLru(Mutex::new(lru::LruCache::with_hasher(capacity, hasher)))
    }
}

impl<S: Hasher> Store for MutexLru<S> {
    #[inline]
    fn insert(&self, key: u64, value: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put(key, value);
    }

    #[inline]
    fn remove(&self, key: u64) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop(&key).is_some()
    }

    fn len(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
    }
}

pub(crate) struct FibreCache<S: Hasher>(fibre_cache::Cache<u64, u64, S>);

impl<S: Hasher> fmt::Debug for FibreCache<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FibreCache").finish_non_exhaustive()
    }
}

impl<S: Hasher> Read for FibreCache<S> {
    #[inline]
    fn get(&self, key: u64) -> Option<u64> {
        self.0.get(&key, |value| *value)
    }
}

impl<S: Hasher> Make<S> for FibreCache<S> {
    fn make(capacity: u64, hasher: S) -> Self {
        let builder = fibre_cache::CacheBuilder::new().capacity(capacity).hasher(hasher);
        FibreCache(
            builder
                .loader(|key| (load(key), 1))
                .build()
                .expect("a capacity and a loader go together"),
        )
    }
}

impl<S: Hasher> Store for FibreCache<S> {
    #[inline]
    fn insert(&self, key: u64, value: u64) {
        self.0.insert(key, value, 1);
    }

    #[inline]
    fn remove(&self, key: u64) -> bool {
        self.0.remove(&key).is_some()
    }

    fn len(&self) -> u64 {
        self.0.metrics().current_cost
    }
}

impl<S: Hasher> Loading for FibreCache<S> {
    #[inline]
    fn fetch(&self, key: u64) -> u64 {
        *self.0.fetch_with(&key)
    }
}
