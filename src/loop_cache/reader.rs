//! A thread's own handle.

use std::fmt;
use std::sync::Arc;

use super::shared::{Published, Shared};
use super::view::{LoopEntry, Snapshot, View};
use super::waits::{Changed, Newer};
use crate::clock::Tick;
use crate::latest::Cached;
use crate::wait::Wait;

/// A handle with its own copy of the newest view, for reading often.
///
/// While nothing new was published a read is one atomic load, wait-free and without any write to
/// shared memory, so any number of readers on any number of threads run at full speed. A read
/// during a publication, and the first one after it, also takes one reference count. One thread
/// uses a reader at a time; clone it for others. A reader keeps the view that it last read, and
/// keeps working, without news, after the loop cache is dropped.
///
/// ```
/// # let cache = docache::LoopCache::builder(|| Ok::<_, std::io::Error>(7))
/// #     .interval(std::time::Duration::from_secs(1)).build()?;
/// cache.start()?;
/// cache.wait_first(None)?;
/// let mut reader = cache.reader();
/// let reading = std::thread::spawn(move || reader.value().copied());
/// assert_eq!(reading.join().unwrap(), Some(7));
/// # Ok::<(), docache::Error>(())
/// ```
pub struct Reader<T> {
    cached: Cached<Published<T>, View<T>>,
}

impl<T: Send + Sync + 'static> Reader<T> {
    pub(super) fn new(shared: Arc<Shared<T>>) -> Reader<T> {
        Reader { cached: Cached::new(Published(shared)) }
    }

    fn shared(&self) -> &Arc<Shared<T>> {
        &self.cached.holder().0
    }

    /// The newest view.
    #[inline]
    pub fn view(&mut self) -> &View<T> {
        self.cached.load()
    }

    /// The last success.
    #[inline]
    pub fn latest(&mut self) -> Option<&LoopEntry<T>> {
        self.view().latest()
    }

    /// The value of the last success.
    #[inline]
    pub fn value(&mut self) -> Option<&T> {
        self.view().latest_value()
    }

    /// The newest view to keep: one reference count.
    pub fn snapshot(&mut self) -> Snapshot<T> {
        Snapshot(self.cached.load().clone())
    }

    /// A result newer than version `since`, to wait for. The version seen last is
    /// `reader.view().version()`.
    pub fn changed(&self, since: u64) -> Changed<T> {
        Changed(Wait::new(Newer { shared: self.shared().clone(), since }))
    }

    /// The time on the loop cache's clock, for [`LoopEntry::age_at`]. Ask before
    /// [`latest`](Reader::latest), whose result borrows the reader.
    ///
    /// ```
    /// # let cache = docache::LoopCache::builder(|| Ok::<_, std::io::Error>(7))
    /// #     .interval(std::time::Duration::from_millis(1)).build()?;
    /// let mut reader = cache.reader();
    /// let now = reader.now();
    /// let age = reader.latest().map(|entry| entry.age_at(now));
    /// assert_eq!(age, None, "nothing has run yet");
    /// # Ok::<(), docache::Error>(())
    /// ```
    #[must_use]
    pub fn now(&self) -> Tick {
        self.shared().now()
    }
}

impl<T: Send + Sync + 'static> Clone for Reader<T> {
    fn clone(&self) -> Reader<T> {
        Reader::new(self.shared().clone())
    }
}

impl<T: Send + Sync + 'static> fmt::Debug for Reader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("of", &self.shared().settings.name).finish_non_exhaustive()
    }
}
