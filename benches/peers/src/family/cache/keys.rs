//! Which keys a thread asks for, one after the other.
//!
//! A key is the number of an entry, spread over all of `u64`, so that a store gains nothing from
//! keys that follow one another. The lower the number, the more popular the entry; stores are
//! filled in a shuffled order, so that popular entries lie anywhere.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Keys in a recorded walk: more than one sample asks for.
const LENGTH: usize = 1 << 20;
/// How far apart walks of the same record begin, so that threads do not ask for the same keys at
/// the same time.
const STRIDE: usize = 611_953;
/// Keys that one sample of [`Own`] goes through.
const OWN: u64 = 1024;
/// How many sets of those there are: at least as many as threads.
const SETS: u64 = 8;
/// Where the numbers begin that no store is filled with.
const ABSENT: u64 = 1 << 32;
/// Where the numbers begin that are used once.
const FRESH: u64 = 1 << 40;

/// The key of an entry.
#[inline]
pub(crate) fn key(number: u64) -> u64 {
    (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The same numbers in each run (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Dice(seed)
    }

    /// Any number.
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`.
    fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.roll()) * u128::from(limit)) >> 64) as u64
    }

    /// The numbers below `count`, in any order.
    pub(crate) fn shuffled(&mut self, count: u64) -> Vec<u64> {
        let mut numbers: Vec<u64> = (0..count).collect();
        for last in (1..numbers.len()).rev() {
            numbers.swap(last, self.below(last as u64 + 1) as usize);
        }
        numbers
    }
}

/// What a thread asks for: the key of each turn.
pub(crate) trait Keys: Sync {
    /// The keys of one sample of one thread, of `turns` turns.
    fn walk(&self, turns: u64) -> impl Fn(u64) -> u64;
}

/// A record that all threads walk along, each from another place.
#[derive(Debug)]
pub(crate) struct Recorded {
    numbers: Box<[u32; LENGTH]>,
    begin: AtomicUsize,
}

impl Recorded {
    /// A number `n` out of `count` with a chance that is proportional to 1 / (n + 1).
    pub(crate) fn zipf(count: u64) -> Self {
        let mut sum = 0.0;
        let sums: Vec<f64> = (1..=count)
            .map(|rank| {
                sum += 1.0 / rank as f64;
                sum
            })
            .collect();
        let mut dice = Dice::new(1);
        Recorded::new(|| {
            let at = dice.roll() as f64 / u64::MAX as f64 * sum;
            sums.partition_point(|sum| *sum < at).min(sums.len() - 1) as u32
        })
    }

    /// Each number out of `count` with the same chance.
    pub(crate) fn uniform(count: u64) -> Self {
        let mut dice = Dice::new(2);
        Recorded::new(|| dice.below(count) as u32)
    }

    fn new(mut next: impl FnMut() -> u32) -> Self {
        let numbers: Box<[u32]> = (0..LENGTH).map(|_| next()).collect();
        let Ok(numbers) = numbers.try_into() else { unreachable!("as many as were made") };
        Recorded { numbers, begin: AtomicUsize::new(0) }
    }

    /// All keys of the record.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u64> {
        self.numbers.iter().map(|number| key(u64::from(*number)))
    }
}

impl Keys for Recorded {
    #[inline]
    fn walk(&self, _turns: u64) -> impl Fn(u64) -> u64 {
        let begin = self.begin.fetch_add(STRIDE, Ordering::Relaxed);
        move |turn| key(u64::from(self.numbers[begin.wrapping_add(turn as usize) % LENGTH]))
    }
}

/// One key, again and again.
#[derive(Debug)]
pub(crate) struct One;

impl Keys for One {
    #[inline]
    fn walk(&self, _turns: u64) -> impl Fn(u64) -> u64 {
        |_| key(0)
    }
}

/// A few keys that nobody else uses at the same time and no store is filled with.
#[derive(Debug, Default)]
pub(crate) struct Own {
    taken: AtomicU64,
}

impl Keys for Own {
    #[inline]
    fn walk(&self, _turns: u64) -> impl Fn(u64) -> u64 {
        let begin = ABSENT + self.taken.fetch_add(1, Ordering::Relaxed) % SETS * OWN;
        move |turn| key(begin + turn % OWN)
    }
}

/// Keys that nobody has used before.
#[derive(Debug, Default)]
pub(crate) struct Fresh {
    used: AtomicU64,
}

impl Keys for Fresh {
    #[inline]
    fn walk(&self, turns: u64) -> impl Fn(u64) -> u64 {
        let begin = FRESH + self.used.fetch_add(turns, Ordering::Relaxed);
        move |turn| key(begin + turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn shuffled_numbers_are_all_there_and_out_of_order() {
        let mut numbers = Dice::new(7).shuffled(1000);
        assert!(!numbers.is_sorted());
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..1000));
    }

    #[test]
    fn a_zipf_record_asks_for_the_first_as_often_as_it_should() {
        let record = Recorded::zipf(65_536);
        let of =
            |number| record.iter().filter(|k| *k == key(number)).count() as f64 / LENGTH as f64;
        let expected = 1.0 / 11.668; // the 65,536th harmonic number
        assert!((of(0) - expected).abs() < 0.002);
        assert!((of(9) - expected / 10.0).abs() < 0.001);
    }

    #[test]
    fn a_uniform_record_asks_for_all() {
        let record = Recorded::uniform(1000);
        let seen: HashSet<u64> = record.iter().collect();
        assert_eq!(seen, (0..1000).map(key).collect());
    }

    #[test]
    fn fresh_keys_come_once_and_own_keys_differ_between_threads() {
        let fresh = Fresh::default();
        let (first, second) = (fresh.walk(10), fresh.walk(10));
        let keys: HashSet<u64> = (0..10).map(first).chain((0..10).map(second)).collect();
        assert_eq!(keys.len(), 20);
        let own = Own::default();
        let (first, second) = (own.walk(10), own.walk(10));
        assert_eq!(first(0), first(OWN), "the same again");
        let keys: HashSet<u64> = (0..OWN).map(first).chain((0..OWN).map(second)).collect();
        assert_eq!(keys.len(), 2 * OWN as usize);
    }

    #[test]
    fn walks_of_a_record_begin_in_different_places() {
        let record = Recorded::uniform(1 << 30);
        let (first, second) = (record.walk(1), record.walk(1));
        assert!((0..100).all(|turn| first(turn) != second(turn)));
    }
}
