//! A circuit: whether something is worth a try.
//!
//! # State
//! One word: a tag, a generation and a number.
//!
//! ```text
//!            failures in a row              pause is over: one caller
//!   Closed ────────────────────► Open ────────────────────────────► Probing
//!   (failures)  ▲                (retry at)  ▲                      (lost at)
//!               │                            └── the probe fails ───────┤
//!               └─────────────────────────────── it succeeds ───────────┘
//! ```
//!
//! # Invariants
//! - GENERATION: it changes with the tag. What a call came to counts only if the generation is
//!   that in which it was admitted: a call that began while the circuit was closed says nothing
//!   about what a probe is to find out.
//! - PROBE: while it probes, nobody else is admitted. The probe ends that when it is dropped; one
//!   that does not end (it was forgotten, or lost in a fork) is given up after a while.
//! - LEFT: a call that comes to no end, since its caller has left, counts neither way. If it was a
//!   probe, the next call is one.
//!
//! # Orderings
//! All that is decided lies in the word, so `Relaxed` would do for it. Who finds the circuit closed
//! by a probe sees what the probe saw: that is Release and Acquire.

use std::time::Duration;

use crate::clock::{Tick, saturating_nanos};
use crate::sync::atomic::{AtomicU64, Ordering};

#[cfg(all(test, docache_loom))]
mod model;

/// A copy of the word. From the top: 2 bits of tag, 22 of generation, 40 of number (failures, or
/// milliseconds since the origin, which are enough for 34 years).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word(u64);

const NUMBER_BITS: u32 = 40;
const GENERATION_BITS: u32 = 22;
const NUMBER: u64 = (1 << NUMBER_BITS) - 1;
const GENERATION: u64 = (1 << GENERATION_BITS) - 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    Closed,
    Open,
    Probing,
}

impl Word {
    fn new(tag: Tag, generation: u64, number: u64) -> Word {
        let generation = (generation & GENERATION) << NUMBER_BITS;
        Word((tag as u64) << (NUMBER_BITS + GENERATION_BITS) | generation | number.min(NUMBER))
    }

    fn tag(self) -> Tag {
        match self.0 >> (NUMBER_BITS + GENERATION_BITS) {
            0 => Tag::Closed,
            1 => Tag::Open,
            _ => Tag::Probing,
        }
    }

    fn generation(self) -> u64 {
        self.0 >> NUMBER_BITS & GENERATION
    }

    fn number(self) -> u64 {
        self.0 & NUMBER
    }

    /// The word after a change of tag (GENERATION).
    fn becomes(self, tag: Tag, number: u64) -> Word {
        Word::new(tag, self.generation() + 1, number)
    }
}

#[derive(Debug)]
pub(super) struct Circuit {
    word: AtomicU64,
    /// How many failures in a row open it.
    failures: u64,
    /// How long it stays open before a probe.
    pause: Duration,
    /// From when time is counted.
    origin: Tick,
}

/// A call that was admitted. Its caller has left (LEFT) unless it says otherwise before it is
/// dropped.
#[derive(Debug)]
pub(super) struct Admitted<'c, N: Fn() -> Tick> {
    circuit: &'c Circuit,
    generation: u64,
    now: N,
    over: bool,
}

impl Circuit {
    /// A closed circuit, for a clock that has come to `origin`.
    pub(super) fn new(failures: u32, pause: Duration, origin: Tick) -> Circuit {
        let word = AtomicU64::new(Word::new(Tag::Closed, 0, 0).0);
        Circuit { word, failures: u64::from(failures.max(1)), pause, origin }
    }

    fn nanos(&self, tick: Tick) -> u64 {
        saturating_nanos(tick.since(self.origin))
    }

    /// The first millisecond at which that much is over since `now`.
    fn after(&self, now: Tick, span: Duration) -> u64 {
        self.nanos(now).saturating_add(saturating_nanos(span)).div_ceil(1_000_000)
    }

    fn load(&self) -> Word {
        Word(self.word.load(Ordering::Acquire))
    }

    fn replace(&self, word: Word, new: Word) -> bool {
        let (acquires, fails) = (Ordering::AcqRel, Ordering::Acquire);
        self.word.compare_exchange(word.0, new.0, acquires, fails).is_ok()
    }

    /// Whether a call would not be admitted, or only as a probe.
    pub(super) fn is_open(&self) -> bool {
        self.load().tag() != Tag::Closed
    }

    /// Admits a call, unless the circuit is open.
    pub(super) fn admit<N: Fn() -> Tick>(&self, now: N) -> Option<Admitted<'_, N>> {
        let word = self.load();
        let generation = match word.tag() {
            Tag::Closed => word.generation(),
            Tag::Open | Tag::Probing => {
                let tick = now();
                // What is to be never (the greatest number) does not come.
                if (self.nanos(tick) / 1_000_000).min(NUMBER - 1) < word.number() {
                    return None;
                }
                // PROBE
                let lost_at = self.after(tick, self.pause.saturating_mul(4));
                let probes = word.becomes(Tag::Probing, lost_at);
                if !self.replace(word, probes) {
                    return None;
                }
                probes.generation()
            }
        };
        Some(Admitted { circuit: self, generation, now, over: false })
    }

    fn succeeded(&self, generation: u64) {
        let mut word = self.load();
        while word.generation() == generation {
            let new = match word.tag() {
                Tag::Closed if word.number() == 0 => return,
                Tag::Closed => Word::new(Tag::Closed, generation, 0),
                Tag::Open => return,
                Tag::Probing => word.becomes(Tag::Closed, 0),
            };
            if self.replace(word, new) {
                return;
            }
            word = self.load();
        }
    }

    /// LEFT
    #[cold]
    fn left(&self, generation: u64) {
        let word = self.load();
        if word.generation() == generation && word.tag() == Tag::Probing {
            // If that fails it was given up meanwhile.
            let _ = self.replace(word, word.becomes(Tag::Open, 0));
        }
    }

    #[cold]
    fn failed(&self, generation: u64, now: Tick) {
        let mut word = self.load();
        while word.generation() == generation {
            let retry_at = self.after(now, self.pause);
            let new = match word.tag() {
                Tag::Closed if word.number() + 1 < self.failures => {
                    Word::new(Tag::Closed, generation, word.number() + 1)
                }
                Tag::Closed | Tag::Probing => word.becomes(Tag::Open, retry_at),
                Tag::Open => return,
            };
            if self.replace(word, new) {
                return;
            }
            word = self.load();
        }
    }
}

impl<N: Fn() -> Tick> Admitted<'_, N> {
    pub(super) fn succeed(mut self) {
        self.over = true;
        self.circuit.succeeded(self.generation);
    }

    pub(super) fn fail(mut self) {
        self.over = true;
        self.circuit.failed(self.generation, (self.now)());
    }
}

impl<N: Fn() -> Tick> Drop for Admitted<'_, N> {
    fn drop(&mut self) {
        if !self.over {
            self.circuit.left(self.generation);
        }
    }
}

#[cfg(all(test, not(docache_loom)))]
mod tests {
    use super::*;
    use crate::clock::{Clock, ManualClock};

    const PAUSE: Duration = Duration::from_millis(500);

    #[test]
    fn it_opens_after_failures_in_a_row_and_closes_after_a_probe() {
        let clock = ManualClock::new();
        let circuit = Circuit::new(3, PAUSE, clock.now());
        let admit = || circuit.admit(|| clock.now());
        let fail = || admit().unwrap().fail();
        fail();
        fail();
        admit().unwrap().succeed();
        fail();
        fail();
        assert!(!circuit.is_open());
        fail();
        assert!(circuit.is_open() && admit().is_none());
        clock.advance(PAUSE - Duration::from_nanos(1));
        assert!(admit().is_none());
        clock.advance(Duration::from_nanos(1));
        let probe = admit().unwrap();
        assert!(admit().is_none(), "there is one probe at a time");
        probe.fail();
        assert!(admit().is_none(), "it has failed");
        clock.advance(PAUSE);
        admit().unwrap().succeed();
        assert!(!circuit.is_open());
        fail();
        fail();
        assert!(!circuit.is_open(), "it counts from 0");
    }

    #[test]
    fn what_was_admitted_before_counts_no_more() {
        let clock = ManualClock::new();
        let circuit = Circuit::new(1, PAUSE, clock.now());
        let admit = || circuit.admit(|| clock.now());
        let (late, later, fails) = (admit().unwrap(), admit().unwrap(), admit().unwrap());
        fails.fail();
        late.succeed();
        assert!(circuit.is_open());
        clock.advance(PAUSE);
        admit().unwrap().succeed();
        later.fail();
        assert!(!circuit.is_open());
    }

    #[test]
    fn a_probe_that_is_lost_is_given_up() {
        let clock = ManualClock::new();
        let circuit = Circuit::new(1, PAUSE, clock.now());
        let admit = || circuit.admit(|| clock.now());
        admit().unwrap().fail();
        clock.advance(PAUSE);
        std::mem::forget(admit().unwrap());
        clock.advance(4 * PAUSE - Duration::from_millis(1));
        assert!(admit().is_none());
        clock.advance(Duration::from_millis(1));
        admit().unwrap().succeed();
        assert!(!circuit.is_open());
    }

    #[test]
    fn who_leaves_says_nothing_and_hands_the_probe_on() {
        let clock = ManualClock::new();
        let circuit = Circuit::new(1, PAUSE, clock.now());
        let admit = || circuit.admit(|| clock.now());
        drop(admit().unwrap());
        assert!(!circuit.is_open());
        admit().unwrap().fail();
        clock.advance(PAUSE);
        drop(admit().unwrap());
        assert!(circuit.is_open(), "it is not known to be back");
        admit().expect("the next one probes").succeed();
        assert!(!circuit.is_open());
    }

    #[test]
    fn any_origin_will_do() {
        let year = Duration::from_secs(31_557_600);
        for origin in [Duration::ZERO, 36 * year, 56 * year, 500 * year] {
            let clock = ManualClock::new();
            clock.advance(origin);
            let circuit = Circuit::new(1, PAUSE, clock.now());
            let admit = || circuit.admit(|| clock.now());
            admit().unwrap().fail();
            assert!(admit().is_none());
            clock.advance(PAUSE - Duration::from_millis(1));
            assert!(admit().is_none(), "{origin:?}");
            clock.advance(Duration::from_millis(1));
            admit().unwrap().succeed();
            assert!(!circuit.is_open(), "{origin:?}");
        }
    }

    #[test]
    fn the_end_of_time_and_of_the_generations() {
        let circuit = Circuit::new(1, Duration::MAX, Tick::default());
        circuit.admit(Tick::default).unwrap().fail();
        assert!(circuit.is_open());
        assert!(circuit.admit(|| Tick::MAX).is_none(), "the pause has no end");
        let last = Word::new(Tag::Open, GENERATION, u64::MAX);
        let first = last.becomes(Tag::Probing, 7);
        assert_eq!((first.tag(), first.generation(), first.number()), (Tag::Probing, 0, 7));
    }
}
