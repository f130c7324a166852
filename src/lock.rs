//! A lock for critical sections of a few instructions.
//!
//! # State
//! `locked` is set while somebody holds the lock; nobody queues. `data` belongs to whoever set it.
//!
//! # Orderings
//! Taking the lock acquires and giving it back releases, so that each holder sees what the one before did.
//!
//! # Progress
//! An uncontended pair costs one read-modify-write: the release is a plain store, which is why this is not a
//! [`std::sync::Mutex`]. The price is that the one who leaves cannot know of those who wait: they spin, then yield, then
//! sleep for [`NAP`] at a time. So it is only for sections that are over before a thread could fall asleep, and in
//! which no user code runs but `Eq`.
//!
//! Under loom it is a mutex, which has the same orderings and spares the models the spinning.

#[cfg(not(docache_loom))]
mod imp {
    use std::cell::UnsafeCell;
    use std::fmt;
    use std::marker::PhantomData;
    use std::ops::{Deref, DerefMut};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use crossbeam_utils::Backoff;

    /// How long a thread sleeps that has spun and yielded in vain: the holder was suspended in its section.
    const NAP: Duration = Duration::from_micros(50);

    pub(crate) struct Lock<T> {
        locked: AtomicBool,
        data: UnsafeCell<T>,
    }

    // SAFETY: the data is reached by one thread at a time, whichever that is.
    unsafe impl<T: Send> Send for Lock<T> {}
    // SAFETY: as above.
    unsafe impl<T: Send> Sync for Lock<T> {}

    impl<T> Lock<T> {
        pub(crate) const fn new(data: T) -> Lock<T> {
            Lock { locked: AtomicBool::new(false), data: UnsafeCell::new(data) }
        }

        #[inline]
        pub(crate) fn lock(&self) -> Guard<'_, T> {
            if !self.take() {
                self.take_contended();
            }
            Guard(self, PhantomData)
        }

        /// The data, which nobody else can be at.
        #[cfg(feature = "capi")]
        pub(crate) fn get_mut(&mut self) -> &mut T {
            self.data.get_mut()
        }

        #[inline]
        fn take(&self) -> bool {
            self.locked.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
        }

        #[cold]
        #[inline(never)]
        fn take_contended(&self) {
            let backoff = Backoff::new();
            loop {
                while self.locked.load(Ordering::Relaxed) {
                    if backoff.is_completed() {
                        std::thread::sleep(NAP);
                    } else {
                        backoff.snooze();
                    }
                }
                if self.take() {
                    return;
                }
            }
        }
    }

    impl<T> fmt::Debug for Lock<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("Lock").field("locked", &self.locked).finish_non_exhaustive()
        }
    }

    /// The right to the data: as good as a `&mut T`, so that threads which share it share no data that cannot be.
    pub(crate) struct Guard<'a, T>(&'a Lock<T>, PhantomData<&'a mut T>);

    impl<T> Deref for Guard<'_, T> {
        type Target = T;

        #[inline]
        fn deref(&self) -> &T {
            // SAFETY: the lock is ours.
            unsafe { &*self.0.data.get() }
        }
    }

    impl<T> DerefMut for Guard<'_, T> {
        #[inline]
        fn deref_mut(&mut self) -> &mut T {
            // SAFETY: the lock is ours, and the guard is borrowed for as long as the result lives.
            unsafe { &mut *self.0.data.get() }
        }
    }

    impl<T> Drop for Guard<'_, T> {
        #[inline]
        fn drop(&mut self) {
            self.0.locked.store(false, Ordering::Release);
        }
    }
}

#[cfg(docache_loom)]
mod imp {
    use crate::sync::{Mutex, MutexGuard};

    #[derive(Debug)]
    pub(crate) struct Lock<T>(Mutex<T>);

    pub(crate) type Guard<'a, T> = MutexGuard<'a, T>;

    impl<T> Lock<T> {
        pub(crate) fn new(data: T) -> Lock<T> {
            Lock(Mutex::new(data))
        }

        pub(crate) fn lock(&self) -> Guard<'_, T> {
            self.0.lock()
        }
    }
}

pub(crate) use imp::{Guard, Lock};

#[cfg(all(test, not(docache_loom)))]
mod tests {
    use super::Guard;
    use super::Lock;
    use std::cell::Cell;

    #[test]
    fn one_at_a_time_also_when_there_are_more_threads_than_cores() {
        const THREADS: usize = 8;
        const TURNS: usize = 10_000;
        let lock = Lock::new(0_usize);
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for _ in 0..TURNS {
                        *lock.lock() += 1;
                    }
                });
            }
        });
        assert_eq!(*lock.lock(), THREADS * TURNS);
    }

    /// Its method can only be named, without a hint, for what is not `Sync`.
    trait Unshared<Hint> {
        fn is_unshared() {}
    }

    impl<T> Unshared<()> for T {}
    impl<T: Sync> Unshared<bool> for T {}

    #[test]
    fn a_guard_is_shared_only_if_the_data_can_be() {
        fn shared<T: Sync>() {}
        shared::<Lock<Cell<u8>>>();
        shared::<Guard<'_, u8>>();
        <Guard<'_, Cell<u8>>>::is_unshared();
    }

    #[test]
    fn a_panic_gives_the_lock_back() {
        let lock = Lock::new(1);
        let panics = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _guard = lock.lock();
            panic!("inside");
        }));
        assert!(panics.is_err());
        assert_eq!(*lock.lock(), 1);
    }
}
