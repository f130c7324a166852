//! Who takes part: ours and the peers behind one trait, for each type of key.
//!
//! Peers that only know futures are driven without a runtime: a thread that has to wait for another
//! is parked, which is dear beside a task's wait when threads meet often. Where a crate may keep
//! either borrowed or owned keys it keeps borrowed ones, which is the cheaper way.

use std::fmt;
use std::hash::Hash;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use async_singleflight::UnaryGroup;
use docache::KeyedGroup;
use singleflight_async::SingleFlight;

use super::mutex_condvar;

/// A singleflight whose work is a number.
pub(super) trait Flight<K>: Default + Sync {
    /// Runs `work`, or shares the run of `key` under way.
    fn fly(&self, key: K, work: impl FnOnce() -> u64 + Send) -> u64;
}

/// A type of key, and what each contestant uses for it. `()` is that of work without a key.
pub(super) trait Key: Copy + Sync + 'static {
    type Docache: Flight<Self>;
    type DocacheAsync: Flight<Self>;
    type AsyncSingleflight: Flight<Self>;
    type SingleflightAsync: Flight<Self>;
    type MutexCondvar: Flight<Self>;
}

impl Key for () {
    type Docache = docache::Group<u64>;
    type DocacheAsync = InTask<docache::Group<u64>>;
    type AsyncSingleflight = UnaryGroup<(), u64>;
    type SingleflightAsync = SingleFlight<(), u64>;
    type MutexCondvar = mutex_condvar::Group<(), u64>;
}

impl Key for u64 {
    type Docache = KeyedGroup<u64, u64>;
    type DocacheAsync = InTask<KeyedGroup<u64, u64>>;
    type AsyncSingleflight = UnaryGroup<u64, u64>;
    type SingleflightAsync = SingleFlight<u64, u64>;
    type MutexCondvar = mutex_condvar::Group<u64, u64>;
}

impl Key for &'static str {
    type Docache = KeyedGroup<str, u64>;
    type DocacheAsync = InTask<KeyedGroup<str, u64>>;
    type AsyncSingleflight = UnaryGroup<String, u64>;
    type SingleflightAsync = SingleFlight<&'static str, u64>;
    type MutexCondvar = mutex_condvar::Group<String, u64>;
}

/// One of each.
pub(super) struct Contestants<K: Key> {
    pub(super) docache: K::Docache,
    pub(super) docache_async: K::DocacheAsync,
    pub(super) async_singleflight: K::AsyncSingleflight,
    pub(super) singleflight_async: K::SingleflightAsync,
    pub(super) mutex_condvar: K::MutexCondvar,
}

impl<K: Key> Contestants<K> {
    pub(super) fn new() -> Self {
        Contestants {
            docache: K::Docache::default(),
            docache_async: K::DocacheAsync::default(),
            async_singleflight: K::AsyncSingleflight::default(),
            singleflight_async: K::SingleflightAsync::default(),
            mutex_condvar: K::MutexCondvar::default(),
        }
    }
}

impl<K: Key> fmt::Debug for Contestants<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contestants").finish_non_exhaustive()
    }
}

impl Flight<()> for docache::Group<u64> {
    #[inline]
    fn fly(&self, (): (), work: impl FnOnce() -> u64 + Send) -> u64 {
        self.run(work).into_inner()
    }
}

impl Flight<u64> for KeyedGroup<u64, u64> {
    #[inline]
    fn fly(&self, key: u64, work: impl FnOnce() -> u64 + Send) -> u64 {
        self.run(&key, work).into_inner()
    }
}

impl Flight<&'static str> for KeyedGroup<str, u64> {
    #[inline]
    fn fly(&self, key: &'static str, work: impl FnOnce() -> u64 + Send) -> u64 {
        self.run(key, work).into_inner()
    }
}

/// The calls for tasks.
#[derive(Debug, Default)]
pub(super) struct InTask<G>(G);

impl Flight<()> for InTask<docache::Group<u64>> {
    #[inline]
    fn fly(&self, (): (), work: impl FnOnce() -> u64 + Send) -> u64 {
        block_on(self.0.run_async(|| async move { work() })).into_inner()
    }
}

impl Flight<u64> for InTask<KeyedGroup<u64, u64>> {
    #[inline]
    fn fly(&self, key: u64, work: impl FnOnce() -> u64 + Send) -> u64 {
        block_on(self.0.run_async(key, || async move { work() })).into_inner()
    }
}

impl Flight<&'static str> for InTask<KeyedGroup<str, u64>> {
    #[inline]
    fn fly(&self, key: &'static str, work: impl FnOnce() -> u64 + Send) -> u64 {
        block_on(self.0.run_async(key, || async move { work() })).into_inner()
    }
}

impl Flight<()> for UnaryGroup<(), u64> {
    #[inline]
    fn fly(&self, (): (), work: impl FnOnce() -> u64 + Send) -> u64 {
        block_on(self.work(&(), async move { work() }))
    }
}

impl Flight<u64> for UnaryGroup<u64, u64> {
    #[inline]
    fn fly(&self, key: u64, work: impl FnOnce() -> u64 + Send) -> u64 {
        block_on(self.work(&key, async move { work() }))
    }
}

impl Flight<&'static str> for UnaryGroup<String, u64> {
    #[inline]
    fn fly(&self, key: &'static str, work: impl FnOnce() -> u64 + Send) -> u64 {
        block_on(self.work(key, async move { work() }))
    }
}

impl<K: Hash + Eq + Clone + Send> Flight<K> for SingleFlight<K, u64> {
    #[inline]
    fn fly(&self, key: K, work: impl FnOnce() -> u64 + Send) -> u64 {
        block_on(self.work(key, || async move { work() }))
    }
}

impl Flight<()> for mutex_condvar::Group<(), u64> {
    #[inline]
    fn fly(&self, (): (), work: impl FnOnce() -> u64 + Send) -> u64 {
        self.run(&(), work)
    }
}

impl Flight<u64> for mutex_condvar::Group<u64, u64> {
    #[inline]
    fn fly(&self, key: u64, work: impl FnOnce() -> u64 + Send) -> u64 {
        self.run(&key, work)
    }
}

impl Flight<&'static str> for mutex_condvar::Group<String, u64> {
    #[inline]
    fn fly(&self, key: &'static str, work: impl FnOnce() -> u64 + Send) -> u64 {
        self.run(key, work)
    }
}

/// Drives a future on this thread. One that is ready at once, as all are that need not wait, costs
/// nothing but its own poll: what the executor keeps for waiting is made only then.
#[inline]
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => pollster::block_on(future),
    }
}
