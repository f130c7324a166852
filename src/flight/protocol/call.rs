//! A call: one caller's part in a flight. (In Go's singleflight a `call` is the shared run; that is
//! a *flight* here.)

use std::fmt;
use std::marker::PhantomPinned;
use std::ptr::{self, NonNull};
use std::task::Waker;

use super::outcome::Outcome;
use crate::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering};
use crate::sync::cell::UnsafeCell;
use crate::sync::fork::forks;
use crate::sync::thread;

/// Whether a caller is certain to run soon after it is woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitKind {
    /// A thread that does nothing but wait: the system runs it, so it may be given duties.
    Parked,
    /// A task, a thread with other work, or code behind the C ABI: nobody knows when it looks.
    Polled,
}

/// Where a call stands: the state word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum State {
    /// In no flight. Nobody but its owner knows the call.
    Out = 0,
    /// Its owner runs the work, or is to run it; the calls that wait for it form a ring with it.
    Leads = 1,
    /// In the ring of the call that leads.
    Waits = 2,
    /// It has its outcome and nobody else touches it any more.
    Done = 3,
    /// It has its outcome, and the ring of those that do not: its owner serves them (flight/mod.rs,
    /// step 4).
    Relays = 4,
}

#[derive(Debug)]
struct StateWord(AtomicU8);

impl StateWord {
    #[inline]
    fn get(&self) -> State {
        match self.0.load(Ordering::Acquire) {
            0 => State::Out,
            1 => State::Leads,
            2 => State::Waits,
            3 => State::Done,
            _ => State::Relays,
        }
    }

    #[inline]
    fn set(&self, state: State) {
        self.0.store(state as u8, Ordering::Release);
    }
}

/// The thread that is inside the work of a call, as its token, or 0.
///
/// All accesses are `Relaxed`: a thread that compares this with its own token asks only about its
/// own stores; whether there is any thread is asked under the lock (see "Orderings" in the
/// documentation of [`flight`](crate::flight)).
#[derive(Debug)]
struct Runner(AtomicUsize);

/// The fields of a call that the lock of its domain protects (LINKS).
#[derive(Debug)]
pub(super) struct Links<K: ?Sized, T, E> {
    /// The neighbours in the ring of a flight; both `None` while the call is alone.
    pub(super) ring_prev: Option<CallPtr<K, T, E>>,
    pub(super) ring_next: Option<CallPtr<K, T, E>>,
    /// The neighbours in a bucket of the registry.
    pub(super) chain_prev: Option<CallPtr<K, T, E>>,
    pub(super) chain_next: Option<CallPtr<K, T, E>>,
    /// Whether the call stands in the registry: it leads and was not forgotten.
    pub(super) registered: bool,
    /// What wakes the owner.
    pub(super) waker: Option<Waker>,
}

impl<K: ?Sized, T, E> Links<K, T, E> {
    #[inline]
    const fn new() -> Self {
        Links {
            ring_prev: None,
            ring_next: None,
            chain_prev: None,
            chain_next: None,
            registered: false,
            waker: None,
        }
    }
}

/// One caller's part in a flight. It lies in the caller's own frame.
pub(crate) struct Call<K: ?Sized, T, E> {
    state: StateWord,
    runner: Runner,
    /// Who made the call, where that is no thread; 0 is nobody.
    caller_id: u64,
    pub(super) wait_kind: WaitKind,
    /// The number of forks ([`forks`]) before the process in which its links were made (COPIED).
    forks: AtomicU32,
    pub(crate) hash: u64,
    key: *const K,
    links: UnsafeCell<Links<K, T, E>>,
    outcome: UnsafeCell<Option<Outcome<T, E>>>,
    _pinned: PhantomPinned,
}

// SAFETY: one thread at a time accesses `links` (LINKS) and `outcome` (OUTCOME); outcomes and
// Wakers are moved between threads (Send), errors also shared by them (Sync). Keys are compared by
// any thread (Sync).
unsafe impl<K: ?Sized + Sync, T: Send, E: Send + Sync> Send for Call<K, T, E> {}
// SAFETY: as above.
unsafe impl<K: ?Sized + Sync, T: Send, E: Send + Sync> Sync for Call<K, T, E> {}

impl<K: ?Sized, T, E> Call<K, T, E> {
    /// A call that is in no flight. Its owner keeps `key` for as long as the call is in one (KEY).
    #[inline]
    pub(crate) fn new(hash: u64, key: *const K, wait_kind: WaitKind) -> Call<K, T, E> {
        Call {
            state: StateWord(AtomicU8::new(State::Out as u8)),
            runner: Runner(AtomicUsize::new(0)),
            caller_id: 0,
            wait_kind,
            forks: AtomicU32::new(forks()),
            hash,
            key,
            links: UnsafeCell::new(Links::new()),
            outcome: UnsafeCell::new(None),
            _pinned: PhantomPinned,
        }
    }

    /// Names who makes the call, where that is no thread: a call that would wait for one of the
    /// same caller is reentrant. 0 is nobody.
    #[cfg(all(feature = "capi", not(docache_loom)))]
    #[inline]
    pub(crate) fn set_caller_id(&mut self, caller_id: u64) {
        self.caller_id = caller_id;
    }

    #[inline]
    pub(crate) fn state(&self) -> State {
        self.state.get()
    }

    /// To be called before the owner does anything with a call that may be in a flight, and again
    /// after user code, which may fork (COPIED).
    #[inline]
    pub(crate) fn reset_if_forked(&self) {
        if self.forks.load(Ordering::Relaxed) != forks() {
            self.reset_after_fork();
        }
    }

    /// Takes the call out of all lists that it was in before the fork: the other calls are not
    /// here. One that waited now leads.
    #[cold]
    #[inline(never)]
    fn reset_after_fork(&self) {
        self.forks.store(forks(), Ordering::Relaxed);
        // SAFETY: no list has it (COPIED), so it is the owner's alone.
        let old =
            self.links.with_mut(|links| std::mem::replace(unsafe { &mut *links }, Links::new()));
        // A thread that is not here may have been changing it when the process was forked.
        std::mem::forget(old);
        match self.state() {
            State::Waits => {
                // The same goes for the outcome.
                // SAFETY: as above; what is overwritten is not dropped.
                self.outcome.with_mut(|cell| unsafe { cell.write(None) });
                self.set_state(State::Leads);
            }
            State::Relays => self.set_state(State::Done),
            State::Out | State::Leads | State::Done => {}
        }
    }

    #[inline]
    pub(super) fn set_state(&self, state: State) {
        self.state.set(state);
    }

    /// The key.
    ///
    /// # Safety
    /// The call is in a flight and stays there while the result is used, or the caller is its owner
    /// (KEY).
    #[inline]
    pub(crate) unsafe fn key(&self) -> &K {
        // SAFETY: the caller's promise.
        unsafe { &*self.key }
    }

    /// Says that the calling thread is inside this call's work.
    #[inline]
    pub(crate) fn enter_work(&self) {
        self.runner.0.store(thread::token().id(), Ordering::Relaxed);
    }

    /// Says that it is not any more.
    #[inline]
    pub(crate) fn leave_work(&self) {
        self.runner.0.store(0, Ordering::Relaxed);
    }

    /// Whether some thread is inside this call's work, or inside work that its owner does for other
    /// calls. Under the lock the answer is right for every owner that has taken the lock since it
    /// began or ended that work.
    pub(super) fn is_in_work(&self) -> bool {
        self.runner.0.load(Ordering::Relaxed) != 0
    }

    /// Whether the calling thread is inside this call's work.
    #[inline]
    pub(super) fn runs_here(&self) -> bool {
        self.runner.0.load(Ordering::Relaxed) == thread::token().id()
    }

    /// Whether both calls were made by the same caller.
    #[inline]
    pub(super) fn has_caller_of(&self, other: &Self) -> bool {
        self.caller_id != 0 && self.caller_id == other.caller_id
    }

    /// Uses the outcome where it lies: values may be large.
    ///
    /// # Safety
    /// Under OUTCOME it is the caller's turn, until `f` returns.
    #[inline]
    pub(in crate::flight) unsafe fn with_outcome<R>(
        &self,
        f: impl FnOnce(Option<&Outcome<T, E>>) -> R,
    ) -> R {
        // SAFETY: the caller's promise.
        self.outcome.with(|cell| f(unsafe { (*cell).as_ref() }))
    }

    /// Exchanges the outcome, which may be none, for another.
    ///
    /// # Safety
    /// Under OUTCOME it is the caller's turn.
    pub(super) unsafe fn swap_outcome(&self, other: &mut Option<Outcome<T, E>>) {
        // SAFETY: the caller's promise makes this the only access.
        self.outcome.with_mut(|cell| unsafe { ptr::swap_nonoverlapping(cell, other, 1) });
    }

    /// # Safety
    /// Under OUTCOME it is the caller's turn.
    #[inline]
    pub(crate) unsafe fn put_outcome(&self, outcome: Outcome<T, E>) {
        self.outcome.with_mut(|cell| {
            // SAFETY: the caller's promise makes this the only access.
            unsafe { *cell = Some(outcome) };
        });
    }

    /// # Safety
    /// Under OUTCOME it is the caller's turn.
    pub(crate) unsafe fn take_outcome(&self) -> Option<Outcome<T, E>> {
        // SAFETY: the caller's promise makes this the only access.
        self.outcome.with_mut(|cell| unsafe { (*cell).take() })
    }
}

impl<K: ?Sized, T, E> fmt::Debug for Call<K, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("state", &self.state())
            .field("wait_kind", &self.wait_kind)
            .field("hash", &self.hash)
            .finish_non_exhaustive()
    }
}

/// A call that is in a flight, as the registry and the rings know it.
///
/// It is valid for as long as the call is in a list (PINNED), and what lists consist of is touched
/// only by the thread that holds the lock of its domain (LINKS).
pub(super) struct CallPtr<K: ?Sized, T, E>(NonNull<Call<K, T, E>>);

impl<K: ?Sized, T, E> Clone for CallPtr<K, T, E> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}

impl<K: ?Sized, T, E> Copy for CallPtr<K, T, E> {}

impl<K: ?Sized, T, E> PartialEq for CallPtr<K, T, E> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        ptr::eq(self.0.as_ptr(), other.0.as_ptr())
    }
}

impl<K: ?Sized, T, E> fmt::Debug for CallPtr<K, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Pointer::fmt(&self.0, f)
    }
}

impl<K: ?Sized, T, E> CallPtr<K, T, E> {
    /// # Safety
    /// The call is pinned and is taken out of every list before it goes (PINNED). The result, and
    /// what it is copied to, is used under the lock of the call's domain (LINKS).
    #[inline]
    pub(super) unsafe fn new(call: &Call<K, T, E>) -> Self {
        CallPtr(NonNull::from(call))
    }

    #[inline]
    pub(super) fn call<'a>(self) -> &'a Call<K, T, E> {
        // SAFETY: PINNED: a `CallPtr` is used, and so is the result, while the call is in a list or
        // belongs to the caller, as was promised when this was made.
        unsafe { self.0.as_ref() }
    }

    #[inline]
    pub(super) fn links<R>(self, f: impl FnOnce(&mut Links<K, T, E>) -> R) -> R {
        // SAFETY: LINKS, promised when this was made: the lock is held. `f` does not get at the
        // links of this same call a second time.
        self.call().links.with_mut(|links| f(unsafe { &mut *links }))
    }
}
