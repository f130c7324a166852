//! The wait list: parked threads and task Wakers in one queue, and the two ways to wait on it.
//!
//! A waiter is a future, [`Wait`]: a task polls it, a thread drives it with [`block_on`], whose
//! Waker unparks the thread. Either way its queue node lies inside the future, in the waiter's own
//! frame, so waiting allocates nothing (a thread's parker is made once in the thread's
//! life).
//!
//! # State
//! - [`WaitList`]: a doubly linked list of nodes behind a mutex, and `linked`, the number of them.
//! - [`Node`]: a [`NodeState`] word, and behind the list's mutex its links and its Waker.
//!
//! # Invariants
//! - LINKED: a node is in a list exactly while its state is `LINKED`. The owner links it; the owner
//!   or a notifier unlinks it; each of them under that list's mutex.
//! - BODY: a node's `body` is touched only under the mutex of the list that it was last linked to,
//!   or by its owner while the state is not `LINKED`.
//! - LAST: a notifier unlinks a node, takes its Waker and then stores `NOTIFIED`, all under the
//!   mutex. That store is its last access to the node, so an owner that reads `NOTIFIED`, even
//!   without the mutex, may free the node.
//! - PINNED: a node does not move while it is linked, and it is unlinked before it is dropped.
//! - COPIED: in the child of a fork a list is empty: nodes that were linked before may lie in
//!   frames that are used for something else now. So the first thread that has the mutex there
//!   forgets them without touching them. A node that survives in the child is not linked any more;
//!   its owner links it again when it is next polled.
//!
//! # Orderings
//! - `NOTIFIED` is stored with Release and read with Acquire: the owner sees the notifier done with
//!   the node.
//! - A waiter links its node, then looks at the condition; a notifier makes the condition true,
//!   then looks at `linked`. Each puts a SeqCst fence between its two steps, so at least one of
//!   them sees the other: either the waiter finds the condition true or the notifier finds the
//!   node.
//!
//! # Progress
//! With nobody waiting, [`WaitList::notify_all`] is a fence and a load: wait-free. Otherwise it
//! takes the mutex once for each [`BATCH`] of waiters. No user code runs under the mutex: Wakers
//! are cloned before it, woken and dropped after it.

use std::marker::PhantomPinned;
use std::pin::{Pin, pin};
use std::ptr;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Wake, Waker};

use crate::clock::{Clock, Tick, park, park_until};
use crate::contain::contained;
use crate::lock::{Lock, LockGuard};
use crate::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering, fence};
use crate::sync::cell::UnsafeCell;
use crate::sync::fork::forks;
use crate::sync::thread::{Parker, Unparker};

#[cfg(test)]
mod gate;
#[cfg(all(test, docache_loom))]
mod model;

/// How many waiters are unlinked in one stay under the mutex.
const BATCH: usize = if cfg!(docache_loom) { 1 } else { 32 };

/// The state word of a node.
#[derive(Debug)]
struct NodeState(AtomicU8);

/// In no list; nobody but the owner knows the node.
const IDLE: u8 = 0;
/// In a list; a notifier may touch it under that list's mutex.
const LINKED: u8 = 1;
/// Taken out by a notifier, which will not touch it again.
const NOTIFIED: u8 = 2;

impl NodeState {
    fn get(&self) -> u8 {
        self.0.load(Ordering::Acquire)
    }

    fn set(&self, state: u8) {
        self.0.store(state, Ordering::Release);
    }
}

/// What a node holds for its list.
#[derive(Debug)]
struct Body {
    prev: *const Node,
    next: *const Node,
    waker: Option<Waker>,
}

/// A waiter, as an element of a queue.
#[derive(Debug)]
struct Node {
    state: NodeState,
    /// The number of forks before the process in which it was linked; written under the mutex.
    forks: AtomicU32,
    body: UnsafeCell<Body>,
    _pinned: PhantomPinned,
}

// SAFETY: BODY puts every shared access to the non-Send pointers and to the Waker under one mutex.
unsafe impl Send for Node {}
// SAFETY: as above.
unsafe impl Sync for Node {}

impl Node {
    fn new() -> Node {
        let body = Body { prev: ptr::null(), next: ptr::null(), waker: None };
        Node {
            state: NodeState(AtomicU8::new(IDLE)),
            forks: AtomicU32::new(0),
            body: UnsafeCell::new(body),
            _pinned: PhantomPinned,
        }
    }

    /// True if the node, which belongs to the caller, is in its list, whose mutex the caller holds.
    /// A node that was linked before a fork, in the parent, is made idle.
    fn is_linked(&self) -> bool {
        let linked = self.state.get() == LINKED;
        if linked && self.forks.load(Ordering::Relaxed) != forks() {
            // SAFETY: no list has it (COPIED), and it is the caller's.
            unsafe { self.with_body(|body| std::mem::forget(body.waker.take())) };
            self.state.set(IDLE);
            return false;
        }
        linked
    }

    /// # Safety
    /// The caller holds the mutex of the list that the node is linked to, or owns the node while it
    /// is not linked (BODY), and does not call this again from `f`.
    unsafe fn with_body<R>(&self, f: impl FnOnce(&mut Body) -> R) -> R {
        self.body.with_mut(|body| {
            // SAFETY: the caller's promise makes this the only access.
            f(unsafe { &mut *body })
        })
    }
}

/// The ends of a list's chain.
#[derive(Debug)]
struct Chain {
    head: *const Node,
    tail: *const Node,
    /// The number of forks before the process whose nodes they are.
    forks: u32,
}

// SAFETY: a chain is reached only through its list's mutex, and its nodes are Send.
unsafe impl Send for Chain {}

impl Chain {
    /// # Safety
    /// The caller holds the chain's mutex; `node` is idle and stays pinned until it is unlinked
    /// (PINNED).
    unsafe fn push_back(&mut self, node: &Node, waker: Waker) {
        let tail = self.tail;
        // SAFETY: an idle node belongs to its owner, the caller (BODY).
        unsafe {
            node.with_body(|body| {
                *body = Body { prev: tail, next: ptr::null(), waker: Some(waker) }
            })
        };
        // SAFETY: the tail is linked to this chain, so it is alive (PINNED) and ours to touch
        // (BODY).
        match unsafe { tail.as_ref() } {
            // SAFETY: as above.
            Some(tail) => unsafe { tail.with_body(|body| body.next = node) },
            None => self.head = node,
        }
        self.tail = node;
    }

    /// Takes `node` out and returns its Waker.
    ///
    /// # Safety
    /// The caller holds the chain's mutex and `node` is linked to this chain.
    unsafe fn unlink(&mut self, node: &Node) -> Option<Waker> {
        // SAFETY: a linked node is ours under the mutex (BODY).
        let (prev, next, waker) =
            unsafe { node.with_body(|body| (body.prev, body.next, body.waker.take())) };
        // SAFETY: neighbours are linked to this chain too: alive (PINNED).
        match unsafe { prev.as_ref() } {
            // SAFETY: and ours to touch (BODY).
            Some(prev) => unsafe { prev.with_body(|body| body.next = next) },
            None => self.head = next,
        }
        // SAFETY: as for `prev`.
        match unsafe { next.as_ref() } {
            // SAFETY: as for `prev`.
            Some(next) => unsafe { next.with_body(|body| body.prev = prev) },
            None => self.tail = prev,
        }
        waker
    }
}

/// A queue of waiters.
#[derive(Debug)]
pub(crate) struct WaitList {
    /// How many nodes are linked; written under the mutex, read by notifiers without it.
    linked: AtomicUsize,
    chain: Lock<Chain>,
}

impl WaitList {
    pub(crate) fn new() -> WaitList {
        let chain = Chain { head: ptr::null(), tail: ptr::null(), forks: forks() };
        WaitList { linked: AtomicUsize::new(0), chain: Lock::new(chain) }
    }

    /// The chain, which has nodes only of this process (COPIED).
    fn lock(&self) -> LockGuard<'_, Chain> {
        let (mut chain, torn) = self.chain.lock_marked();
        if torn || chain.forks != forks() {
            *chain = Chain { head: ptr::null(), tail: ptr::null(), forks: forks() };
            self.linked.store(0, Ordering::Relaxed);
        }
        chain
    }

    /// Wakes everyone who waits at the time of the call. Make their condition true before.
    pub(crate) fn notify_all(&self) {
        fence(Ordering::SeqCst);
        let mut left = self.linked.load(Ordering::Relaxed);
        while left > 0 {
            let mut wakers: [Option<Waker>; BATCH] = [const { None }; BATCH];
            let taken = self.take(&mut wakers[..left.min(BATCH)]);
            for waker in wakers.into_iter().flatten() {
                // A Waker is foreign code; its panic must not cost the others their wake-up.
                let _ = contained(|| waker.wake());
            }
            left = if taken == 0 { 0 } else { left.saturating_sub(taken) };
        }
    }

    /// Unlinks waiters from the front, one for each element of `wakers`, and returns how many there
    /// were.
    fn take(&self, wakers: &mut [Option<Waker>]) -> usize {
        let mut chain = self.lock();
        let mut taken = 0;
        for waker in wakers {
            // SAFETY: a linked node is alive (PINNED).
            let Some(node) = (unsafe { chain.head.as_ref() }) else { break };
            // SAFETY: we hold the mutex, and the head is linked.
            *waker = unsafe { chain.unlink(node) };
            node.state.set(NOTIFIED);
            taken += 1;
        }
        self.linked.fetch_sub(taken, Ordering::Relaxed);
        taken
    }

    /// Links `node`, or gives a node that is linked already the newest Waker.
    ///
    /// # Safety
    /// The caller owns `node`, which is pinned and is never linked to another list.
    unsafe fn enter(&self, node: &Node, waker: &Waker) {
        let mut new = Some(waker.clone());
        let mut chain = self.lock();
        let old = if node.is_linked() {
            // SAFETY: linked, and we hold the mutex (BODY).
            unsafe { node.with_body(|body| std::mem::replace(&mut body.waker, new.take())) }
        } else {
            if let Some(waker) = new.take() {
                // SAFETY: we hold the mutex and own the node, which is not linked.
                unsafe { chain.push_back(node, waker) };
            }
            node.forks.store(chain.forks, Ordering::Relaxed);
            node.state.set(LINKED);
            self.linked.fetch_add(1, Ordering::Relaxed);
            None
        };
        drop(chain);
        drop(old);
    }

    /// Unlinks `node` if it is linked.
    ///
    /// # Safety
    /// The caller owns `node`, which was never linked to another list.
    unsafe fn leave(&self, node: &Node) {
        // LAST: unless the node is linked nobody else touches it, and the mutex can be spared.
        if node.state.get() != LINKED {
            return;
        }
        let mut chain = self.lock();
        if !node.is_linked() {
            return;
        }
        // SAFETY: linked, and we hold the mutex.
        let waker = unsafe { chain.unlink(node) };
        node.state.set(IDLE);
        self.linked.fetch_sub(1, Ordering::Relaxed);
        drop(chain);
        drop(waker);
    }
}

impl Drop for WaitList {
    fn drop(&mut self) {
        debug_assert!(
            self.linked.load(Ordering::Relaxed) == 0 || self.lock().head.is_null(),
            "a wait list was dropped under its waiters"
        );
    }
}

/// Something to wait for: a condition, and the list that is notified when it may have become true.
///
/// # Safety
/// `list` returns the same list every time, and that list lives as long as the event.
pub(crate) unsafe trait Event {
    /// What the waiter gets.
    type Output;

    /// The list to wait on.
    fn list(&self) -> &WaitList;

    /// The result, once the condition holds. Called with no lock of the list held.
    fn check(&mut self) -> Option<Self::Output>;
}

/// Waits for an [`Event`]. Dropping it leaves the queue.
#[derive(Debug)]
pub(crate) struct Wait<E: Event> {
    event: E,
    node: Node,
}

impl<E: Event> Wait<E> {
    pub(crate) fn new(event: E) -> Wait<E> {
        Wait { event, node: Node::new() }
    }

    pub(crate) fn event(&self) -> &E {
        &self.event
    }
}

impl<E: Event> Future for Wait<E> {
    type Output = E::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<E::Output> {
        // SAFETY: neither field is moved out; `event` is never pinned, `node` stays where it is
        // (PINNED).
        let Wait { event, node } = unsafe { self.get_unchecked_mut() };
        if let Some(output) = event.check() {
            return Poll::Ready(output);
        }
        // SAFETY: the node is ours, pinned with us, and the event has but one list.
        unsafe { event.list().enter(node, cx.waker()) };
        fence(Ordering::SeqCst);
        event.check().map_or(Poll::Pending, Poll::Ready)
    }
}

impl<E: Event> Drop for Wait<E> {
    fn drop(&mut self) {
        // SAFETY: the node is ours, and the event has but one list.
        unsafe { self.event.list().leave(&self.node) };
        // A model is to see that nobody else is still at it (LAST).
        #[cfg(docache_loom)]
        // SAFETY: the node is not linked any more (BODY).
        unsafe {
            self.node.with_body(|body| body.waker = None)
        };
    }
}

/// Where a thread parks, and the Waker that ends its park.
pub(crate) struct ThreadParker {
    pub(crate) parker: Parker,
    pub(crate) waker: Waker,
    /// The number of forks before the process whose threads may use it.
    pub(crate) forks: u32,
}

struct Unpark {
    unparker: Unparker,
    forks: u32,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // COPIED: nobody parks there any more, and a thread that is not here may hold its locks.
        if self.forks == forks() {
            self.unparker.unpark();
        }
    }
}

#[cfg(not(docache_loom))]
thread_local!(static PARKER: std::cell::Cell<Option<ThreadParker>> = const { std::cell::Cell::new(None) });

impl ThreadParker {
    /// The calling thread's parker, made once in its life; a new one if that is taken, or if the
    /// thread is ending.
    pub(crate) fn take() -> ThreadParker {
        #[cfg(not(docache_loom))]
        if let Some(parker) = PARKER.try_with(std::cell::Cell::take).ok().flatten() {
            if parker.forks == forks() {
                return parker;
            }
        }
        let (parker, forks) = (Parker::new(), forks());
        let waker = Arc::new(Unpark { unparker: parker.unparker().clone(), forks }).into();
        ThreadParker { parker, waker, forks }
    }

    /// Keeps the parker for the thread's next wait.
    fn give_back(self) {
        #[cfg(not(docache_loom))]
        let _ = PARKER.try_with(|cell| cell.set(Some(self)));
    }
}

/// Drives `future` on the calling thread until it is ready, or until `deadline` on `clock`; then
/// `None`.
///
/// A future that is ready at the deadline wins over it. [`Tick::MAX`] never comes.
pub(crate) fn block_on<F: Future>(
    future: F,
    clock: &dyn Clock,
    deadline: Option<Tick>,
) -> Option<F::Output> {
    let deadline = deadline.filter(|deadline| *deadline != Tick::MAX);
    let mut future = pin!(future);
    let mut parker = ThreadParker::take();
    let output = loop {
        if parker.forks != forks() {
            // The future has forked, and this is the child.
            parker = ThreadParker::take();
        }
        let mut cx = TaskContext::from_waker(&parker.waker);
        // Before the poll: what is ready by the deadline counts.
        let late = deadline.is_some_and(|deadline| clock.now() >= deadline);
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            break Some(output);
        }
        match deadline {
            None => park(&parker.parker),
            Some(_) if late => break None,
            Some(deadline) => park_until(&parker.parker, clock, deadline, &parker.waker),
        }
    };
    parker.give_back();
    output
}

#[cfg(all(test, not(docache_loom)))]
mod tests;
