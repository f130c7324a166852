//! The only switch between std and loom.
//!
//! Everything that is modelled takes its atomics, locks and threads from here. Under the private
//! cfg `docache_loom` they are loom's, which runs a model through every interleaving; otherwise
//! they are std's. loom treats `SeqCst` accesses as `AcqRel`, so a handshake that needs a store
//! before a load says so with [`atomic::fence`].

#[cfg(any(not(docache_loom), test))]
pub(crate) mod barrier;
#[cfg(not(docache_loom))]
pub(crate) mod fork;
#[cfg(any(not(docache_loom), test))]
pub(crate) mod parking;
#[cfg(docache_loom)]
pub(crate) mod fork {
    //! Models do not fork.

    pub(crate) fn forks() -> u32 {
        0
    }
}
pub(crate) mod prefetch;
pub(crate) mod spawn;

use std::time::Duration;

#[cfg(not(docache_loom))]
mod imp {
    pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, atomic};
    pub(crate) mod cell {
        /// std's cell with loom's closure access, so that both builds read alike.
        #[derive(Debug)]
        pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

        impl<T> UnsafeCell<T> {
            #[inline(always)]
            pub(crate) const fn new(value: T) -> UnsafeCell<T> {
                UnsafeCell(std::cell::UnsafeCell::new(value))
            }

            #[inline(always)]
            pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
                f(self.0.get())
            }

            #[inline(always)]
            pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
                f(self.0.get())
            }
        }
    }
    pub(crate) mod thread {
        pub(crate) use crossbeam_utils::sync::{Parker, Unparker};
        use std::cell::Cell;
        pub(crate) use std::thread::{Builder, JoinHandle};

        thread_local!(static OURS: Cell<bool> = const { Cell::new(false) });

        /// Tells a thread from all others that are alive.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) struct Token(usize);

        impl Token {
            /// The token as a number other than 0.
            #[inline]
            pub(crate) fn id(self) -> usize {
                self.0
            }
        }

        /// The calling thread's token: the address of a thread-local. (std's handle of a thread
        /// that std did not start is never freed on the main thread, which leak checkers report.)
        #[inline]
        pub(crate) fn token() -> Token {
            Token(OURS.with(|ours| std::ptr::from_ref(ours).addr()))
        }

        /// Notes that the calling thread was started by this crate.
        pub(crate) fn set_ours() {
            OURS.set(true);
        }

        pub(crate) fn is_ours() -> bool {
            OURS.get()
        }
    }
}

#[cfg(docache_loom)]
mod imp {
    pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard, atomic};
    pub(crate) mod cell {
        pub(crate) use loom::cell::UnsafeCell;
    }
    pub(crate) mod thread {
        use super::Mutex;
        use loom::sync::Condvar;
        pub(crate) use loom::thread::{Builder, JoinHandle};
        use std::cell::Cell;
        use std::sync::Arc;

        loom::thread_local!(static OURS: Cell<bool> = Cell::new(false));

        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) struct Token(loom::thread::ThreadId);

        impl Token {
            pub(crate) fn id(self) -> usize {
                use std::hash::{DefaultHasher, Hash, Hasher};
                let mut hasher = DefaultHasher::new();
                self.0.hash(&mut hasher);
                hasher.finish() as usize | 1
            }
        }

        pub(crate) fn token() -> Token {
            Token(loom::thread::current().id())
        }

        pub(crate) fn set_ours() {
            OURS.with(|ours| ours.set(true));
        }

        pub(crate) fn is_ours() -> bool {
            OURS.with(Cell::get)
        }

        /// A parking place made of a lock: loom's own park forgets an unpark that meets a thread
        /// waiting for a lock.
        pub(crate) struct Parker(Unparker);

        #[derive(Clone)]
        pub(crate) struct Unparker(Arc<(Mutex<bool>, Condvar)>);

        impl Parker {
            pub(crate) fn new() -> Parker {
                Parker(Unparker(Arc::new((Mutex::new(false), Condvar::new()))))
            }

            pub(crate) fn unparker(&self) -> &Unparker {
                &self.0
            }

            pub(crate) fn park(&self) {
                let (token, given) = &*self.0.0;
                let mut token = token.lock().unwrap();
                while !*token {
                    token = given.wait(token).unwrap();
                }
                *token = false;
            }

            /// Time does not pass in a model: a timed park may end at any moment.
            pub(crate) fn park_timeout(&self, _: std::time::Duration) {
                loom::thread::yield_now();
            }
        }

        impl Unparker {
            pub(crate) fn unpark(&self) {
                *self.0.0.lock().unwrap() = true;
                self.0.1.notify_one();
            }
        }
    }
}

pub(crate) use imp::{atomic, cell, thread};

/// A mutex without poisoning.
///
/// No lock of this crate is held while user code runs, so a panic never leaves the data behind one
/// half-written.
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

    /// The lock, unless somebody has it.
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(std::sync::TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(std::sync::TryLockError::WouldBlock) => None,
        }
    }
}

/// A condition of what is behind a [`Mutex`].
#[derive(Debug, Default)]
pub(crate) struct Condvar(imp::Condvar);

impl Condvar {
    /// Waits until it is notified, but no longer than `limit`, or for no reason. Whether the limit
    /// has come. Time does not pass in a model, where it comes never.
    pub(crate) fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        limit: Duration,
    ) -> (MutexGuard<'a, T>, bool) {
        let (guard, result) =
            self.0.wait_timeout(guard, limit).unwrap_or_else(std::sync::PoisonError::into_inner);
        (guard, result.timed_out())
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    #[cfg_attr(not(feature = "capi"), allow(dead_code, reason = "only the C ABI needs it"))]
    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// Runs a model through every interleaving with at most three preemptions (more with
/// `LOOM_MAX_PREEMPTIONS`), and says how many executions that took.
#[cfg(all(test, docache_loom))]
pub(crate) fn model(body: impl Fn() + Send + Sync + 'static) {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    let executions = Arc::new(AtomicUsize::new(0));
    let counted = executions.clone();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(3);
    builder.max_branches = 20_000;
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        body();
    });
    let executions = executions.load(Ordering::Relaxed);
    assert!(executions > 1, "a model must spawn threads that can interleave");
    println!("{executions} executions");
}
