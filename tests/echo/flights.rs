//! Callers in one process share loads, whatever becomes of one of them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, mpsc};

use docache::echo::{EchoCache, MemoryStore, Status};
use docache::{Context, FlightError};

use crate::common::flight::{Task, hush, message_of, until};
use crate::woken;

type Echo = EchoCache<MemoryStore<u32>, u32, String>;

fn echo() -> Echo {
    EchoCache::new(MemoryStore::new(100))
}

#[test]
fn a_stampede_is_one_load() {
    const THREADS: usize = 64;
    let (echo, barrier) = (echo(), Barrier::new(THREADS));
    let (loads, arrived) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let statuses: Vec<Status> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    arrived.fetch_add(1, Ordering::SeqCst);
                    let load = || {
                        loads.fetch_add(1, Ordering::SeqCst);
                        until(|| arrived.load(Ordering::SeqCst) == THREADS);
                        Ok(7)
                    };
                    let fetched = echo.fetch("key", load).unwrap();
                    assert_eq!(fetched.value, 7);
                    fetched.status
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(loads.into_inner(), 1);
    let count = |status| statuses.iter().filter(|one| **one == status).count();
    assert_eq!(count(Status::Loaded), 1);
    assert_eq!(count(Status::Coalesced) + count(Status::Fresh), THREADS - 1);
}

#[test]
fn a_leading_task_whose_context_ends_hands_the_lead_on() {
    let (echo, context) = (echo(), Context::new());
    let leaves = echo.options().context(&context);
    let first = Task::begun(leaves.fetch_async("key", std::future::pending::<Result<_, _>>));
    let second = Task::begun(echo.fetch_async("key", || async { Ok(2) }));
    context.cancel();
    assert!(matches!(first.ends(), Err(FlightError::Left(error)) if error.is_cancelled()));
    woken(&second);
    let fetched = second.ends().unwrap();
    assert_eq!((fetched.value, fetched.status), (2, Status::Loaded));
}

#[test]
fn a_leading_thread_whose_context_ends_loads_for_the_others() {
    let (echo, context) = (echo(), Context::new());
    let (enter, entered) = mpsc::channel();
    let (leave, left) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let (echo, context) = (&echo, &context);
        let first = scope.spawn(move || {
            let load = || {
                enter.send(()).unwrap();
                left.recv().unwrap();
                Ok(1)
            };
            echo.options().context(context).fetch("key", load)
        });
        entered.recv().unwrap();
        context.cancel();
        let second = Task::begun(echo.fetch_async("key", || async { Ok(2) }));
        leave.send(()).unwrap();
        assert_eq!(first.join().unwrap().unwrap().value, 1, "it had it when it looked");
        woken(&second);
        assert_eq!(second.ends().unwrap().value, 1);
    });
}

#[test]
fn a_context_that_is_done_loads_nothing_but_hits() {
    let (echo, done) = (echo(), Context::new());
    done.cancel();
    let options = echo.options().context(&done);
    assert!(options.fetch("key", || unreachable!()).unwrap_err().is_cancelled());
    let task = Task::new(options.fetch_async("key", || async { unreachable!() }));
    assert!(task.ends().unwrap_err().is_cancelled());
    echo.fetch("key", || Ok(1)).unwrap();
    assert_eq!(options.fetch("key", || unreachable!()).unwrap().value, 1);
}

#[test]
fn a_panic_is_its_callers_and_an_error_of_those_who_joined() {
    let echo = echo();
    let mut leads = Task::begun(echo.fetch_async("key", || async {
        let mut polled = false;
        std::future::poll_fn(|_| {
            if std::mem::replace(&mut polled, true) {
                hush("boom")
            } else {
                std::task::Poll::Pending
            }
        })
        .await
    }));
    let joins = Task::begun(echo.fetch_async("key", || async { Ok(2) }));
    assert_eq!(message_of(|| leads.poll()), "boom");
    woken(&joins);
    assert!(matches!(joins.ends(), Err(FlightError::Panicked(message)) if &*message == "boom"));
    assert_eq!(message_of(|| echo.fetch("key", || hush("bang"))), "bang");
    assert_eq!(echo.fetch("key", || Ok(3)).unwrap().status, Status::Loaded);
    assert_eq!(echo.stats().load_failures, 2);
}

#[test]
fn a_removal_beats_a_load_that_is_under_way() {
    let echo = echo();
    let (tell, told) = mpsc::channel::<()>();
    let told = std::sync::Mutex::new(told);
    std::thread::scope(|scope| {
        let (enter, entered) = mpsc::channel();
        let echo = &echo;
        let old = scope.spawn(move || {
            let load = || {
                enter.send(()).unwrap();
                told.lock().unwrap().recv().unwrap();
                Ok(1)
            };
            echo.fetch("key", load).unwrap()
        });
        entered.recv().unwrap();
        echo.remove("key").unwrap();
        // Whoever comes now does not join it, and what that loads stays.
        assert_eq!(echo.fetch("key", || Ok(2)).unwrap().value, 2);
        tell.send(()).unwrap();
        assert_eq!(old.join().unwrap().value, 1);
    });
    let kept = echo.fetch("key", || Ok(3)).unwrap();
    assert_eq!((kept.value, kept.status), (2, Status::Fresh));
    assert_eq!(echo.stats().lost_writes, 1);
}
