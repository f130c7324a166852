//! Groups: how they end, and what is said of it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};

use super::handles::*;
use docache::ffi::*;

fn finished() -> Cause {
    Cause {
        kind: DOCACHE_RUN_FINISHED,
        actor: String::new(),
        message: "all actors have returned".into(),
        status: DOCACHE_OK,
        signal: 0,
        code: 0,
    }
}

#[test]
fn actors_that_return_end_their_group() {
    let (group, drops) = (Group::new(), Arc::new(AtomicUsize::new(0)));
    for name in ["one", "two", "three"] {
        group.add(Act::new(name, |_| Came::Ok).interrupt(|_| unreachable!()).counted(&drops));
    }
    let ran = group.run();
    assert_eq!((ran.status, ran.message.as_str()), (DOCACHE_OK, ""));
    assert_eq!(ran.report.cause(), finished());
    assert!(ran.report.unfinished().is_empty() && ran.report.errors().is_empty());
    assert!(ran.report.cut_short().is_none() && ran.report.failures() == 0);
    assert_eq!(drops.load(Ordering::SeqCst), 0);
    drop(group);
    assert_eq!(drops.load(Ordering::SeqCst), 3);
    assert_eq!(ran.report.cause(), finished(), "the report is by itself");
}

#[test]
fn a_failure_interrupts_the_others_and_is_told_with_its_number() {
    let group = Group::new();
    let (tell, causes) = mpsc::channel();
    let told = Arc::new(Mutex::new(Vec::new()));
    let tells = told.clone();
    let begun = Arc::new(Barrier::new(2));
    let begins = begun.clone();
    let worker = Act::new("worker", move |stop| {
        begins.wait();
        stop.wait()
    });
    group.add(worker.interrupt(move |cause| tell.send(seen(cause)).unwrap()));
    let server = Act::new("server", move |_| {
        begun.wait();
        Came::Failed(42, "no port")
    });
    group.add(server.on_failure(move |error| {
        // SAFETY: the error is there.
        let code = unsafe { docache_error_code(error) };
        tells.lock().unwrap().push((code, message(error)));
    }));
    let ran = group.run();
    assert_eq!((ran.status, ran.code), (DOCACHE_DOER_FAILED, 42));
    assert_eq!(ran.message, "actor \"server\" has failed: no port");
    let cause = Cause {
        kind: DOCACHE_RUN_FAILED,
        actor: "server".into(),
        message: ran.message.clone(),
        status: DOCACHE_DOER_FAILED,
        signal: 0,
        code: 42,
    };
    assert_eq!(ran.report.cause(), cause);
    assert_eq!(causes.recv().unwrap(), cause);
    assert_eq!(*told.lock().unwrap(), [(42, "no port".into())]);
    let errors = ran.report.errors();
    assert_eq!(errors, [("server".into(), DOCACHE_DOER_FAILED, 42, "no port".into())]);
    assert_eq!(ran.report.failures(), 1);
}

#[test]
fn any_status_but_ok_is_a_failure() {
    for status in [DOCACHE_TIMEOUT, DOCACHE_DOER_FAILED, DOCACHE_UNSUPPORTED, 77, i32::MIN] {
        let group = Group::new();
        group.add(Act::new("odd", move |_| Came::Status(status)));
        let ran = group.run();
        assert_eq!(ran.status, DOCACHE_DOER_FAILED);
        assert!(ran.message.contains("the actor returned"), "{}", ran.message);
        assert!(ran.message.contains(&format!("({status})")), "{}", ran.message);
    }
}

#[test]
fn a_defect_is_a_panic_whether_it_is_reported_or_unwinds() {
    let defects: [fn(Stop) -> Came; 2] =
        [|_| Came::Status(DOCACHE_PANIC), |_| panic!("unwinds, against its contract")];
    for defect in defects {
        let group = Group::new();
        group.add(Act::new("buggy", defect)).add(Act::waiting("worker"));
        let ran = group.run();
        assert_eq!(ran.status, DOCACHE_PANIC);
        assert!(ran.message.contains("buggy"), "{}", ran.message);
        let cause = ran.report.cause();
        assert_eq!((cause.kind, cause.status), (DOCACHE_RUN_PANICKED, DOCACHE_PANIC));
    }
}

#[test]
fn an_interrupt_that_unwinds_is_a_panic_if_it_is_called() {
    for begins in [true, false] {
        let (group, begun) = (Group::new(), Arc::new(Barrier::new(2)));
        let (handle, is_begun) = (group.handle(), begun.clone());
        let worker = Act::new("worker", move |stop| {
            begun.wait();
            stop.wait()
        });
        group.add(worker.interrupt(|_| panic!("a bad interrupt")));
        if begins {
            group.add(Act::new("stops", move |_| {
                is_begun.wait();
                Came::Status(handle.stop())
            }));
        } else {
            assert_eq!(group.stop(), DOCACHE_OK);
        }
        let ran = group.run();
        assert_eq!(ran.report.cause().kind, DOCACHE_RUN_STOPPED);
        assert_eq!(ran.status, if begins { DOCACHE_PANIC } else { DOCACHE_OK });
        assert_eq!(ran.message.contains("a bad interrupt"), begins, "{}", ran.message);
    }
}

#[test]
fn a_group_may_stop_at_the_first_return() {
    let group =
        Group::with(&docache_run_group_options { stop_on: DOCACHE_STOP_ON_RETURN, ..options() });
    group.add(Act::waiting("long")).add(Act::new("short", |_| Came::Ok));
    let ran = group.run();
    assert_eq!(ran.status, DOCACHE_OK);
    let cause = ran.report.cause();
    assert_eq!((cause.kind, cause.actor.as_str()), (DOCACHE_RUN_RETURNED, "short"));
}

#[test]
fn it_is_stopped_from_anywhere_once() {
    let group = Group::new();
    let (handle, first) = (group.handle(), Arc::new(AtomicUsize::new(0)));
    for name in ["a", "b"] {
        let (handle, first) = (handle.clone(), first.clone());
        group.add(Act::new(name, move |stop| {
            first.fetch_add(usize::from(handle.stop() == DOCACHE_OK), Ordering::SeqCst);
            stop.wait()
        }));
    }
    assert!(!handle.is_stopping());
    assert_eq!(group.run().report.cause().kind, DOCACHE_RUN_STOPPED);
    assert_eq!(first.load(Ordering::SeqCst), 1);
    assert_eq!((handle.stop(), group.stop()), (DOCACHE_MISS, DOCACHE_MISS));
    drop(group);
    assert!(handle.is_stopping() && handle.stop() == DOCACHE_MISS);
    assert_eq!(handle.stop_waiting(), DOCACHE_OK);
}

#[test]
fn what_is_stopped_before_it_runs_calls_nobody() {
    let (group, drops) = (Group::new(), Arc::new(AtomicUsize::new(0)));
    group.add(Act::new("never", |_| unreachable!()).counted(&drops));
    assert_eq!(group.stop(), DOCACHE_OK);
    let ran = group.run();
    assert_eq!((ran.status, ran.report.cause().kind), (DOCACHE_OK, DOCACHE_RUN_STOPPED));
    drop(group);
    assert_eq!(drops.load(Ordering::SeqCst), 1);
}

#[test]
fn it_is_run_once_and_changed_only_before() {
    let (group, drops) = (Arc::new(Group::new()), Arc::new(AtomicUsize::new(0)));
    let (inside, counts) = (Arc::downgrade(&group), drops.clone());
    group.add(Act::new("meddles", move |_| {
        let group = inside.upgrade().unwrap();
        let again = group.run();
        assert_eq!((again.status, again.message.as_str()), (DOCACHE_BUSY, "the group is running"));
        assert!(again.report.0.is_null());
        let added = group.try_add(Act::waiting("late").counted(&counts));
        assert_eq!(added.0, DOCACHE_BUSY);
        assert_eq!(counts.load(Ordering::SeqCst), 1, "its drop is called all the same");
        let other = Group::new();
        assert_eq!(group.try_add_group("other", &other).0, DOCACHE_BUSY);
        assert_eq!(other.try_add_group("group", &group).0, DOCACHE_BUSY);
        assert_eq!(other.run().status, DOCACHE_OK, "it stays its owner's, as it was");
        Came::Ok
    }));
    let ran = group.run();
    assert_eq!(ran.status, DOCACHE_OK, "{}", ran.message);
    let again = group.run();
    assert_eq!(again.status, DOCACHE_CLOSED);
    assert!(again.message.contains("has run already") && again.report.0.is_null());
    let added = group.try_add(Act::waiting("late").counted(&drops));
    assert_eq!((added.0, drops.load(Ordering::SeqCst)), (DOCACHE_CLOSED, 2));
    // SAFETY: the group is there.
    let limited = told(|error| unsafe { docache_run_group_stage_deadline(group.0, 1, 1, error) });
    assert_eq!(limited.0, DOCACHE_CLOSED);
}

#[test]
fn stages_stop_in_their_order() {
    let (group, order) = (Group::new(), Arc::new(Mutex::new(Vec::new())));
    let begun = Arc::new(Barrier::new(4));
    for (name, stage) in [("last", 2), ("first", 0), ("second", 1)] {
        let (order, begun) = (order.clone(), begun.clone());
        let waits = move |stop: Stop| {
            begun.wait();
            stop.wait();
            order.lock().unwrap().push(name);
            Came::Ok
        };
        group.add(Act::new(name, waits).stage(stage));
    }
    let handle = group.handle();
    group.add(Act::new("stops", move |_| {
        begun.wait();
        Came::Status(handle.stop())
    }));
    assert_eq!(group.run().status, DOCACHE_OK);
    assert_eq!(*order.lock().unwrap(), ["first", "second", "last"]);
}

/// A group whose actor `deaf` stays until it is let go.
struct Deaf {
    group: Group,
    /// Passed by it and by whoever stops the group.
    begun: Arc<Barrier>,
    let_go: mpsc::Sender<()>,
    drops: Arc<AtomicUsize>,
}

/// One with `deadline_ns` for its stages.
fn deaf(deadline_ns: u64) -> Deaf {
    let group = Group::with(&docache_run_group_options { deadline_ns, ..options() });
    let ((let_go, stays), begun) = (mpsc::channel::<()>(), Arc::new(Barrier::new(2)));
    let (stays, drops) = (Mutex::new(stays), Arc::new(AtomicUsize::new(0)));
    let begins = begun.clone();
    let act = Act::new("deaf", move |_| {
        begins.wait();
        let _ = stays.lock().unwrap().recv();
        Came::Ok
    });
    group.add(act.counted(&drops));
    Deaf { group, begun, let_go, drops }
}

#[test]
fn who_does_not_stop_in_time_is_named_and_waited_for_by_the_free() {
    let Deaf { group, begun, let_go, drops } = deaf(1_000_000);
    group.add(Act::new("weak", move |_| {
        begun.wait();
        Came::Failed(7, "it broke")
    }));
    let ran = group.run();
    assert_eq!((ran.status, ran.code), (DOCACHE_DOER_FAILED, 7));
    let unfinished = ran.report.unfinished();
    assert!(unfinished.contains(&("deaf".into(), DOCACHE_RUN_IN_EXECUTE)), "{unfinished:?}");
    let message = "actor \"weak\" has failed: it broke; still running: \"deaf\"";
    assert!(ran.message.starts_with(message), "{}", ran.message);
    let (freed, is_freed) = mpsc::channel();
    let seen = drops.clone();
    let freeing = std::thread::spawn(move || {
        drop(group);
        assert_eq!(seen.load(Ordering::SeqCst), 1);
        freed.send(()).unwrap();
    });
    for _ in 0..20 {
        std::thread::sleep(std::time::Duration::from_millis(1));
        assert!(is_freed.try_recv().is_err() && drops.load(Ordering::SeqCst) == 0);
    }
    drop(let_go);
    freeing.join().unwrap();
}

#[test]
fn a_deadline_that_passes_is_a_timeout_and_a_detached_group_ends_by_itself() {
    let Deaf { group, begun, let_go, drops } = deaf(1_000_000);
    let handle = group.handle();
    let inner = Group::new();
    let (let_inner_go, stays) = mpsc::channel::<()>();
    let stays = Mutex::new(stays);
    inner.add(Act::new("stuck", move |_| {
        begun.wait();
        handle.stop();
        let _ = stays.lock().unwrap().recv();
        Came::Ok
    }));
    group.add_group("inner", inner);
    let ran = group.run();
    assert_eq!(ran.status, DOCACHE_TIMEOUT);
    let names: Vec<String> = ran.report.unfinished().into_iter().map(|(name, _)| name).collect();
    assert!(names.contains(&"inner/stuck".into()), "{names:?}");
    assert!(ran.message.contains("inner/stuck"), "{}", ran.message);
    group.detach();
    assert_eq!(drops.load(Ordering::SeqCst), 0);
    drop((let_go, let_inner_go));
    while drops.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
}

#[test]
fn an_interrupt_that_does_not_return_is_named_and_waited_for_by_the_free() {
    let group = Group::with(&docache_run_group_options { deadline_ns: 1_000_000, ..options() });
    let ((let_go, stays), begun) = (mpsc::channel::<()>(), Arc::new(Barrier::new(2)));
    let (stays, left) = (Mutex::new(stays), Arc::new(AtomicUsize::new(0)));
    let (begins, leaves, handle) = (begun.clone(), left.clone(), group.handle());
    let worker = Act::new("worker", move |stop| {
        begins.wait();
        stop.wait()
    });
    group.add(worker.interrupt(move |_| {
        let _ = stays.lock().unwrap().recv();
        leaves.fetch_add(1, Ordering::SeqCst);
    }));
    group.add(Act::new("stops", move |_| {
        begun.wait();
        Came::Status(handle.stop())
    }));
    let ran = group.run();
    assert_eq!(ran.status, DOCACHE_TIMEOUT, "{}", ran.message);
    let (name, parts) = &ran.report.unfinished()[0];
    assert!(name == "worker" && parts & DOCACHE_RUN_IN_INTERRUPT != 0, "{name} {parts}");
    drop(let_go);
    drop(group);
    assert_eq!(left.load(Ordering::SeqCst), 1);
}

#[test]
fn a_stage_may_have_a_deadline_of_its_own() {
    let Deaf { group, begun, let_go, .. } = deaf(0);
    // SAFETY: the group is there.
    let limited = told(|error| unsafe { docache_run_group_stage_deadline(group.0, 0, 0, error) });
    assert_eq!(limited.0, DOCACHE_OK);
    let handle = group.handle();
    group.add(Act::new("stops", move |_| {
        begun.wait();
        Came::Status(handle.stop())
    }));
    let ran = group.run();
    assert_eq!(ran.status, DOCACHE_TIMEOUT);
    assert!(ran.report.unfinished().contains(&("deaf".into(), DOCACHE_RUN_IN_EXECUTE)));
    drop(let_go);
}

#[test]
fn a_wait_that_is_cut_short_says_so() {
    let Deaf { group, begun, let_go, .. } = deaf(0);
    let handle = group.handle();
    group.add(Act::new("hurries", move |_| {
        begun.wait();
        Came::Status(handle.stop_waiting())
    }));
    let ran = group.run();
    assert_eq!(ran.status, DOCACHE_TIMEOUT);
    let cut = ran.report.cut_short().unwrap();
    assert_eq!(cut.kind, DOCACHE_RUN_STOPPED);
    assert_eq!(ran.report.cause().kind, DOCACHE_RUN_STOPPED);
    drop(let_go);
}

#[test]
fn what_inner_groups_and_loops_do_is_the_outer_ones_too() {
    let (storage, service) = (Group::new(), Group::new());
    let drops = Arc::new(AtomicUsize::new(0));
    let inner_handle = storage.handle();
    storage.add(Act::new("disk", |_| Came::Failed(28, "full")).counted(&drops));
    let polls = Loop::new();
    polls.add(Act::new("stat", |stop| stop.wait()).counted(&drops));
    service.add_group("storage", storage);
    let name = "polls";
    // SAFETY: all pointers are valid.
    let added = told(|error| unsafe {
        let (start, len) = (name.as_ptr().cast(), name.len());
        docache_run_group_add_loop(service.0, start, len, 1, polls.0, error)
    });
    assert_eq!(added, (DOCACHE_OK, String::new()));
    std::mem::forget(polls);
    assert!(!inner_handle.is_stopping());
    let ran = service.run();
    assert_eq!((ran.status, ran.code), (DOCACHE_DOER_FAILED, 28));
    assert_eq!(ran.message, "actor \"storage/disk\" has failed: full");
    assert_eq!(ran.report.cause().actor, "storage/disk");
    assert!(inner_handle.is_stopping());
    assert_eq!(drops.load(Ordering::SeqCst), 0);
    drop(service);
    assert_eq!(drops.load(Ordering::SeqCst), 2);
}

#[test]
fn an_inner_group_goes_with_an_outer_one_that_never_ran() {
    let drops = Arc::new(AtomicUsize::new(0));
    let (inner, middle, outer) = (Group::new(), Group::new(), Group::new());
    inner.add(Act::waiting("in").counted(&drops));
    middle.add_group("inner", inner);
    outer.add_group("middle", middle).add(Act::waiting("out").counted(&drops));
    drop(outer);
    assert_eq!(drops.load(Ordering::SeqCst), 2);
}
