//! Frees inside callbacks, beside runs, and of objects that free each other.

use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};

use super::handles::*;
use docache::ffi::*;

/// A group that one of its callbacks frees.
struct Place(Mutex<Option<Group>>);

impl Place {
    fn new() -> Arc<Place> {
        Arc::new(Place(Mutex::new(None)))
    }

    fn free(&self) {
        let group = self.0.lock().unwrap().take();
        drop(group);
    }
}

/// Runs a group that `add` gives actors which free it through the place.
fn run_freed(add: impl FnOnce(&Group, &Arc<Place>, &Arc<AtomicUsize>)) -> Ran {
    let (place, drops) = (Place::new(), Arc::new(AtomicUsize::new(0)));
    let group = Group::new();
    add(&group, &place, &drops);
    let borrowed = std::mem::ManuallyDrop::new(Group(group.0));
    *place.0.lock().unwrap() = Some(group);
    let ran = borrowed.run();
    assert!(place.0.lock().unwrap().is_none(), "it was freed");
    while drops.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
    ran
}

#[test]
fn an_actor_frees_its_own_group() {
    let ran = run_freed(|group, place, drops| {
        let (place, seen) = (place.clone(), drops.clone());
        let frees = move |stop: Stop| {
            place.free();
            assert_eq!(seen.load(Ordering::SeqCst), 0, "it is still there");
            stop.wait()
        };
        group.add(Act::new("frees", frees).interrupt(|_| ()).counted(drops));
        group.add(Act::waiting("other"));
    });
    assert_eq!((ran.status, ran.report.cause().kind), (DOCACHE_OK, DOCACHE_RUN_STOPPED));
}

#[test]
fn an_interrupt_frees_its_own_group() {
    let ran = run_freed(|group, place, drops| {
        let (place, handle) = (place.clone(), group.handle());
        let stops = move |stop: Stop| {
            handle.stop();
            stop.wait()
        };
        group.add(Act::new("stops", stops).interrupt(move |_| place.free()).counted(drops));
    });
    assert_eq!((ran.status, ran.report.cause().kind), (DOCACHE_OK, DOCACHE_RUN_STOPPED));
}

#[test]
fn a_failure_handler_frees_its_own_group() {
    let ran = run_freed(|group, place, drops| {
        let place = place.clone();
        let act = Act::new("fails", |_| Came::Failed(1, "no"));
        group.add(act.on_failure(move |_| place.free()).counted(drops));
    });
    assert_eq!((ran.status, ran.code), (DOCACHE_DOER_FAILED, 1));
}

#[test]
fn an_actor_of_an_inner_group_frees_the_outer_one() {
    let ran = run_freed(|group, place, drops| {
        let place = place.clone();
        let inner = Group::new();
        inner.add(Act::new("frees", move |stop| {
            place.free();
            stop.wait()
        }));
        group.add_group("inner", inner).add(Act::waiting("other").counted(drops));
    });
    assert_eq!((ran.status, ran.report.cause().kind), (DOCACHE_OK, DOCACHE_RUN_STOPPED));
}

/// Frees the group of the place, at the first record.
unsafe extern "C-unwind" fn free_it(ctx: usize, _: *const docache_log_record) {
    // SAFETY: the test gives the address of a place that outlives its group.
    unsafe { &*(ctx as *const Place) }.free();
}

#[test]
fn the_logger_frees_its_group() {
    let (place, drops) = (Place::new(), Arc::new(AtomicUsize::new(0)));
    let mut logger = null_mut();
    let ctx = Arc::as_ptr(&place) as usize;
    // SAFETY: all pointers are valid.
    let made = unsafe {
        docache_logger_new(
            Some(free_it),
            ctx,
            None,
            DOCACHE_LEVEL_TRACE,
            &raw mut logger,
            null_mut(),
        )
    };
    assert_eq!(made, DOCACHE_OK);
    let group = Group::with(&docache_run_group_options { logger, ..options() });
    // SAFETY: the share is ours.
    unsafe { docache_logger_release(logger) };
    group.add(Act::new("short", |_| Came::Ok).counted(&drops));
    let borrowed = std::mem::ManuallyDrop::new(Group(group.0));
    *place.0.lock().unwrap() = Some(group);
    assert_eq!(borrowed.run().status, DOCACHE_OK);
    assert!(place.0.lock().unwrap().is_none());
    assert_eq!(drops.load(Ordering::SeqCst), 1, "the run's end was the group's");
}

#[test]
fn a_free_beside_a_run_stops_it_and_waits_for_its_callbacks() {
    let (tell, begun) = mpsc::channel();
    let (tell, drops) = (Mutex::new(tell), Arc::new(AtomicUsize::new(0)));
    let left = Arc::new(AtomicBool::new(false));
    let leaves = left.clone();
    let group = Group::new();
    let act = Act::new("works", move |stop| {
        tell.lock().unwrap().send(()).unwrap();
        stop.wait();
        std::thread::sleep(std::time::Duration::from_millis(10));
        leaves.store(true, Ordering::SeqCst);
        Came::Ok
    });
    group.add(act.counted(&drops));
    let address = group.0 as usize;
    let running = std::thread::spawn(move || {
        std::mem::ManuallyDrop::new(Group(address as *mut docache_run_group)).run()
    });
    begun.recv().unwrap();
    drop(group);
    assert!(left.load(Ordering::SeqCst));
    assert_eq!(drops.load(Ordering::SeqCst), 1);
    let ran = running.join().unwrap();
    assert_eq!((ran.status, ran.report.cause().kind), (DOCACHE_OK, DOCACHE_RUN_STOPPED));
}

#[test]
fn groups_that_free_each_other_do_not_wait_for_each_other() {
    for _ in 0..50 {
        let places = [Place::new(), Place::new()];
        let meet = Arc::new(Barrier::new(2));
        let drops = Arc::new(AtomicUsize::new(0));
        let groups: Vec<Group> = (0..2)
            .map(|at| {
                let group = Group::new();
                let (other, meet) = (places[1 - at].clone(), meet.clone());
                let frees = move |_: Stop| {
                    meet.wait();
                    other.free();
                    Came::Ok
                };
                group.add(Act::new("frees", frees).counted(&drops));
                group
            })
            .collect();
        let addresses: Vec<usize> = groups.iter().map(|group| group.0 as usize).collect();
        for (place, group) in places.iter().zip(groups) {
            *place.0.lock().unwrap() = Some(group);
        }
        let runs: Vec<_> = addresses
            .into_iter()
            .map(|address| {
                std::thread::spawn(move || {
                    let group = Group(address as *mut docache_run_group);
                    std::mem::ManuallyDrop::new(group).run().status
                })
            })
            .collect();
        for run in runs {
            assert_eq!(run.join().unwrap(), DOCACHE_OK);
        }
        while drops.load(Ordering::SeqCst) < 2 {
            std::thread::yield_now();
        }
    }
}

/// An actor that runs another group waits for that, so what the other one frees is not waited for.
#[test]
fn an_actor_of_a_group_that_an_actor_runs_frees_that_actors_group() {
    let ran = run_freed(|group, place, drops| {
        let place = place.clone();
        group.add(Act::new("runs another", move |_| {
            let (other, place) = (Group::new(), place.clone());
            other.add(Act::new("frees", move |_| {
                place.free();
                Came::Ok
            }));
            Came::Status(other.run().status)
        }));
        group.add(Act::waiting("waits").counted(drops));
    });
    assert_eq!((ran.status, ran.report.cause().kind), (DOCACHE_OK, DOCACHE_RUN_STOPPED));
}

#[test]
fn interrupts_that_are_due_come_also_after_the_free_has_begun() {
    for _ in 0..200 {
        let group = Group::new();
        let (let_go, stays) = mpsc::channel::<()>();
        let (let_go, stays) = (Mutex::new(Some(let_go)), Mutex::new(stays));
        let drops = Arc::new(AtomicUsize::new(0));
        let handle = group.handle();
        let act = Act::new("deaf", move |_| {
            handle.stop_waiting();
            let _ = stays.lock().unwrap().recv();
            Came::Failed(3, "interrupted")
        });
        let told = Arc::new(AtomicUsize::new(0));
        let tells = told.clone();
        let act = act.interrupt(move |_| drop(let_go.lock().unwrap().take()));
        group.add(act.counted(&drops).on_failure(move |_| {
            tells.fetch_add(1, Ordering::SeqCst);
        }));
        assert!(group.run().report.cut_short().is_some());
        drop(group);
        assert_eq!(drops.load(Ordering::SeqCst), 1);
        assert_eq!(told.load(Ordering::SeqCst), 1);
    }
}

#[test]
fn an_actor_that_was_left_behind_frees_its_group() {
    let (place, drops) = (Place::new(), Arc::new(AtomicUsize::new(0)));
    let group = Group::with(&docache_run_group_options { deadline_ns: 1_000_000, ..options() });
    let (let_go, stays) = mpsc::channel::<()>();
    let (stays, handle, frees) = (Mutex::new(stays), group.handle(), place.clone());
    let act = Act::new("late", move |_| {
        handle.stop();
        let _ = stays.lock().unwrap().recv();
        frees.free();
        Came::Ok
    });
    group.add(act.counted(&drops));
    let ran = group.run();
    assert_eq!(ran.status, DOCACHE_TIMEOUT);
    *place.0.lock().unwrap() = Some(group);
    drop(let_go);
    while drops.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
}

#[test]
fn a_drop_frees_another_group() {
    let drops = Arc::new(AtomicUsize::new(0));
    let (outer, inner) = (Group::new(), Group::new());
    inner.add(Act::waiting("inner").counted(&drops));
    outer.add(Act::new("owns", move |_| {
        let _ = &inner;
        Came::Ok
    }));
    assert_eq!(outer.run().status, DOCACHE_OK);
    drop(outer);
    assert_eq!(drops.load(Ordering::SeqCst), 1);
}

#[test]
fn a_free_inside_a_loops_actor() {
    let drops = Arc::new(AtomicUsize::new(0));
    let place: Arc<Mutex<Option<Loop>>> = Arc::default();
    let repeated = Loop::new();
    let (frees, calls) = (place.clone(), Arc::new(AtomicUsize::new(0)));
    let counts = calls.clone();
    let act = Act::new("frees", move |_| {
        let repeated = frees.lock().unwrap().take();
        drop(repeated);
        counts.fetch_add(1, Ordering::SeqCst);
        Came::Failed(1, "no")
    });
    repeated.add(act.counted(&drops));
    let borrowed = std::mem::ManuallyDrop::new(Loop(repeated.0));
    *place.lock().unwrap() = Some(repeated);
    let ran = borrowed.run();
    assert_eq!((ran.status, ran.report.cause().kind), (DOCACHE_OK, DOCACHE_RUN_STOPPED));
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    while drops.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
}

/// What the drop of a registration that was refused frees.
unsafe extern "C-unwind" fn free_it_in_drop(ctx: usize) {
    // SAFETY: the test gives the address of a place that outlives its group.
    unsafe { &*(ctx as *const Place) }.free();
}

#[test]
fn a_drop_that_is_called_by_an_add_frees_the_group() {
    let (place, drops) = (Place::new(), Arc::new(AtomicUsize::new(0)));
    let group = Group::new();
    group.add(Act::waiting("one").counted(&drops));
    let mut bad = Act::waiting("two").raw();
    bad.execute = None;
    let (raw, ctx) = (group.0, Arc::as_ptr(&place) as usize);
    *place.0.lock().unwrap() = Some(group);
    // SAFETY: all pointers are valid; the group is freed inside.
    let refused = told(|error| unsafe {
        docache_run_group_add(raw, &bad, ctx, Some(free_it_in_drop), error)
    });
    assert_eq!((refused.0, drops.load(Ordering::SeqCst)), (DOCACHE_INVALID_ARGUMENT, 1));
}
