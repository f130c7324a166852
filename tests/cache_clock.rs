//! The clock that a cache has by default: near its end an entry goes by the exact time.

use docache::{Cache, ManualClock};
use std::time::{Duration, Instant};

const TTL: Duration = Duration::from_millis(5);

#[test]
fn a_value_is_there_until_its_end_and_not_after_it() {
    // The unit that deadlines are kept in.
    let unit = Duration::from_nanos(4_096);
    let cache: Cache<u32, ()> = Cache::builder().capacity(10).build().unwrap();
    for _ in 0..20 {
        let before = Instant::now();
        cache.insert_with_ttl(1, (), TTL);
        let after = Instant::now();
        loop {
            let asked = Instant::now();
            let found = cache.get(&1).is_some();
            let told = Instant::now();
            if found {
                assert!(asked < after + TTL, "it was over by {:?}", asked - after - TTL);
            } else {
                cache.purge_expired();
                assert!(cache.is_empty(), "what readers miss is taken out");
                assert!(told + unit >= before + TTL, "it had {:?} left", before + TTL - told);
                break;
            }
        }
    }
}

#[test]
fn what_only_a_sweep_takes_out_is_there_until_then_whatever_the_clock_says() {
    let clock = ManualClock::new();
    let builder = Cache::builder().expire_on_sweep_only(true).no_sweep().clock(clock);
    let cache: Cache<u32, u32> = builder.build().unwrap();
    // Over at the clock's very first moment.
    cache.insert_with_ttl(1, 10, Duration::ZERO);
    assert_eq!((cache.get(&1), cache.purge_expired(), cache.get(&1)), (Some(10), 1, None));
}
