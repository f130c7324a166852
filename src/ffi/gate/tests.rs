use std::sync::atomic::AtomicUsize;
use std::sync::{Barrier, mpsc};

use super::*;

/// Counts its drops.
struct Part(Arc<AtomicUsize>);

impl Drop for Part {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A gate, the thing behind it, and how many of two parts are gone: that one and the handle.
fn gate() -> (Arc<Gate>, Part, Arc<AtomicUsize>) {
    let (gate, gone) = (Gate::new(), Arc::new(AtomicUsize::new(0)));
    gate.keep(Part(gone.clone()));
    (gate, Part(gone.clone()), gone)
}

fn await_close(gate: &Gate) {
    while !Word(gate.word.load(Ordering::Relaxed)).is_closed() {
        std::thread::yield_now();
    }
}

#[test]
fn what_nobody_is_in_ends_when_it_is_closed() {
    let (gate, handle, gone) = gate();
    assert_eq!(gate.during(|| gate.call(|| 7)), Some(7));
    gate.close(handle);
    assert_eq!(gone.load(Ordering::SeqCst), 2);
    assert_eq!(gate.during(|| 7), None);
    assert_eq!(gate.call(|| gate.during(|| 7)), None);
}

#[test]
fn a_call_that_closes_its_own_gate_goes_on_and_calls_back_no_more() {
    for held in [true, false] {
        let (gate, handle, gone) = gate();
        let inner = || {
            gate.during(|| gate.close(handle));
            assert_eq!(gate.during(|| ()), None);
            assert_eq!(gone.load(Ordering::SeqCst), 0);
        };
        if held {
            gate.during(inner).unwrap()
        } else {
            gate.call(inner)
        }
        assert_eq!(gone.load(Ordering::SeqCst), 2);
    }
}

#[test]
fn closing_waits_for_other_threads_also_inside_calls_of_other_objects() {
    for inside in [false, true] {
        let (gate, handle, gone) = gate();
        let (other, ..) = self::gate();
        let entered = Barrier::new(2);
        std::thread::scope(|scope| {
            let holder = scope.spawn(|| {
                gate.during(|| {
                    entered.wait();
                    await_close(&gate);
                    assert_eq!(gone.load(Ordering::SeqCst), 0);
                })
            });
            entered.wait();
            if inside {
                other.during(|| gate.close(handle)).unwrap()
            } else {
                gate.close(handle)
            }
            assert_eq!(gone.load(Ordering::SeqCst), 2);
            assert_eq!(holder.join().unwrap(), Some(()));
        });
        let address = Arc::as_ptr(&gate).addr();
        assert!(lock_waits().edges.iter().all(|(_, awaited)| *awaited != address));
    }
}

#[test]
fn rings_of_threads_that_close_one_anothers_gates_come_to_an_end() {
    for threads in 2..5 {
        let parts: Vec<_> = (0..threads).map(|_| gate()).collect();
        let gates: Vec<_> = parts.iter().map(|(gate, ..)| gate.clone()).collect();
        let gone: Vec<_> = parts.iter().map(|(.., gone)| gone.clone()).collect();
        let (done, all_done) = mpsc::channel();
        let inside = Arc::new(Barrier::new(threads));
        let mut handles: Vec<_> = parts.into_iter().map(|(_, handle, _)| handle).collect();
        handles.rotate_left(1);
        for (at, handle) in handles.into_iter().enumerate() {
            let (mine, next) = (gates[at].clone(), gates[(at + 1) % threads].clone());
            let (inside, done) = (inside.clone(), done.clone());
            std::thread::spawn(move || {
                let closed = mine.during(|| {
                    inside.wait();
                    next.close(handle);
                });
                done.send(closed).unwrap();
            });
        }
        for _ in 0..threads {
            assert_eq!(all_done.recv_timeout(std::time::Duration::from_secs(60)), Ok(Some(())));
        }
        assert!(gone.iter().all(|gone| gone.load(Ordering::SeqCst) == 2));
    }
}

#[test]
fn a_call_that_unwinds_gives_its_hold_back() {
    let (gate, handle, gone) = gate();
    let unwound = crate::contain::contained(|| {
        gate.during(|| {
            gate.close(handle);
            panic!("a callback that unwinds");
        })
    });
    assert!(unwound.unwrap_err().is_panicked());
    assert_eq!(gone.load(Ordering::SeqCst), 2);
}

#[test]
fn another_process_has_the_handles_hold_alone() {
    let open = Word::open(3);
    let held = open.with_hold().and_then(Word::with_hold).unwrap();
    assert_eq!(held.here(3), held);
    assert_eq!(held.here(4), Word::open(4));
    assert!(held.without_hold().without_hold().holds());
    let closed = held.closed().here(4);
    assert!(closed.is_closed() && !closed.holds());
    assert_eq!(closed.with_hold(), None);
}

#[test]
fn what_a_hold_was_taken_for_can_begin_after_the_close_and_is_waited_for() {
    let (gate, handle, gone) = gate();
    let (kept, (ended, is_ended)) = (gate.hold().unwrap(), mpsc::channel());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            gate.close(handle);
            ended.send(()).unwrap();
        });
        await_close(&gate);
        assert!(gate.hold().is_none());
        assert_eq!(gate.during(|| ()), None);
        kept.call(|| {
            // This thread is inside, so it does not wait.
            gate.await_end();
            assert_eq!(gone.load(Ordering::SeqCst), 0);
        });
        assert!(is_ended.try_recv().is_err());
        drop(kept);
        is_ended.recv().unwrap();
    });
    assert_eq!(gone.load(Ordering::SeqCst), 2);
}

#[test]
fn a_close_that_does_not_wait_leaves_the_end_to_the_last_hold() {
    let (gate, handle, gone) = gate();
    let kept = gate.hold().unwrap();
    gate.shut(handle);
    assert_eq!(gone.load(Ordering::SeqCst), 0);
    drop(kept);
    assert_eq!(gone.load(Ordering::SeqCst), 2);
    gate.await_end();
}

#[cfg(unix)]
#[test]
fn a_child_takes_the_lock_from_a_thread_that_it_does_not_have() {
    let (outer, outer_handle, _) = gate();
    let (inner, inner_handle, gone) = gate();
    let (holds, forked) = (Barrier::new(2), Barrier::new(2));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _waits = lock_waits();
            holds.wait();
            forked.wait();
        });
        holds.wait();
        // SAFETY: the child calls what is under test, and ends.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: it ends the child if that waits for ever.
            unsafe { libc::alarm(60) };
            outer.call(|| inner.close(inner_handle));
            let ended = gone.load(Ordering::SeqCst);
            // SAFETY: it ends the child.
            unsafe { libc::_exit(i32::from(ended != 2)) };
        }
        let mut status = -1;
        // SAFETY: the place is ours.
        let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
        forked.wait();
        assert_eq!((waited, status), (child, 0));
    });
    outer.close(outer_handle);
    inner.close(Part(gone));
}
