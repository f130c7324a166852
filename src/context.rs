//! Cancellation and deadlines, handed down from caller to callee.
//!
//! # State
//! `state` goes once from `LIVE` to `CANCELLED` or `EXPIRED`. A context whose deadline has passed
//! is done even while its state says `LIVE`: the state follows when an alarm rings, which only
//! contexts with hooks or tasks ask for.
//!
//! # Invariants
//! - ONCE: the state leaves `LIVE` under the lock of `heard`, by the thread that then tells
//!   everyone it finds there. A hook added later runs on the thread that adds it.
//! - BORN: a child is made and put into its parent's `heard` in one stay under that lock. So
//!   whoever finishes the parent either finds the child, whole, or was first, and the child is born
//!   done.
//! - DOWN: a context and all its descendants are done before any hook of theirs runs and before
//!   `cancel` returns, and a descendant that is told is told its ancestor's own reason. Therefore a
//!   thread that finds a descendant done may rely on what lies below it: they become done one
//!   subtree at a time, under the lock `finishing` of their tree.
//! - INHERITED: a child's deadline is never later than its parent's, so the parent's deadline needs
//!   no word to it.
//!
//! # Orderings
//! The state is stored with Release and loaded with Acquire: who sees a context done sees what
//! happened before. Under the lock of `heard`, where alone it changes, `Relaxed` will do. A child
//! is upgraded by whoever finishes its parent; that fails only once the child's last owner has let
//! it go, and then nobody is left to tell.
//!
//! # Locks
//! `finishing`, then one `heard` at a time; both are [striped]. Under neither does user code run:
//! clocks are read before, and what may be the last owner of something is dropped after.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::task::Wake;
use std::time::Duration;

use crate::clock::{Alarm, Clock, SystemClock, Tick};
use crate::contain::contained;
use crate::error::{Error, ErrorKind};
use crate::lock::striped::{self, Order, Striped};
use crate::sync::atomic::{AtomicU8, Ordering};
use crate::wait::{WaitList, block_on};

mod cancelled;
#[cfg(all(test, docache_loom))]
mod model;

pub use cancelled::Cancelled;
pub(crate) use cancelled::{until, until_armed};

/// Not done, unless the deadline has passed.
const LIVE: u8 = 0;
/// Somebody called `cancel`.
const CANCELLED: u8 = 1;
/// The deadline has passed, and the hooks have been told.
const EXPIRED: u8 = 2;

type HookFn = Box<dyn FnOnce() + Send>;

/// A hook to be called when the context is done.
enum Listener {
    Hook(HookFn),
    Child(Weak<Inner>),
}

/// In the order in which they were added.
#[derive(Default)]
struct Heard {
    added: u64,
    listeners: BTreeMap<u64, Listener>,
    alarm: Option<Alarm>,
}

/// What a context shares with its ancestors and descendants.
struct Tree<C: ?Sized> {
    /// Held by whoever makes a context and its descendants done (DOWN).
    finishing: Striped<()>,
    clock: C,
}

struct Inner {
    state: AtomicU8,
    cancellable: bool,
    deadline: Option<Tick>,
    tree: Arc<Tree<dyn Clock>>,
    waiters: WaitList,
    heard: Striped<Heard>,
    /// The link that a parent's cancellation comes down by; it also keeps the parent.
    parent: Option<(Context, u64)>,
}

/// Says when to give up: a cancellation that may be called from anywhere, a deadline, or both.
///
/// Clones share one state, and whoever has one may cancel it: hand out a [`child`](Context::child)
/// to those who should not end more than their own work. Cancelling a context cancels its
/// descendants, never its ancestors.
///
/// Progress: [`is_done`](Context::is_done) and [`error`](Context::error) are wait-free (without a
/// deadline, one load; with one, also a reading of the clock). Everything else takes a short lock.
///
/// ```
/// use docache::Context;
/// let ctx = Context::new();
/// let child = ctx.child();
/// ctx.cancel();
/// assert!(child.is_done() && child.error().unwrap().is_cancelled());
/// ```
#[derive(Clone)]
pub struct Context {
    inner: Arc<Inner>,
}

impl Context {
    fn root(clock: impl Clock, cancellable: bool) -> Context {
        striped::watch();
        let tree = Arc::new(Tree { finishing: Striped::new(Order::Outer, ()), clock });
        Context { inner: Arc::new(Inner::new(LIVE, cancellable, None, tree, None)) }
    }

    /// A context that is never done and cannot be cancelled; its children can.
    ///
    /// ```
    /// let ctx = docache::Context::background();
    /// assert!(!ctx.cancel() && !ctx.is_done());
    /// ```
    #[must_use]
    pub fn background() -> Context {
        Context::root(SystemClock, false)
    }

    /// A context of its own that can be cancelled.
    ///
    /// ```
    /// let ctx = docache::Context::new();
    /// assert!(ctx.cancel() && ctx.is_done());
    /// ```
    #[must_use]
    pub fn new() -> Context {
        Context::with_clock(SystemClock)
    }

    /// Like [`new`](Context::new), with deadlines measured on `clock`.
    ///
    /// ```
    /// use docache::{Context, ManualClock};
    /// use std::time::Duration;
    /// let clock = ManualClock::new();
    /// let ctx = Context::with_clock(clock.clone()).with_timeout(Duration::from_secs(5));
    /// clock.advance(Duration::from_secs(5));
    /// assert!(ctx.error().unwrap().is_timeout());
    /// ```
    #[must_use]
    pub fn with_clock(clock: impl Clock) -> Context {
        Context::root(clock, true)
    }

    /// A context that is done when this one is, and can be cancelled alone.
    ///
    /// ```
    /// let parent = docache::Context::new();
    /// let child = parent.child();
    /// child.cancel();
    /// assert!(!parent.is_done());
    /// ```
    #[must_use]
    pub fn child(&self) -> Context {
        self.descend(self.inner.deadline)
    }

    /// A child that is also done once `timeout` has passed; a timeout of zero has passed already.
    ///
    /// ```
    /// use std::time::Duration;
    /// let ctx = docache::Context::background().with_timeout(Duration::ZERO);
    /// assert!(ctx.error().unwrap().is_timeout());
    /// ```
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Context {
        self.with_deadline(self.inner.clock().now().deadline(timeout))
    }

    /// A child that is also done at `deadline`, a tick of this context's clock; [`Tick::MAX`] never
    /// comes.
    ///
    /// ```
    /// use docache::{Clock, Context, SystemClock, Tick};
    /// let ctx = Context::background().with_deadline(Tick::MAX);
    /// assert!(!ctx.is_done() && ctx.deadline() == Some(Tick::MAX));
    /// ```
    #[must_use]
    pub fn with_deadline(&self, deadline: Tick) -> Context {
        self.descend(Some(self.inner.deadline.map_or(deadline, |own| own.min(deadline))))
    }

    fn descend(&self, deadline: Option<Tick>) -> Context {
        let parent = &self.inner;
        let expired = parent.has_expired();
        let mut heard = parent.heard.lock();
        let state = parent.state.load(Ordering::Relaxed);
        // Of a parent that is done there is nothing to hear; one that has expired shows in the
        // deadline inherited.
        let link = (state == LIVE && !expired).then(|| (self.clone(), heard.next()));
        let child = Arc::new(Inner::new(state, true, deadline, parent.tree.clone(), link));
        if let Some((_, id)) = &child.parent {
            heard.listeners.insert(*id, Listener::Child(Arc::downgrade(&child)));
        }
        drop(heard);
        Context { inner: child }
    }

    /// Cancels this context and its descendants, and then runs their hooks on the calling thread.
    ///
    /// Returns whether this call did it: `false` if the context was done before, or cannot be
    /// cancelled.
    pub fn cancel(&self) -> bool {
        self.inner.cancellable && self.inner.finish(CANCELLED)
    }

    /// Whether the context was cancelled or its deadline has passed.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.error_kind().is_some()
    }

    /// Why the context is done: an error of kind [`Cancelled`](ErrorKind::Cancelled) or
    /// [`Timeout`](ErrorKind::Timeout); `None` while it is not.
    #[must_use]
    pub fn error(&self) -> Option<Error> {
        Some(match self.error_kind()? {
            ErrorKind::Timeout => Error::timeout("the context's deadline has passed"),
            kind => Error::new(kind, "the context was cancelled"),
        })
    }

    fn error_kind(&self) -> Option<ErrorKind> {
        match self.inner.state.load(Ordering::Acquire) {
            CANCELLED => Some(ErrorKind::Cancelled),
            EXPIRED => Some(ErrorKind::Timeout),
            _ => self.inner.has_expired().then_some(ErrorKind::Timeout),
        }
    }

    /// The deadline, on this context's clock.
    #[must_use]
    pub fn deadline(&self) -> Option<Tick> {
        self.inner.deadline
    }

    /// The clock that deadlines are measured on.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        self.inner.clock()
    }

    /// Blocks until the context is done, but not longer than `timeout` (`None`: no limit). Whether
    /// it is done.
    ///
    /// ```
    /// use std::time::Duration;
    /// let ctx = docache::Context::new();
    /// assert!(!ctx.wait(Duration::from_millis(1)));
    /// let other = ctx.clone();
    /// let thread = std::thread::spawn(move || other.wait(None));
    /// ctx.cancel();
    /// assert!(thread.join().unwrap());
    /// ```
    pub fn wait(&self, timeout: impl Into<Option<Duration>>) -> bool {
        let limit = timeout.into().map(|timeout| self.inner.clock().now().deadline(timeout));
        let deadline = earlier(limit, self.inner.deadline);
        block_on(Cancelled::unarmed(self), self.inner.clock(), deadline);
        self.is_done()
    }

    /// A future that is ready once the context is done. It may be sent to another task and dropped
    /// at any time.
    ///
    /// A thread named `docache-timer` wakes the task at the deadline. If the system gives no
    /// thread, the future does without: when polled it sleeps until a deadline that is no more than
    /// 100 ms off, or else for 10 ms, and wakes its task.
    ///
    /// ```
    /// use std::task::{Context as Task, Poll, Waker};
    /// let ctx = docache::Context::new();
    /// let mut cancelled = std::pin::pin!(ctx.cancelled());
    /// let mut task = Task::from_waker(Waker::noop());
    /// assert_eq!(cancelled.as_mut().poll(&mut task), Poll::Pending);
    /// ctx.cancel();
    /// assert_eq!(cancelled.as_mut().poll(&mut task), Poll::Ready(()));
    /// ```
    pub fn cancelled(&self) -> Cancelled {
        Cancelled::armed(self)
    }

    /// Has `hook` called once the context is done: on the thread that cancels it, on a timer's
    /// thread at the deadline, or at once on this thread if it is done already.
    ///
    /// A hook must be short and must not block: the timer's thread serves all deadlines of the
    /// process, and what one hook blocks for, the others are late by. Its panic is contained and
    /// ignored. Dropping the [`Hook`] returned takes it back.
    ///
    /// If the system gives no thread for the timer, a hook is called once the deadline has passed
    /// by whoever then next sets a hook or awaits a context with a deadline, or blocks in a method
    /// of this crate.
    ///
    /// ```
    /// let ctx = docache::Context::new();
    /// let (tell, told) = std::sync::mpsc::channel();
    /// let _hook = ctx.on_cancel(move || tell.send("done").unwrap());
    /// ctx.cancel();
    /// assert_eq!(told.recv().unwrap(), "done");
    /// ```
    pub fn on_cancel(&self, hook: impl FnOnce() + Send + 'static) -> Hook {
        match self.inner.add(Box::new(hook)) {
            Ok(id) => {
                self.inner.arm();
                Hook { owner: Arc::downgrade(&self.inner), id }
            }
            Err(hook) => {
                run_hook(hook);
                Hook { owner: Weak::new(), id: 0 }
            }
        }
    }
}

impl Default for Context {
    fn default() -> Context {
        Context::new()
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("done", &self.error_kind())
            .field("deadline", &self.inner.deadline)
            .finish_non_exhaustive()
    }
}

/// The earlier of two deadlines, where `None` never comes.
pub(crate) fn earlier(a: Option<Tick>, b: Option<Tick>) -> Option<Tick> {
    a.into_iter().chain(b).min()
}

fn run_hook(hook: HookFn) {
    let _ = contained(hook);
}

impl Heard {
    /// A number for what is added next.
    fn next(&mut self) -> u64 {
        self.added += 1;
        self.added
    }
}

impl Inner {
    fn new(
        state: u8,
        cancellable: bool,
        deadline: Option<Tick>,
        tree: Arc<Tree<dyn Clock>>,
        parent: Option<(Context, u64)>,
    ) -> Inner {
        Inner {
            state: AtomicU8::new(state),
            cancellable,
            deadline,
            tree,
            waiters: WaitList::new(),
            heard: Striped::new(Order::Inner, Heard::default()),
            parent,
        }
    }

    fn clock(&self) -> &dyn Clock {
        &self.tree.clock
    }

    fn has_expired(&self) -> bool {
        self.deadline.is_some_and(|deadline| self.clock().now().is_past(deadline))
    }

    /// Leaves `LIVE` (ONCE), if it is not too late; the state taken, and who is to be told. A
    /// deadline that has passed by `now` wins over a cancellation.
    fn leave(&self, state: u8, now: Tick) -> Option<(u8, Heard)> {
        let state = if self.deadline.is_some_and(|deadline| now.is_past(deadline)) {
            EXPIRED
        } else {
            state
        };
        let mut heard = self.heard.lock();
        if self.state.load(Ordering::Relaxed) != LIVE {
            return None;
        }
        self.state.store(state, Ordering::Release);
        Some((state, std::mem::take(&mut *heard)))
    }

    /// Finishes this context and its descendants, and then tells everyone (DOWN). Whether this was
    /// a cancellation.
    fn finish(self: &Arc<Inner>, state: u8) -> bool {
        let now = self.clock().now();
        let finishing = self.tree.finishing.lock();
        let Some((state, heard)) = self.leave(state, now) else { return false };
        // Those that were done before are kept until the lock is given back, too.
        let (mut told, mut spare) = (Vec::new(), Vec::new());
        let mut found = vec![(self.clone(), state, heard)];
        // By a list and not by recursion: generations may be many.
        while let Some((context, state, heard)) = found.pop() {
            let mut hooks = Vec::new();
            for listener in heard.listeners.into_values() {
                match listener {
                    Listener::Hook(hook) => hooks.push(hook),
                    Listener::Child(child) => {
                        let Some(child) = child.upgrade() else { continue };
                        match child.leave(state, now) {
                            Some((state, heard)) => found.push((child, state, heard)),
                            None => spare.push(child),
                        }
                    }
                }
            }
            told.push((context, hooks, heard.alarm));
        }
        drop(finishing);
        for (context, hooks, _alarm) in told {
            context.waiters.notify_all();
            hooks.into_iter().for_each(run_hook);
        }
        state == CANCELLED
    }

    /// Adds a hook, or gives it back if the context has finished or expired.
    fn add(&self, hook: HookFn) -> Result<u64, HookFn> {
        let expired = self.has_expired();
        let mut heard = self.heard.lock();
        if expired || self.state.load(Ordering::Relaxed) != LIVE {
            return Err(hook);
        }
        let id = heard.next();
        heard.listeners.insert(id, Listener::Hook(hook));
        Ok(id)
    }

    /// Takes a listener back; whether it had not been told.
    fn remove(&self, id: u64) -> bool {
        // What a hook owns is dropped after the lock.
        let listener = self.heard.lock().listeners.remove(&id);
        listener.is_some()
    }

    /// Sees to it that the deadline is acted on when it comes.
    fn arm(self: &Arc<Inner>) {
        // The end of time does not come.
        let Some(deadline) = self.deadline.filter(|deadline| *deadline != Tick::MAX) else {
            return;
        };
        if self.state.load(Ordering::Acquire) != LIVE || self.heard.lock().alarm.is_some() {
            return;
        }
        // The clock is user code: no lock is held here. Of two alarms armed at once the later one
        // stays.
        let alarm = self.clock().alarm(deadline, Arc::new(Expire(Arc::downgrade(self))).into());
        let mut heard = self.heard.lock();
        let spare = match self.state.load(Ordering::Relaxed) {
            LIVE => heard.alarm.replace(alarm),
            _ => Some(alarm),
        };
        drop(heard);
        drop(spare);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // By a loop and not by recursion: generations may be many.
        let mut parent = self.parent.take();
        while let Some((context, link)) = parent {
            context.inner.remove(link);
            parent = Arc::into_inner(context.inner).and_then(|mut inner| inner.parent.take());
        }
    }
}

/// What an alarm wakes.
struct Expire(Weak<Inner>);

impl Wake for Expire {
    fn wake(self: Arc<Self>) {
        if let Some(inner) = self.0.upgrade() {
            inner.finish(EXPIRED);
        }
    }
}

/// A hook that a [`Context`] will call once; dropping it takes the hook back.
#[derive(Debug)]
#[must_use = "dropping a hook takes it back; `detach` keeps it"]
pub struct Hook {
    owner: Weak<Inner>,
    id: u64,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Hook {
    /// Takes the hook back. `true`: it will never run. `false`: it has run or is running, perhaps
    /// on this thread.
    ///
    /// ```
    /// let ctx = docache::Context::new();
    /// assert!(ctx.on_cancel(|| unreachable!()).remove());
    /// ctx.cancel();
    /// ```
    pub fn remove(self) -> bool {
        self.take_back()
    }

    /// Leaves the hook in place for as long as the context lives.
    pub fn detach(mut self) {
        self.owner = Weak::new();
    }

    fn take_back(&self) -> bool {
        self.owner.upgrade().is_some_and(|owner| owner.remove(self.id))
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.take_back();
    }
}
