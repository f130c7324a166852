//! Listeners and destructors that block, panic and call back.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

use docache::{Cache, Cause};

use crate::common::cache::turn;
use crate::common::flight::{hush, until};

const TIME: Duration = Duration::from_millis(5);

/// A cache whose entries soon expire, and are swept soon after.
fn swept() -> docache::CacheBuilder<u64, u64> {
    Cache::builder().time_to_live(TIME).sweep_interval(TIME)
}

#[test]
fn a_listener_that_blocks_in_the_sweep_holds_up_its_own_cache_alone() {
    let _turn = turn();
    let (go, gate) = mpsc::channel::<()>();
    let (come, came) = mpsc::channel();
    let gate = Mutex::new(gate);
    let stuck = swept().on_evict(move |_, _, _| {
        come.send(()).unwrap();
        let _ = gate.lock().unwrap().recv();
    });
    let stuck = stuck.build().unwrap();
    stuck.insert(1, 1);
    came.recv().unwrap();
    let others: Vec<Cache<u64, u64>> = (0..10).map(|_| swept().build().unwrap()).collect();
    for other in &others {
        (0..1_000).for_each(|key| other.insert(key, 0));
    }
    until(|| others.iter().all(Cache::is_empty));
    // The stuck one can be used, too.
    stuck.insert(2, 2);
    drop(go);
    until(|| stuck.is_empty());
}

#[test]
fn many_destructors_that_block_hold_up_nobody_else() {
    struct Blocks(Arc<Mutex<mpsc::Receiver<()>>>);
    impl Drop for Blocks {
        fn drop(&mut self) {
            let _ = self.0.lock().unwrap().recv();
        }
    }
    let _turn = turn();
    let (go, gate) = mpsc::channel::<()>();
    let gate = Arc::new(Mutex::new(gate));
    let stuck: Vec<Cache<u64, Blocks>> = (0..8)
        .map(|_| Cache::builder().time_to_live(TIME).sweep_interval(TIME).build().unwrap())
        .collect();
    stuck.iter().for_each(|cache| cache.insert(1, Blocks(gate.clone())));
    until(|| stuck.iter().all(Cache::is_empty));
    let other = swept().build().unwrap();
    (0..1_000).for_each(|key| other.insert(key, 0));
    until(|| other.is_empty());
    drop(go);
    drop(gate);
    until(|| stuck.iter().all(|cache| cache.stats().retired == 0));
}

#[test]
fn a_listener_that_panics_when_it_is_dropped_by_the_sweep_ends_nothing() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            hush("a listener's own")
        }
    }
    let _turn = turn();
    let (go, gate) = mpsc::channel::<()>();
    let (come, came) = mpsc::channel();
    let (gate, bomb) = (Mutex::new(gate), Bomb);
    let listener = move |_: &u64, _: &u64, _: Cause| {
        let _own = &bomb;
        let _ = come.send(());
        let _ = gate.lock().unwrap().recv();
    };
    let cache = swept().on_evict(listener).build().unwrap();
    cache.insert(1, 1);
    came.recv().unwrap();
    // The last handle goes while the sweep is at it, so the sweep drops what is left.
    drop(cache);
    drop(go);
    let other = swept().build().unwrap();
    (0..1_000).for_each(|key| other.insert(key, 0));
    until(|| other.is_empty());
}

#[test]
fn a_slow_listener_of_clear_costs_other_writers_nothing() {
    let _turn = turn();
    let (go, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let listener = move |_: &u64, _: &u64, cause| {
        if cause == Cause::Removed {
            let _ = gate.lock().unwrap().recv();
        }
    };
    let cache: Cache<u64, u64> =
        Cache::builder().capacity(1_000).shards(1).no_sweep().on_evict(listener).build().unwrap();
    (0..1_000).for_each(|key| cache.insert(key, key));
    std::thread::scope(|scope| {
        scope.spawn(|| cache.clear());
        until(|| cache.is_empty());
        for number in 0..100_000 {
            cache.insert(number % 1_000, number);
            assert_eq!(cache.get(&(number % 1_000)), Some(number));
        }
        drop(go);
    });
    assert_eq!((cache.len(), cache.stats().refused), (1_000, 0));
}

thread_local!(static DEPTH: Cell<usize> = const { Cell::new(0) });

/// Runs user code, and notes how deep within itself it is.
fn deeper(deepest: &AtomicUsize, code: impl FnOnce()) {
    DEPTH.set(DEPTH.get() + 1);
    deepest.fetch_max(DEPTH.get(), Ordering::Relaxed);
    code();
    DEPTH.set(DEPTH.get() - 1);
}

#[test]
fn destructors_that_take_other_entries_out_do_not_recurse() {
    struct Dependent(u64);
    static CACHE: OnceLock<Cache<u64, Dependent>> = OnceLock::new();
    static DEEPEST: AtomicUsize = AtomicUsize::new(0);
    static DROPPED: AtomicU64 = AtomicU64::new(0);
    impl Drop for Dependent {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::Relaxed);
            deeper(&DEEPEST, || {
                let cache = CACHE.get().unwrap();
                // What depends on this value goes with it.
                cache.remove_many(&[&(self.0 + 1)]);
                if self.0 < 1 << 40 {
                    // Once: what is put in here goes in the same way.
                    cache.insert(self.0 | 1 << 40, Dependent(1 << 41));
                    cache.remove_many(&[&(self.0 | 1 << 40)]);
                }
            });
        }
    }
    let _turn = turn();
    let cache = CACHE.get_or_init(|| Cache::builder().no_sweep().build().unwrap());
    (0..20_000).for_each(|key| cache.insert(key, Dependent(key)));
    cache.clear();
    (0..20_000).for_each(|key| cache.insert(key, Dependent(key)));
    cache.remove_many(&[&0]);
    until(|| DROPPED.load(Ordering::Relaxed) > 40_000);
    assert!(DEEPEST.load(Ordering::Relaxed) <= 2, "{DEEPEST:?}");
}

#[test]
fn destructors_of_cached_errors_that_take_others_out_do_not_recurse() {
    struct Dependent(u64);
    static CACHE: OnceLock<Cache<u64, u64, Dependent>> = OnceLock::new();
    static DEEPEST: AtomicUsize = AtomicUsize::new(0);
    static DROPPED: AtomicU64 = AtomicU64::new(0);
    impl Drop for Dependent {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::Relaxed);
            deeper(&DEEPEST, || {
                CACHE.get().unwrap().remove(&(self.0 + 1));
            });
        }
    }
    let _turn = turn();
    let builder = Cache::builder().negative_ttl(Duration::from_secs(3_600)).no_sweep();
    let cache = CACHE.get_or_init(|| builder.build().unwrap());
    for key in 0..20_000 {
        assert!(cache.try_fetch(key, || Err(Dependent(key))).is_err());
    }
    cache.remove(&0);
    until(|| DROPPED.load(Ordering::Relaxed) == 20_000);
    assert_eq!(DEEPEST.load(Ordering::Relaxed), 1);
}

#[test]
fn a_listener_that_puts_back_what_left_does_not_recurse() {
    static CACHE: OnceLock<Cache<u64, Arc<u64>>> = OnceLock::new();
    static DEEPEST: AtomicUsize = AtomicUsize::new(0);
    static TOLD: AtomicUsize = AtomicUsize::new(0);
    let _turn = turn();
    let builder =
        Cache::builder().capacity(2_000).on_evict(|key: &u64, value: &Arc<u64>, cause| {
            TOLD.fetch_add(1, Ordering::Relaxed);
            // It is still in use; but not for ever.
            if cause == Cause::Size && **value < 3 {
                deeper(&DEEPEST, || CACHE.get().unwrap().insert(*key, Arc::new(**value + 1)));
            }
        });
    let cache = CACHE.get_or_init(|| builder.build().unwrap());
    (0..20_000).for_each(|key| cache.insert(key, Arc::new(0)));
    // What left inside the listener it is told of later.
    until(|| {
        let stats = cache.stats();
        TOLD.load(Ordering::Relaxed) as u64 == stats.evicted + stats.replaced && stats.retired == 0
    });
    assert!(cache.stats().inserted > 20_000);
    assert_eq!(DEEPEST.load(Ordering::Relaxed), 1);
    assert_eq!(cache.len(), 2_000);
}

#[test]
fn destructors_that_put_in_what_is_refused_do_not_recurse() {
    struct Heavy(u64);
    static CACHE: OnceLock<Cache<u64, Heavy>> = OnceLock::new();
    static DEEPEST: AtomicUsize = AtomicUsize::new(0);
    static LAST: AtomicU64 = AtomicU64::new(0);
    impl Drop for Heavy {
        fn drop(&mut self) {
            LAST.fetch_max(self.0, Ordering::Relaxed);
            if self.0 < 1_000 {
                deeper(&DEEPEST, || CACHE.get().unwrap().insert(0, Heavy(self.0 + 1)));
            }
        }
    }
    let _turn = turn();
    let builder = Cache::builder().weigher(|_: &u64, _: &Heavy| 100).max_weight(10);
    let cache = CACHE.get_or_init(|| builder.build().unwrap());
    cache.insert(0, Heavy(1));
    until(|| LAST.load(Ordering::Relaxed) == 1_000);
    assert_eq!((DEEPEST.load(Ordering::Relaxed), cache.stats().refused), (1, 1_000));
}

#[test]
fn listeners_and_destructors_that_panic_are_counted_and_cost_nothing() {
    struct Panics(u64);
    impl Drop for Panics {
        fn drop(&mut self) {
            if self.0 % 3 == 0 {
                hush("a destructor")
            }
        }
    }
    let _turn = turn();
    let builder = Cache::builder().capacity(100).shards(1).on_evict(|key: &u64, _: &Panics, _| {
        if key % 2 == 0 {
            hush("a listener")
        }
    });
    let cache: Cache<u64, Panics> = builder.build().unwrap();
    (0..10_000).for_each(|key| cache.insert(key, Panics(key)));
    let stats = cache.stats();
    assert_eq!((stats.len, stats.evicted, stats.listener_panics > 4_000), (100, 9_900, true));
    until(|| cache.stats().retired == 0);
    cache.clear();
    until(|| cache.flush());
}

#[test]
fn a_destructor_that_puts_much_in_does_not_wait_for_itself() {
    const MANY: u64 = 2_000;
    static CACHE: OnceLock<Cache<u64, Source>> = OnceLock::new();
    static TOOK: OnceLock<Duration> = OnceLock::new();
    struct Source(bool);
    impl Drop for Source {
        fn drop(&mut self) {
            if self.0 {
                let began = Instant::now();
                (0..MANY).for_each(|key| CACHE.get().unwrap().insert(key, Source(false)));
                TOOK.set(began.elapsed()).unwrap();
            }
        }
    }
    let _turn = turn();
    let builder = Cache::builder().max_weight(100).weigher(|_, _| 25).shards(1).no_sweep();
    let cache = CACHE.get_or_init(|| builder.build().unwrap());
    cache.insert(1, Source(true));
    cache.remove_many(&[&1]);
    cache.flush();
    until(|| TOOK.get().is_some() && cache.stats().retired == 0);
    // A wait for readers takes longer than a millisecond.
    let took = *TOOK.get().unwrap();
    assert!(took < Duration::from_micros(500 * MANY), "{took:?}");
}

#[test]
fn a_long_chain_of_entries_that_go_with_one_another_is_gone_soon() {
    const LONG: u64 = 400;
    static CACHE: OnceLock<Cache<u64, Link>> = OnceLock::new();
    static DROPPED: AtomicU64 = AtomicU64::new(0);
    struct Link(u64);
    impl Drop for Link {
        fn drop(&mut self) {
            CACHE.get().unwrap().remove_many(&[&(self.0 + 1)]);
            DROPPED.fetch_add(1, Ordering::SeqCst);
        }
    }
    let _turn = turn();
    let cache = CACHE.get_or_init(|| Cache::builder().no_sweep().build().unwrap());
    (0..LONG).for_each(|key| cache.insert(key, Link(key)));
    let began = Instant::now();
    cache.remove_many(&[&0]);
    until(|| DROPPED.load(Ordering::SeqCst) == LONG);
    // With a pause between each and the next it would be a hundred seconds.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}
