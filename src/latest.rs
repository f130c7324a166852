//! One published value: a writer replaces it, readers get the newest without waiting.
//!
//! This is the only user of ArcSwap. Under loom, which cannot look into ArcSwap, an index with the
//! same orderings stands in for it, so that models can check the protocols built on top.
//!
//! # State
//! `cell` holds the newest value. `announced` is that value's version, written before the value is.
//!
//! # Invariants
//! - ANNOUNCED: whoever has seen a value, in whatever way, also sees its version announced. So a
//!   copy whose version is the announced one is the newest value that its thread can know of.
//! - One writer at a time, with growing versions.
//!
//! # Orderings
//! [`swap`](Latest::swap) releases and every way of loading acquires: who sees a value sees all
//! that its writer did before publishing it, the announcement among it. The announcement itself
//! publishes nothing, so it may be `Relaxed`. Loads of one thread never go back to an older value.
//!
//! # Progress
//! [`load`](Latest::load) is lock-free and, while a thread holds fewer than eight guards,
//! wait-free; [`Cached::load`] is one atomic load unless there is a newer value, or one is just
//! being stored. [`swap`](Latest::swap) is lock-free. The algorithm is the hybrid of hazard
//! pointers and generation locks of the arc-swap crate.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::sync::atomic::{AtomicU64, Ordering};

#[cfg(not(docache_loom))]
mod imp {
    use super::Arc;
    use arc_swap::ArcSwap;

    pub(super) type Cell<T> = ArcSwap<T>;
    pub(super) type Guard<T> = arc_swap::Guard<Arc<T>>;

    pub(super) fn new<T>(value: Arc<T>) -> Cell<T> {
        ArcSwap::new(value)
    }

    pub(super) fn load<T>(cell: &Cell<T>) -> Guard<T> {
        cell.load()
    }

    pub(super) fn load_full<T>(cell: &Cell<T>) -> Arc<T> {
        cell.load_full()
    }

    pub(super) fn swap<T>(cell: &Cell<T>, value: Arc<T>) -> Arc<T> {
        cell.swap(value)
    }
}

#[cfg(docache_loom)]
mod imp {
    use super::Arc;
    use crate::sync::atomic::{AtomicUsize, Ordering};

    /// Every value ever stored, and the place of the newest. Only the place is part of the model,
    /// so a load that is not ordered after a store may miss it, as it may with ArcSwap.
    pub(super) struct Cell<T> {
        newest: AtomicUsize,
        values: std::sync::Mutex<Vec<Arc<T>>>,
    }

    pub(super) type Guard<T> = Arc<T>;

    pub(super) fn new<T>(value: Arc<T>) -> Cell<T> {
        Cell { newest: AtomicUsize::new(0), values: std::sync::Mutex::new(vec![value]) }
    }

    pub(super) fn load<T>(cell: &Cell<T>) -> Guard<T> {
        let newest = cell.newest.load(Ordering::Acquire);
        cell.values.lock().unwrap()[newest].clone()
    }

    pub(super) fn load_full<T>(cell: &Cell<T>) -> Arc<T> {
        load(cell)
    }

    pub(super) fn swap<T>(cell: &Cell<T>, value: Arc<T>) -> Arc<T> {
        let mut values = cell.values.lock().unwrap();
        values.push(value);
        let newest = values.len() - 1;
        drop(values);
        let old = cell.newest.swap(newest, Ordering::AcqRel);
        cell.values.lock().unwrap()[old].clone()
    }
}

/// The cell of one published value.
pub(crate) struct Latest<T> {
    announced: AtomicU64,
    cell: imp::Cell<T>,
}

/// A value that knows its place in the sequence of values published.
pub(crate) trait Versioned {
    fn version(&self) -> u64;
}

impl<T: Versioned> Latest<T> {
    pub(crate) fn new(value: T) -> Latest<T> {
        Latest { announced: AtomicU64::new(value.version()), cell: imp::new(Arc::new(value)) }
    }

    /// Borrows the newest value; costs no reference count.
    pub(crate) fn load(&self) -> Guard<T> {
        Guard(imp::load(&self.cell))
    }

    /// Shares the newest value.
    pub(crate) fn load_full(&self) -> Arc<T> {
        imp::load_full(&self.cell)
    }

    /// Publishes a value and returns the one before, so that the caller chooses where that is
    /// dropped.
    pub(crate) fn swap(&self, value: Arc<T>) -> Arc<T> {
        // First the announcement, then the value (ANNOUNCED).
        self.announced.store(value.version(), Ordering::Relaxed);
        imp::swap(&self.cell, value)
    }
}

impl<T: Versioned + fmt::Debug> fmt::Debug for Latest<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Latest").field(&*self.load()).finish()
    }
}

/// A borrow of the value that was the newest when it was loaded.
pub(crate) struct Guard<T>(imp::Guard<T>);

impl<T> Deref for Guard<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// A thread's own copy of the newest value. `H` owns the cell.
pub(crate) struct Cached<H, T> {
    holder: H,
    value: Arc<T>,
    version: u64,
}

impl<T: Versioned, H: Deref<Target = Latest<T>>> Cached<H, T> {
    pub(crate) fn new(holder: H) -> Cached<H, T> {
        let value = holder.load_full();
        Cached { version: value.version(), value, holder }
    }

    pub(crate) fn holder(&self) -> &H {
        &self.holder
    }

    /// The newest value, kept until the next call.
    #[inline]
    pub(crate) fn load(&mut self) -> &Arc<T> {
        // Relaxed: ANNOUNCED. The copy itself was acquired when it was made.
        if self.holder.announced.load(Ordering::Relaxed) != self.version {
            self.renew();
        }
        &self.value
    }

    /// What is announced may not be there yet; then the copy stays behind, and the next load asks
    /// again.
    #[cold]
    #[inline(never)]
    fn renew(&mut self) {
        self.value = self.holder.load_full();
        self.version = self.value.version();
    }
}

#[cfg(all(test, docache_loom))]
mod model;

#[cfg(all(test, not(docache_loom)))]
mod tests {
    use super::*;

    impl Versioned for i32 {
        fn version(&self) -> u64 {
            self.unsigned_abs().into()
        }
    }

    #[test]
    fn every_way_of_loading_sees_the_newest() {
        let cell = Arc::new(Latest::new(1));
        struct Holder(Arc<Latest<i32>>);
        impl Deref for Holder {
            type Target = Latest<i32>;
            fn deref(&self) -> &Latest<i32> {
                &self.0
            }
        }
        let mut cached = Cached::new(Holder(cell.clone()));
        assert_eq!((*cell.load(), *cell.load_full(), **cached.load()), (1, 1, 1));
        let guard = cell.load();
        assert_eq!(*cell.swap(Arc::new(2)), 1);
        assert_eq!((*guard, *cell.load(), *cell.load_full(), **cached.load()), (1, 2, 2, 2));
    }
}
