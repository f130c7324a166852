//! Locks that no fork leaves locked, for data in objects that are too many to register one by one.
//!
//! # State
//! A few locks, in two tables; whose turn it is with an object's data is decided by the lock at the
//! object's address. They are a [member](crate::sync::fork): a fork waits until none is held.
//!
//! # Invariants
//! - STRIPE: data is reached only under the lock of its table and address, which does not change
//!   while somebody has it: the lock is borrowed from the object.
//! - NESTED: a thread that has a lock of [`Outer`](Order::Outer) may take one of
//!   [`Inner`](Order::Inner), and nothing else, so two objects of one lock do no harm. Critical
//!   sections are short: objects that have nothing else in common wait for each other.
//!
//! In loom builds an object has a mutex of its own.

/// Which lock is taken first (NESTED).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Outer,
    Inner,
}

#[cfg(not(docache_loom))]
mod imp {
    use std::cell::UnsafeCell;
    use std::fmt;
    use std::ops::{Deref, DerefMut};
    use std::ptr;
    use std::sync::atomic::AtomicBool;

    use crossbeam_utils::CachePadded;

    use super::Order;
    use crate::lock::{Lock, LockGuard};
    use crate::sync::barrier;
    use crate::sync::fork::{AtFork, LockLevel, register_once};

    const STRIPES: usize = 32;

    static TABLES: [[CachePadded<Lock<()>>; STRIPES]; 2] =
        [const { [const { CachePadded::new(Lock::new(())) }; STRIPES] }; 2];

    /// All locks of both tables, the outer ones first.
    struct Tables;

    impl Tables {
        fn locks(&self) -> impl Iterator<Item = &'static Lock<()>> {
            TABLES.iter().flatten().map(|lock| &**lock)
        }
    }

    impl AtFork for Tables {
        fn hold(&self) {
            self.locks().for_each(Lock::hold);
        }

        unsafe fn release(&self) {
            // SAFETY: the caller's promise.
            self.locks().for_each(|lock| unsafe { lock.release() });
        }

        unsafe fn reset_in_child(&self) {
            // SAFETY: the caller's promise.
            self.locks().for_each(|lock| unsafe { lock.free_in_child() });
        }
    }

    /// See the [module](super).
    pub(crate) struct Striped<T> {
        order: Order,
        data: UnsafeCell<T>,
    }

    // SAFETY: STRIPE: the data is reached by one thread at a time.
    unsafe impl<T: Send> Send for Striped<T> {}
    // SAFETY: as above.
    unsafe impl<T: Send> Sync for Striped<T> {}

    impl<T> Striped<T> {
        pub(crate) fn new(order: Order, data: T) -> Striped<T> {
            Striped { order, data: UnsafeCell::new(data) }
        }

        #[inline]
        pub(crate) fn lock(&self) -> StripedGuard<'_, T> {
            // Fibonacci hashing: the high bits depend on all of the address.
            let hash = (ptr::from_ref(self).addr() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let stripe = (hash >> (u64::BITS - STRIPES.ilog2())) as usize;
            let lock = TABLES[self.order as usize][stripe].lock();
            StripedGuard { striped: self, _lock: lock }
        }
    }

    impl<T> fmt::Debug for Striped<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("Striped").field("order", &self.order).finish_non_exhaustive()
        }
    }

    pub(crate) struct StripedGuard<'a, T> {
        striped: &'a Striped<T>,
        _lock: LockGuard<'static, ()>,
    }

    impl<T> Deref for StripedGuard<'_, T> {
        type Target = T;

        #[inline]
        fn deref(&self) -> &T {
            // SAFETY: STRIPE: this guard has the lock.
            unsafe { &*self.striped.data.get() }
        }
    }

    impl<T> DerefMut for StripedGuard<'_, T> {
        #[inline]
        fn deref_mut(&mut self) -> &mut T {
            // SAFETY: as in `deref`, and the guard is borrowed for as long as the result lives.
            unsafe { &mut *self.striped.data.get() }
        }
    }

    /// Has forks wait for these locks from now on. To be called before the first of them is taken,
    /// with no lock held.
    #[inline]
    pub(crate) fn watch() {
        // Else a thread that waits for the inner of two locks asks for it, and who forks, and waits
        // for the outer one, has the lock that this needs.
        barrier::exists();
        static REGISTERED: AtomicBool = AtomicBool::new(false);
        register_once(&REGISTERED, LockLevel::Striped, &Tables);
    }
}

#[cfg(docache_loom)]
mod imp {
    use super::Order;
    use crate::sync::{Mutex, MutexGuard};

    #[derive(Debug)]
    pub(crate) struct Striped<T>(Mutex<T>);

    pub(crate) type StripedGuard<'a, T> = MutexGuard<'a, T>;

    impl<T> Striped<T> {
        pub(crate) fn new(_: Order, data: T) -> Striped<T> {
            Striped(Mutex::new(data))
        }

        pub(crate) fn lock(&self) -> StripedGuard<'_, T> {
            self.0.lock()
        }
    }

    pub(crate) fn watch() {}
}

pub(crate) use imp::{Striped, watch};
