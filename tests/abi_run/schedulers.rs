//! Schedulers: calls that come later, and loop caches on the same threads.

use std::ptr::{null, null_mut, without_provenance, without_provenance_mut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::time::{Duration, Instant};

use super::handles::told;
use super::scheduled::*;
use docache::ffi::*;

fn await_drops(drops: &AtomicUsize, wanted: usize) {
    while drops.load(Ordering::SeqCst) < wanted {
        std::thread::yield_now();
    }
    assert_eq!(drops.load(Ordering::SeqCst), wanted);
}

/// A call that says that it has begun, and stays until it is let go of.
struct Staying {
    called: Called,
    begun: mpsc::Receiver<()>,
    let_go: mpsc::Sender<()>,
}

fn staying(drops: &Arc<AtomicUsize>) -> Staying {
    let ((tell, begun), (let_go, stays)) = (mpsc::channel(), mpsc::channel());
    let (tell, stays) = (Mutex::new(tell), Mutex::new(stays));
    let called = Called::new(move || {
        tell.lock().unwrap().send(()).unwrap();
        let _ = stays.lock().unwrap().recv();
    });
    Staying { called: called.counted(drops), begun, let_go }
}

#[test]
fn a_call_comes_once_after_its_delay_and_is_let_go_of() {
    let (scheduler, drops) = (Scheduler::new(), Arc::new(AtomicUsize::new(0)));
    assert_eq!((scheduler.stats().workers, scheduler.stats().scheduled), (0, 0));
    let ((tell, told), start) = (mpsc::channel(), Instant::now());
    let tell = Mutex::new(tell);
    let called = Called::new(move || tell.lock().unwrap().send(start.elapsed()).unwrap());
    let scheduled = scheduler.call_after(5_000_000, called.counted(&drops));
    assert!(told.recv().unwrap() >= Duration::from_millis(5));
    await_drops(&drops, 1);
    assert!(!scheduled.is_waiting());
    assert_eq!(scheduled.cancel(), DOCACHE_MISS);
    while scheduler.stats().calls < 1 {
        std::thread::yield_now();
    }
    assert_eq!((scheduler.stats().scheduled, scheduler.stats().panics), (0, 0));
}

#[test]
fn a_cancelled_call_does_not_come() {
    let (scheduler, drops) = (Scheduler::new(), Arc::new(AtomicUsize::new(0)));
    let scheduled = scheduler.call_after(HOUR, Called::never().counted(&drops));
    assert!(scheduled.is_waiting());
    assert_eq!((scheduled.cancel(), drops.load(Ordering::SeqCst)), (DOCACHE_OK, 1));
    assert_eq!(scheduler.stats().scheduled, 0);
    assert_eq!((scheduled.cancel(), scheduled.is_waiting()), (DOCACHE_MISS, false));

    let Staying { called, begun, let_go } = staying(&drops);
    let scheduled = scheduler.call_after(0, called);
    begun.recv().unwrap();
    assert_eq!((scheduled.cancel(), scheduled.is_waiting()), (DOCACHE_MISS, false));
    drop(let_go);
    await_drops(&drops, 2);
    drop(scheduler);
    assert_eq!(scheduled.cancel(), DOCACHE_MISS);
}

#[test]
fn a_free_lets_go_of_what_waits_and_waits_for_what_is_under_way() {
    let (scheduler, drops) = (Scheduler::new(), Arc::new(AtomicUsize::new(0)));
    let scheduled = scheduler.call_after(HOUR, Called::never().counted(&drops));
    assert_eq!(scheduler.try_call(u64::MAX, Called::never().counted(&drops)).0, DOCACHE_OK);
    let Staying { called, begun, let_go } = staying(&drops);
    assert_eq!(scheduler.try_call(0, called).0, DOCACHE_OK);
    begun.recv().unwrap();
    let freeing = std::thread::spawn(move || drop(scheduler));
    while scheduled.is_waiting() {
        std::thread::yield_now();
    }
    assert!(!freeing.is_finished());
    assert_eq!(scheduled.cancel(), DOCACHE_MISS);
    drop(let_go);
    freeing.join().unwrap();
    assert_eq!(drops.load(Ordering::SeqCst), 3);
}

#[test]
fn a_call_frees_its_own_scheduler() {
    for _ in 0..50 {
        let (place, drops) = (Place::new(), Arc::new(AtomicUsize::new(0)));
        let (scheduler, seen) = (Scheduler::new(), drops.clone());
        let raw = std::mem::ManuallyDrop::new(Scheduler(scheduler.0));
        assert_eq!(raw.try_call(HOUR, Called::never().counted(&drops)).0, DOCACHE_OK);
        place.put(scheduler);
        let (frees, (tell, told)) = (place.clone(), mpsc::channel());
        let tell = Mutex::new(tell);
        let called = Called::new(move || {
            frees.free();
            assert_eq!(seen.load(Ordering::SeqCst), 0, "inside a callback: not yet");
            tell.lock().unwrap().send(()).unwrap();
        });
        // It may be freed before this returns.
        assert_eq!(raw.try_call(0, called.counted(&drops)).0, DOCACHE_OK);
        told.recv().unwrap();
        await_drops(&drops, 2);
    }
}

#[test]
fn what_is_let_go_of_frees_the_scheduler() {
    let (place, drops) = (Place::new(), Arc::new(AtomicUsize::new(0)));
    let scheduler = Scheduler::new();
    let raw = std::mem::ManuallyDrop::new(Scheduler(scheduler.0));
    let frees = place.clone();
    let called = Called::never().counted(&drops).on_drop(move || frees.free());
    let scheduled = scheduler.call_after(HOUR, called);
    assert_eq!(raw.try_call(HOUR, Called::never().counted(&drops)).0, DOCACHE_OK);
    place.put(scheduler);
    assert_eq!(scheduled.cancel(), DOCACHE_OK);
    assert!(place.is_empty());
    assert_eq!(drops.load(Ordering::SeqCst), 2);
}

#[test]
fn schedulers_that_free_each_other_do_not_wait_for_each_other() {
    for _ in 0..50 {
        let (places, drops) = ([Place::new(), Place::new()], Arc::new(AtomicUsize::new(0)));
        let meet = Arc::new(Barrier::new(2));
        let schedulers = [Scheduler::new(), Scheduler::new()];
        let raw = schedulers.each_ref().map(|scheduler| scheduler.0);
        for (place, scheduler) in places.iter().zip(schedulers) {
            place.put(scheduler);
        }
        for (at, raw) in raw.into_iter().enumerate() {
            let (other, meet) = (places[1 - at].clone(), meet.clone());
            let called = Called::new(move || {
                meet.wait();
                other.free();
            });
            let raw = std::mem::ManuallyDrop::new(Scheduler(raw));
            assert_eq!(raw.try_call(0, called.counted(&drops)).0, DOCACHE_OK);
        }
        await_drops(&drops, 2);
    }
}

#[test]
fn a_loop_on_a_scheduler_outlives_its_handle() {
    let (scheduler, drops) = (Scheduler::new(), Arc::new(AtomicUsize::new(0)));
    let doer = Called::new(|| {
        let name = std::thread::current().name().map(str::to_owned);
        assert_eq!(name.as_deref(), Some("docache-sched"));
    });
    let cache = Cache::new(&scheduler, 100_000, doer.counted(&drops));
    assert_eq!(cache.start(), DOCACHE_OK);
    assert_eq!(scheduler.stats().scheduled, 1);
    let seen = cache.changed(2);
    drop(scheduler);
    let seen = cache.changed(seen + 1);
    assert_eq!((cache.stop(), cache.is_running()), (DOCACHE_OK, false));
    assert_eq!(cache.start(), DOCACHE_OK);
    cache.changed(seen);
    drop(cache);
    assert_eq!(drops.load(Ordering::SeqCst), 1);
}

#[test]
fn a_doer_on_a_scheduler_frees_its_own_loop() {
    let (scheduler, drops) = (Scheduler::new(), Arc::new(AtomicUsize::new(0)));
    let place = Place::new();
    let (frees, seen) = (place.clone(), drops.clone());
    let doer = Called::new(move || {
        frees.free();
        assert_eq!(seen.load(Ordering::SeqCst), 0, "inside a callback: not yet");
    });
    let cache = Cache::new(&scheduler, HOUR, doer.counted(&drops));
    let raw = std::mem::ManuallyDrop::new(Cache(cache.0));
    place.put(cache);
    assert_eq!(raw.start(), DOCACHE_OK);
    await_drops(&drops, 1);
    assert!(place.is_empty());
}

/// The end of a turn belongs to its loop as well, though its worker serves many.
#[test]
fn results_on_a_scheduler_that_free_each_others_loops_do_not_wait_for_each_other() {
    for _ in 0..20 {
        let (scheduler, drops) = (Scheduler::new(), Arc::new(AtomicUsize::new(0)));
        let (places, meet) = ([Place::new(), Place::new()], Arc::new(Barrier::new(2)));
        let raw = [0, 1].map(|at| {
            let (other, meet): (Arc<Place<Cache>>, _) = (places[1 - at].clone(), meet.clone());
            // The first result of each goes when the second one comes.
            let is_first = std::sync::atomic::AtomicBool::new(true);
            let gone = Called::new(move || {
                if is_first.swap(false, Ordering::SeqCst) {
                    meet.wait();
                    other.free();
                }
            });
            let doer = gone.counted(&drops);
            let cache = Cache::with(&scheduler, 100_000, perform_at_its_end, doer);
            let raw = cache.0;
            places[at].put(cache);
            raw
        });
        for raw in raw {
            let raw = std::mem::ManuallyDrop::new(Cache(raw));
            assert_eq!(raw.start(), DOCACHE_OK);
        }
        await_drops(&drops, 2);
        drop(scheduler);
    }
}

#[test]
fn a_call_and_a_doer_free_each_others_objects() {
    for _ in 0..20 {
        let (drops, meet) = (Arc::new(AtomicUsize::new(0)), Arc::new(Barrier::new(2)));
        let (schedulers, caches) = (Place::new(), Place::new());
        let scheduler = Scheduler::new();
        let (frees, meets) = (schedulers.clone(), meet.clone());
        let doer = Called::new(move || {
            meets.wait();
            frees.free();
        });
        let cache = Cache::new(&scheduler, HOUR, doer.counted(&drops));
        assert_eq!(cache.start(), DOCACHE_OK);
        caches.put(cache);
        let raw = std::mem::ManuallyDrop::new(Scheduler(scheduler.0));
        schedulers.put(scheduler);
        let called = Called::new(move || {
            meet.wait();
            caches.free();
        });
        assert_eq!(raw.try_call(0, called.counted(&drops)).0, DOCACHE_OK);
        await_drops(&drops, 2);
    }
}

#[test]
fn a_shutdown_ends_calls_and_loops() {
    let (scheduler, drops) = (Scheduler::new(), Arc::new(AtomicUsize::new(0)));
    let cache = Cache::new(&scheduler, HOUR, Called::new(|| ()));
    assert_eq!(cache.start(), DOCACHE_OK);
    cache.changed(0);
    let Staying { called, begun, let_go } = staying(&drops);
    assert_eq!(scheduler.try_call(0, called).0, DOCACHE_OK);
    begun.recv().unwrap();
    let scheduled = scheduler.call_after(HOUR, Called::never().counted(&drops));
    let (status, message) = scheduler.shutdown(0);
    assert_eq!(status, DOCACHE_TIMEOUT);
    assert!(message.contains("under way"), "{message}");
    assert_eq!((scheduled.cancel(), drops.load(Ordering::SeqCst)), (DOCACHE_MISS, 1));
    drop(let_go);
    assert_eq!(scheduler.shutdown(DOCACHE_FOREVER), (DOCACHE_OK, String::new()));
    assert_eq!(drops.load(Ordering::SeqCst), 2);
    let refused = scheduler.try_call(0, Called::never().counted(&drops));
    assert_eq!(refused.0, DOCACHE_CLOSED);
    assert!(refused.1.contains("shut down"), "{}", refused.1);
    assert_eq!(drops.load(Ordering::SeqCst), 3);
    assert!(!cache.is_running());
    assert_eq!((cache.refresh(), cache.start()), (DOCACHE_CLOSED, DOCACHE_CLOSED));
    let late = Cache::new(&scheduler, HOUR, Called::never());
    assert_eq!(late.start(), DOCACHE_CLOSED);
}

#[test]
fn a_shutdown_inside_a_call_does_not_wait() {
    let (scheduler, drops) = (Arc::new(Scheduler::new()), Arc::new(AtomicUsize::new(0)));
    assert_eq!(scheduler.try_call(HOUR, Called::never().counted(&drops)).0, DOCACHE_OK);
    let (inside, (tell, told)) = (Arc::downgrade(&scheduler), mpsc::channel());
    let tell = Mutex::new(tell);
    let called = Called::new(move || {
        let status = inside.upgrade().unwrap().shutdown(DOCACHE_FOREVER).0;
        tell.lock().unwrap().send(status).unwrap();
    });
    assert_eq!(scheduler.try_call(0, called.counted(&drops)).0, DOCACHE_OK);
    assert_eq!(told.recv().unwrap(), DOCACHE_OK);
    await_drops(&drops, 2);
}

/// Whoever frees what a shutdown is in the midst of does not wait for it.
#[test]
fn a_shutdown_inside_a_doer_is_not_waited_for_by_what_it_waits_for() {
    let (scheduler, drops) = (Arc::new(Scheduler::new()), Arc::new(AtomicUsize::new(0)));
    let (caches, meet) = (Place::new(), Arc::new(Barrier::new(2)));
    let (own, other) = (Scheduler::new(), Arc::downgrade(&scheduler));
    let meets = meet.clone();
    let doer = Called::new(move || {
        meets.wait();
        assert_eq!(other.upgrade().unwrap().shutdown(DOCACHE_FOREVER).0, DOCACHE_OK);
    });
    let cache = Cache::new(&own, HOUR, doer.counted(&drops));
    assert_eq!(cache.start(), DOCACHE_OK);
    caches.put(cache);
    let called = Called::new(move || {
        meet.wait();
        caches.free();
    });
    assert_eq!(scheduler.try_call(0, called.counted(&drops)).0, DOCACHE_OK);
    await_drops(&drops, 2);
}

#[test]
fn calls_that_are_stuck_hold_up_nobody_else() {
    let one = docache_scheduler_options { workers: 1, grace_ns: 1_000_000, ..options() };
    let (scheduler, drops) = (Scheduler::with(&one), Arc::new(AtomicUsize::new(0)));
    let stuck: Vec<_> = (0..3)
        .map(|_| {
            let Staying { called, begun, let_go } = staying(&drops);
            assert_eq!(scheduler.try_call(0, called).0, DOCACHE_OK);
            begun.recv().unwrap();
            let_go
        })
        .collect();
    let stats = scheduler.stats();
    assert_eq!((stats.workers, stats.busy, stats.scheduled), (3, 3, 3));
    assert!(stats.grown == 2 && stats.stuck == 2, "{stats:?}");
    assert!(stats.max_lateness_ns >= 1_000_000, "{stats:?}");
    drop(stuck);
    await_drops(&drops, 3);
}

#[test]
fn a_call_that_unwinds_is_counted_and_let_go_of() {
    let (scheduler, drops) = (Scheduler::new(), Arc::new(AtomicUsize::new(0)));
    let called = Called::new(|| panic!("unwinds, against its contract"));
    assert_eq!(scheduler.try_call(0, called.counted(&drops)).0, DOCACHE_OK);
    let panics = Called::new(|| ()).on_drop(|| panic!("so does a drop"));
    assert_eq!(scheduler.try_call(0, panics.counted(&drops)).0, DOCACHE_OK);
    await_drops(&drops, 2);
    while scheduler.stats().calls < 2 {
        std::thread::yield_now();
    }
    assert_eq!(scheduler.stats().panics, 1);
}

/// It was refused, and the message has these words.
fn refused(told: (docache_status, String), words: &[&str]) {
    assert_eq!(told.0, DOCACHE_INVALID_ARGUMENT, "{words:?}: {}", told.1);
    assert!(words.iter().all(|word| told.1.contains(word)), "{words:?}: {}", told.1);
}

#[test]
fn options_of_schedulers_are_checked() {
    let mut out = without_provenance_mut(8);
    let mut make = |options: *const docache_scheduler_options| {
        // SAFETY: all pointers are valid, or refused.
        let told = told(|error| unsafe { docache_scheduler_new(options, &raw mut out, error) });
        assert!(out.is_null());
        told
    };
    let ok = options();
    refused(make(&docache_scheduler_options { size: 40, ..ok }), &["options.size", "40"]);
    let few = docache_scheduler_options { workers: 4, max_workers: 3, ..ok };
    refused(make(&few), &["max_workers", "3", "4"]);
    let name = docache_scheduler_options { name: c"a".as_ptr(), name_len: 2, ..ok };
    refused(make(&name), &["options.name", "NUL"]);
    let name = docache_scheduler_options { name: c"\xff".as_ptr(), name_len: 1, ..ok };
    refused(make(&name), &["options.name", "UTF-8"]);
    refused(make(without_provenance(4)), &["options", "misaligned"]);
    // SAFETY: all pointers are valid, or NULL.
    let no_place = told(|error| unsafe { docache_scheduler_new(null(), null_mut(), error) });
    refused(no_place, &["out", "NULL"]);

    // SAFETY: its fields are numbers, and pointers or NULL.
    let mut of_loop: docache_loop_options = unsafe { std::mem::zeroed() };
    (of_loop.size, of_loop.interval_ns) = (size_of::<docache_loop_options>(), HOUR);
    of_loop.scheduler = without_provenance(4);
    let mut cache = null_mut();
    // SAFETY: all pointers are valid, or refused.
    let of_loop =
        told(|error| unsafe { docache_loop_new(&of_loop, None, 0, None, &raw mut cache, error) });
    refused(of_loop, &["options.scheduler", "misaligned"]);
}

#[test]
fn calls_are_checked_and_let_go_of_when_they_are_refused() {
    let (scheduler, drops) = (Scheduler::new(), Arc::new(AtomicUsize::new(0)));
    let ctx = || Called::never().counted(&drops).into_ctx();
    let (gone, mut out) = (Some(let_go as _), without_provenance_mut(8));
    let place = &raw mut out;
    // SAFETY: all pointers are valid, or refused.
    let no_callback = told(|error| unsafe {
        docache_scheduler_call_after(scheduler.0, 0, None, ctx(), gone, place, error)
    });
    refused(no_callback, &["callback", "NULL"]);
    assert!(out.is_null());
    // SAFETY: as above.
    let no_scheduler = told(|error| unsafe {
        docache_scheduler_call_after(null(), 0, Some(call), ctx(), gone, null_mut(), error)
    });
    refused(no_scheduler, &["scheduler", "NULL"]);
    // SAFETY: as above.
    let bad_place = told(|error| unsafe {
        let place = without_provenance_mut(4);
        docache_scheduler_call_after(scheduler.0, 0, Some(call), ctx(), gone, place, error)
    });
    refused(bad_place, &["out", "misaligned"]);
    assert_eq!(drops.load(Ordering::SeqCst), 3);

    // SAFETY: NULL is refused.
    let cancelled = told(|error| unsafe { docache_scheduled_cancel(null(), error) });
    refused(cancelled, &["scheduled", "NULL"]);
    // SAFETY: as above.
    let ended = told(|error| unsafe { docache_scheduler_shutdown(null(), 0, error) });
    refused(ended, &["scheduler", "NULL"]);
    // SAFETY: its fields are numbers.
    let mut counters: docache_scheduler_counters = unsafe { std::mem::zeroed() };
    // SAFETY: all pointers are valid.
    let sizeless =
        told(|error| unsafe { docache_scheduler_stats(scheduler.0, &raw mut counters, error) });
    refused(sizeless, &["out.size", "0"]);
    // SAFETY: NULL is fine.
    assert!(!unsafe { docache_scheduled_is_waiting(null()) });
    // SAFETY: as above.
    unsafe { docache_scheduled_free(null_mut()) };
    // SAFETY: as above.
    unsafe { docache_scheduler_free(null_mut()) };
}
