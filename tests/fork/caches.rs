//! Caches: time, sweeping, writes, guards.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Barrier, mpsc};
use std::time::Duration;

use docache::{Cache, Clock, Context, SystemClock, Tick};

use crate::process::{fork, in_child, status_of, until};

const SHORT: Duration = Duration::from_millis(50);

type Counted = Cache<u64, Box<u64>>;

fn short_lived() -> Counted {
    let builder = Cache::builder().capacity(100).shards(1).time_to_live(SHORT);
    builder.sweep_interval(Duration::from_millis(20)).build().unwrap()
}

/// What is put in expires, is swept, and is loaded anew.
fn check_time(cache: &Counted) {
    cache.insert(2, Box::new(2));
    until(|| cache.get(&1).is_none() && cache.get(&2).is_none());
    until(|| cache.is_empty());
    assert_eq!(*cache.fetch(&3, || Box::new(3)), 3);
    until(|| cache.get(&3).is_none());
    assert_eq!(*cache.fetch(&3, || Box::new(4)), 4);
    (0..10_000).for_each(|key| cache.insert(key % 50, Box::new(key)));
    assert_eq!(cache.stats().refused, 0);
    until(|| cache.flush());
}

pub(crate) fn idle_threads() {
    let cache = short_lived();
    cache.insert(1, Box::new(1));
    in_child(|| check_time(&cache));
    // All threads sleep by now, or have gone.
    std::thread::sleep(Duration::from_millis(1_500));
    cache.insert(1, Box::new(1));
    in_child(|| {
        check_time(&cache);
        let own = short_lived();
        check_time(&own);
        drop(own);
        drop(cache.clone());
    });
    check_time(&cache);
}

/// A clock with another origin, which no thread of the crate keeps.
#[derive(Debug)]
struct Later;

impl Clock for Later {
    fn now(&self) -> Tick {
        SystemClock.now().after(Duration::from_secs(3_600))
    }
}

pub(crate) fn a_clock_of_the_users() {
    let builder = Cache::builder().shards(1).time_to_live(SHORT).clock(Later);
    let cache: Counted = builder.sweep_interval(Duration::from_millis(20)).build().unwrap();
    cache.insert(1, Box::new(1));
    in_child(|| {
        cache.insert(2, Box::new(2));
        // Nothing but the sweep takes them out.
        until(|| cache.is_empty());
    });
}

pub(crate) fn busy_writers() {
    const KEPT: u64 = 100;
    let cache: Counted = Cache::builder().shards(1).build().unwrap();
    (0..KEPT).for_each(|key| cache.insert(key, Box::new(key)));
    let end = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for number in 0..4_u64 {
            let (cache, end) = (&cache, &end);
            scope.spawn(move || {
                for turn in 0_u64.. {
                    if end.load(Ordering::Relaxed) {
                        break;
                    }
                    let key = KEPT + number * 100 + turn % 100;
                    cache.insert(key, Box::new(key));
                    cache.get(&(turn % KEPT));
                    cache.fetch(&(key + 1_000), || Box::new(0));
                    cache.remove(&(key + 1_000));
                    cache.purge_expired();
                }
            });
        }
        // Whatever comes of them, the threads are to end.
        let children: Vec<i32> = (0..200)
            .map(|_| {
                status_of(fork(|| {
                    for key in 0..KEPT {
                        assert_eq!(cache.get(&key).as_deref(), Some(&key), "nobody has removed it");
                    }
                    for key in 0..2_000 {
                        cache.insert(key, Box::new(key));
                        assert_eq!(cache.get(&key).as_deref(), Some(&key));
                        assert_eq!(*cache.fetch(&(key + 10_000), || Box::new(7)), 7);
                    }
                    until(|| cache.flush());
                }))
            })
            .collect();
        end.store(true, Ordering::Relaxed);
        assert_eq!(children, [0; 200]);
    });
}

pub(crate) fn a_place_in_the_background() {
    // The background is in the midst of a sweep, and stays there in the parent.
    static INSIDE: AtomicBool = AtomicBool::new(false);
    static GO: AtomicBool = AtomicBool::new(false);
    static HEARD: AtomicUsize = AtomicUsize::new(0);
    let builder =
        Cache::builder().shards(1).time_to_live(SHORT).sweep_interval(Duration::from_millis(20));
    let builder = builder.on_evict(|key: &u64, _, _| {
        HEARD.fetch_add(1, Ordering::SeqCst);
        if *key == 1 {
            INSIDE.store(true, Ordering::SeqCst);
            until(|| GO.load(Ordering::SeqCst));
        }
    });
    let cache: Counted = builder.build().unwrap();
    cache.insert(1, Box::new(1));
    until(|| INSIDE.load(Ordering::SeqCst));
    in_child(|| {
        let before = HEARD.load(Ordering::SeqCst);
        cache.insert(2, Box::new(2));
        until(|| cache.is_empty() && HEARD.load(Ordering::SeqCst) == before + 1);
    });
    GO.store(true, Ordering::SeqCst);
}

/// Writes as often as it takes to use places again, and says how many entries wait for readers.
fn retired_by_writes(cache: &Counted) -> usize {
    (0..20_000).for_each(|key| cache.insert(key % 50, Box::new(key)));
    until(|| cache.flush() || cache.stats().retired > 10_000);
    cache.stats().retired
}

pub(crate) fn guards_of_others() {
    let cache: Counted = Cache::new(100);
    cache.insert(0, Box::new(0));
    let barrier = Barrier::new(3);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let pinned = cache.pin();
                assert!(pinned.get(&0).is_some());
                barrier.wait();
                barrier.wait();
                drop(pinned);
            });
        }
        barrier.wait();
        in_child(|| {
            assert_eq!(retired_by_writes(&cache), 0, "nobody reads");
            // Threads that come use the records of those that are gone.
            std::thread::scope(|scope| {
                let guards: Vec<_> =
                    (0..4).map(|_| scope.spawn(|| cache.get(&1).is_some())).collect();
                guards.into_iter().for_each(|guard| assert!(guard.join().unwrap()));
            });
            assert_eq!(retired_by_writes(&cache), 0);
        });
        assert!(retired_by_writes(&cache) > 10_000, "here they do read");
        barrier.wait();
    });
}

pub(crate) fn a_guard_of_ones_own() {
    let cache: Counted = Cache::new(100);
    cache.insert(1_000, Box::new(7));
    let barrier = Barrier::new(2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let pinned = cache.pin();
            barrier.wait();
            barrier.wait();
            drop(pinned);
        });
        barrier.wait();
        let pinned = cache.pin();
        let value = pinned.get(&1_000).unwrap();
        in_child(|| {
            cache.remove(&1_000);
            (0..20_000).for_each(|key| cache.insert(key % 50, Box::new(key)));
            assert_eq!(**value, 7, "it is still held");
        });
        assert_eq!(**value, 7);
        drop(pinned);
        barrier.wait();
    });
}

pub(crate) fn timers() {
    // The parent's timers have a thread, and an alarm that is far off.
    let far = Context::new().with_timeout(Duration::from_secs(3_600));
    far.on_cancel(|| {}).detach();
    let inherited = Context::new().with_timeout(Duration::from_millis(100));
    let (tell, told) = mpsc::channel();
    let told_by_inherited = tell.clone();
    inherited.on_cancel(move || told_by_inherited.send("inherited").unwrap()).detach();
    in_child(|| {
        let own = Context::new().with_timeout(Duration::from_millis(200));
        own.on_cancel(move || tell.send("own").unwrap()).detach();
        assert!(own.wait(None));
        let limit = Duration::from_secs(30);
        assert_eq!(told.recv_timeout(limit), Ok("inherited"));
        assert_eq!(told.recv_timeout(limit), Ok("own"));
        assert!(!far.is_done());
        far.cancel();
    });
}

pub(crate) fn busy_timers() {
    let far = Duration::from_secs(3_600);
    // A fork that is under way when the crate is first used does not know of it.
    Context::new().with_timeout(far).on_cancel(|| {}).detach();
    let end = AtomicBool::new(false);
    // A deadline that comes at once, for each of threads that have nothing else in common.
    let all_come = || {
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let (tell, told) = mpsc::channel();
                    let context = Context::new().with_timeout(Duration::from_millis(1));
                    context.on_cancel(move || tell.send(()).unwrap()).detach();
                    told.recv_timeout(Duration::from_secs(30)).unwrap();
                });
            }
        });
    };
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                while !end.load(Ordering::Relaxed) {
                    // It sets an alarm and takes it back.
                    Context::new().with_timeout(far).on_cancel(|| {}).detach();
                }
            });
        }
        // Whatever comes of them, the threads are to end.
        let children: Vec<i32> = (0..50).map(|_| status_of(fork(all_come))).collect();
        end.store(true, Ordering::Relaxed);
        assert_eq!(children, [0; 50]);
    });
    all_come();
}

pub(crate) fn a_daemon() {
    let (mut read, mut write) = UnixStream::pair().unwrap();
    let child = fork(move || {
        let cache: Cache<u64, u64> = Cache::builder().time_to_live(SHORT).build().unwrap();
        cache.insert(0, 0);
        cache.get(&0);
        // SAFETY: what goes on is this thread.
        assert_eq!(unsafe { libc::daemon(1, 1) }, 0);
        let mut loads = 0_u8;
        for _ in 0..5 {
            cache.fetch(&1, || {
                loads += 1;
                1
            });
            until(|| cache.get(&1).is_none());
        }
        write.write_all(&[loads]).unwrap();
    });
    status_of(child);
    let mut loads = [0];
    read.read_exact(&mut loads).unwrap();
    assert_eq!(loads, [5]);
}

pub(crate) fn a_child_of_a_child() {
    let cache = short_lived();
    cache.insert(1, Box::new(1));
    in_child(|| {
        in_child(|| check_time(&cache));
        check_time(&cache);
        in_child(|| check_time(&cache));
    });
    check_time(&cache);
}

#[cfg(target_os = "linux")]
pub(crate) fn only_what_is_used_starts_threads() {
    use crate::threads::threads;
    let cache = Arc::new(short_lived());
    cache.insert(1, Box::new(1));
    until(|| cache.get(&1).is_none());
    in_child(|| assert_eq!(threads().len(), 1, "{:?}", threads()));
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn only_what_is_used_starts_threads() {}
