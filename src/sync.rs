//! The only switch between std and loom.
//!
//! Everything that is modelled takes its atomics, locks and threads from here. Under the private cfg
//! `docache_loom` they are loom's, which runs a model through every interleaving; otherwise they are std's.
//! loom treats `SeqCst` accesses as `AcqRel`, so a handshake that needs a store before a load says so with
//! [`atomic::fence`].

#[cfg(not(docache_loom))]
mod imp {
    pub(crate) use std::sync::{Mutex, MutexGuard, atomic};
    pub(crate) mod cell {
        /// std's cell with loom's closure access, so that both builds read alike.
        #[derive(Debug)]
        pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

        impl<T> UnsafeCell<T> {
            pub(crate) const fn new(value: T) -> UnsafeCell<T> {
                UnsafeCell(std::cell::UnsafeCell::new(value))
            }

            pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
                f(self.0.get())
            }
        }
    }
    pub(crate) mod thread {
        pub(crate) use std::thread::{Builder, JoinHandle, ThreadId, current};

        /// The parking place of one thread: std's own, a futex where the system has one.
        #[derive(Debug)]
        pub(crate) struct Parker(std::thread::Thread);

        impl Parker {
            /// The calling thread's.
            pub(crate) fn current() -> Parker {
                Parker(current())
            }

            pub(crate) fn unpark(&self) {
                self.0.unpark();
            }

            /// Parks the calling thread, whose place this is. May wake spuriously.
            pub(crate) fn park(&self) {
                std::thread::park();
            }

            /// Like `park`, for `limit` at most.
            pub(crate) fn park_timeout(&self, limit: std::time::Duration) {
                std::thread::park_timeout(limit);
            }
        }
    }
}

#[cfg(docache_loom)]
mod imp {
    pub(crate) use loom::sync::{Mutex, MutexGuard, atomic};
    pub(crate) mod cell {
        pub(crate) use loom::cell::UnsafeCell;
    }
    pub(crate) mod thread {
        use super::Mutex;
        pub(crate) use loom::thread::{Builder, JoinHandle, ThreadId, current};

        /// A parking place made of a lock: loom's own park forgets an unpark that meets a thread waiting for a lock.
        #[derive(Debug)]
        pub(crate) struct Parker {
            token: Mutex<bool>,
            given: loom::sync::Condvar,
        }

        impl Parker {
            pub(crate) fn current() -> Parker {
                Parker { token: Mutex::new(false), given: loom::sync::Condvar::new() }
            }

            pub(crate) fn unpark(&self) {
                *self.token.lock().unwrap() = true;
                self.given.notify_one();
            }

            pub(crate) fn park(&self) {
                let mut token = self.token.lock().unwrap();
                while !*token {
                    token = self.given.wait(token).unwrap();
                }
                *token = false;
            }

            /// Time does not pass in a model: a timed park may end at any moment.
            pub(crate) fn park_timeout(&self, _: std::time::Duration) {
                loom::thread::yield_now();
            }
        }
    }
}

pub(crate) use imp::{atomic, cell, thread};

/// A mutex without poisoning.
///
/// No lock of this crate is held while user code runs, so a panic never leaves the data behind one half-written.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(imp::Mutex<T>);

pub(crate) type MutexGuard<'a, T> = imp::MutexGuard<'a, T>;

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Mutex<T> {
        Mutex(imp::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
