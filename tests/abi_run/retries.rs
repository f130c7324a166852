//! Retries.

use std::ptr::{null, null_mut};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::handles::*;
use docache::ffi::*;

type Attempt<'a> = dyn FnMut(*mut docache_retrier) -> Came + 'a;

unsafe extern "C-unwind" fn attempt(
    ctx: usize,
    retrier: *mut docache_retrier,
    out_error: *mut *mut docache_error,
) -> docache_status {
    // SAFETY: `retry` gives the address of one that is there through the call.
    let attempt = unsafe { &mut *(ctx as *mut &mut Attempt<'_>) };
    attempt(retrier).give(out_error)
}

fn options() -> docache_run_retry_options {
    docache_run_retry_options {
        size: size_of::<docache_run_retry_options>(),
        backoff: null(),
        stop: null(),
        budget_ns: 0,
        max_attempts: 0,
    }
}

/// The status, the message, the number of the last error, and the number of attempts.
fn retry(
    options: &docache_run_retry_options,
    mut f: impl FnMut(*mut docache_retrier) -> Came,
) -> (docache_status, String, i64, u64) {
    let mut given: &mut Attempt<'_> = &mut f;
    let (ctx, mut attempts) = (&raw mut given as usize, 0);
    let (status, message, code) =
        // SAFETY: all pointers are valid.
        told_with_code(|error| unsafe {
            docache_run_retry(options, Some(attempt), ctx, &raw mut attempts, error)
        });
    (status, message, code, attempts)
}

fn iteration(retrier: *mut docache_retrier) -> u64 {
    // SAFETY: it is there through the attempt.
    unsafe { docache_retrier_iteration(retrier) }
}

#[test]
fn attempts_go_on_until_one_succeeds() {
    let came =
        retry(&options(), |r| if iteration(r) < 4 { Came::Failed(1, "busy") } else { Came::Ok });
    assert_eq!(came, (DOCACHE_OK, String::new(), 0, 4));
}

#[test]
fn limits_end_them_with_the_last_error() {
    let limited = docache_run_retry_options { max_attempts: 3, ..options() };
    let came = retry(&limited, |r| Came::Failed(iteration(r) as i64, "busy"));
    let message = "gave up after 3 attempts, as no attempts are left: busy";
    assert_eq!(came, (DOCACHE_DOER_FAILED, message.into(), 3, 3));

    let came = retry(&options(), |r| {
        // SAFETY: it is there through the attempt.
        Came::Status(unsafe { docache_retrier_permanent(r, DOCACHE_TIMEOUT) })
    });
    assert_eq!((came.0, came.3), (DOCACHE_DOER_FAILED, 1));
    assert!(came.1.contains("the attempt returned TIMEOUT (4)"), "{}", came.1);

    let came = retry(&options(), |_| Came::Status(DOCACHE_PANIC));
    assert_eq!((came.0, came.3), (DOCACHE_PANIC, 1), "a defect is not tried again");
    let came = retry(&options(), |_| panic!("unwinds, against its contract"));
    assert_eq!(came.0, DOCACHE_PANIC);
}

#[test]
fn a_delay_is_waited_for_and_a_budget_is_not_exceeded() {
    let start = Instant::now();
    let came = retry(&options(), |r| {
        // SAFETY: it is there through the attempt.
        let said = unsafe { docache_retrier_set_delay(r, 5_000_000, null_mut()) };
        assert_eq!(said, DOCACHE_OK);
        if iteration(r) == 1 { Came::Failed(429, "slow down") } else { Came::Ok }
    });
    assert_eq!((came.0, came.3), (DOCACHE_OK, 2));
    assert!(start.elapsed() >= Duration::from_millis(5));

    let hour = 3_600_000_000_000;
    let budget = docache_run_retry_options { budget_ns: hour, ..options() };
    let came = retry(&budget, |r| {
        // SAFETY: it is there through the attempt.
        let left = unsafe { docache_retrier_remaining_ns(r) };
        assert!((1..=hour as i64).contains(&left), "{left}");
        // SAFETY: as above.
        unsafe { docache_retrier_set_delay(r, 2 * hour, null_mut()) };
        Came::Failed(9, "busy")
    });
    assert_eq!((came.0, came.2, came.3), (DOCACHE_TIMEOUT, 9, 1));
}

#[test]
fn an_attempt_sets_the_limits_of_those_to_come() {
    let backoff = docache_backoff {
        size: size_of::<docache_backoff>(),
        first_ns: 1_000_000,
        most_ns: 2_000_000,
        growth: DOCACHE_BACKOFF_DOUBLING,
        jitter: DOCACHE_JITTER_NONE,
    };
    let start = Instant::now();
    let came = retry(&options(), |r| {
        // SAFETY: all pointers are valid.
        let backed = unsafe { docache_retrier_set_backoff(r, &raw const backoff, null_mut()) };
        // SAFETY: it is there through the attempt.
        let limited = unsafe { docache_retrier_set_budget(r, 60_000_000_000, null_mut()) };
        // SAFETY: as above.
        let counted = unsafe { docache_retrier_set_max_attempts(r, 4, null_mut()) };
        assert_eq!((backed, limited, counted), (DOCACHE_OK, DOCACHE_OK, DOCACHE_OK));
        Came::Failed(1, "busy")
    });
    assert_eq!((came.0, came.3), (DOCACHE_DOER_FAILED, 4));
    assert!(start.elapsed() >= Duration::from_millis(5));
}

#[test]
fn what_stops_an_actor_ends_its_retries() {
    for before in [true, false] {
        let group = Group::new();
        let handle = group.handle();
        let seen = std::sync::Arc::new(Mutex::new(None));
        let sees = seen.clone();
        let backoff = docache_backoff {
            size: size_of::<docache_backoff>(),
            first_ns: u64::MAX,
            most_ns: 0,
            growth: DOCACHE_BACKOFF_CONSTANT,
            jitter: 0,
        };
        group.add(Act::new("retries", move |stop| {
            if before {
                handle.stop();
                stop.wait();
            }
            let policy = docache_run_retry_options {
                backoff: &raw const backoff,
                stop: stop.0,
                ..options()
            };
            let came = retry(&policy, |_| {
                handle.stop();
                Came::Failed(3, "busy")
            });
            assert!(stop.is_set());
            *sees.lock().unwrap() = Some(came);
            Came::Ok
        }));
        assert_eq!(group.run().status, DOCACHE_OK);
        let (status, message, code, attempts) = seen.lock().unwrap().take().unwrap();
        assert_eq!(status, DOCACHE_CANCELLED, "{message}");
        assert_eq!((code, attempts), if before { (0, 0) } else { (3, 1) });
    }
}

#[test]
fn nonsense_is_refused_by_name() {
    let bad = |change: fn(&mut docache_run_retry_options), name: &str| {
        let mut given = options();
        change(&mut given);
        let came = retry(&given, |_| unreachable!());
        assert!(came.0 == DOCACHE_INVALID_ARGUMENT && came.1.contains(name), "{came:?}");
    };
    bad(|options| options.size = 8, "options.size");
    bad(|options| options.stop = std::ptr::without_provenance(1), "options.stop");
    bad(|options| options.backoff = std::ptr::without_provenance(1), "options.backoff");
    // SAFETY: all pointers are valid, or NULL.
    let none = told(|error| unsafe { docache_run_retry(null(), None, 0, null_mut(), error) });
    assert!(none.0 == DOCACHE_INVALID_ARGUMENT && none.1.contains("attempt"), "{none:?}");
    // SAFETY: NULL is refused.
    let refused = unsafe { docache_retrier_permanent(null_mut(), DOCACHE_DOER_FAILED) };
    assert_eq!(refused, DOCACHE_INVALID_ARGUMENT);
}
