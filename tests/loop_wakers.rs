//! Foreign code on the runner's thread: tasks that are polled where they are woken, destructors,
//! loggers.

mod common;

use common::{Gated, SECOND, counter, gated};
use docache::{Context, Level, Logger, LoopCache, ManualClock};
use std::pin::Pin;
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::task::{Context as TaskContext, Wake};
use std::time::Duration;

/// Long enough for any machine; only what hangs waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A task that is polled where it is woken, as by some executors.
struct Task(Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        let Some(mut future) = self.0.lock().unwrap().take() else { return };
        let waker = self.clone().into();
        if future.as_mut().poll(&mut TaskContext::from_waker(&waker)).is_pending() {
            *self.0.lock().unwrap() = Some(future);
        }
    }
}

fn spawn(future: impl Future<Output = ()> + Send + 'static) {
    Arc::new(Task(Mutex::new(Some(Box::pin(future))))).wake();
}

/// A cache whose run is at the gate in its second call, is to stop after it, and is to be followed
/// by another run; and a refresh that this run will not serve.
fn about_to_restart() -> (Gated, docache::Refresh<u64>) {
    let gated = gated(&ManualClock::new(), |builder| builder);
    gated.cache.start().unwrap();
    gated.entered.recv().unwrap();
    drop(gated.cache.refresh());
    gated.leave.send(()).unwrap();
    gated.entered.recv().unwrap();
    let refresh = gated.cache.refresh();
    (gated, refresh)
}

#[test]
fn a_task_polled_where_it_is_woken_may_stop_the_run_that_follows() {
    let (Gated { entered, leave, cache }, refresh) = about_to_restart();
    let cache = Arc::new(cache);
    let (other, (tell, told)) = (cache.clone(), mpsc::channel());
    spawn(async move {
        assert!(refresh.await.unwrap_err().is_closed());
        tell.send(()).unwrap();
        other.stop();
        tell.send(()).unwrap();
    });
    cache.stop_within(Duration::ZERO).unwrap_err();
    assert!(cache.start().unwrap());
    leave.send(()).unwrap();
    told.recv().unwrap();
    // The run that follows is in its first call, or will be stopped before.
    leave.send(()).unwrap();
    told.recv_timeout(PATIENCE).unwrap();
    assert!(!cache.is_running());
    drop(entered);
}

#[test]
fn a_waker_that_blocks_does_not_hold_up_the_run_that_follows() {
    let (Gated { entered, leave, cache }, refresh) = about_to_restart();
    let ((tell, told), (release, released)) = (mpsc::channel(), mpsc::channel::<()>());
    spawn(async move {
        assert!(refresh.await.unwrap_err().is_closed());
        tell.send(()).unwrap();
        let _ = released.recv();
    });
    cache.stop_within(Duration::ZERO).unwrap_err();
    assert!(cache.start().unwrap());
    leave.send(()).unwrap();
    told.recv().unwrap();
    entered
        .recv_timeout(PATIENCE)
        .expect("the next run calls, though the last one's thread is held");
    leave.send(()).unwrap();
    assert_eq!(cache.changed(2).wait(PATIENCE).unwrap(), 3);
    cache.stop();
    assert!(!cache.is_running());
    release.send(()).unwrap();
}

#[test]
fn a_waker_that_blocks_holds_up_its_own_loop_alone() {
    let clock = ManualClock::new();
    let (slow, other) = (counter(&clock).build().unwrap(), counter(&clock).build().unwrap());
    let ((tell, told), (release, released)) = (mpsc::channel(), mpsc::channel::<()>());
    let changed = slow.changed(0);
    spawn(async move {
        changed.await.unwrap();
        tell.send(()).unwrap();
        let _ = released.recv();
    });
    slow.start().unwrap();
    told.recv().unwrap();
    assert_eq!(slow.latest().as_deref(), Some(&1), "readers do not wait");
    assert!(slow.stop_within(Duration::ZERO).unwrap_err().is_timeout());
    assert!(slow.start().unwrap(), "a start does not wait");
    other.start().unwrap();
    assert_eq!(*other.wait_first(PATIENCE).unwrap(), 1);
    other.stop();
    drop(slow);
    release.send(()).unwrap();
}

#[test]
fn a_waker_that_blocks_holds_up_neither_who_cancels_nor_who_drops() {
    let (clock, context) = (ManualClock::new(), Context::new());
    let [slow, other, dropped] =
        [(); 3].map(|()| counter(&clock).context(&context).build().unwrap());
    for cache in [&slow, &other, &dropped] {
        cache.start().unwrap();
        cache.wait_first(PATIENCE).unwrap();
    }
    let (tell, told) = mpsc::channel();
    let releases = [slow.changed(u64::MAX), dropped.changed(u64::MAX)].map(|changed| {
        let (tell, (release, released)) = (tell.clone(), mpsc::channel::<()>());
        spawn(async move {
            changed.await.unwrap_err();
            tell.send(std::thread::current().id()).unwrap();
            let _ = released.recv();
        });
        release
    });
    let user = std::thread::spawn(move || {
        drop(dropped);
        assert!(context.cancel());
        std::thread::current().id()
    });
    assert!(other.changed(u64::MAX).wait(PATIENCE).unwrap_err().is_cancelled());
    let threads = [told.recv().unwrap(), told.recv().unwrap()];
    assert!(!threads.contains(&user.join().unwrap()));
    drop(releases);
    slow.stop();
}

#[test]
fn a_task_polled_on_the_runners_thread_may_do_anything_to_its_loop() {
    type Act = fn(&mut Option<LoopCache<u64>>);
    let acts: [Act; 5] = [
        |cache| cache.as_ref().unwrap().stop(),
        |cache| assert!(!cache.as_ref().unwrap().start().unwrap()),
        |cache| drop(cache.as_ref().unwrap().refresh()),
        |cache| assert!(cache.as_ref().unwrap().refresh().wait(None).unwrap_err().is_reentrant()),
        |cache| drop(cache.take()),
    ];
    for act in acts {
        let cache = counter(&ManualClock::new()).build().unwrap();
        let (changed, after) = (cache.changed(0), cache.changed(u64::MAX));
        let slot = Arc::new(Mutex::new(Some(cache)));
        let (inside, (tell, told)) = (slot.clone(), mpsc::channel());
        spawn(async move {
            changed.await.unwrap();
            act(&mut inside.lock().unwrap());
            tell.send(()).unwrap();
        });
        let starting = slot.lock().unwrap();
        starting.as_ref().unwrap().start().unwrap();
        drop(starting);
        told.recv_timeout(PATIENCE).unwrap();
        let left = slot.lock().unwrap().take();
        if let Some(cache) = left {
            cache.stop();
            assert!(!cache.is_running());
        }
        assert!(after.wait(PATIENCE).unwrap_err().is_closed());
    }
}

/// Stops a loop when it is dropped.
struct Stops(Arc<OnceLock<LoopCache<Stops>>>);

impl Drop for Stops {
    fn drop(&mut self) {
        if let Some(cache) = self.0.get() {
            cache.stop();
        }
    }
}

#[test]
fn the_destructor_of_an_old_result_may_stop_the_loop() {
    let slot = Arc::new(OnceLock::new());
    let value = slot.clone();
    let doer = move || Ok::<_, &str>(Stops(value.clone()));
    let cache =
        LoopCache::builder(doer).interval(SECOND).clock(ManualClock::new()).build().unwrap();
    assert!(slot.set(cache).is_ok());
    let cache = slot.get().unwrap();
    cache.start().unwrap();
    cache.wait_first(None).unwrap();
    drop(cache.refresh());
    assert_eq!(cache.changed(1).wait(PATIENCE).unwrap(), 2);
    // The second result drops the first, which stops the loop.
    while cache.is_running() {
        std::thread::yield_now();
    }
}

/// Runs a test of this file in a process in which no thread can be started: none has room for so
/// large a stack.
fn without_threads(test: &str) {
    let this = std::env::current_exe().unwrap();
    let child = Command::new(this)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env("RUST_MIN_STACK", (1_u64 << 50).to_string())
        .env("DOCACHE_NO_THREADS", "1")
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
}

#[test]
fn a_logger_may_stop_a_loop_that_got_no_thread() {
    if std::env::var_os("DOCACHE_NO_THREADS").is_none() {
        return without_threads("a_logger_may_stop_a_loop_that_got_no_thread");
    }
    let slot: Arc<OnceLock<LoopCache<u64>>> = Arc::default();
    let inside = slot.clone();
    let logger = Logger::new(Level::Info, move |_| inside.get().unwrap().stop());
    let cache = counter(&ManualClock::new()).logger(logger).build().unwrap();
    assert!(slot.set(cache).is_ok());
    // Its logger is called on this thread, and must not wait here for what happens here.
    let error = slot.get().unwrap().start().unwrap_err();
    assert!(error.to_string().contains("thread"), "{error}");
    assert!(!slot.get().unwrap().is_running());
}
