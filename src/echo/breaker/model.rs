//! Models of the circuit.

use std::sync::Arc;

use super::*;
use crate::sync::cell::UnsafeCell;
use crate::sync::model;
use loom::thread;

const PAUSE: Duration = Duration::from_millis(1);

fn tick(millis: u64) -> impl Fn() -> Tick {
    move || Tick::from_nanos(millis * 1_000_000)
}

/// A call that fails, if it is admitted.
fn fail(circuit: &Circuit, millis: u64) {
    if let Some(admitted) = circuit.admit(tick(millis)) {
        admitted.fail();
    }
}

/// A circuit that is open until the first millisecond, and what a probe finds out.
struct Shared {
    circuit: Circuit,
    found: UnsafeCell<u32>,
}

fn open() -> Arc<Shared> {
    let circuit = Circuit::new(1, PAUSE, Tick::default());
    fail(&circuit, 0);
    Arc::new(Shared { circuit, found: UnsafeCell::new(0) })
}

/// Probes, if it is admitted, and succeeds. Loom says if there are two at a time, or if one who
/// finds the circuit closed does not see what the probe did.
fn probe(shared: &Shared) -> bool {
    let Some(admitted) = shared.circuit.admit(tick(1)) else { return false };
    // SAFETY: it is the only probe, or comes after it.
    shared.found.with_mut(|found| unsafe { *found += 1 });
    admitted.succeed();
    true
}

#[test]
fn one_probe_at_a_time() {
    model(|| {
        let shared = open();
        let other = {
            let shared = shared.clone();
            thread::spawn(move || probe(&shared))
        };
        let ours = probe(&shared);
        assert!(other.join().unwrap() || ours, "somebody probes");
        assert!(!shared.circuit.is_open());
    });
}

#[test]
fn a_probe_that_leaves_against_the_next_one() {
    model(|| {
        let shared = open();
        let other = {
            let shared = shared.clone();
            thread::spawn(move || drop(shared.circuit.admit(tick(1))))
        };
        let ours = probe(&shared);
        other.join().unwrap();
        assert!(ours != shared.circuit.is_open());
        assert!(ours || probe(&shared), "whoever comes after it probes");
    });
}

#[test]
fn a_probe_against_a_success_of_before() {
    model(|| {
        let circuit = Arc::new(Circuit::new(1, PAUSE, Tick::default()));
        let late = circuit.admit(tick(0)).expect("it is closed");
        let fails = circuit.admit(tick(0)).expect("it is closed");
        let other = {
            let circuit = circuit.clone();
            thread::spawn(move || {
                // A probe, or one that is as early as the others.
                fail(&circuit, 1);
            })
        };
        fails.fail();
        late.succeed();
        other.join().unwrap();
        assert!(circuit.is_open(), "all have failed but one, which was of before");
    });
}

#[test]
fn a_success_against_failures() {
    model(|| {
        let circuit = Arc::new(Circuit::new(2, PAUSE, Tick::default()));
        fail(&circuit, 0);
        let other = {
            let circuit = circuit.clone();
            thread::spawn(move || {
                if let Some(admitted) = circuit.admit(tick(0)) {
                    admitted.succeed();
                }
            })
        };
        fail(&circuit, 0);
        other.join().unwrap();
        if !circuit.is_open() {
            fail(&circuit, 0);
            fail(&circuit, 0);
        }
        assert!(circuit.is_open(), "two in a row open it in any case");
    });
}
