//! The suite for stores: every store passes, and the broken ones do not.

use std::time::Duration;

use docache::ManualClock;
use docache::echo::conformance::broken::{Broken, Flaw};
use docache::echo::conformance::{self, Suite};
use docache::echo::{Chaos, MemoryStore, SingleStore, TieredStore};

fn memory(clock: &ManualClock) -> MemoryStore<String> {
    MemoryStore::builder().capacity(1_000).clock(clock.clone()).build().unwrap()
}

fn suite(clock: &ManualClock) -> Suite<'_> {
    Suite::new().time(|span| clock.advance(span))
}

#[test]
fn stores_in_memory_conform_in_real_time() {
    conformance::check(|| MemoryStore::new(1_000));
    Suite::new().ttl(Duration::from_millis(40)).run_async(|| MemoryStore::new(1_000)).unwrap();
}

#[test]
fn stores_around_others_conform() {
    let clock = ManualClock::new();
    let tiers = |most| TieredStore::new(memory(&clock), memory(&clock), most);
    for most in [Duration::from_nanos(1), Duration::from_millis(100), Duration::MAX] {
        suite(&clock).run(|| tiers(most)).unwrap();
        suite(&clock).run_async(|| tiers(most)).unwrap();
    }
    suite(&clock).run(|| Chaos::new(memory(&clock))).unwrap();
    suite(&clock).run_async(|| Chaos::new(memory(&clock))).unwrap();
    let single = || SingleStore::with_clock(clock.clone());
    suite(&clock).single_key().run_async(single).unwrap();
}

#[test]
fn each_broken_store_fails_the_check_that_is_named_for_it() {
    let clock = ManualClock::new();
    for flaw in Flaw::ALL {
        let report = suite(&clock).run(|| Broken::new(flaw, &clock));
        let failed: Vec<_> = report.failures().iter().map(|failure| failure.check).collect();
        assert!(failed.contains(&flaw.check()), "{flaw:?} fails {failed:?}");
        // To forget and to grant twice is wrong in more than one way.
        let is_alone = !matches!(flaw, Flaw::Forgets | Flaw::GrantsTwice);
        assert!(!is_alone || failed.len() == 1, "{flaw:?}:\n{report}");
    }
}
