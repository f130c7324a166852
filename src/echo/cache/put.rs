//! Putting a value in, and the end of what is owed to the store: for the C ABI.

use super::EchoCache;
use crate::echo::error::StoreError;
use crate::echo::store::{Store, blocking};

impl<S, T, E> EchoCache<S, T, E>
where
    S: Store<T>,
{
    /// Puts a value into the store, as if it had just been loaded. Beats loads of the key that are
    /// under way, as [`remove`](EchoCache::remove) does.
    ///
    /// # Errors
    /// That of the store; then the value may be there or not.
    pub(crate) fn put(&self, key: &str, value: &T) -> Result<(), StoreError> {
        let inner = &self.inner;
        let life = inner.core.life(value);
        let put = blocking(|| inner.store.put(key, value, life, &inner.within(None)));
        inner.forget(inner.store.canonical(key));
        put
    }
}

impl<S, T, E> EchoCache<S, T, E> {
    /// Gives up what is owed to the store, after one more try that is not waited for.
    pub(crate) fn end_upkeep(&self) {
        let clock = &*self.inner.core.settings.clock;
        self.inner.upkeep.shutdown(clock, clock.now());
    }
}
