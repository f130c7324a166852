//! Getting what is not there yet: for threads.

use std::borrow::Borrow;
use std::fmt::Debug;
use std::hash::{BuildHasher, Hash};
use std::time::Duration;

use crate::cache::handle::Cache;
use crate::cache::inner::Inner;
use crate::context::Context;
use crate::flight::FlightError;

/// The value of a fetch that cannot fail, but by a panic.
#[inline]
pub(crate) fn infallible<V>(fetched: Result<V, FlightError>) -> V {
    match fetched {
        Ok(value) => value,
        Err(error) => no_value(&error),
    }
}

#[cold]
#[inline(never)]
fn no_value(error: &FlightError) -> ! {
    panic!("{error}")
}

impl<K: Hash + Eq + Debug + Clone, V: Clone, E, S: BuildHasher> Inner<K, V, E, S> {
    /// The key's value, which was not there a moment ago.
    #[inline(never)]
    fn load<Q>(
        &self,
        context: Option<&Context>,
        key: &Q,
        ttl: Option<Duration>,
        work: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, FlightError<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let key = key.to_owned();
        self.place(&key, ttl).run_then(&key, context, work, |result| self.resolve(result))
    }
}

impl<K: Hash + Eq + Debug + Clone, V: Clone, S: BuildHasher>
    Cache<K, V, std::convert::Infallible, S>
{
    /// The key's value; if it is not there, `work` is run for it, once, however many callers ask:
    /// the others wait and share what it returns.
    ///
    /// A hit is a [`get`](Cache::get). On a miss the key is cloned twice and the value once, and
    /// nothing is allocated but by that. If the key is written, removed or the cache cleared while
    /// `work` runs, its value goes to those who had asked by then, and is not kept; who asks later
    /// gets another load.
    ///
    /// Up to eight copies of a value may lie on the stack meanwhile: box those of a few hundred KiB
    /// and more.
    ///
    /// `work` may use the cache, and fetch other keys. Two loads that each fetch the other's key,
    /// in one cache or in two, on two threads, wait for each other for ever; that is not found out.
    ///
    /// # Panics
    /// If `work` panics, if the run that was joined panicked, or if the call comes from inside the
    /// run of the same key.
    ///
    /// ```
    /// let cache = docache::Cache::<String, usize>::new(100);
    /// assert_eq!(cache.fetch("key", || 3), 3);
    /// assert_eq!(cache.fetch("key", || unreachable!("it is there")), 3);
    /// ```
    #[inline]
    pub fn fetch<Q>(&self, key: &Q, work: impl FnOnce() -> V) -> V
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        match self.get(key) {
            Some(value) => value,
            None => infallible(self.inner.load(None, key, None, || Ok(work()))),
        }
    }

    /// [`fetch`](Cache::fetch); what `work` returns lives as long as this says.
    ///
    /// # Panics
    /// As [`fetch`](Cache::fetch).
    ///
    /// ```
    /// use std::time::Duration;
    /// let cache = docache::Cache::<String, usize>::new(100);
    /// assert_eq!(cache.fetch_with_ttl("key", Duration::from_secs(5), || 3), 3);
    /// ```
    pub fn fetch_with_ttl<Q>(&self, key: &Q, ttl: Duration, work: impl FnOnce() -> V) -> V
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        match self.get(key) {
            Some(value) => value,
            None => infallible(self.inner.load(None, key, Some(ttl), || Ok(work()))),
        }
    }

    /// [`fetch`](Cache::fetch), but waits no longer than `context` allows. If it is
    /// done already, a value that is there is returned, and nothing is loaded.
    ///
    /// # Errors
    /// All of [`FlightError`] but [`Failed`](FlightError::Failed).
    ///
    /// # Panics
    /// If `work` panics.
    ///
    /// ```
    /// use std::time::Duration;
    /// let cache = docache::Cache::<String, usize>::new(100);
    /// let context = docache::Context::new().with_timeout(Duration::from_secs(5));
    /// assert_eq!(cache.fetch_in(&context, "key", || 3)?, 3);
    /// # Ok::<(), docache::FlightError>(())
    /// ```
    pub fn fetch_in<Q>(
        &self,
        context: &Context,
        key: &Q,
        work: impl FnOnce() -> V,
    ) -> Result<V, FlightError>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.try_fetch_in(context, key, || Ok(work()))
    }
}

impl<K: Hash + Eq + Debug + Clone, V: Clone, E, S: BuildHasher> Cache<K, V, E, S> {
    /// [`fetch`](Cache::fetch) for work that may fail. An error goes to all who wait for it, and is
    /// cached only if the builder was given a [`negative_ttl`](crate::CacheBuilder::negative_ttl):
    /// else the next call runs its own work.
    ///
    /// # Errors
    /// [`Failed`](FlightError::Failed), [`Panicked`](FlightError::Panicked) or
    /// [`Reentrant`](FlightError::Reentrant).
    ///
    /// # Panics
    /// If `work` panics.
    ///
    /// ```
    /// use std::num::ParseIntError;
    /// let ports = docache::Cache::<String, u16, ParseIntError>::builder().build()?;
    /// assert_eq!(ports.try_fetch("80", || "80".parse())?, 80);
    /// assert!(ports.try_fetch("many", || "many".parse()).unwrap_err().is_failed());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn try_fetch<Q>(
        &self,
        key: &Q,
        work: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, FlightError<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        match self.get(key) {
            Some(value) => Ok(value),
            None => self.inner.load(None, key, None, work),
        }
    }

    /// [`try_fetch`](Cache::try_fetch); what `work` returns lives as long as this says.
    ///
    /// # Errors
    /// As [`try_fetch`](Cache::try_fetch).
    ///
    /// # Panics
    /// If `work` panics.
    ///
    /// ```
    /// use std::time::Duration;
    /// let ports = docache::Cache::<String, u16, std::num::ParseIntError>::builder().build()?;
    /// assert_eq!(ports.try_fetch_with_ttl("80", Duration::from_secs(5), || "80".parse())?, 80);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_fetch_with_ttl<Q>(
        &self,
        key: &Q,
        ttl: Duration,
        work: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, FlightError<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        match self.get(key) {
            Some(value) => Ok(value),
            None => self.inner.load(None, key, Some(ttl), work),
        }
    }

    /// [`try_fetch`](Cache::try_fetch), but waits no longer than `context` allows. If it is
    /// done already, a value that is there is returned, and nothing is loaded.
    ///
    /// # Errors
    /// Those of [`try_fetch`](Cache::try_fetch), and [`Left`](FlightError::Left).
    ///
    /// # Panics
    /// If `work` panics.
    ///
    /// ```
    /// let ports = docache::Cache::<String, u16, std::num::ParseIntError>::builder().build()?;
    /// let context = docache::Context::new();
    /// context.cancel();
    /// assert!(ports.try_fetch_in(&context, "80", || "80".parse()).unwrap_err().is_cancelled());
    /// # Ok::<(), docache::Error>(())
    /// ```
    pub fn try_fetch_in<Q>(
        &self,
        context: &Context,
        key: &Q,
        work: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, FlightError<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        match self.get(key) {
            Some(value) => Ok(value),
            None => self.inner.load(Some(context), key, None, work),
        }
    }
}
