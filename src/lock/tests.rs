use super::{Lock, LockGuard};
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
    shared::<LockGuard<'_, u8>>();
    <LockGuard<'_, Cell<u8>>>::is_unshared();
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

#[test]
fn who_only_tries_takes_it_if_it_is_free() {
    let lock = super::raw::RawLock::new();
    assert!(lock.try_lock() && !lock.try_lock());
    lock.unlock();
    assert!(lock.try_lock());
}

#[test]
fn it_is_small() {
    assert_eq!(size_of::<Lock<()>>(), 8);
}

/// Has threads wait for a lock until they sleep or are about to.
fn wait_in_vain(leave: impl Fn(&Lock<usize>, LockGuard<'_, usize>)) {
    const THREADS: usize = 4;
    let lock = Lock::new(0_usize);
    let guard = lock.lock();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| *lock.lock() += 1);
        }
        while !lock.raw.is_awaited() {
            std::thread::yield_now();
        }
        leave(&lock, guard);
    });
    assert_eq!(*lock.lock(), THREADS);
}

#[test]
fn who_sleeps_is_woken() {
    (0..50).for_each(|_| wait_in_vain(|_, guard| drop(guard)));
}

#[test]
fn who_sleeps_is_woken_also_where_there_is_no_asymmetric_fence() {
    fn leave(lock: &Lock<usize>, guard: LockGuard<'_, usize>) {
        std::mem::forget(guard);
        lock.raw.leave_by_exchange();
    }
    (0..50).for_each(|_| wait_in_vain(leave));
}

#[test]
fn what_a_thread_holds_that_did_not_come_along_is_taken_and_said_to_be_torn() {
    use super::raw::HELD;
    let lock = Lock::new(1);
    // As a thread of another process of the same memory has left it.
    let other = HELD | 7 << 2;
    assert!(!lock.raw.lock_contended(other, crate::sync::barrier::exists));
    let (guard, torn) = lock.lock_marked();
    assert!(torn);
    drop(guard);
    assert!(!lock.lock_marked().1);
    // Nor does a lock that was held across the fork keep anybody out.
    lock.hold();
    // SAFETY: it is held, and there is only this thread.
    assert_eq!(unsafe { lock.reset_in_child(|data| std::mem::replace(data, 2)) }, 1);
    assert_eq!(*lock.lock(), 2);
    lock.hold();
    // SAFETY: it is held.
    unsafe { lock.release() };
    assert_eq!(*lock.lock(), 2);
}

/// How long threads wait, against those of a [`std::sync::Mutex`].
mod waits {
    use super::Lock;
    use crossbeam_utils::CachePadded;
    use std::hint::{black_box, spin_loop};
    use std::sync::{Barrier, Mutex};
    use std::time::{Duration, Instant};

    const ROUND: Duration = Duration::from_secs(1);

    fn rest(turns: u32) {
        (0..turns).for_each(|turn| {
            black_box(turn);
            spin_loop();
        });
    }

    /// Has so many threads do turns, with some rest between, and says what the waits were that the
    /// turns gave back.
    fn measure(threads: usize, think: u32, turn: impl Fn() -> Duration + Sync) -> String {
        let barrier = Barrier::new(threads);
        let work = || {
            let mut waits = Vec::with_capacity(1 << 16);
            barrier.wait();
            let start = Instant::now();
            while start.elapsed() < ROUND {
                waits.push(turn());
                rest(think);
            }
            waits
        };
        let mut waits: Vec<Duration> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        waits.sort_unstable();
        let at = |part: f64| waits[((waits.len() - 1) as f64 * part) as usize];
        let (half, most, worst) = (at(0.5), at(0.999), at(1.0));
        format!("{:8} turns, median {half:?}, 99.9 % {most:?}, worst {worst:?}", waits.len())
    }

    #[test]
    #[ignore = "a measurement: run it alone, in the release profile"]
    fn against_the_mutex_of_std() {
        for (threads, hold, think) in [(1, 0, 0), (2, 2, 2), (8, 2, 20), (64, 2, 2), (64, 20, 20)] {
            println!("{threads} threads, {hold} rests inside and {think} between:");
            for _ in 0..5 {
                let (lock, mutex) =
                    (CachePadded::new(Lock::new(())), CachePadded::new(Mutex::new(())));
                let ours = || {
                    let start = Instant::now();
                    let _guard = lock.lock();
                    let wait = start.elapsed();
                    rest(hold);
                    wait
                };
                let theirs = || {
                    let start = Instant::now();
                    let _guard = mutex.lock().unwrap();
                    let wait = start.elapsed();
                    rest(hold);
                    wait
                };
                println!("  ours {}", measure(threads, think, ours));
                println!("  std  {}", measure(threads, think, theirs));
            }
        }
    }
}
