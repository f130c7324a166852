//! What is not accepted, and what the errors say of it.

use std::ptr::{null, null_mut, without_provenance, without_provenance_mut};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::handles::*;
use docache::ffi::*;

/// It was refused, and the message has these words.
fn refused(told: (docache_status, String), words: &[&str]) {
    assert_eq!(told.0, DOCACHE_INVALID_ARGUMENT, "{words:?}: {}", told.1);
    assert!(words.iter().all(|word| told.1.contains(word)), "{words:?}: {}", told.1);
}

#[test]
fn options_are_checked() {
    let mut out = null_mut();
    let mut group = |options: *const docache_run_group_options| {
        // SAFETY: all pointers are valid, or refused.
        told(|error| unsafe { docache_run_group_new(options, &raw mut out, error) })
    };
    let ok = options();
    refused(group(&docache_run_group_options { size: 40, ..ok }), &["options.size", "40"]);
    refused(group(&docache_run_group_options { stop_on: 2, ..ok }), &["options.stop_on", "2"]);
    refused(group(&docache_run_group_options { reserved: 1, ..ok }), &["options.reserved"]);
    let name = docache_run_group_options { name: c"\xff".as_ptr(), name_len: 1, ..ok };
    refused(group(&name), &["options.name", "UTF-8"]);
    let logger = docache_run_group_options { logger: without_provenance_mut(1), ..ok };
    refused(group(&logger), &["options.logger", "misaligned"]);
    refused(group(without_provenance(4)), &["options", "misaligned"]);
    // SAFETY: all pointers are valid, or NULL.
    let no_place = told(|error| unsafe { docache_run_group_new(null(), null_mut(), error) });
    refused(no_place, &["out", "NULL"]);
    let mut out = null_mut();
    let bad = docache_run_loop_options {
        size: 0,
        name: null(),
        name_len: 0,
        logger: null_mut(),
        deadline_ns: 0,
    };
    // SAFETY: all pointers are valid.
    let refusal = told(|error| unsafe { docache_run_loop_new(&bad, &raw mut out, error) });
    refused(refusal, &["options.size"]);
}

#[test]
fn actors_are_checked_and_let_go_of_when_they_are_refused() {
    let group = Group::new();
    let drops = Arc::new(AtomicUsize::new(0));
    let mut asked = 0;
    let mut bad = |change: &dyn Fn(&mut docache_run_actor), words: &[&str]| {
        let act = Act::waiting("act").counted(&drops);
        let mut raw = act.raw();
        change(&mut raw);
        let ctx = act.into_ctx();
        // SAFETY: all pointers are valid, or refused.
        let told =
            told(|error| unsafe { docache_run_group_add(group.0, &raw, ctx, Some(let_go), error) });
        refused(told, words);
        asked += 1;
        assert_eq!(drops.load(Ordering::SeqCst), asked);
    };
    bad(&|act| act.size = 0, &["actor.size", "docache_run_actor"]);
    bad(&|act| act.execute = None, &["actor.execute", "NULL"]);
    bad(&|act| act.name_len = 0, &["actor.name", "empty"]);
    bad(&|act| act.name = null(), &["actor.name", "NULL"]);
    bad(&|act| act.reserved = 9, &["actor.reserved", "9"]);
    let act = Act::waiting("act").counted(&drops);
    let (raw, ctx) = (act.raw(), act.into_ctx());
    // SAFETY: all pointers are valid, or NULL.
    let nowhere =
        told(|error| unsafe { docache_run_group_add(null(), &raw, ctx, Some(let_go), error) });
    refused(nowhere, &["group", "NULL"]);
    let ctx = Act::waiting("act").counted(&drops).into_ctx();
    // SAFETY: all pointers are valid, or NULL.
    let nothing =
        told(|error| unsafe { docache_run_group_add(group.0, null(), ctx, Some(let_go), error) });
    refused(nothing, &["actor", "NULL"]);
    assert_eq!(drops.load(Ordering::SeqCst), asked + 2);
}

#[test]
fn actors_of_loops_are_checked_and_let_go_of_when_they_are_refused() {
    let repeated = Loop::new();
    let drops = Arc::new(AtomicUsize::new(0));
    let mut asked = 0;
    let mut bad = |change: &dyn Fn(&mut docache_run_loop_actor), words: &[&str]| {
        refused(repeated.try_add_as(Act::waiting("act").counted(&drops), change), words);
        asked += 1;
        assert_eq!(drops.load(Ordering::SeqCst), asked);
    };
    bad(&|act| act.size = 88 + 4096, &["actor.size", "docache_run_loop_actor"]);
    bad(&|act| act.execute = None, &["actor.execute", "NULL"]);
    bad(&|act| act.failure_limit = 1, &["actor.failure_span_ns"]);
    bad(&|act| act.failure_span_ns = 1, &["actor.failure_limit"]);
    let backoff = |change: fn(&mut docache_backoff)| {
        let mut backoff = docache_backoff {
            size: size_of::<docache_backoff>(),
            first_ns: 2,
            most_ns: 0,
            growth: 0,
            jitter: 0,
        };
        change(&mut backoff);
        backoff
    };
    let cases: [(docache_backoff, &str); 5] = [
        (backoff(|backoff| backoff.size = 1), "actor.backoff.size"),
        (backoff(|backoff| backoff.first_ns = 0), "actor.backoff.first_ns"),
        (backoff(|backoff| backoff.most_ns = 1), "actor.backoff.most_ns"),
        (backoff(|backoff| backoff.growth = 2), "actor.backoff.growth"),
        (backoff(|backoff| backoff.jitter = 3), "actor.backoff.jitter"),
    ];
    for (backoff, name) in &cases {
        bad(&|act| act.backoff = backoff, &[name]);
    }
}

#[test]
fn a_group_is_no_part_of_itself() {
    let group = Group::new();
    refused(group.try_add_group("self", &group), &["inner", "the group itself"]);
    let other = Group::new();
    refused(group.try_add_group("", &other), &["name", "empty"]);
    assert_eq!((group.run().status, other.run().status), (DOCACHE_OK, DOCACHE_OK));
}

#[test]
fn places_for_reports_and_causes_are_checked() {
    let mut cause = no_cause();
    let group = Group::new();
    let ran = group.run();
    cause.size = 3;
    let place = &raw mut cause;
    // SAFETY: the report is there.
    let small = told(|error| unsafe { docache_run_report_cause(ran.report.0, place, error) });
    refused(small, &["out.size", "3"]);
    // A place for a report may be NULL, but not misaligned; then nothing is run.
    let group = Group::new();
    let bad = without_provenance_mut(1);
    // SAFETY: it is refused.
    let misplaced = told(|error| unsafe { docache_run_group_run(group.0, bad, error) });
    refused(misplaced, &["out_report", "misaligned"]);
    assert_eq!(group.run().status, DOCACHE_OK);
}

#[cfg(not(feature = "signals"))]
#[test]
fn a_build_without_signals_says_so() {
    let group = Group::new();
    // SAFETY: all pointers are valid, or NULL.
    let told = told(|error| unsafe { docache_run_group_add_signals(group.0, null(), 0, error) });
    assert_eq!(told.0, DOCACHE_UNSUPPORTED);
    assert!(told.1.contains("signals"), "{}", told.1);
}

#[cfg(all(unix, feature = "signals"))]
#[test]
fn signals_are_checked() {
    let group = Group::new();
    let add = |signals: *const i32, count| {
        // SAFETY: all pointers are valid, or refused.
        told(|error| unsafe { docache_run_group_add_signals(group.0, signals, count, error) })
    };
    refused(add(null(), 1), &["signals", "NULL"]);
    refused(add(&9, 1), &["signals"]);
    refused(add(&0, 1), &["signals"]);
    refused(add(&-1, 1), &["signals"]);
    refused(add(&2, usize::MAX), &["count"]);
    assert_eq!(add(without_provenance(1), 0), (DOCACHE_OK, String::new()), "SIGINT and SIGTERM");
    let twice = [libc::SIGUSR1; 2];
    assert_eq!(add(twice.as_ptr(), 2), (DOCACHE_OK, String::new()));
    assert_eq!(group.stop(), DOCACHE_OK);
    assert_eq!(group.run().status, DOCACHE_OK);
    assert_eq!(add(null(), 0).0, DOCACHE_CLOSED);
}
