//! Callers to test singleflight with: tasks that are polled by hand, and keys that say when
//! somebody has joined.

use docache::KeyedGroup;
use std::any::Any;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// Lets others go on until `condition` holds.
pub(crate) fn until(condition: impl Fn() -> bool) {
    while !condition() {
        std::thread::yield_now();
    }
}

/// Panics like `panic!`, but says nothing on the terminal.
pub(crate) fn hush(message: &str) -> ! {
    std::panic::resume_unwind(Box::new(message.to_owned()))
}

/// What `f` panics with.
pub(crate) fn panic_of<R>(f: impl FnOnce() -> R) -> Box<dyn Any + Send> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(_) => panic!("it did not panic"),
        Err(payload) => payload,
    }
}

/// The message that `f` panics with.
pub(crate) fn message_of<R>(f: impl FnOnce() -> R) -> String {
    let payload = panic_of(f);
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .expect("a message")
}

/// A waker whose last owner panics.
pub(crate) struct Fragile;

impl Drop for Fragile {
    fn drop(&mut self) {
        hush("a bad waker");
    }
}

impl Wake for Fragile {
    fn wake(self: Arc<Self>) {}
}

/// Counts wake-ups.
#[derive(Default)]
pub(crate) struct Wakes(AtomicUsize);

impl Wakes {
    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A future that is polled by hand.
pub(crate) struct Task<'a, T> {
    future: Pin<Box<dyn Future<Output = T> + 'a>>,
    wakes: Arc<Wakes>,
}

impl<'a, T> Task<'a, T> {
    pub(crate) fn new(future: impl Future<Output = T> + 'a) -> Task<'a, T> {
        Task { future: Box::pin(future), wakes: Arc::default() }
    }

    /// A task that was polled once and is not ready.
    #[track_caller]
    pub(crate) fn begun(future: impl Future<Output = T> + 'a) -> Task<'a, T> {
        let mut task = Task::new(future);
        task.waits();
        task
    }

    pub(crate) fn poll(&mut self) -> Poll<T> {
        let waker = Waker::from(self.wakes.clone());
        self.poll_with(&waker)
    }

    pub(crate) fn poll_with(&mut self, waker: &Waker) -> Poll<T> {
        self.future.as_mut().poll(&mut Context::from_waker(waker))
    }

    /// It is polled and not ready.
    #[track_caller]
    pub(crate) fn waits(&mut self) {
        assert!(self.poll().is_pending(), "the task is ready");
    }

    /// It is polled and ready.
    #[track_caller]
    pub(crate) fn ends(mut self) -> T {
        match self.poll() {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("the task is not ready"),
        }
    }

    /// How often it was woken.
    pub(crate) fn wakes(&self) -> usize {
        self.wakes.get()
    }
}

/// Something that work waits for, and that a test opens.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<AtomicBool>);

impl Gate {
    pub(crate) fn open(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Ready once the gate is open. It wakes nobody: tasks are polled by hand.
    pub(crate) fn pass(&self) -> impl Future<Output = ()> + use<> {
        let gate = self.clone();
        std::future::poll_fn(move |_| if gate.is_open() { Poll::Ready(()) } else { Poll::Pending })
    }

    /// Work that ends with `value` once the gate is open.
    pub(crate) fn then<T>(&self, value: T) -> impl Future<Output = T> + use<T> {
        let passed = self.pass();
        async move {
            passed.await;
            value
        }
    }
}

/// Counts how often its keys were found equal: once for each call that finds a flight, which then
/// joins it.
#[derive(Clone, Default)]
pub(crate) struct Joins(Arc<AtomicUsize>);

impl Joins {
    pub(crate) fn key(&self, name: &'static str) -> Key {
        Key { name, joins: self.clone() }
    }

    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// Waits until `calls` calls have joined flights of `group`.
    pub(crate) fn reach<T, E>(&self, calls: usize, group: &KeyedGroup<Key, T, E>) {
        until(|| self.count() >= calls);
        // Keys are compared under the lock under which the call joins, and this takes that lock.
        group.in_flight();
    }
}

/// A key that says when it is found.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    joins: Joins,
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        let equal = self.name == other.name;
        if equal {
            self.joins.0.fetch_add(1, Ordering::SeqCst);
        }
        equal
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<{}>", self.name)
    }
}

/// A small generator of pseudo-random numbers (xorshift64*), the same for the same seed everywhere.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        // Neighbouring seeds are to differ at once, and zero is not a state.
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31) | 1)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }

    /// True once in `times`.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// Says which seed failed, if one does.
pub(crate) struct Seed(pub(crate) u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the schedule of seed {} failed", self.0);
        }
    }
}
