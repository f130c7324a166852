//! What a fetch yields: a value, and where it comes from.

use std::ops::Deref;
use std::time::Duration;

/// Where a fetched value comes from.
///
/// ```
/// use docache::echo::{EchoCache, MemoryStore, Status};
/// let cache = EchoCache::<_, u32, String>::new(MemoryStore::new(100));
/// assert_eq!(cache.fetch("key", || Ok(1)).unwrap().status, Status::Loaded);
/// assert_eq!(cache.fetch("key", || Ok(2)).unwrap().status, Status::Fresh);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// The store had it.
    Fresh,
    /// The store had it, and it is due for a refresh, or it is past its time and the load failed.
    Stale {
        /// How long ago it was loaded.
        age: Duration,
    },
    /// This call loaded it.
    Loaded,
    /// Another call loaded it, in this process or in another, and this one waited for that. A
    /// negative value is [`Negative`](Status::Negative) all the same.
    Coalesced,
    /// The store had it, or another call loaded it, and it says that there is no such thing; see
    /// [`negative`](super::EchoCacheBuilder::negative).
    Negative,
}

impl Status {
    /// Whether the store had it when it was asked first: nobody waited for a load, unless that was
    /// another call's and brought a negative value.
    ///
    /// ```
    /// use docache::echo::Status;
    /// assert!(Status::Fresh.is_hit() && !Status::Coalesced.is_hit());
    /// ```
    #[must_use]
    pub fn is_hit(self) -> bool {
        matches!(self, Status::Fresh | Status::Stale { .. } | Status::Negative)
    }
}

/// A value, and where it comes from. It reads as the value itself.
///
/// ```
/// use docache::echo::{EchoCache, MemoryStore};
/// let cache = EchoCache::<_, String, String>::new(MemoryStore::new(100));
/// let fetched = cache.fetch("key", || Ok("value".to_owned())).unwrap();
/// assert_eq!(fetched.len(), 5);
/// assert_eq!(fetched.into_inner(), "value");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fetched<T> {
    /// The value.
    pub value: T,
    /// Where it comes from.
    pub status: Status,
}

impl<T> Fetched<T> {
    /// The value.
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T> Deref for Fetched<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}
