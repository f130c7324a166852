//! Each rule of a retry.

use crate::jumping::JumpingClock;
use docache::run::{Backoff, GaveUp, Retry, RetryError, Scheduler, retry, retry_async};
use docache::{Clock, Context};
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::task::{Context as Task, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn on_clock() -> (JumpingClock, Retry) {
    let clock = JumpingClock::default();
    (clock.clone(), Retry::new().context(&Context::with_clock(clock)))
}

/// Drives a future on this thread.
fn drive<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker: Waker = Arc::new(Unpark(std::thread::current())).into();
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Task::from_waker(&waker)) {
            return output;
        }
        std::thread::park();
    }
}

#[test]
fn a_success_ends_it() {
    assert_eq!(retry(|r| Ok::<_, ()>(r.iteration())).unwrap(), 1);
    let stopped = retry(|r| {
        r.stop();
        Ok::<_, ()>("a success all the same")
    });
    assert!(stopped.is_ok());
}

#[test]
fn without_a_word_it_is_tried_again_at_once_for_ever() {
    let (clock, policy) = on_clock();
    let last = policy.run(|r| if r.iteration() < 10_000 { Err(()) } else { Ok(r.iteration()) });
    assert_eq!(last.unwrap(), 10_000);
    assert!(clock.waits().is_empty() && clock.now().as_nanos() == 0);
}

#[test]
fn stop_returns_the_error_of_its_own_attempt() {
    let error = retry(|r| {
        if r.iteration() == 3 {
            r.stop();
        }
        Err::<(), _>(r.iteration())
    });
    let error = error.unwrap_err();
    assert!(matches!(error.reason(), GaveUp::Stopped));
    assert_eq!((error.attempts(), error.last()), (3, Some(&3)));
    let error = retry(|r| Err::<(), _>(r.permanent("no such user"))).unwrap_err();
    assert_eq!(error.to_string(), "gave up after 1 attempt, as it cannot succeed: no such user");
}

#[test]
fn a_delay_holds_for_one_wait_and_a_longer_one_wins() {
    let (clock, policy) = on_clock();
    let policy = policy.backoff(Backoff::constant(SECOND)).max_attempts(4);
    let error = policy.run(|r| {
        match r.iteration() {
            1 => r.set_delay(3 * SECOND), // a Retry-After longer than the backoff
            2 => r.set_delay(Duration::from_nanos(1)), // and a shorter one
            _ => {}
        }
        Err::<(), _>(())
    });
    assert!(matches!(error.unwrap_err().reason(), GaveUp::Attempts));
    assert_eq!(clock.waits(), [3 * SECOND, SECOND, SECOND], "none after the last attempt");
}

#[test]
fn a_delay_that_jitter_may_not_undercut() {
    let (clock, policy) = on_clock();
    let policy = policy.backoff(Backoff::exponential(SECOND)).max_attempts(100);
    let error = policy.run(|r| {
        r.set_delay(SECOND);
        r.set_backoff(Backoff::exponential(Duration::from_millis(100)).capped(2 * SECOND));
        Err::<(), _>(())
    });
    assert_eq!(error.unwrap_err().attempts(), 100);
    assert_eq!(clock.waits().len(), 99);
    assert!(clock.waits().iter().all(|wait| (SECOND..=2 * SECOND).contains(wait)));
}

#[test]
fn the_budget_is_never_exceeded() {
    let (clock, policy) = on_clock();
    let policy = policy.backoff(Backoff::exponential(SECOND).jitter(false)).budget(10 * SECOND);
    let error = policy.run(|_| Err::<(), _>(())).unwrap_err();
    // 1 + 2 + 4 seconds; 8 more would be too many, and are not waited for.
    assert!(matches!(error.reason(), GaveUp::Budget));
    assert_eq!((error.attempts(), clock.now().as_nanos()), (4, 7_000_000_000));

    let (clock, policy) = on_clock();
    let error = policy.budget(10 * SECOND).run(|r| {
        r.set_delay(10 * SECOND);
        Err::<(), _>(r.remaining())
    });
    assert_eq!(error.unwrap_err().into_last(), Some(Some(10 * SECOND)), "at its end is too late");
    assert!(clock.waits().is_empty());

    // An attempt that takes too long is the last.
    let (clock, policy) = on_clock();
    let error = policy.budget(10 * SECOND).run(|r| {
        clock.advance(11 * SECOND);
        Err::<(), _>(r.remaining())
    });
    let error = error.unwrap_err();
    assert_eq!((error.attempts(), error.last()), (1, Some(&Some(Duration::ZERO))));
}

#[test]
fn limits_that_are_none_or_endless_are_none() {
    let (clock, policy) = on_clock();
    clock.advance(SECOND);
    let policy = policy.budget(Duration::MAX).max_attempts(None);
    let done = policy.run(|r| {
        r.set_delay(1_000_000 * SECOND);
        if r.iteration() < 100 { Err(()) } else { Ok(()) }
    });
    assert!(done.is_ok());
    let zero = Retry::new().budget(Duration::ZERO).max_attempts(0);
    assert_eq!(zero.run(|_| Err::<(), _>(())).unwrap_err().attempts(), 1, "the first is made");
}

#[test]
fn limits_can_be_set_while_it_goes_on() {
    let error = retry(|r| {
        r.set_max_attempts(r.iteration() + u64::from(r.iteration() < 4));
        Err::<(), _>(())
    });
    assert_eq!(error.unwrap_err().attempts(), 4);
    let error = retry(|r| {
        r.set_budget(Duration::ZERO);
        Err::<(), _>(())
    });
    assert!(matches!(error.unwrap_err().reason(), GaveUp::Budget));
}

#[test]
fn a_context_ends_the_wait_at_once() {
    let context = Context::new();
    let (tell, told) = crate::gate();
    let run = std::thread::spawn({
        let policy = Retry::new().context(&context).backoff(Backoff::constant(3600 * SECOND));
        move || {
            policy.run(|_| {
                tell.send(()).unwrap();
                Err::<(), _>("busy")
            })
        }
    });
    told.recv().unwrap();
    context.cancel();
    let error = run.join().unwrap().unwrap_err();
    assert!(matches!(error.reason(), GaveUp::Context(error) if error.is_cancelled()));
    assert_eq!((error.attempts(), error.last()), (1, Some(&"busy")));
    // The deadline of a context is one of the retry's.
    let clock = JumpingClock::default();
    let context = Context::with_clock(clock.clone()).with_timeout(5 * SECOND);
    let policy = Retry::new().context(&context).backoff(Backoff::constant(2 * SECOND));
    let error = policy.run(|_| Err::<(), _>(())).unwrap_err();
    assert!(matches!(error.reason(), GaveUp::Context(error) if error.is_timeout()));
    assert_eq!(error.attempts(), 3, "at 0, 2 and 4 seconds");
}

#[test]
fn a_context_that_is_done_allows_no_attempt() {
    let context = Context::new();
    context.cancel();
    let policy = Retry::new().context(&context);
    let error: RetryError<()> = policy.run(|_| -> Result<(), ()> { unreachable!() }).unwrap_err();
    assert_eq!((error.attempts(), error.last()), (0, None));
}

#[test]
fn a_panic_is_its_callers() {
    let mut attempts = 0;
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        retry(|_| -> Result<(), ()> {
            attempts += 1;
            panic!("a bug")
        })
    }));
    assert!(panicked.is_err() && attempts == 1);
}

#[test]
fn tasks_follow_the_same_rules() {
    let (clock, policy) = on_clock();
    let policy = policy.backoff(Backoff::constant(SECOND)).max_attempts(3);
    let attempt = |mut r: docache::run::Retrier| async move {
        std::future::ready(()).await;
        if r.iteration() == 1 {
            r.set_delay(5 * SECOND);
        }
        Err::<(), _>(r.iteration())
    };
    let error = drive(policy.run_async(attempt)).unwrap_err();
    assert_eq!((error.attempts(), error.last()), (3, Some(&3)));
    assert_eq!(clock.now().as_nanos(), 6_000_000_000);
    let error = drive(policy.run_async(|mut r| async move { Err::<(), _>(r.permanent("no")) }));
    assert!(matches!(error.unwrap_err().reason(), GaveUp::Stopped));

    // In real time, woken by a timer; and a future that may go to another thread.
    fn sent<F: Future + Send>(future: F) -> F {
        future
    }
    let start = std::time::Instant::now();
    let delay = Duration::from_millis(20);
    let done = sent(retry_async(move |mut r| async move {
        r.set_delay(delay);
        if r.iteration() == 1 { Err("not yet") } else { Ok(()) }
    }));
    assert!(drive(done).is_ok() && start.elapsed() >= delay);
}

#[test]
fn a_context_ends_a_task_that_waits() {
    let context = Context::new();
    let policy = Retry::new().context(&context).backoff(Backoff::constant(3600 * SECOND));
    let run = policy.run_async(|_| async { Err::<(), _>("busy") });
    let mut run = pin!(run);
    let mut task = Task::from_waker(Waker::noop());
    assert!(run.as_mut().poll(&mut task).is_pending());
    context.cancel();
    let Poll::Ready(Err(error)) = run.as_mut().poll(&mut task) else { panic!("it still waits") };
    assert!(matches!(error.reason(), GaveUp::Context(_)));
}

/// Runs a policy on a scheduler; the outcome.
fn on_scheduler<T: Send + 'static, E: Send + 'static>(
    policy: &Retry,
    attempt: impl FnMut(&mut docache::run::Retrier) -> Result<T, E> + Send + 'static,
) -> Result<T, RetryError<E>> {
    let scheduler = Scheduler::builder().workers(1).build().unwrap();
    let (tell, told) = channel();
    policy.spawn_on(&scheduler, attempt, move |outcome| tell.send(outcome).unwrap()).unwrap();
    told.recv().unwrap()
}

#[test]
fn on_a_scheduler_the_rules_are_the_same_and_no_worker_waits() {
    let (clock, policy) = on_clock();
    let policy = policy.backoff(Backoff::constant(SECOND)).max_attempts(4);
    let error = on_scheduler(&policy, |r| Err::<(), _>(r.iteration())).unwrap_err();
    assert!(matches!(error.reason(), GaveUp::Attempts));
    assert_eq!((error.attempts(), error.into_last()), (4, Some(4)));
    assert_eq!(clock.waits(), [SECOND; 3]);
    let at_once = on_scheduler(&Retry::new(), |r| if r.iteration() < 9 { Err(()) } else { Ok(7) });
    assert_eq!(at_once.unwrap(), 7);
    let budget = Retry::new().backoff(Backoff::constant(60 * SECOND)).budget(SECOND);
    let error = on_scheduler(&budget, |_| Err::<(), _>("busy")).unwrap_err();
    assert!(matches!(error.reason(), GaveUp::Budget));
}

#[test]
fn on_a_scheduler_a_wait_ends_with_the_context() {
    let context = Context::new();
    let policy = Retry::new().backoff(Backoff::constant(3600 * SECOND)).context(&context);
    let scheduler = Scheduler::builder().workers(1).build().unwrap();
    let ((tell, told), (attempted, attempts)) = (channel(), channel());
    let attempt = move |_: &mut docache::run::Retrier| {
        attempted.send(()).unwrap();
        Err::<(), _>("busy")
    };
    policy.spawn_on(&scheduler, attempt, move |outcome| tell.send(outcome).unwrap()).unwrap();
    attempts.recv().unwrap();
    // Before its wait or in it.
    context.cancel();
    let error = told.recv().unwrap().unwrap_err();
    assert!(matches!(error.reason(), GaveUp::Context(_)) && error.last() == Some(&"busy"));
    assert!(attempts.recv().is_err(), "the closures are dropped");
    let error = on_scheduler(&policy, |_| Ok::<(), ()>(())).unwrap_err();
    assert!(error.last().is_none());
}

#[test]
fn on_a_scheduler_a_panic_or_the_end_of_the_scheduler_is_the_end() {
    let scheduler = Scheduler::builder().workers(1).build().unwrap();
    let (tell, told) = channel::<Result<(), RetryError<()>>>();
    let attempt = |_: &mut docache::run::Retrier| -> Result<(), ()> {
        std::panic::resume_unwind(Box::new("its own"))
    };
    let tells = tell.clone();
    Retry::new().spawn_on(&scheduler, attempt, move |end| tells.send(end).unwrap()).unwrap();
    let policy = Retry::new().backoff(Backoff::constant(3600 * SECOND));
    let fail = |_: &mut docache::run::Retrier| Err(());
    policy.spawn_on(&scheduler, fail, move |end| tell.send(end).unwrap()).unwrap();
    while scheduler.stats().panics == 0 || scheduler.stats().calls < 2 {
        std::thread::yield_now();
    }
    scheduler.shutdown();
    assert!(told.recv().is_err(), "nobody is told");
    let refused = policy.spawn_on(&scheduler, fail, |_| unreachable!()).unwrap_err();
    assert!(refused.is_closed());
}
