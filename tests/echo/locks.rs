//! Two caches over one store stand for two processes: they share its entries and its locks, and no
//! flights.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, mpsc};
use std::time::Duration;

use docache::echo::{
    Begun, EchoCache, Found, Life, MemoryStore, RefreshLock, Status, Store, StoreError,
    StoreErrorKind, Within, Written,
};
use docache::{Context, ManualClock};

use crate::common::SECOND;
use crate::common::flight::{Task, hush, message_of, until};
use crate::methods::store_methods;

type Memory = MemoryStore<u32>;
type Echo = EchoCache<Memory, u32, String>;

const BUDGET: Duration = Duration::from_secs(5);

fn shared(clock: &ManualClock) -> (Memory, Echo, Echo) {
    let store: Memory = MemoryStore::builder().clock(clock.clone()).build().unwrap();
    let process = || {
        EchoCache::builder(store.clone()).lock_ttl(3 * SECOND).clock(clock.clone()).build().unwrap()
    };
    (store.clone(), process(), process())
}

/// Whether nobody holds the key's lock.
fn is_free(store: &Memory, key: &str) -> bool {
    let (context, lock) = (Context::background(), RefreshLock::new(SECOND));
    let within = Within::new(&context, BUDGET);
    let granted = store.begin_refresh(key, &lock, &within).unwrap().granted;
    store.abandon_refresh(key, &lock, &within).unwrap();
    granted
}

#[test]
fn two_processes_load_once() {
    let clock = ManualClock::new();
    let (_, ours, theirs) = shared(&clock);
    let (leave, left) = mpsc::channel::<()>();
    let (enter, entered) = mpsc::channel();
    std::thread::scope(|scope| {
        let ours = &ours;
        scope.spawn(move || {
            let load = || {
                enter.send(()).unwrap();
                left.recv().unwrap();
                Ok(1)
            };
            assert_eq!(ours.fetch("key", load).unwrap().status, Status::Loaded);
        });
        entered.recv().unwrap();
        let mut waits = Task::begun(theirs.fetch_async("key", || async { Ok(2) }));
        clock.advance(Duration::from_millis(100));
        waits.waits();
        leave.send(()).unwrap();
        until(|| ours.stats().loads == 1);
        // It is written by the time that it looks again, or soon after.
        let fetched = loop {
            clock.advance(Duration::from_millis(50));
            if let std::task::Poll::Ready(fetched) = waits.poll() {
                break fetched.unwrap();
            }
            std::thread::yield_now();
        };
        assert_eq!((fetched.value, fetched.status), (1, Status::Coalesced));
    });
    assert_eq!((theirs.stats().loads, theirs.stats().lock_waits), (0, 1));
}

#[test]
fn a_stampede_of_two_processes_is_one_load() {
    const THREADS: usize = 16;
    let store = Memory::new(100);
    let processes: [Echo; 2] = std::array::from_fn(|_| EchoCache::new(store.clone()));
    let (barrier, loads) = (Barrier::new(2 * THREADS), AtomicUsize::new(0));
    let call = |echo: &Echo| {
        barrier.wait();
        let load = || {
            loads.fetch_add(1, Ordering::SeqCst);
            // Others come meanwhile.
            std::thread::sleep(Duration::from_millis(20));
            Ok(7)
        };
        assert_eq!(echo.fetch("key", load).unwrap().value, 7);
    };
    std::thread::scope(|scope| {
        for echo in &processes {
            (0..THREADS).for_each(|_| drop(scope.spawn(|| call(echo))));
        }
    });
    assert_eq!(loads.into_inner(), 1);
    assert!(is_free(&store, "key"));
}

#[test]
fn a_dead_holder_is_taken_over_by_exactly_one() {
    let clock = ManualClock::new();
    let (store, ours, theirs) = shared(&clock);
    let context = Context::background();
    let within = Within::new(&context, BUDGET);
    let dead = RefreshLock::new(3 * SECOND);
    assert!(store.begin_refresh("key", &dead, &within).unwrap().granted);
    let (leave, mut left) = tokio::sync::oneshot::channel::<()>();
    let slow = || async move {
        (&mut left).await.unwrap();
        Ok(1)
    };
    let mut first = Task::begun(ours.fetch_async("key", slow));
    let mut second = Task::begun(theirs.fetch_async("key", || async { Ok(2) }));
    clock.advance(3 * SECOND - Duration::from_millis(1));
    first.waits();
    second.waits();
    clock.advance(Duration::from_millis(51));
    first.waits();
    assert_eq!(ours.stats().loads + theirs.stats().loads, 0, "it is loading");
    // The other one waits again, for the new holder.
    for _ in 0..25 {
        clock.advance(Duration::from_millis(100));
        first.waits();
        second.waits();
    }
    leave.send(()).unwrap();
    assert_eq!(first.ends().unwrap().status, Status::Loaded);
    clock.advance(Duration::from_millis(50));
    let fetched = second.ends().unwrap();
    assert_eq!((fetched.value, fetched.status), (1, Status::Coalesced));
    assert!(is_free(&store, "key"));
}

#[test]
fn who_has_waited_for_long_enough_loads_and_does_not_write() {
    let clock = ManualClock::new();
    let (store, _, _) = shared(&clock);
    let impatient: Echo =
        EchoCache::builder(store.clone()).lock_wait(SECOND).clock(clock.clone()).build().unwrap();
    let context = Context::background();
    let within = Within::new(&context, BUDGET);
    let alive = RefreshLock::new(10 * SECOND);
    assert!(store.begin_refresh("key", &alive, &within).unwrap().granted);
    let mut waits = Task::begun(impatient.fetch_async("key", || async { Ok(2) }));
    clock.advance(SECOND - Duration::from_millis(1));
    waits.waits();
    clock.advance(Duration::from_millis(1));
    let fetched = waits.ends().unwrap();
    assert_eq!((fetched.value, fetched.status), (2, Status::Loaded));
    assert!(store.get("key", &within).unwrap().is_none() && !is_free(&store, "key"));
    let written = store.finish_refresh("key", &1, Life::FOREVER, &alive, &within).unwrap();
    assert_eq!(written, Written::Yes);
}

#[test]
fn a_holder_that_overran_its_time_overwrites_nothing() {
    let clock = ManualClock::new();
    let (store, ours, theirs) = shared(&clock);
    let (leave, left) = mpsc::channel::<()>();
    let (enter, entered) = mpsc::channel();
    let context = Context::background();
    std::thread::scope(|scope| {
        let ours = &ours;
        let overran = scope.spawn(move || {
            let load = || {
                enter.send(()).unwrap();
                left.recv().unwrap();
                Ok(1)
            };
            ours.fetch("key", load).unwrap().value
        });
        entered.recv().unwrap();
        // As if it had stood still for longer than its lock lives: the lock is another's.
        theirs.remove("key").unwrap();
        assert_eq!(theirs.fetch("key", || Ok(2)).unwrap().status, Status::Loaded);
        leave.send(()).unwrap();
        assert_eq!(overran.join().unwrap(), 1);
    });
    let found = store.get("key", &Within::new(&context, BUDGET)).unwrap().unwrap();
    assert_eq!(found.value, 2);
    assert_eq!((ours.stats().lost_writes, theirs.stats().lost_writes), (1, 0));
}

#[test]
fn a_task_that_loads_has_its_lock_renewed() {
    let clock = ManualClock::new();
    let (store, ours, _) = shared(&clock);
    let mut task = Task::begun(ours.fetch_async("key", std::future::pending::<Result<_, _>>));
    for _ in 0..100 {
        clock.advance(Duration::from_millis(100));
        task.waits();
        assert!(!is_free(&store, "key"));
    }
}

#[test]
fn a_thread_that_loads_has_its_lock_renewed() {
    let clock = ManualClock::new();
    let (store, ours, _) = shared(&clock);
    let renewed = |ours: &Echo| {
        let load = || {
            for _ in 0..10 {
                clock.advance(SECOND);
                // The renewal is made by another thread.
                let (context, lock) = (Context::background(), RefreshLock::new(SECOND));
                let within = Within::new(&context, BUDGET);
                let begun = store.begin_refresh("key", &lock, &within).unwrap();
                assert!(!begun.granted);
                std::thread::sleep(Duration::from_millis(20));
            }
            Ok(1)
        };
        ours.fetch("key", load).unwrap()
    };
    assert_eq!(renewed(&ours).status, Status::Loaded);
    assert_eq!(ours.stats().lost_writes, 0);
    assert!(is_free(&store, "key"));
}

#[test]
fn the_lock_is_given_back_on_every_path() {
    let clock = ManualClock::new();
    let (store, ours, _) = shared(&clock);
    let free = |path: &str| assert!(is_free(&store, "key"), "{path}");
    ours.fetch("key", || Err("no route".into())).unwrap_err();
    free("an error");
    assert_eq!(message_of(|| ours.fetch("key", || hush("boom"))), "boom");
    free("a panic");
    drop(Task::begun(ours.fetch_async("key", std::future::pending::<Result<_, _>>)));
    free("a task that is dropped");
    let context = Context::new();
    let options = ours.options().context(&context);
    let task = Task::begun(options.fetch_async("key", std::future::pending::<Result<_, _>>));
    assert!(!is_free(&store, "key"));
    context.cancel();
    assert!(task.ends().unwrap_err().is_cancelled());
    free("a task whose context ended");
    ours.fetch("key", || Ok(1)).unwrap();
    free("a value");
}

/// The call of the store inside.
macro_rules! inner {
    ([] $this:ident.$call:ident / $async:ident($($argument:expr),+; $within:expr)) => {
        Store::<u32>::$call(&$this.0, $($argument),+, $within)
    };
}

/// Finds what it cannot read, and takes it for nothing where a lock is asked for.
struct Unreadable(MemoryStore<u32>);

impl Store<u32> for Unreadable {
    fn get(&self, key: &str, within: &Within<'_>) -> Result<Option<Found<u32>>, StoreError> {
        match Store::get(&self.0, key, within)? {
            Some(found) if found.value == 0 => {
                Err(StoreError::new(StoreErrorKind::Corrupt, "it is 0"))
            }
            found => Ok(found),
        }
    }

    fn begin_refresh(
        &self,
        key: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<Begun<u32>, StoreError> {
        let begun = Store::begin_refresh(&self.0, key, lock, within)?;
        Ok(Begun::new(begun.granted, begun.found.filter(|found| found.value > 0)))
    }

    store_methods! {
        Store<u32> by inner![]: renew finish_refresh abandon_refresh put remove
    }
}

#[test]
fn what_cannot_be_read_is_replaced_by_the_first_load() {
    let (store, context) = (MemoryStore::new(10), Context::background());
    let within = Within::new(&context, Duration::from_secs(1));
    Store::put(&store, "key", &0, Life::FOREVER, &within).unwrap();
    let cache: EchoCache<_, u32, String> = EchoCache::builder(Unreadable(store)).build().unwrap();
    assert_eq!(cache.fetch("key", || Ok(7)).unwrap().status, Status::Loaded);
    let again = cache.fetch("key", || unreachable!("it was replaced")).unwrap();
    assert_eq!((again.value, again.status), (7, Status::Fresh));
}

#[test]
fn the_wait_for_locks_that_change_hands_has_an_end() {
    let clock = ManualClock::new();
    let (store, _, _) = shared(&clock);
    let patient: Echo =
        EchoCache::builder(store.clone()).lock_wait(SECOND).clock(clock.clone()).build().unwrap();
    let context = Context::background();
    let within = Within::new(&context, BUDGET);
    let hold = || {
        let lock = RefreshLock::new(60 * SECOND);
        assert!(store.begin_refresh("key", &lock, &within).unwrap().granted);
        lock
    };
    let mut holder = hold();
    let mut waits = Task::begun(patient.fetch_async("key", || async { Ok(2) }));
    for _ in 0..19 {
        clock.advance(Duration::from_millis(100));
        waits.waits();
        Store::<u32>::abandon_refresh(&store, "key", &holder, &within).unwrap();
        holder = hold();
    }
    clock.advance(Duration::from_millis(100));
    assert_eq!(waits.ends().unwrap().status, Status::Loaded, "twice the lock wait is over");
}

/// Hangs in renewals until it is let go.
struct Stuck(Memory, std::sync::Mutex<mpsc::Receiver<()>>);

impl Store<u32> for Stuck {
    store_methods! {
        Store<u32> by inner![]: get begin_refresh finish_refresh abandon_refresh put remove
    }

    fn renew(&self, _: &str, _: &RefreshLock, _: &Within<'_>) -> Result<bool, StoreError> {
        let _ = self.1.lock().unwrap().recv();
        Err(StoreError::timeout())
    }
}

#[test]
fn a_store_that_is_stuck_in_renewals_costs_no_other_cache_its_own() {
    let clock = ManualClock::new();
    let (store, ours, _) = shared(&clock);
    let (leave, left) = mpsc::channel::<()>();
    let stuck: EchoCache<_, u32, String> =
        EchoCache::builder(Stuck(Memory::new(100), std::sync::Mutex::new(left)))
            .lock_ttl(3 * SECOND)
            .clock(clock.clone())
            .build()
            .unwrap();
    let (enter, entered) = mpsc::channel();
    std::thread::scope(|scope| {
        let (go, gone) = mpsc::channel::<()>();
        let stuck = &stuck;
        scope.spawn(move || {
            let load = || {
                enter.send(()).unwrap();
                gone.recv().unwrap();
                Ok(1)
            };
            stuck.fetch("key", load).unwrap();
        });
        entered.recv().unwrap();
        clock.advance(SECOND);
        let load = || {
            for _ in 0..4 {
                clock.advance(SECOND);
                std::thread::sleep(Duration::from_millis(20));
            }
            assert!(!is_free(&store, "key"), "it was renewed");
            Ok(1)
        };
        assert_eq!(ours.fetch("key", load).unwrap().status, Status::Loaded);
        go.send(()).unwrap();
        drop(leave);
    });
    assert_eq!(ours.stats().lost_writes, 0);
}
