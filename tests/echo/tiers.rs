//! A near store before a far one.

use std::time::Duration;

use docache::echo::{
    AsyncStore, Chaos, EchoCache, Fault, LazyEchoCache, Life, MemoryStore, Operation, RefreshLock,
    Status, Store, TieredStore, Within,
};
use docache::{Context, ManualClock};

use crate::common::SECOND;
use crate::common::flight::{Task, until};

type Far = Chaos<MemoryStore<u32>>;
type Tiers = TieredStore<MemoryStore<u32>, Far>;

fn tiers(clock: &ManualClock, most: Duration) -> Tiers {
    let memory = || MemoryStore::builder().clock(clock.clone()).build().unwrap();
    TieredStore::new(memory(), Chaos::new(memory()), most)
}

#[test]
fn a_near_hit_touches_nothing_else() {
    let clock = ManualClock::new();
    let cache: EchoCache<_, u32, String> = EchoCache::new(tiers(&clock, SECOND));
    cache.fetch("key", || Ok(1)).unwrap();
    cache.store().far().inject(Fault::Panic);
    for _ in 0..3 {
        assert_eq!(cache.fetch("key", || unreachable!()).unwrap().status, Status::Fresh);
    }
    assert_eq!(cache.stats().store_errors, 0);
}

#[test]
fn a_copy_has_the_freshness_that_is_left() {
    let clock = ManualClock::new();
    let (context, tiers) = (Context::background(), tiers(&clock, 4 * SECOND));
    let within = Within::new(&context, SECOND);
    tiers.far().put("key", &1, Life::of(6 * SECOND), &within).unwrap();
    clock.advance(SECOND);
    let near = || tiers.near().get("key", &within).unwrap();
    assert!(near().is_none());
    assert_eq!(tiers.get("key", &within).unwrap().unwrap().value, 1);
    let copy = near().unwrap();
    assert_eq!((copy.age, copy.left), (Some(SECOND), Some(4 * SECOND)));
    clock.advance(4 * SECOND);
    assert_eq!(tiers.get("key", &within).unwrap().unwrap().age, Some(5 * SECOND));
    let copy = near().unwrap();
    assert_eq!((copy.age, copy.left), (Some(5 * SECOND), Some(SECOND)));
    clock.advance(SECOND);
    assert!(tiers.get("key", &within).unwrap().is_none());
}

#[test]
fn a_copy_of_what_was_read_before_a_removal_is_not_kept() {
    let clock = ManualClock::new();
    let (context, tiers) = (Context::background(), tiers(&clock, SECOND));
    let within = Within::new(&context, 60 * SECOND);
    for write in [false, true] {
        tiers.far().inner().put("key", &1, Life::FOREVER, &within).unwrap();
        Store::<u32>::remove(tiers.near(), "key", &within).unwrap();
        // It has the near lock, and is on its way to the far store.
        let delay = Fault::Delay(Duration::from_nanos(1));
        tiers.far().inject_next(Operation::Get, delay, 1);
        let real = Context::with_clock(clock.clone());
        let reading = Within::new(&real, SECOND);
        let mut reads = Task::begun(tiers.get_async("key", &reading));
        reads.waits();
        if write {
            tiers.put("key", &2, Life::FOREVER, &within).unwrap();
        } else {
            Store::<u32>::remove(&tiers, "key", &within).unwrap();
            // As if the read had been made before the removal.
            tiers.far().inner().put("key", &1, Life::FOREVER, &within).unwrap();
        }
        clock.advance(Duration::from_nanos(1));
        assert!(reads.ends().unwrap().is_some());
        let near = tiers.near().get("key", &within).unwrap().map(|found| found.value);
        assert_eq!(near, write.then_some(2));
    }
}

#[test]
fn the_lock_is_the_far_stores() {
    let clock = ManualClock::new();
    let far = Chaos::new(MemoryStore::<u32>::builder().clock(clock.clone()).build().unwrap());
    let process = || -> EchoCache<Tiers, u32, String> {
        let near = MemoryStore::builder().clock(clock.clone()).build().unwrap();
        EchoCache::builder(TieredStore::new(near, far.clone(), SECOND))
            .clock(clock.clone())
            .build()
            .unwrap()
    };
    let (ours, theirs) = (process(), process());
    let mut leads = Task::begun(ours.fetch_async("key", std::future::pending::<Result<_, _>>));
    let mut waits = Task::begun(theirs.fetch_async("key", || async { Ok(2) }));
    leads.waits();
    waits.waits();
    drop(leads);
    clock.advance(Duration::from_millis(50));
    assert_eq!(waits.ends().unwrap().status, Status::Loaded);
    assert_eq!(ours.fetch("key", || unreachable!()).unwrap().value, 2);
}

#[test]
fn a_stale_copy_is_replaced_by_what_another_process_has_refreshed() {
    let clock = ManualClock::new();
    let far = Chaos::new(MemoryStore::<u32>::builder().clock(clock.clone()).build().unwrap());
    let near = MemoryStore::builder().clock(clock.clone()).build().unwrap();
    let tiers = TieredStore::new(near, far.clone(), 60 * SECOND);
    let lazy: LazyEchoCache<_, u32, String> =
        LazyEchoCache::builder(tiers).refresh_after(SECOND).clock(clock.clone()).build().unwrap();
    lazy.fetch("key", || Ok(1)).unwrap();
    clock.advance(SECOND);
    // As another process does.
    let context = Context::background();
    let within = Within::new(&context, SECOND);
    far.put("key", &2, Life::FOREVER, &within).unwrap();
    let fetch = || lazy.fetch("key", || unreachable!("it has been refreshed")).unwrap();
    assert_eq!(fetch().status, Status::Stale { age: SECOND });
    until(|| lazy.refreshing() == 0);
    far.inject(Fault::Panic);
    let fetched = fetch();
    assert_eq!((fetched.value, fetched.status), (2, Status::Fresh), "it is near by now");
    assert_eq!((lazy.stats().refreshes, lazy.stats().store_errors), (1, 0));
}

#[test]
fn a_copy_of_unknown_age_stays_so() {
    let clock = ManualClock::new();
    let (context, tiers) = (Context::background(), tiers(&clock, SECOND));
    let within = Within::new(&context, SECOND);
    tiers.far().put("key", &1, Life { age: None, ..Life::FOREVER }, &within).unwrap();
    assert_eq!(tiers.get("key", &within).unwrap().unwrap().age, None);
    clock.advance(Duration::from_millis(1));
    let copy = tiers.near().get("key", &within).unwrap().unwrap();
    assert_eq!((copy.value, copy.age), (1, None));
}

#[test]
fn a_read_that_is_dropped_on_its_way_gives_the_near_lock_back() {
    let clock = ManualClock::new();
    let (context, tiers) = (Context::background(), tiers(&clock, SECOND));
    let within = Within::new(&context, SECOND);
    tiers.far().inject(Fault::Hang);
    let lock = RefreshLock::new(SECOND);
    drop(Task::begun(AsyncStore::<u32>::get_async(&tiers, "key", &within)));
    drop(Task::begun(AsyncStore::<u32>::begin_refresh_async(&tiers, "key", &lock, &within)));
    drop(Task::begun(tiers.put_async("key", &1, Life::FOREVER, &within)));
    let free = Store::<u32>::begin_refresh(tiers.near(), "key", &lock, &within).unwrap();
    assert!(free.granted);
}
