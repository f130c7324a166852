//! A lock for critical sections of a few instructions.
//!
//! # State
//! What a [`RawLock`](raw::RawLock) locks: `data` belongs to the thread that holds it. In loom
//! builds a lock is loom's mutex, which has the same orderings and keeps the models of other
//! modules small; the real one has models of its own.

#[cfg(any(not(docache_loom), test))]
mod raw;
pub(crate) mod striped;

#[cfg(all(test, docache_loom))]
mod model;

#[cfg(not(docache_loom))]
mod imp {
    use std::cell::UnsafeCell;
    use std::fmt;
    use std::marker::PhantomData;
    use std::ops::{Deref, DerefMut};

    use super::raw::RawLock;

    /// The lock comes first: it shares a cache line with the first fields of the data.
    #[repr(C)]
    pub(crate) struct Lock<T> {
        pub(super) raw: RawLock,
        data: UnsafeCell<T>,
    }

    // SAFETY: the data is reached by one thread at a time, the holder of the lock (HOLDER).
    unsafe impl<T: Send> Send for Lock<T> {}
    // SAFETY: as above.
    unsafe impl<T: Send> Sync for Lock<T> {}

    impl<T> Lock<T> {
        pub(crate) const fn new(data: T) -> Lock<T> {
            Lock { raw: RawLock::new(), data: UnsafeCell::new(data) }
        }

        #[inline]
        pub(crate) fn lock(&self) -> LockGuard<'_, T> {
            self.raw.lock();
            LockGuard(self, PhantomData)
        }

        /// Takes the lock, with this process's mark. True if a thread held it that this process,
        /// the child of a fork, does not have: then the data may be half-changed, and must be
        /// replaced. Such a lock is never taken by [`lock`](Self::lock).
        #[inline]
        pub(crate) fn lock_marked(&self) -> (LockGuard<'_, T>, bool) {
            let torn = self.raw.lock_marked();
            (LockGuard(self, PhantomData), torn)
        }

        /// Takes the lock across a fork.
        pub(crate) fn hold(&self) {
            self.raw.lock_to_fork();
        }

        /// Gives it back in the parent.
        ///
        /// # Safety
        /// The calling thread has called `hold`, and not yet let go.
        pub(crate) unsafe fn release(&self) {
            self.raw.unlock_after_fork();
        }

        /// Gives it back in the child, when `f` has seen to the data.
        ///
        /// # Safety
        /// The calling thread has called `hold`, and not yet let go; it is the only one.
        pub(crate) unsafe fn reset_in_child<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
            // SAFETY: this thread has the lock, as the caller promises, and is the only one.
            let result = f(unsafe { &mut *self.data.get() });
            self.raw.reset_in_child();
            result
        }

        /// Gives it back in the child, where taking it starts nothing.
        ///
        /// # Safety
        /// The calling thread has called `hold`, and not yet let go; it is the only one.
        pub(crate) unsafe fn free_in_child(&self) {
            self.raw.free_in_child();
        }

        /// The data, which nobody else can be at.
        #[cfg(feature = "capi")]
        pub(crate) fn get_mut(&mut self) -> &mut T {
            self.data.get_mut()
        }
    }

    impl<T> fmt::Debug for Lock<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("Lock").field("raw", &self.raw).finish_non_exhaustive()
        }
    }

    /// The right to the data: as good as a `&mut T`, so that threads which share it share no data
    /// that cannot be.
    pub(crate) struct LockGuard<'a, T>(&'a Lock<T>, PhantomData<&'a mut T>);

    impl<T> Deref for LockGuard<'_, T> {
        type Target = T;

        #[inline]
        fn deref(&self) -> &T {
            // SAFETY: this thread, or one that it lends the guard to, has the lock (HOLDER).
            unsafe { &*self.0.data.get() }
        }
    }

    impl<T> DerefMut for LockGuard<'_, T> {
        #[inline]
        fn deref_mut(&mut self) -> &mut T {
            // SAFETY: as in `deref`, and the guard is borrowed for as long as the result lives.
            unsafe { &mut *self.0.data.get() }
        }
    }

    impl<T> Drop for LockGuard<'_, T> {
        #[inline]
        fn drop(&mut self) {
            self.0.raw.unlock();
        }
    }
}

#[cfg(docache_loom)]
mod imp {
    use crate::sync::{Mutex, MutexGuard};

    #[derive(Debug)]
    pub(crate) struct Lock<T>(Mutex<T>);

    pub(crate) type LockGuard<'a, T> = MutexGuard<'a, T>;

    impl<T> Lock<T> {
        pub(crate) fn new(data: T) -> Lock<T> {
            Lock(Mutex::new(data))
        }

        pub(crate) fn lock(&self) -> LockGuard<'_, T> {
            self.0.lock()
        }

        pub(crate) fn lock_marked(&self) -> (LockGuard<'_, T>, bool) {
            (self.lock(), false)
        }
    }
}

pub(crate) use imp::{Lock, LockGuard};

#[cfg(all(test, not(docache_loom)))]
mod tests;
