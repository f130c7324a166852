//! When what was taken out of a table can be used again: epochs.
//!
//! Readers pin an epoch of [`crossbeam_epoch`] around what they read. Its own garbage lists are not used: they would run
//! destructors inside some reader's pin, on a thread that has nothing to do with them. Instead there is one counter of
//! grace periods, and whoever retires something notes its [`Era`].
//!
//! # State
//! `PERIODS` counts the grace periods that ended. `ASKED` is set while one is under way: a deferred function that ends it
//! waits in the collector.
//!
//! # Invariants
//! - ONE: at most one period is under way, and it begins after the one before has ended.
//! - GRACE: what was unlinked before its era was read is out of every reader's sight once two more periods have ended. The
//!   first of them may have begun before it was unlinked; the second began after, and ended when all readers had unpinned
//!   that were pinned when it began.
//!
//! # Orderings
//! GRACE needs that a reader who pins after the second period has begun does not find what was unlinked. [`Era::now`] has a
//! sequentially consistent fence between the unlinking and the reading of `PERIODS`, the collector has one in each pin.
//! The reading did not see the end of the first period, so its fence stands before that of the pin under which the second
//! period began, and that stands before the pins of the readers in question. The end of a period is counted with Release
//! and read with Acquire: whoever finds it over has also all that the readers did happen before.

#[cfg(not(docache_loom))]
mod imp {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

    pub(crate) use crossbeam_epoch::Guard;
    use crossbeam_epoch::{Collector, LocalHandle};
    use crossbeam_utils::CachePadded;

    /// A collector of our own: no other library's destructors run in our readers' pins, and their guards do not hold ours
    /// up.
    fn collector() -> &'static Collector {
        static COLLECTOR: OnceLock<Collector> = OnceLock::new();
        COLLECTOR.get_or_init(Collector::new)
    }

    thread_local!(static LOCAL: LocalHandle = collector().register());

    static PERIODS: CachePadded<AtomicU64> = CachePadded::new(AtomicU64::new(0));
    static ASKED: AtomicBool = AtomicBool::new(false);

    /// Keeps all that the calling thread can find from being used again, until the guard is dropped.
    #[inline]
    pub(crate) fn pin() -> Guard {
        LOCAL.try_with(LocalHandle::pin).unwrap_or_else(|_| collector().register().pin())
    }

    /// When something was retired.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Era(u64);

    impl Era {
        /// The era of what the caller has unlinked before.
        pub(crate) fn now() -> Era {
            fence(Ordering::SeqCst);
            Era(PERIODS.load(Ordering::Relaxed))
        }

        /// Whether no reader can see what was unlinked before this era.
        #[inline]
        pub(crate) fn is_over(self) -> bool {
            PERIODS.load(Ordering::Acquire) >= self.0 + 2
        }
    }

    /// Sees to it that periods end: begins one if none is under way, and takes a step towards the end of the one that is.
    pub(crate) fn advance() {
        let guard = pin();
        if !ASKED.load(Ordering::Relaxed) && !ASKED.swap(true, Ordering::Acquire) {
            guard.defer(|| {
                PERIODS.fetch_add(1, Ordering::Release);
                ASKED.store(false, Ordering::Release);
            });
        }
        guard.flush();
    }
}

/// A stand-in that reclaims as early as any collector could: an era is over as soon as all guards are gone that were there
/// when it began. So a model finds each access that a guard does not cover.
#[cfg(docache_loom)]
mod imp {
    use crate::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::Mutex;

    loom::lazy_static! {
        /// How many guards and eras there have been, and which of the guards are alive. Not a lock of loom's: it must
        /// order nothing.
        static ref GUARDS: Mutex<(u64, Vec<u64>)> = Mutex::new((0, Vec::new()));
        /// What the collector's fences order: eras before later pins.
        static ref PINS: AtomicUsize = AtomicUsize::new(0);
        /// Unpins before the ends of eras.
        static ref UNPINS: AtomicUsize = AtomicUsize::new(0);
    }

    #[derive(Debug)]
    pub(crate) struct Guard(u64);

    pub(crate) fn pin() -> Guard {
        PINS.fetch_add(1, Ordering::AcqRel);
        let mut guards = GUARDS.lock().unwrap();
        guards.0 += 1;
        let id = guards.0;
        guards.1.push(id);
        Guard(id)
    }

    impl Guard {
        pub(crate) fn repin(&mut self) {
            *self = pin();
        }
    }

    impl Drop for Guard {
        fn drop(&mut self) {
            UNPINS.fetch_add(1, Ordering::Release);
            GUARDS.lock().unwrap().1.retain(|guard| *guard != self.0);
        }
    }

    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Era(u64);

    impl Era {
        pub(crate) fn now() -> Era {
            PINS.fetch_add(1, Ordering::AcqRel);
            let mut guards = GUARDS.lock().unwrap();
            guards.0 += 1;
            Era(guards.0)
        }

        pub(crate) fn is_over(self) -> bool {
            if GUARDS.lock().unwrap().1.iter().any(|guard| *guard < self.0) {
                return false;
            }
            UNPINS.fetch_add(0, Ordering::AcqRel);
            true
        }
    }

    pub(crate) fn advance() {}
}

pub(crate) use imp::{Era, Guard, advance, pin};
