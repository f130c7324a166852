//! Values that are large: how much of the stack they take.

use docache::Cache;
use std::thread::Builder;

use crate::common::flight::{Joins, Key, until};

const LEN: usize = 256 << 10;

/// As much as a thread has that nobody has asked about; without optimization, which leaves copies
/// in, four times that.
const STACK: usize = if cfg!(debug_assertions) { 8 << 20 } else { 2 << 20 };

#[test]
fn a_thread_has_stack_enough_for_what_it_loads_and_shares() {
    const THREADS: usize = 4;
    let (cache, joins): (Cache<Key, [u8; LEN]>, _) = (Cache::new(10), Joins::default());
    let (cache, joins) = (&cache, &joins);
    std::thread::scope(|scope| {
        for number in 0..THREADS {
            let caller = move || {
                let value = cache.fetch(&joins.key("large"), || {
                    until(|| joins.count() == THREADS - 1);
                    [number as u8; LEN]
                });
                assert!(value.iter().all(|byte| *byte == value[0]));
            };
            Builder::new().stack_size(STACK).spawn_scoped(scope, caller).unwrap();
        }
    });
    let stats = cache.stats();
    assert_eq!((stats.loads, stats.coalesced, stats.len), (1, THREADS as u64 - 1, 1));
}
