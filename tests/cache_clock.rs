//! The clock that a cache has by default: near its end an entry goes by the exact time.

use docache::Cache;
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
