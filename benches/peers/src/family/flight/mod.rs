//! One run for all who ask at once: `group`, `keyed-…`, `leader-return-1000`, `last-waiter-1000`,
//! `allocations`.

mod contestants;
mod crowd;
mod mutex_condvar;

use std::error::Error;
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};

use self::contestants::{Contestants, Flight, Key};
use self::crowd::Times;
use super::go;
use crate::harness::{Bench, Subject};
use crate::verdict::Row;

/// Keys that one thread goes through.
const KEYS: usize = 1024;
/// Threads that wait for one run.
const CROWD: usize = 1000;
/// The cases of one thread, in which nothing may be allocated either.
const UNCONTENDED: [&str; 3] = ["group", "keyed-str", "keyed-u64"];

/// Measures all cases.
pub(crate) fn measure(bench: &mut Bench) -> Result<Vec<Row>, Box<dyn Error>> {
    let names: &[&'static str] =
        (0..2 * KEYS).map(|n| &*format!("user:{n:08}").leak()).collect::<Vec<_>>().leak();
    let numbers: Vec<u64> = (0..2 * KEYS as u64).collect();
    let [group, keyed_str, keyed_u64] = UNCONTENDED;
    uncontended(bench, group, &Keys::<_, 1>::new(&[()]));
    uncontended(bench, keyed_str, &Keys::<_, KEYS>::new(&names[..KEYS]));
    uncontended(bench, keyed_u64, &Keys::<_, KEYS>::new(&numbers[..KEYS]));
    contended(bench, "keyed-distinct", &Keys::<_, 1>::new(names));
    contended(bench, "keyed-distinct-1024", &Keys::<_, KEYS>::new(names));
    contended(bench, "keyed-one", &Keys::<_, 1>::new(&names[..1]));
    crowd(bench, names[0])?;
    go::measure(bench, "benches/peers/go", "^BenchmarkKeyed(Str|Distinct|One)$")?;
    Ok(contract(bench))
}

/// Sets of `N` keys, of which each sample of each thread takes the next.
///
/// A sample is a warm-up and a measurement, and the threads do each of them together, so that the
/// threads' sets differ if there are at least as many sets as threads, and all of them have had
/// their turn in the end: one unlucky pair, whose keys fall on the same lock, decides nothing.
struct Keys<'k, K, const N: usize> {
    sets: &'k [[K; N]],
    taken: AtomicUsize,
}

impl<'k, K, const N: usize> Keys<'k, K, N> {
    fn new(keys: &'k [K]) -> Self {
        let (sets, rest) = keys.as_chunks();
        assert!(!sets.is_empty() && rest.is_empty(), "whole sets");
        Keys { sets, taken: AtomicUsize::new(0) }
    }

    fn next(&self) -> &'k [K; N] {
        &self.sets[self.taken.fetch_add(1, Ordering::Relaxed) % self.sets.len()]
    }
}

/// One thread that nobody meets.
fn uncontended<K: Key, const N: usize>(bench: &mut Bench, case: &str, keys: &Keys<'_, K, N>) {
    let contestants = Contestants::<K>::new();
    let subjects = subjects(&contestants, keys);
    bench.case(case, 1, &subjects);
    if bench.wants("allocations") {
        bench.allocations("allocations", &kind(case), &subjects);
    }
}

/// Two threads, each with the keys that it is given.
fn contended<K: Key, const N: usize>(bench: &mut Bench, case: &str, keys: &Keys<'_, K, N>) {
    let contestants = Contestants::<K>::new();
    bench.case(case, 2, &subjects(&contestants, keys));
}

fn subjects<'a, K: Key, const N: usize>(
    contestants: &'a Contestants<K>,
    keys: &'a Keys<'a, K, N>,
) -> [Subject<'a>; 5] {
    [
        subject("docache", &contestants.docache, keys),
        subject("docache_async", &contestants.docache_async, keys),
        subject("async_singleflight", &contestants.async_singleflight, keys),
        subject("singleflight_async", &contestants.singleflight_async, keys),
        subject("mutex_condvar", &contestants.mutex_condvar, keys),
    ]
}

fn subject<'a, K: Key, const N: usize>(
    name: &'static str,
    flight: &'a impl Flight<K>,
    keys: &'a Keys<'a, K, N>,
) -> Subject<'a> {
    Subject::prepared(
        name,
        move |_| keys.next(),
        move |keys, n| {
            for turn in 0..n {
                black_box(flight.fly(keys[turn as usize % N], || black_box(turn)));
            }
        },
    )
}

/// The end of a run that a thousand parked threads wait for.
fn crowd(bench: &mut Bench, key: &'static str) -> Result<(), Box<dyn Error>> {
    const CASES: [&str; 2] = ["leader-return-1000", "last-waiter-1000"];
    let wanted = CASES.map(|case| bench.wants(case));
    if wanted == [false; 2] {
        return Ok(());
    }
    let rounds = bench.plan().crowd_rounds;
    eprintln!(
        "{} {}, {CROWD} waiting threads, {rounds} rounds",
        bench.family(),
        CASES.join(" and ")
    );
    let contestants = Contestants::<&'static str>::new();
    let subjects = [
        crowd::Subject::new("docache", |work| contestants.docache.fly(key, work)),
        crowd::Subject::new("async_singleflight", |work| {
            contestants.async_singleflight.fly(key, work)
        }),
        crowd::Subject::new("singleflight_async", |work| {
            contestants.singleflight_async.fly(key, work)
        }),
        crowd::Subject::new("mutex_condvar", |work| contestants.mutex_condvar.fly(key, work)),
    ];
    let times = crowd::measure(&subjects, CROWD, rounds)?;
    let parts = [|times: &Times| times.leader_return, |times: &Times| times.last_waiter];
    for ((case, part), _) in CASES.into_iter().zip(parts).zip(wanted).filter(|(_, wanted)| *wanted)
    {
        for (subject, times) in subjects.iter().zip(&times) {
            bench.record(case, 1 + CROWD, subject.name, part(times));
        }
    }
    Ok(())
}

/// The name of a case as part of a subject's.
fn kind(case: &str) -> String {
    case.replace('-', "_")
}

/// Section 8: what `docache` must reach, from the peers of this run.
fn contract(bench: &Bench) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut row = |case: &str, threads, ours, limit, from| {
        rows.push(Row::at_most(case, threads, ours, limit, from));
    };
    let part_of = |part: f64, case: &str, threads, peer: &str| {
        bench.value(case, threads, peer).map(|peer| part * peer)
    };
    for (case, threads) in [
        ("group", 1),
        ("keyed-str", 1),
        ("keyed-u64", 1),
        ("keyed-distinct", 2),
        ("keyed-distinct-1024", 2),
    ] {
        let ours = bench.value(case, threads, "docache");
        let limit = part_of(0.2, case, threads, "singleflight_async");
        row(case, threads, ours, limit, "0.2 x singleflight_async");
    }
    for case in UNCONTENDED {
        let ours = bench.value(case, 1, "docache_async");
        row(
            &format!("{case}, async"),
            1,
            ours,
            part_of(1.5, case, 1, "docache"),
            "1.5 x its sync form",
        );
    }
    for case in UNCONTENDED {
        let ours = bench.value("allocations", 1, &format!("docache_{}", kind(case)));
        row(&format!("allocations, {case}"), 1, ours, Some(0.0), "none");
    }
    let threads = 1 + CROWD;
    for (case, part, from) in [
        ("leader-return-1000", 0.05, "0.05 x mutex_condvar"),
        ("last-waiter-1000", 1.0, "1 x mutex_condvar"),
    ] {
        let ours = bench.value(case, threads, "docache");
        row(case, threads, ours, part_of(part, case, threads, "mutex_condvar"), from);
    }
    for (case, threads, part, from) in [
        ("go-keyed-str", 1, 0.8, "0.8 x x/sync"),
        ("go-keyed-distinct", 2, 0.5, "0.5 x x/sync"),
        ("go-keyed-one", 2, 1.0, "1 x x/sync"),
    ] {
        let ours = bench.value(case, threads, "docache");
        row(case, threads, ours, part_of(part, case, threads, "x_sync_singleflight"), from);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_take_keys_together_get_different_ones() {
        let numbers = [1_u64, 2, 3, 4];
        let keys = Keys::<_, 1>::new(&numbers);
        let taken: Vec<_> = (0..6).map(|_| keys.next()[0]).collect();
        assert_eq!(taken, [1, 2, 3, 4, 1, 2]);
        assert_eq!(Keys::<_, 2>::new(&numbers).next(), &[1, 2]);
    }

    #[test]
    fn each_contestant_runs_the_work_with_each_kind_of_key() {
        fn run<K: Key>(key: K) -> [u64; 5] {
            let contestants = Contestants::<K>::new();
            [
                contestants.docache.fly(key, || 1),
                contestants.docache_async.fly(key, || 2),
                contestants.async_singleflight.fly(key, || 3),
                contestants.singleflight_async.fly(key, || 4),
                contestants.mutex_condvar.fly(key, || 5),
            ]
        }
        assert_eq!(run(()), [1, 2, 3, 4, 5]);
        assert_eq!(run(7), [1, 2, 3, 4, 5]);
        assert_eq!(run("key"), [1, 2, 3, 4, 5]);
    }
}
