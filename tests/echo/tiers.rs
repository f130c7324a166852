//! A near store before a far one.

use std::time::Duration;

use docache::echo::{
    AsyncStore, Chaos, EchoCache, Fault, Life, MemoryStore, Operation, Status, Store, TieredStore,
    Within,
};
use docache::{Context, ManualClock};

use crate::common::SECOND;
use crate::common::flight::Task;

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
