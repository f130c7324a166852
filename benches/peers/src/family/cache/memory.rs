//! What an entry takes: `memory` when the store is full, `memory-churned` after many more keys, and
//! `memory-malloc`, which is the former with what malloc adds.

use foldhash::fast::RandomState;

use super::docache::Docache;
use super::keys::{Dice, key};
use super::stores::{DashMap, FibreCache, Make, Moka, MutexLru, Papaya, QuickCache, Store};
use crate::allocations::Scale;
use crate::harness::Bench;

const CASES: [&str; 3] = ["memory", "memory-churned", "memory-malloc"];

/// Measures all three.
pub(super) fn measure(bench: &mut Bench) {
    if !CASES.iter().any(|case| bench.wants(case)) {
        return;
    }
    let entries = bench.plan().weighed;
    eprintln!("{} memory, {entries} entries", bench.family());
    bounded::<Docache<RandomState>>(bench, "docache", entries);
    bounded::<QuickCache<RandomState>>(bench, "quick_cache", entries);
    bounded::<Moka<RandomState>>(bench, "moka", entries);
    bounded::<MutexLru<RandomState>>(bench, "mutex_lru", entries);
    unbounded::<Papaya<RandomState>>(bench, "papaya", entries);
    unbounded::<DashMap<RandomState>>(bench, "dashmap", entries);
    // Last: its threads free it later.
    bounded::<FibreCache<RandomState>>(bench, "fibre_cache", entries);
}

/// A store that evicts.
fn bounded<T: Make<RandomState> + Store>(bench: &mut Bench, subject: &'static str, entries: u64) {
    let scale = Scale::new();
    let store = T::make(entries, RandomState::default());
    fill(bench, subject, &scale, &store, entries);
    for number in entries..3 * entries {
        store.insert(key(number), number);
    }
    store.settle();
    record(bench, "memory-churned", subject, scale.weight().asked, store.len());
}

/// A store that does not.
fn unbounded<T: Make<RandomState> + Store>(bench: &mut Bench, subject: &'static str, entries: u64) {
    let scale = Scale::new();
    let store = T::make(entries, RandomState::default());
    fill(bench, subject, &scale, &store, entries);
}

fn fill(bench: &mut Bench, subject: &'static str, scale: &Scale, store: &impl Store, entries: u64) {
    for number in Dice::new(4).shuffled(entries) {
        store.insert(key(number), number);
    }
    store.settle();
    let weight = scale.weight();
    record(bench, "memory", subject, weight.asked, store.len());
    record(bench, "memory-malloc", subject, weight.taken, store.len());
}

/// Per entry that is there: a store that holds fewer than it might is not lighter for it.
fn record(bench: &mut Bench, case: &str, subject: &str, bytes: i64, entries: u64) {
    if bench.wants(case) {
        bench.record_in(case, 1, subject, bytes as f64 / entries.max(1) as f64, "bytes");
    }
}
