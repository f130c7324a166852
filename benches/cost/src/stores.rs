//! The caches, behind one trait.

use std::convert::Infallible;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use foldhash::fast::FixedState;
use quick_cache::sync::DefaultLifecycle;
use quick_cache::{OptionsBuilder, UnitWeighter};

use crate::time::wait_until_ticking;

const SEED: u64 = 7;

pub(crate) trait Store {
    /// An empty store for so many entries.
    fn new(capacity: u64) -> Self;
    fn get(&self, key: u64) -> Option<u64>;
    fn insert(&self, key: u64, value: u64);
    fn remove(&self, key: u64) -> Option<u64>;
    /// The value of a key, loaded if it is missing; the load is next to nothing.
    fn fetch(&self, key: u64) -> u64;
}

/// As the builder makes it, with a time to live; but its hashes are the same in each run.
pub(crate) struct Docache(docache::Cache<u64, u64, Infallible, FixedState>);

impl Store for Docache {
    fn new(capacity: u64) -> Self {
        wait_until_ticking();
        let hasher = FixedState::with_seed(SEED);
        let builder = docache::Cache::builder().capacity(capacity as usize).hasher(hasher);
        Docache(builder.build().expect("the options are right"))
    }

    #[inline]
    fn get(&self, key: u64) -> Option<u64> {
        self.0.get(&key)
    }

    #[inline]
    fn insert(&self, key: u64, value: u64) {
        self.0.insert(key, value);
    }

    #[inline]
    fn remove(&self, key: u64) -> Option<u64> {
        self.0.remove(&key)
    }

    #[inline]
    fn fetch(&self, key: u64) -> u64 {
        self.0.fetch(&key, || black_box(key))
    }
}

/// As it is made on two cores, and with the same hashes.
pub(crate) struct QuickCache(quick_cache::sync::Cache<u64, u64, UnitWeighter, FixedState>);

impl Store for QuickCache {
    fn new(capacity: u64) -> Self {
        let options = OptionsBuilder::new()
            .estimated_items_capacity(capacity as usize)
            .weight_capacity(capacity)
            .shards(8)
            .build()
            .expect("the options are right");
        let hasher = FixedState::with_seed(SEED);
        QuickCache(quick_cache::sync::Cache::with_options(
            options,
            UnitWeighter,
            hasher,
            DefaultLifecycle::default(),
        ))
    }

    #[inline]
    fn get(&self, key: u64) -> Option<u64> {
        self.0.get(&key)
    }

    #[inline]
    fn insert(&self, key: u64, value: u64) {
        self.0.insert(key, value);
    }

    #[inline]
    fn remove(&self, key: u64) -> Option<u64> {
        self.0.remove(&key).map(|(_, value)| value)
    }

    #[inline]
    fn fetch(&self, key: u64) -> u64 {
        match self.0.get_or_insert_with(&key, || Ok::<u64, Infallible>(black_box(key))) {
            Ok(value) => value,
            Err(never) => match never {},
        }
    }
}

/// The output of a future that need not wait.
pub(crate) fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("nobody else is there to wait for"),
    }
}
