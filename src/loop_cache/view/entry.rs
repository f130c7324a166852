//! What a loop cache publishes: entries, and views of them.

use std::fmt;
use std::iter::FusedIterator;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::ring::Ring;
use crate::clock::{Clock, Tick};
use crate::contain::contained;
use crate::error::Error;
use crate::latest::{Guard, Versioned};

/// One result of a Doer: a value or an error, and when it was made.
///
/// An error is of kind [`Failed`](crate::ErrorKind::Failed) if the Doer returned one, which
/// [`downcast_ref`](Error::downcast_ref) gives, and of kind
/// [`Panicked`](crate::ErrorKind::Panicked) if it panicked. Should the value's destructor panic,
/// that is contained, whoever drops the entry.
///
/// ```
/// # let cache = docache::LoopCache::builder(|| Ok::<_, std::io::Error>(7))
/// #     .interval(std::time::Duration::from_secs(1)).capacity(4).build()?;
/// cache.start()?;
/// cache.wait_first(None)?;
/// let snapshot = cache.snapshot();
/// let entry = snapshot.get(0).unwrap();
/// assert_eq!((entry.value(), entry.sequence()), (Some(&7), 1));
/// # Ok::<(), docache::Error>(())
/// ```
#[derive(Debug)]
pub struct LoopEntry<T> {
    /// Dropped by [`Drop`] alone, which contains what its destructor does.
    result: ManuallyDrop<Result<T, Error>>,
    pub(in crate::loop_cache) timestamp: SystemTime,
    pub(in crate::loop_cache) started: Tick,
    pub(in crate::loop_cache) duration: Duration,
    pub(in crate::loop_cache) sequence: u64,
}

impl<T> Drop for LoopEntry<T> {
    fn drop(&mut self) {
        // SAFETY: this is the only drop, and nothing looks at the result after it.
        let _ = contained(|| unsafe { ManuallyDrop::drop(&mut self.result) });
    }
}

impl<T> LoopEntry<T> {
    pub(in crate::loop_cache) fn new(
        result: Result<T, Error>,
        timestamp: SystemTime,
        started: Tick,
        duration: Duration,
    ) -> LoopEntry<T> {
        LoopEntry { result: ManuallyDrop::new(result), timestamp, started, duration, sequence: 0 }
    }

    /// The value or the error.
    pub fn result(&self) -> Result<&T, &Error> {
        self.result.as_ref()
    }

    /// The value, if the Doer succeeded.
    #[must_use]
    pub fn value(&self) -> Option<&T> {
        self.result.as_ref().ok()
    }

    /// The error, if the Doer failed or panicked.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        self.result.as_ref().err()
    }

    /// The wall-clock time at which the Doer's call began. For reports: wall clocks jump.
    #[must_use]
    pub fn timestamp(&self) -> SystemTime {
        self.timestamp
    }

    /// The monotonic time at which the Doer's call began, on the loop cache's clock.
    #[must_use]
    pub fn started(&self) -> Tick {
        self.started
    }

    /// How long the Doer took.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.duration
    }

    /// The number of this result: 1 for the loop cache's first, then one more each. It is also the
    /// [`version`](crate::LoopCache::version) that published it.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// How old the data can be at most at `now`: the time since the Doer's call began.
    #[must_use]
    pub fn age_at(&self, now: Tick) -> Duration {
        now.since(self.started)
    }
}

/// The state of a loop cache at one version: the results it keeps, oldest first.
///
/// Borrowed from a [`Reader`](crate::Reader) or owned as a [`Snapshot`]; nothing in it ever
/// changes.
pub struct View<T> {
    /// Empty if it would have one place: that is the last result.
    ring: Ring<Arc<LoopEntry<T>>>,
    /// A success (SUCCESS).
    latest: Option<Arc<LoopEntry<T>>>,
    /// The last result, if it is no success.
    failure: Option<Arc<LoopEntry<T>>>,
    pub(in crate::loop_cache) version: u64,
}

// By hand, since the entries are shared: `T` need not be `Clone`.
impl<T> Clone for View<T> {
    fn clone(&self) -> View<T> {
        View {
            ring: self.ring.clone(),
            latest: self.latest.clone(),
            failure: self.failure.clone(),
            version: self.version,
        }
    }
}

impl<T> View<T> {
    pub(in crate::loop_cache) fn empty(capacity: usize) -> View<T> {
        View { ring: Ring::new(capacity), latest: None, failure: None, version: 0 }
    }

    /// The view of at most one result that follows `before` when `entry` arrives: O(1).
    pub(in crate::loop_cache) fn after(
        before: impl FnOnce() -> Arc<View<T>>,
        capacity: usize,
        entry: Arc<LoopEntry<T>>,
    ) -> View<T> {
        let mut view = View::empty(capacity);
        if entry.result.is_err() {
            view.latest = before().latest.clone();
        }
        view.push(entry);
        view
    }

    /// Becomes the view that follows when `entry` arrives: O(log capacity).
    pub(in crate::loop_cache) fn push(&mut self, entry: Arc<LoopEntry<T>>) {
        self.version = entry.sequence;
        if self.capacity() > 1 {
            self.ring.push(entry.clone());
        }
        if entry.result.is_ok() {
            (self.latest, self.failure) = (Some(entry), None);
        } else {
            self.failure = Some(entry);
        }
    }

    /// The version: how many results there have been; 0 before the first.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// How many results the view has: at most the capacity.
    #[must_use]
    pub fn len(&self) -> usize {
        if self.capacity() > 1 {
            return self.ring.len();
        }
        usize::from(self.newest().is_some()).min(self.capacity())
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many results are kept at most.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.ring.capacity()
    }

    /// The `index`-th result, 0 being the oldest: O(log capacity).
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&LoopEntry<T>> {
        if self.capacity() > 1 {
            return self.ring.get(index).map(|entry| &**entry);
        }
        self.newest().filter(|_| index < self.capacity())
    }

    /// The last success, whether or not it is among the results kept.
    #[must_use]
    pub fn latest(&self) -> Option<&LoopEntry<T>> {
        self.latest.as_deref()
    }

    /// The value of the last success.
    #[inline]
    pub(in crate::loop_cache) fn latest_value(&self) -> Option<&T> {
        match self.latest.as_ref()?.result() {
            Ok(value) => Some(value),
            // SAFETY: SUCCESS: only `push` sets `latest`, to an entry with a value, and the result
            // of an entry never changes.
            Err(_) => unsafe { std::hint::unreachable_unchecked() },
        }
    }

    /// A share of the last result.
    pub(in crate::loop_cache) fn newest_entry(&self) -> Option<Arc<LoopEntry<T>>> {
        self.failure.as_ref().or(self.latest.as_ref()).cloned()
    }

    /// The last result, success or not, whether or not it is among the results kept.
    #[must_use]
    pub fn newest(&self) -> Option<&LoopEntry<T>> {
        self.failure.as_deref().or(self.latest())
    }

    /// The results, oldest first.
    #[must_use]
    pub fn iter(&self) -> Entries<'_, T> {
        Entries { view: self, front: 0, back: self.len() }
    }
}

impl<T> Versioned for View<T> {
    fn version(&self) -> u64 {
        self.version
    }
}

impl<T: fmt::Debug> fmt::Debug for View<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("version", &self.version)
            .field("latest", &self.latest)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl<'a, T> IntoIterator for &'a View<T> {
    type Item = &'a LoopEntry<T>;
    type IntoIter = Entries<'a, T>;

    fn into_iter(self) -> Entries<'a, T> {
        self.iter()
    }
}

/// The results of a [`View`], oldest first; from the back, newest first.
#[derive(Debug)]
pub struct Entries<'a, T> {
    view: &'a View<T>,
    front: usize,
    back: usize,
}

impl<T> Clone for Entries<'_, T> {
    fn clone(&self) -> Self {
        Entries { ..*self }
    }
}

impl<'a, T> Iterator for Entries<'a, T> {
    type Item = &'a LoopEntry<T>;

    fn next(&mut self) -> Option<&'a LoopEntry<T>> {
        let entry = (self.front < self.back).then(|| self.view.get(self.front))?;
        self.front += 1;
        entry
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.back - self.front, Some(self.back - self.front))
    }

    fn nth(&mut self, n: usize) -> Option<&'a LoopEntry<T>> {
        self.front = self.front.saturating_add(n).min(self.back);
        self.next()
    }
}

impl<T> DoubleEndedIterator for Entries<'_, T> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.back = (self.front < self.back).then(|| self.back - 1)?;
        self.view.get(self.back)
    }
}

impl<T> ExactSizeIterator for Entries<'_, T> {}
impl<T> FusedIterator for Entries<'_, T> {}

/// An owned [`View`]: it stays as it is and keeps its results alive for as long as it exists, also
/// when the loop cache is gone. Cloning shares it.
///
/// Dropping the last snapshot that has a result drops that result, on the thread that does it.
///
/// ```
/// # let cache = docache::LoopCache::builder(|| Ok::<_, std::io::Error>(7))
/// #     .interval(std::time::Duration::from_secs(1)).capacity(4).build()?;
/// cache.start()?;
/// cache.wait_first(None)?;
/// let snapshot = cache.snapshot();
/// drop(cache);
/// let values: Vec<_> = snapshot.iter().filter_map(|entry| entry.value()).collect();
/// assert_eq!(values, [&7]);
/// # Ok::<(), docache::Error>(())
/// ```
pub struct Snapshot<T>(pub(in crate::loop_cache) Arc<View<T>>);

impl<T> Deref for Snapshot<T> {
    type Target = View<T>;

    fn deref(&self) -> &View<T> {
        &self.0
    }
}

impl<T> Clone for Snapshot<T> {
    fn clone(&self) -> Snapshot<T> {
        Snapshot(self.0.clone())
    }
}

impl<T: fmt::Debug> fmt::Debug for Snapshot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Snapshot").field(&self.0).finish()
    }
}

impl<'a, T> IntoIterator for &'a Snapshot<T> {
    type Item = &'a LoopEntry<T>;
    type IntoIter = Entries<'a, T>;

    fn into_iter(self) -> Entries<'a, T> {
        self.iter()
    }
}

/// The last success, borrowed: what [`LoopCache::latest`](crate::LoopCache::latest) gives. It
/// derefs to the value.
///
/// Short-lived by intent: a thread that holds many readings at once makes further loads slower. To
/// keep the result, take [`to_entry`](Reading::to_entry). If the loop moved on while a reading was
/// held, dropping it may drop results that nobody else has.
///
/// ```
/// # let cache = docache::LoopCache::builder(|| Ok::<_, std::io::Error>(7))
/// #     .interval(std::time::Duration::from_secs(1)).build()?;
/// cache.start()?;
/// let reading = cache.wait_first(None)?;
/// println!("{} as of {:?}, at most {:?} old", *reading, reading.timestamp(), reading.age());
/// # assert_eq!(*reading, 7);
/// # Ok::<(), docache::Error>(())
/// ```
pub struct Reading<'a, T> {
    view: Guard<View<T>>,
    clock: &'a dyn Clock,
}

impl<'a, T> Reading<'a, T> {
    /// `None` if `view` has no success.
    #[inline]
    pub(in crate::loop_cache) fn new(
        view: Guard<View<T>>,
        clock: &'a dyn Clock,
    ) -> Option<Reading<'a, T>> {
        if view.latest.is_some() { Some(Reading { view, clock }) } else { None }
    }

    fn shared(&self) -> &Arc<LoopEntry<T>> {
        self.view.latest.as_ref().expect("a reading is made only of a view with a success")
    }

    /// The whole result.
    #[must_use]
    pub fn entry(&self) -> &LoopEntry<T> {
        self.shared()
    }

    /// The result to keep: one reference count.
    #[must_use]
    pub fn to_entry(&self) -> Arc<LoopEntry<T>> {
        self.shared().clone()
    }

    /// The wall-clock time at which the Doer's call began.
    #[must_use]
    pub fn timestamp(&self) -> SystemTime {
        self.entry().timestamp
    }

    /// How long the Doer took.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.entry().duration
    }

    /// The number of the result, from 1.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.entry().sequence
    }

    /// How old the data is at most: the time since the Doer's call began. Reads the clock.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.entry().age_at(self.clock.now())
    }
}

impl<T> Deref for Reading<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self.entry().result() {
            Ok(value) => value,
            Err(_) => unreachable!("a view's latest entry is a success"),
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Reading<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reading").field(self.entry()).finish()
    }
}
