//! Waiting for a word to change, as with a futex: [`wait`] sleeps while the word is what it was,
//! until [`wake_one`].
//!
//! # Invariants
//! - CHANGED: whoever changes a word and then wakes one of its waiters misses nobody: a thread that
//!   is not asleep by then finds the word changed. Sleepers of a word are woken in the order in
//!   which they fell asleep.
//! - BORROWED: both sides borrow the word for as long as they are here, so no address in use means
//!   two words.
//!
//! A wait may also end for no reason.
//!
//! On Linux it is the futex of the system, which leaves nothing behind in a forked child. Elsewhere
//! it is a table: a child that is forked while another thread is inside a [bucket](table::Bucket)
//! finds that one locked for ever. Nothing is done about it, since nothing can be: it is a matter
//! of some 100 ns for each thread that falls asleep or is woken. What waiters the child's table has
//! from its parent are forgotten.

#[cfg(all(
    any(target_os = "linux", target_os = "android"),
    not(docache_portable),
    not(docache_loom)
))]
mod imp {
    use std::ptr;
    use std::sync::atomic::AtomicU32;
    use std::time::Duration;

    /// Sleeps if the word is still `seen`, at most for so long.
    pub(crate) fn wait(word: &AtomicU32, seen: u32, limit: Option<Duration>) {
        let limit = limit.map(|limit| libc::timespec {
            tv_sec: libc::time_t::try_from(limit.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: limit.subsec_nanos() as _,
        });
        let limit = limit.as_ref().map_or(ptr::null(), ptr::from_ref);
        // SAFETY: BORROWED; the limit is null, or lives until it returns.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                word.as_ptr(),
                libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
                seen,
                limit,
            )
        };
    }

    /// Wakes one of those who wait, and says whether there was one.
    pub(crate) fn wake_one(word: &AtomicU32) -> bool {
        // SAFETY: BORROWED; it does not look at the word.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                word.as_ptr(),
                libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
                1_i32,
            ) == 1
        }
    }
}

#[cfg(any(
    not(all(any(target_os = "linux", target_os = "android"), not(docache_portable))),
    docache_loom
))]
mod table;

#[cfg(any(
    not(all(any(target_os = "linux", target_os = "android"), not(docache_portable))),
    docache_loom
))]
use table as imp;

pub(crate) use imp::{wait, wake_one};

#[cfg(all(test, not(docache_loom)))]
mod tests {
    use super::{wait, wake_one};
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::{Duration, Instant};

    #[test]
    fn who_wakes_is_told_whether_somebody_slept() {
        let word = AtomicU32::new(0);
        assert!(!wake_one(&word));
        // It has changed.
        wait(&word, 1, None);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while word.load(Ordering::Relaxed) == 0 {
                    // With a limit, so that the test ends if nobody is woken.
                    wait(&word, 0, Some(Duration::from_secs(1)));
                }
            });
            let (start, mut woken) = (Instant::now(), false);
            while !woken && start.elapsed() < Duration::from_secs(10) {
                woken = wake_one(&word);
                std::thread::yield_now();
            }
            word.store(1, Ordering::Relaxed);
            wake_one(&word);
            assert!(woken);
        });
    }
}
