//! Small histories of threads that use a few keys at once: what each call saw must be explained by
//! some order in which the calls happened one at a time; and no call may share a load that a write
//! had beaten before the call began.

#[path = "../common/mod.rs"]
mod common;

mod search;

use common::flight::{Dice, Seed, until};
use docache::{Cache, EvictionPolicy, FlightError};
use search::{Act, Event, Value, is_linearizable};
use std::cell::Cell;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

const HISTORIES: u64 = 4_000;
const KEYS: usize = 3;
const CALLS: usize = 6;

/// What a call did and came to.
#[derive(Clone, Copy, Debug)]
enum Came {
    Did(Act),
    /// Its own loader ran, from one time to another.
    Loaded(u64, u64, Result<Value, Value>),
    /// It got what was there, or what another loaded.
    Fetched(Result<Value, Value>),
}

#[derive(Clone, Copy, Debug)]
struct Call {
    key: u8,
    begin: u64,
    end: u64,
    came: Came,
}

impl Call {
    /// Whether it wins over loads of the key that are under way.
    fn writes(&self, key: u8) -> bool {
        match self.came {
            Came::Did(Act::Clear) => true,
            Came::Did(Act::Write(_) | Act::Remove(_)) => self.key == key,
            _ => false,
        }
    }
}

/// What the threads of one history share.
struct Stage {
    cache: Cache<u8, Value, Value>,
    keys: usize,
    threads: usize,
    ticks: AtomicU64,
    values: AtomicU32,
    /// How often a thread has come to a meeting.
    met: AtomicUsize,
}

impl Stage {
    fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::SeqCst)
    }

    fn value(&self) -> Value {
        self.values.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Waits until all threads have come here `times` times.
    fn meet(&self, times: usize) {
        self.met.fetch_add(1, Ordering::SeqCst);
        until(|| self.met.load(Ordering::SeqCst) >= times * self.threads);
    }
}

fn dawdle(dice: &mut Dice, most: usize) {
    for _ in 0..dice.below(most) {
        std::hint::spin_loop();
    }
}

fn fetch(stage: &Stage, dice: &mut Dice, key: u8) -> Came {
    let ran = Cell::new(None);
    let fetched = stage.cache.try_fetch(key, || {
        let begin = stage.tick();
        dawdle(dice, 400);
        if dice.once_in(4) {
            std::thread::yield_now();
        }
        let value = stage.value();
        let result = if dice.once_in(5) { Err(value) } else { Ok(value) };
        ran.set(Some((begin, stage.tick())));
        result
    });
    let fetched = fetched.map_err(|error| match error {
        FlightError::Failed(error) => *error,
        error => panic!("{error}"),
    });
    match ran.get() {
        Some((begin, end)) => Came::Loaded(begin, end, fetched),
        None => Came::Fetched(fetched),
    }
}

fn call(stage: &Stage, dice: &mut Dice) -> Call {
    let (cache, key) = (&stage.cache, dice.below(stage.keys) as u8);
    let which = dice.below(16);
    let begin = stage.tick();
    let came = match which {
        0..=3 => Came::Did(Act::Read(cache.get(&key))),
        4 => Came::Did(Act::Read(cache.pin().get(&key).copied())),
        5 => Came::Did(Act::Has(cache.contains_key(&key))),
        6..=8 => {
            let value = stage.value();
            cache.insert(key, value);
            Came::Did(Act::Write(value))
        }
        9..=11 => Came::Did(Act::Remove(cache.remove(&key))),
        12 => {
            cache.clear();
            Came::Did(Act::Clear)
        }
        _ => fetch(stage, dice, key),
    };
    Call { key, begin, end: stage.tick(), came }
}

/// What one thread does.
fn perform(stage: &Stage, seed: u64) -> Vec<Call> {
    let mut dice = Dice::new(seed);
    let calls = (0..CALLS).map(|at| {
        stage.meet(at + 1);
        dawdle(&mut dice, 60);
        call(stage, &mut dice)
    });
    calls.collect()
}

/// Those of the calls' events that concern a key. A call that cleared concerns each, at some time
/// of its own.
fn events(calls: &[Call], key: u8) -> Vec<Event> {
    let mut events = Vec::new();
    for call in calls {
        let Call { begin, end, .. } = *call;
        match call.came {
            Came::Did(Act::Clear) => events.push(Event { begin, end, act: Act::Clear }),
            _ if call.key != key => {}
            Came::Did(act) => events.push(Event { begin, end, act }),
            Came::Loaded(began, ended, result) => {
                let load = events.len() as u8;
                events.push(Event { begin, end: began, act: Act::Miss(load) });
                if let Ok(value) = result {
                    events.push(Event { begin: ended, end, act: Act::Land(load, value) });
                }
            }
            Came::Fetched(result) => {
                // Whoever comes after a write has returned does not join a load that had begun
                // before it.
                let beaten = |began: u64| {
                    let after = |write: &Call| {
                        write.writes(key) && began < write.begin && write.end < begin
                    };
                    calls.iter().any(after)
                };
                let joins = |other: &Call| match other.came {
                    Came::Loaded(began, _, loaded) if loaded == result && other.key == key => {
                        other.begin < end && begin < other.end && !beaten(began)
                    }
                    _ => false,
                };
                if let (false, Ok(value)) = (calls.iter().any(joins), result) {
                    events.push(Event { begin, end, act: Act::Read(Some(value)) });
                } else {
                    assert!(
                        calls.iter().any(joins),
                        "{call:?} got what nobody loaded for it: {calls:#?}"
                    );
                }
            }
        }
    }
    events
}

/// Plays one history, and says how many of its calls overlapped another.
fn play(seed: u64, cache: Cache<u8, Value, Value>, evicts: bool) -> usize {
    let _seed = Seed(seed);
    let mut dice = Dice::new(seed);
    let (keys, threads) = (1 + dice.below(KEYS), 2 + dice.below(2));
    let (ticks, values, met) = Default::default();
    let stage = Stage { cache, keys, threads, ticks, values, met };
    let mut calls: Vec<Call> = std::thread::scope(|scope| {
        let start = |thread| {
            let stage = &stage;
            scope.spawn(move || perform(stage, seed * 4 + thread))
        };
        let threads: Vec<_> = (0..threads as u64).map(start).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    // What is there at rest is a part of the history.
    for key in 0..keys as u8 {
        let (begin, got) = (stage.tick(), stage.cache.get(&key));
        calls.push(Call { key, begin, end: stage.tick(), came: Came::Did(Act::Read(got)) });
    }
    for key in 0..keys as u8 {
        let events = events(&calls, key);
        assert!(is_linearizable(&events, evicts), "key {key}: {events:#?}");
    }
    let overlaps =
        |call: &&Call| calls.iter().any(|other| other.begin < call.begin && call.begin < other.end);
    calls.iter().filter(overlaps).count()
}

#[test]
fn an_unbounded_cache_is_linearizable() {
    let overlaps: usize = (0..HISTORIES)
        .map(|seed| {
            let shards = 1 << (seed % 3);
            let cache = Cache::builder().no_sweep().never_expire().shards(shards).build().unwrap();
            play(seed, cache, false)
        })
        .sum();
    println!("{overlaps} calls overlapped another");
    assert!(overlaps > 0, "nothing happened at once");
}

#[test]
fn a_cache_that_evicts_shows_what_was_written_last_or_nothing() {
    for seed in 0..HISTORIES {
        let policy = if seed % 2 == 0 { EvictionPolicy::Lru } else { EvictionPolicy::Adaptive };
        let builder = Cache::builder().no_sweep().never_expire().shards(1).policy(policy);
        let cache = builder.capacity(1 + (seed % 3) as usize).build().unwrap();
        play(HISTORIES + seed, cache, true);
    }
}
