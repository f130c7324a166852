//! Contexts: cancellation, deadlines, descendants, hooks.

use docache::{Clock, Context, ManualClock};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::task::{Context as Task, Poll, Wake};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Count(AtomicUsize);

impl Count {
    fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    fn hook(self: &Arc<Count>) -> impl FnOnce() + Send + 'static {
        let count = self.clone();
        move || {
            count.0.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn cancellation_goes_down_and_not_up() {
    let root = Context::new();
    let (left, right) = (root.child(), root.child());
    let leaf = left.child();
    assert!(left.cancel());
    assert!(left.is_done() && leaf.is_done() && !right.is_done() && !root.is_done());
    assert!(root.cancel());
    assert!(right.error().unwrap().is_cancelled());
    assert!(root.child().is_done(), "a child of one that is done is done");
    assert!(!root.cancel(), "once is enough");
}

#[test]
fn a_child_never_outlives_its_parents_deadline() {
    let clock = ManualClock::new();
    let parent = Context::with_clock(clock.clone()).with_timeout(SECOND);
    let child = parent.with_timeout(Duration::MAX).child();
    assert_eq!(child.deadline(), parent.deadline());
    clock.advance(SECOND);
    assert!(child.error().unwrap().is_timeout());
    assert!(!child.cancel(), "expired before it was cancelled");
    assert!(child.error().unwrap().is_timeout());
}

#[test]
fn hooks_run_once_at_cancellation_at_the_deadline_or_at_once() {
    let clock = ManualClock::new();
    let (cancelled, expired, late, removed, forgotten) =
        <(Arc<Count>, Arc<Count>, Arc<Count>, Arc<Count>, Arc<Count>)>::default();
    let root = Context::with_clock(clock.clone());
    let timed = root.with_timeout(SECOND);
    let hook = root.on_cancel(cancelled.hook());
    let timed_hook = timed.on_cancel(expired.hook());
    assert!(root.on_cancel(removed.hook()).remove());
    drop(root.on_cancel(removed.hook()));
    root.on_cancel(forgotten.hook()).detach();
    clock.advance(SECOND);
    assert_eq!((expired.get(), cancelled.get()), (1, 0));
    root.cancel();
    assert_eq!((expired.get(), cancelled.get(), removed.get(), forgotten.get()), (1, 1, 0, 1));
    let _late = root.on_cancel(late.hook());
    assert_eq!(late.get(), 1);
    assert!(!hook.remove() && !timed_hook.remove());
}

#[test]
fn a_hooks_panic_is_contained() {
    let (ctx, count) = (Context::new(), Arc::new(Count::default()));
    let _bad = ctx.on_cancel(|| panic!("a bad hook"));
    let _good = ctx.on_cancel(count.hook());
    let _child = ctx.child();
    assert!(ctx.cancel());
    assert_eq!(count.get(), 1);
}

#[test]
fn a_hook_may_use_its_own_context() {
    let ctx = Context::new();
    let (inner, count) = (ctx.clone(), Arc::new(Count::default()));
    let told = count.clone();
    let _hook = ctx.on_cancel(move || {
        assert!(!inner.cancel());
        inner.on_cancel(told.hook()).detach();
        assert!(inner.child().is_done());
    });
    ctx.cancel();
    assert_eq!(count.get(), 1);
}

#[test]
fn tasks_are_woken_at_the_deadline() {
    let clock = ManualClock::new();
    let ctx = Context::with_clock(clock.clone()).with_timeout(SECOND);
    let count = Arc::new(Count::default());
    let waker = count.clone().into();
    let mut future = std::pin::pin!(ctx.cancelled());
    assert_eq!(future.as_mut().poll(&mut Task::from_waker(&waker)), Poll::Pending);
    clock.advance(SECOND);
    assert_eq!(count.get(), 1);
    assert_eq!(future.as_mut().poll(&mut Task::from_waker(&waker)), Poll::Ready(()));
}

#[test]
fn threads_wait_for_cancellation_a_deadline_or_a_limit() {
    let clock = ManualClock::new();
    let root = Context::with_clock(clock.clone());
    assert!(!root.wait(Duration::ZERO));
    let timed = root.with_timeout(SECOND);
    let waiters: Vec<_> = [root.clone(), timed]
        .into_iter()
        .map(|ctx| std::thread::spawn(move || ctx.wait(None)))
        .collect();
    clock.advance(SECOND);
    root.cancel();
    assert!(waiters.into_iter().all(|waiter| waiter.join().unwrap()));
}

#[test]
fn real_deadlines_reach_hooks_and_waiters() {
    let (tell, told) = mpsc::channel();
    let ctx = Context::background().with_timeout(Duration::from_millis(1));
    let _hook = ctx.on_cancel(move || tell.send(()).unwrap());
    assert_eq!(told.recv_timeout(Duration::from_secs(60)), Ok(()));
    assert!(ctx.wait(None) && ctx.error().unwrap().is_timeout());
}

#[test]
fn one_of_many_cancels_does_it() {
    for _ in 0..200 {
        let (ctx, count, start) = (Context::new(), Arc::new(Count::default()), Barrier::new(4));
        let _hook = ctx.on_cancel(count.hook());
        let done: usize = std::thread::scope(|scope| {
            let cancel = || {
                start.wait();
                let _child = ctx.child();
                usize::from(ctx.cancel())
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(cancel)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!((done, count.get()), (1, 1));
    }
}

#[test]
fn dropped_children_leave_their_parent() {
    let root = Context::new();
    let marker = Arc::new(());
    for _ in 0..100 {
        let child = root.child();
        let kept = marker.clone();
        child.on_cancel(move || drop(kept)).detach();
    }
    assert_eq!(Arc::strong_count(&marker), 1, "a child's hooks go with it");
    root.cancel();
}

#[test]
fn a_clock_may_be_shared_as_an_object() {
    let manual = ManualClock::new();
    let shared: Arc<dyn Clock> = Arc::new(manual.clone());
    let ctx = Context::with_clock(shared).with_timeout(SECOND);
    manual.advance(SECOND);
    assert!(ctx.is_done());
    assert_eq!(ctx.clock().now(), manual.now());
}

#[test]
fn descendants_are_done_before_any_hook_runs_and_know_the_reason() {
    let clock = ManualClock::new();
    let parent = Context::with_clock(clock.clone()).with_timeout(SECOND);
    let seen = Arc::new(Count::default());
    let slot: Arc<std::sync::OnceLock<Context>> = Arc::default();
    let (look, counts) = (slot.clone(), seen.clone());
    let _hook = parent.on_cancel(move || {
        let leaf = look.get().unwrap();
        if leaf.error().unwrap().is_timeout() {
            counts.hook()();
        }
    });
    slot.set(parent.child().child()).unwrap();
    clock.advance(SECOND);
    assert_eq!(seen.get(), 1);
}

#[test]
fn generations_may_be_many() {
    let root = Context::new();
    let (mut leaf, mut line) = (root.clone(), Vec::new());
    for _ in 0..100_000 {
        leaf = leaf.child();
        line.push(leaf.clone());
    }
    root.cancel();
    assert!(leaf.error().unwrap().is_cancelled());
    drop((root, line));
    drop(leaf);
    let mut live = Context::new();
    for _ in 0..100_000 {
        live = live.child();
    }
    drop(live);
}

#[test]
fn a_hook_whose_panic_panics_when_dropped_costs_the_others_nothing() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("a bad payload");
        }
    }
    let (ctx, count) = (Context::new(), Arc::new(Count::default()));
    let _bad = ctx.on_cancel(|| std::panic::panic_any(Bomb));
    let _good = ctx.on_cancel(count.hook());
    let child = ctx.child();
    assert!(ctx.cancel() && child.is_done());
    assert_eq!(count.get(), 1);
}

#[test]
fn the_end_of_time_does_not_come_even_if_the_clock_gets_there() {
    let clock = ManualClock::new();
    clock.advance(Duration::MAX);
    let (root, count) = (Context::with_clock(clock.clone()), Arc::new(Count::default()));
    assert!(
        root.with_timeout(Duration::ZERO).error().unwrap().is_timeout(),
        "no time is over at once"
    );
    assert!(!root.wait(Duration::ZERO));
    for never in [root.with_deadline(docache::Tick::MAX), root.with_timeout(SECOND)] {
        let _hook = never.on_cancel(count.hook());
        let waker = count.clone().into();
        let mut future = std::pin::pin!(never.cancelled());
        assert_eq!(future.as_mut().poll(&mut Task::from_waker(&waker)), Poll::Pending);
        clock.advance(SECOND);
        assert!(!never.is_done() && count.get() == 0);
        let waiter = std::thread::spawn({
            let never = never.clone();
            move || never.wait(None)
        });
        assert!(never.cancel() && waiter.join().unwrap());
        assert!(never.error().unwrap().is_cancelled());
        count.0.store(0, Ordering::SeqCst);
    }
    drop(clock.alarm(docache::Tick::MAX, count.clone().into()));
    assert_eq!(count.get(), 0);
}

/// Whether this is a process in which no thread can be started. If not it runs `test` in one: no
/// thread has room for so large a stack.
fn without_threads(test: &str) -> bool {
    const MARK: &str = "DOCACHE_NO_THREADS";
    if std::env::var_os(MARK).is_some() {
        assert!(std::thread::Builder::new().spawn(|| ()).is_err());
        return true;
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env("RUST_MIN_STACK", (1_u64 << 50).to_string())
        .env(MARK, "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    false
}

#[test]
fn without_a_thread_a_task_is_woken_at_a_near_deadline_and_early_on_its_way_to_a_far_one() {
    if !without_threads(
        "without_a_thread_a_task_is_woken_at_a_near_deadline_and_early_on_its_way_to_a_far_one",
    ) {
        return;
    }
    let root = Context::background();
    for (timeout, expected) in
        [(20 * SECOND / 1000, Poll::Ready(())), (3600 * SECOND, Poll::Pending)]
    {
        let (ctx, count) = (root.with_timeout(timeout), Arc::new(Count::default()));
        let waker = count.clone().into();
        let mut future = std::pin::pin!(ctx.cancelled());
        assert_eq!(future.as_mut().poll(&mut Task::from_waker(&waker)), expected);
        assert!(count.get() > 0);
        assert_eq!(ctx.is_done(), expected.is_ready(), "it is woken early, and not done early");
    }
}

#[test]
fn without_a_thread_hooks_run_while_somebody_waits() {
    if !without_threads("without_a_thread_hooks_run_while_somebody_waits") {
        return;
    }
    let (root, count) = (Context::new(), Arc::new(Count::default()));
    let timed = root.with_timeout(SECOND / 1000);
    let _hook = timed.on_cancel(count.hook());
    // It waits for something else, for ever; the hook ends that, too.
    let ends = root.clone();
    let _end = timed.on_cancel(move || assert!(ends.cancel()));
    assert!(root.wait(None));
    assert_eq!(count.get(), 1);
}
