//! Stores that fail, hang, delay, corrupt, forget and panic: what can be computed is computed, in
//! the time of the load and what a fetch may spend on its store.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use docache::echo::{
    AsyncStore, Begun, Chaos, EchoCache, Fault, Found, LazyEchoCache, Life, MemoryStore, Operation,
    RefreshLock, Status, Store, StoreError, TieredStore, Warning, Within, Written,
};
use docache::{Context, ManualClock};

use crate::common::SECOND;
use crate::common::flight::{Task, hush, until};
use crate::methods::store_methods;
use crate::woken;

const BUDGET: Duration = Duration::from_millis(50);
/// For what a busy machine adds.
const SLACK: Duration = Duration::from_millis(450);

type Disturbed = Chaos<MemoryStore<u32>>;

const FAULTS: [Fault; 8] = [
    Fault::Fail,
    Fault::Hang,
    Fault::Delay(Duration::from_millis(20)),
    Fault::Delay(Duration::from_secs(3600)),
    Fault::Corrupt,
    Fault::Forget,
    Fault::Unsaid,
    Fault::Panic,
];

const OPERATIONS: [Operation; 7] = [
    Operation::Get,
    Operation::BeginRefresh,
    Operation::Renew,
    Operation::FinishRefresh,
    Operation::AbandonRefresh,
    Operation::Put,
    Operation::Remove,
];

/// Does `f` in time.
#[track_caller]
fn in_time<R>(what: &str, f: impl FnOnce() -> R) -> R {
    let start = Instant::now();
    let result = f();
    let took = start.elapsed();
    assert!(took <= BUDGET + SLACK, "{what}: it took {took:?}");
    result
}

fn disturbed() -> (Disturbed, EchoCache<Disturbed, u32, String>) {
    let store = Chaos::new(MemoryStore::new(100));
    // The lock does not stand in the way of the next one for long.
    let cache = EchoCache::builder(store.clone())
        .lock_ttl(Duration::from_millis(30))
        .store_budget(BUDGET)
        .build()
        .unwrap();
    (store, cache)
}

/// Whatever is wrong with the store, every fetch has its value, in time.
fn fetches(inject: impl Fn(&Disturbed), what: &str) {
    let (store, cache) = disturbed();
    inject(&store);
    for turn in 0..3 {
        let fetched = in_time(what, || cache.fetch("key", || Ok(turn)));
        assert!(fetched.is_ok_and(|fetched| fetched.value <= turn), "{what}");
    }
    let mut calls = 0;
    let failed = in_time(what, || {
        cache.fetch("other", || {
            calls += 1;
            Err("the load itself".to_owned())
        })
    });
    assert!(failed.unwrap_err().is_failed() && calls == 1, "{what}");
    let _ = in_time(what, || cache.remove("key"));
    store.calm();
    // A lock that could not be given back is over by then.
    cache.remove("key").unwrap();
    std::thread::sleep(Duration::from_millis(40));
    assert_eq!(cache.fetch("key", || Ok(7)).unwrap().value, 7, "{what}");
    assert_eq!(cache.fetch("key", || Ok(8)).unwrap().status, Status::Fresh, "{what}");
}

#[test]
fn no_fetch_that_can_be_computed_fails_or_is_late() {
    for fault in FAULTS {
        fetches(|store| store.inject(fault), &format!("{fault:?} in all"));
        for operation in OPERATIONS {
            let what = format!("{fault:?} in {operation:?}");
            fetches(|store| store.inject_into(operation, fault), &what);
        }
    }
}

#[test]
fn a_task_goes_on_without_a_store_that_hangs() {
    let clock = ManualClock::new();
    let store = Chaos::new(MemoryStore::<u32>::builder().clock(clock.clone()).build().unwrap());
    let cache: EchoCache<_, u32, String> =
        EchoCache::builder(store.clone()).clock(clock.clone()).build().unwrap();
    for operation in [Operation::Get, Operation::BeginRefresh, Operation::FinishRefresh] {
        store.calm();
        cache.remove("key").unwrap();
        store.inject_into(operation, Fault::Hang);
        let mut task = Task::begun(cache.fetch_async("key", || async { Ok(1) }));
        clock.advance(BUDGET - Duration::from_millis(1));
        task.waits();
        clock.advance(Duration::from_millis(1));
        woken(&task);
        assert_eq!(task.ends().unwrap().value, 1, "{operation:?}");
    }
}

#[test]
fn a_caller_leaves_a_store_that_hangs_when_its_context_ends() {
    let clock = ManualClock::new();
    let store = Chaos::new(MemoryStore::<u32>::new(10));
    let cache: EchoCache<_, u32, String> =
        EchoCache::builder(store.clone()).clock(clock.clone()).build().unwrap();
    store.inject_into(Operation::Get, Fault::Hang);
    let context = Context::new();
    let mut task =
        Task::begun(cache.options().context(&context).fetch_async("key", || async { Ok(1) }));
    context.cancel();
    task.poll().map(|fetched| assert!(fetched.unwrap_err().is_cancelled())).is_ready();
    assert_eq!(cache.stats().store_errors, 0, "that was not the store's");
}

#[test]
fn what_fails_is_told() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let hears = told.clone();
    let store = Chaos::new(MemoryStore::new(100));
    let cache: EchoCache<_, u32, String> = EchoCache::builder(store.clone())
        .on_warning(move |warning| {
            if let Warning::Store { operation, .. } = warning {
                hears.lock().unwrap().push(*operation);
            }
        })
        .build()
        .unwrap();
    store.inject_into(Operation::Get, Fault::Fail);
    cache.fetch("key", || Ok(1)).unwrap();
    store.calm();
    store.inject_next(Operation::FinishRefresh, Fault::Fail, 1);
    cache.fetch("key", || Ok(1)).unwrap();
    assert_eq!(*told.lock().unwrap(), [Operation::Get, Operation::FinishRefresh]);
    assert_eq!(cache.stats().store_errors, 2);
    assert_eq!(cache.fetch("key", || Ok(2)).unwrap().status, Status::Loaded, "its lock was free");
}

/// A lazy cache whose key is due.
fn stale(clock: &ManualClock) -> (Disturbed, LazyEchoCache<Disturbed, u32, String>) {
    let store = Chaos::new(MemoryStore::builder().clock(clock.clone()).build().unwrap());
    let lazy = LazyEchoCache::builder(store.clone())
        .refresh_after(SECOND)
        .clock(clock.clone())
        .build()
        .unwrap();
    lazy.fetch("key", || Ok(1)).unwrap();
    clock.advance(SECOND);
    (store, lazy)
}

#[test]
fn a_refresh_is_not_held_up_by_a_store_and_stale_values_are_served() {
    for fault in FAULTS {
        let clock = ManualClock::new();
        let (store, lazy) = stale(&clock);
        for operation in &OPERATIONS[1..] {
            store.inject_into(*operation, fault);
        }
        assert!(matches!(lazy.fetch("key", || Ok(2)).unwrap().status, Status::Stale { .. }));
        until(|| {
            // Whatever hangs has its time.
            clock.advance(Duration::from_millis(10));
            lazy.refreshing() == 0
        });
        store.calm();
        assert!(lazy.fetch("key", || Ok(3)).unwrap().value <= 3, "{fault:?}");
        until(|| lazy.refreshing() == 0);
        // A lock that is just being given back has its time, too.
        std::thread::scope(|scope| {
            let shutdown = scope.spawn(|| lazy.shutdown(SECOND));
            until(|| {
                clock.advance(Duration::from_millis(10));
                shutdown.is_finished()
            });
            assert!(shutdown.join().unwrap().running.is_empty());
        });
    }
}

#[test]
fn a_refresh_that_could_not_be_written_is_not_made() {
    let clock = ManualClock::new();
    let (store, lazy) = stale(&clock);
    store.inject_into(Operation::BeginRefresh, Fault::Fail);
    lazy.fetch("key", || unreachable!("it has no lock")).unwrap();
    until(|| lazy.refreshing() == 0);
    assert_eq!((lazy.stats().loads, lazy.stats().refresh_failures), (1, 0));
    store.calm();
    lazy.fetch("key", || Ok(2)).unwrap();
    until(|| lazy.refreshing() == 0);
    assert_eq!(lazy.fetch("key", || unreachable!()).unwrap().value, 2);
}

#[test]
fn a_near_store_that_fails_is_done_without() {
    for fault in FAULTS {
        let (near, far) = (Chaos::new(MemoryStore::new(10)), MemoryStore::new(10));
        let tiers = TieredStore::new(near.clone(), far, SECOND);
        let cache: EchoCache<_, u32, String> = EchoCache::new(tiers);
        near.inject(fault);
        cache.fetch("key", || Ok(1)).unwrap();
        near.calm();
        let fetched = cache.fetch("key", || Ok(2)).unwrap();
        // What takes long takes it from the far store's time.
        let is_slow = matches!(fault, Fault::Hang | Fault::Delay(_));
        assert!(is_slow || fetched.status == Status::Fresh, "{fault:?}");
    }
}

#[test]
fn a_far_store_that_fails_leaves_the_near_one() {
    let far = Chaos::new(MemoryStore::new(10));
    let tiers = TieredStore::new(MemoryStore::new(10), far.clone(), SECOND);
    let cache: EchoCache<_, u32, String> = EchoCache::new(tiers);
    cache.fetch("key", || Ok(1)).unwrap();
    far.inject(Fault::Fail);
    assert_eq!(cache.fetch("key", || unreachable!()).unwrap().status, Status::Fresh);
    assert_eq!(cache.fetch("other", || Ok(2)).unwrap().status, Status::Loaded);
}

#[test]
fn a_lock_that_was_taken_unsaid_is_given_back() {
    let (store, _) = disturbed();
    let cache: EchoCache<_, u32, String> =
        EchoCache::builder(store.clone()).lock_ttl(60 * SECOND).build().unwrap();
    store.inject_next(Operation::BeginRefresh, Fault::Unsaid, 1);
    cache.fetch("key", || Ok(1)).unwrap();
    let (context, lock) = (Context::background(), RefreshLock::new(SECOND));
    let begun = store.begin_refresh("key", &lock, &Within::new(&context, SECOND)).unwrap();
    assert!(begun.granted);
}

#[test]
fn callers_in_a_storm_of_faults_all_have_their_values() {
    let (store, cache) = disturbed();
    let turns = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for turn in 0..100_u32 {
                    let key = format!("{}", turn % 5);
                    let fetched = cache.fetch(&key, || match turn % 7 {
                        3 => Err("the load itself".to_owned()),
                        _ => Ok(turn),
                    });
                    assert!(fetched.map_or_else(|error| error.is_failed(), |_| true));
                    turns.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        scope.spawn(|| {
            for at in 0.. {
                if turns.load(Ordering::Relaxed) == 400 {
                    break;
                }
                let fault = FAULTS[at % FAULTS.len()];
                store.inject_into(OPERATIONS[at / 3 % 7], fault);
                let _ = cache.remove(&format!("{}", at % 5));
                std::thread::sleep(Duration::from_millis(1));
                store.calm();
            }
        });
    });
    // A load that panics in the midst of it is its caller's.
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        cache.fetch("panics", || hush("boom"))
    }));
    assert!(panic.is_err());
}

/// Whether nobody holds the key's lock, asked behind the faults.
fn is_free(store: &Disturbed, key: &str) -> bool {
    let (context, lock) = (Context::background(), RefreshLock::new(60 * SECOND));
    let within = Within::new(&context, SECOND);
    let granted = store.inner().begin_refresh(key, &lock, &within).unwrap().granted;
    Store::<u32>::abandon_refresh(store.inner(), key, &lock, &within).unwrap();
    granted
}

#[test]
fn a_lock_that_was_granted_late_is_given_back_when_the_store_answers() {
    let store = Chaos::new(MemoryStore::new(100));
    let cache: EchoCache<_, u32, String> = EchoCache::builder(store.clone())
        .lock_ttl(3600 * SECOND)
        .store_budget(Duration::from_millis(5))
        .build()
        .unwrap();
    for fault in [Fault::Hang, Fault::Fail, Fault::Panic] {
        for is_task in [false, true] {
            // It is granted, and that is not said; then the store is away for a while.
            store.inject_next(Operation::BeginRefresh, Fault::Unsaid, 1);
            store.inject_next(Operation::AbandonRefresh, fault, 4);
            let fetched = if is_task {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                runtime.block_on(cache.fetch_async("key", || async { Ok(1) }))
            } else {
                cache.fetch("key", || Ok(1))
            };
            assert_eq!(fetched.unwrap().value, 1);
            until(|| is_free(&store, "key"));
            cache.remove("key").unwrap();
        }
    }
}

#[test]
fn a_lock_is_given_back_also_if_the_cache_is_gone() {
    let store = Chaos::new(MemoryStore::new(100));
    let cache: EchoCache<_, u32, String> =
        EchoCache::builder(store.clone()).lock_ttl(3600 * SECOND).build().unwrap();
    store.inject_next(Operation::AbandonRefresh, Fault::Fail, 3);
    cache.fetch("key", || Err("no route".to_owned())).unwrap_err();
    drop(cache);
    until(|| is_free(&store, "key"));
}

#[test]
fn a_shutdown_tries_once_more_to_give_locks_back() {
    for comes_back in [true, false] {
        let clock = ManualClock::new();
        let store = Chaos::new(MemoryStore::<u32>::builder().clock(clock.clone()).build().unwrap());
        let lazy: LazyEchoCache<_, u32, String> =
            LazyEchoCache::builder(store.clone()).clock(clock.clone()).build().unwrap();
        store.inject_into(Operation::AbandonRefresh, Fault::Fail);
        lazy.fetch("key", || Err("no route".to_owned())).unwrap_err();
        if comes_back {
            store.calm();
        }
        // The clock stands still: nobody waits for it.
        lazy.shutdown(60 * SECOND);
        assert_eq!(is_free(&store, "key"), comes_back);
    }
}

#[test]
fn a_threads_calls_to_its_store_end_with_its_context() {
    for operation in [Operation::Get, Operation::BeginRefresh, Operation::FinishRefresh] {
        let store = Chaos::new(MemoryStore::new(100));
        let cache: EchoCache<_, u32, String> = EchoCache::builder(store.clone())
            .lock_ttl(3600 * SECOND)
            .store_budget(3600 * SECOND)
            .build()
            .unwrap();
        store.inject_next(operation, Fault::Hang, 1);
        let context = Context::new();
        let calls = cache.options().context(&context);
        std::thread::scope(|scope| {
            let fetches = scope.spawn(|| calls.fetch("key", || Ok(1)));
            // It hangs, or will find that its context is done.
            context.cancel();
            let fetched = fetches.join().unwrap();
            assert!(fetched.map_or_else(|error| error.is_cancelled(), |one| one.value == 1));
        });
        assert_eq!(cache.stats().store_errors, 0, "that was not the store's: {operation:?}");
        until(|| is_free(&store, "key"));
    }
}

#[test]
fn a_value_whose_caller_has_no_time_to_write_it_is_written_all_the_same() {
    let store = Chaos::new(MemoryStore::new(100));
    let cache: EchoCache<_, u32, String> =
        EchoCache::builder(store.clone()).store_budget(3600 * SECOND).build().unwrap();
    store.inject_next(Operation::FinishRefresh, Fault::Hang, 1);
    let context = Context::new();
    let load = || {
        context.cancel();
        Ok(1)
    };
    assert_eq!(cache.options().context(&context).fetch("key", load).unwrap().value, 1);
    until(|| cache.store().inner().len() == 1);
    assert_eq!(cache.fetch("key", || unreachable!("it is there")).unwrap().status, Status::Fresh);
    // The value is there a moment before the lock is free.
    until(|| is_free(&store, "key"));
}

/// A store whose calls are futures that panic when they are dropped in the midst of it.
struct Bad(MemoryStore<u32>);

struct PanicsInDrop;

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        hush("a bad destructor")
    }
}

/// The call of the store inside.
macro_rules! inner {
    ([] $this:ident.$call:ident / $async:ident($($argument:expr),+; $within:expr)) => {
        AsyncStore::<u32>::$async(&$this.0, $($argument),+, $within)
    };
}

impl AsyncStore<u32> for Bad {
    async fn get_async(&self, _: &str, _: &Within<'_>) -> Result<Option<Found<u32>>, StoreError> {
        let _bad = PanicsInDrop;
        std::future::pending().await
    }

    store_methods! {
        AsyncStore<u32> by inner![]: begin_refresh renew finish_refresh abandon_refresh put remove
    }
}

#[test]
fn a_call_that_panics_when_it_is_dropped_is_contained() {
    let clock = ManualClock::new();
    let cache: EchoCache<_, u32, String> =
        EchoCache::builder(Bad(MemoryStore::new(10))).clock(clock.clone()).build().unwrap();
    let waits = Task::begun(cache.fetch_async("key", || async { Ok(1) }));
    clock.advance(BUDGET);
    assert_eq!(waits.ends().unwrap().value, 1);
    drop(Task::begun(cache.fetch_async("key", || async { Ok(1) })));
}
