//! When the callbacks of an object are over: what `_free` waits for, and what it leaves to others.
//!
//! # State
//! Each object that has callbacks of its own has a [`Gate`]. Its [word](Word) counts holds: one
//! that the handle has until it is freed, and one for each call or background pass that calls back.
//! Behind the gate lies what goes with the object, in a [stack](Behind).
//!
//! A [`Frame`] lies on the stack of each such call; the frames of a thread are a list, the
//! innermost first. A call that may not call back at all takes its hold when it does
//! ([`Gate::call`]); others take it at once ([`Gate::during`]).
//!
//! # Invariants
//! - CLOSED: once the word is closed there are no new holds, so no callback begins but those that
//!   a [hold](KeptHold) was taken for before.
//! - HELD: what lies behind the gate is dropped by whoever gives back the last hold, so while there
//!   is one it is there. A free inside a call on its own thread gives the handle's hold to that
//!   call's outermost frame.
//! - GATE: while there is a hold the gate is there: the handle, which has a share of it, was not
//!   freed or lies behind it; or who has the hold was given it by somebody who keeps a share until
//!   it is given back, such as the listener's closure.
//! - FRAMES: a frame is in its thread's list exactly while it lies on the stack, and only its
//!   thread looks at it.
//! - ACYCLIC: in `WAITS` is an edge from each object that a waiting thread calls back for to the
//!   one that it waits for, and no edge is added that closes a circle. So of threads that free each
//!   other's objects one does not wait.
//!
//! # Orderings
//! A hold is given back with Release and the last one taken away with Acquire: what is dropped then
//! was last used before.
//!
//! # Forks
//! The threads of a process do not exist in its child, and neither do their holds and waits: the
//! word and `WAITS` say of which process they are. No lock may be left by a thread that is not
//! there: what lies behind the gate has none, nor has `over`, a word to sleep on; that of `WAITS`
//! is marked.

use std::cell::Cell;
use std::mem;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::contain::drop_contained;
use crate::lock::{Lock, LockGuard};
use crate::sync::fork::{self, forks};
use crate::sync::{parking, thread};

mod behind;

use behind::Behind;

/// Whether the gate is closed, how many holds there are, and of which process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word(u64);

impl Word {
    const CLOSED: u64 = 1;
    const HOLD: u64 = 2;
    const PROCESS: u32 = 32;

    /// The handle's hold, and no other.
    fn open(process: u32) -> Word {
        Word(u64::from(process) << Word::PROCESS | Word::HOLD)
    }

    fn is_closed(self) -> bool {
        self.0 & Word::CLOSED != 0
    }

    /// The word as it stands in this process.
    fn here(self, process: u32) -> Word {
        match (self.process() == process, self.is_closed()) {
            (true, _) => self,
            (false, false) => Word::open(process),
            // Who was to give back the last hold does not exist.
            (false, true) => Word(u64::from(process) << Word::PROCESS | Word::CLOSED),
        }
    }

    fn with_hold(self) -> Option<Word> {
        (!self.is_closed()).then(|| Word(self.0 + Word::HOLD))
    }

    /// Without one of its holds.
    fn without_hold(self) -> Word {
        Word(self.0 - Word::HOLD)
    }

    fn process(self) -> u32 {
        (self.0 >> Word::PROCESS) as u32
    }

    fn closed(self) -> Word {
        Word(self.0 | Word::CLOSED)
    }

    fn holds(self) -> bool {
        self.0 as u32 >= Word::HOLD as u32
    }
}

/// An object's gate. See the [module](self).
pub(super) struct Gate {
    word: AtomicU64,
    behind: Behind,
    /// 1 once the object has ended; until then those who wait for that sleep on it.
    over: AtomicU32,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate")
            .field("word", &Word(self.word.load(Ordering::Relaxed)))
            .finish_non_exhaustive()
    }
}

impl Gate {
    pub(super) fn new() -> Arc<Gate> {
        fork::watch();
        Arc::new(Gate {
            word: AtomicU64::new(Word::open(forks()).0),
            behind: Behind::default(),
            over: AtomicU32::new(0),
        })
    }

    /// Keeps something until the object ends.
    pub(super) fn keep(&self, what: impl Send + 'static) {
        self.behind.push(Box::new(what));
    }

    /// Does what may call back on this thread, which it does by [`during`](Gate::during). The
    /// object is there until it is done.
    #[inline]
    pub(super) fn call<R>(&self, f: impl FnOnce() -> R) -> R {
        Frame::with(self, None, f)
    }

    /// Does what calls back, unless the object was freed. The object is there until it is done, or
    /// until the outermost of the calls is done that it is inside of.
    pub(super) fn during<R>(self: &Arc<Gate>, f: impl FnOnce() -> R) -> Option<R> {
        let Some(frame) = Frame::outermost(self) else {
            return Some(Frame::with(self, Some(Hold::take(self)?), f));
        };
        // It may have been closed by this thread, further in.
        if Word(self.word.load(Ordering::Relaxed)).is_closed() {
            return None;
        }
        // SAFETY: FRAMES: this thread's, and further out on its stack.
        unsafe { &*frame }.ensure_hold(self)?;
        Some(f())
    }

    /// [`during`](Gate::during) for what is a part of the call that it is inside of: that goes on
    /// to its end also if it has freed the object.
    pub(super) fn inside<R>(self: &Arc<Gate>, f: impl FnOnce() -> R) -> Option<R> {
        let Some(frame) = Frame::outermost(self) else { return self.during(f) };
        // SAFETY: FRAMES: this thread's, and further out on its stack.
        unsafe { &*frame }.ensure_hold(self)?;
        Some(f())
    }

    /// The end of the object, whose handle this takes: callbacks begin no more, and when those
    /// under way are over it goes with all that lies behind the gate. Waits for that, unless this
    /// thread is inside a call of the object's own, or others wait for this thread.
    pub(super) fn close(self: &Arc<Gate>, handle: impl Send + 'static) {
        self.shut(handle);
        self.await_end();
    }

    /// [`close`](Gate::close) without the wait.
    pub(super) fn shut(self: &Arc<Gate>, handle: impl Send + 'static) {
        self.keep(handle);
        self.update(|word| Some(word.closed()));
        let mine = Hold { gate: Arc::as_ptr(self), process: forks() };
        if let Some(frame) = Frame::outermost(self) {
            // SAFETY: FRAMES: this thread's, and further out on its stack.
            unsafe { &*frame }.inherit(mine);
        }
    }

    /// Waits for the object's end, unless this thread is inside a call of the object's own, or
    /// others wait for this thread.
    pub(super) fn await_end(&self) {
        if Frame::outermost(self).is_some() {
            return;
        }
        if let Some(_wait) = self.begin_wait() {
            while self.over.load(Ordering::Acquire) == 0 {
                parking::wait(&self.over, 0, None);
            }
        }
    }

    /// A hold that does not lie on a stack, for callbacks that others call later: the object is
    /// there until it is given back, and they may begin until then, also if it was freed meanwhile.
    /// They are called in [`call`](Gate::call). `None` if the object was freed.
    pub(super) fn hold(self: &Arc<Gate>) -> Option<KeptHold> {
        Some(KeptHold { _hold: Hold::take(self)?, gate: self.clone() })
    }

    /// Notes that this thread is going to wait for the object's end; `None` if it must not, because
    /// that waits for it.
    pub(super) fn begin_wait(&self) -> Option<WaitEdges> {
        let awaited = ptr::from_ref(self).addr();
        let mut mine = Vec::new();
        Frame::each(|gate| mine.push(gate.addr()));
        mine.sort_unstable();
        mine.dedup();
        if mine.is_empty() {
            return Some(WaitEdges { mine, awaited });
        }
        let mut waits = lock_waits();
        let mut reached = vec![awaited];
        let mut at = 0;
        while let Some(gate) = reached.get(at).copied() {
            if mine.contains(&gate) {
                return None;
            }
            let next = waits
                .edges
                .iter()
                .filter(|(waiting, _)| *waiting == gate)
                .map(|(_, awaited)| *awaited);
            let new: Vec<_> = next.filter(|next| !reached.contains(next)).collect();
            reached.extend(new);
            at += 1;
        }
        waits.edges.extend(mine.iter().map(|waiting| (*waiting, awaited)));
        drop(waits);
        Some(WaitEdges { mine, awaited })
    }

    /// Changes the word as it stands in this process: what it was before, if `change` agreed.
    fn update(&self, change: impl Fn(Word) -> Option<Word>) -> Option<Word> {
        let process = forks();
        let changed = |word| change(Word(word).here(process)).map(|word| word.0);
        let before = self.word.fetch_update(Ordering::AcqRel, Ordering::Relaxed, changed).ok()?;
        Some(Word(before).here(process))
    }

    /// The last hold was given back (HELD).
    #[cold]
    fn end(&self) {
        // Who waits inside a destructor does so for this object.
        self.call(|| {
            while let Some(next) = self.behind.pop() {
                drop_contained(next);
            }
        });
        self.over.store(1, Ordering::Release);
        while parking::wake_one(&self.over) {}
    }
}

/// A hold of a gate.
struct Hold {
    gate: *const Gate,
    process: u32,
}

impl Hold {
    fn take(gate: &Arc<Gate>) -> Option<Hold> {
        let before = gate.update(Word::with_hold)?;
        Some(Hold { gate: Arc::as_ptr(gate), process: before.process() })
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.process != forks() {
            // It did not come along into this process, nor was it counted there.
            return;
        }
        // SAFETY: GATE.
        let before = Word(unsafe { &*self.gate }.word.fetch_sub(Word::HOLD, Ordering::AcqRel));
        if before.is_closed() && !before.without_hold().holds() {
            // SAFETY: GATE: this was the last hold, so what has a share still lies behind the gate,
            // or is the caller's.
            unsafe { Arc::increment_strong_count(self.gate) };
            // SAFETY: that is this one.
            unsafe { Arc::from_raw(self.gate) }.end();
        }
    }
}

/// See [`Gate::hold`]. The hold is given back before the share of its gate.
pub(super) struct KeptHold {
    _hold: Hold,
    gate: Arc<Gate>,
}

// SAFETY: the pointer of the hold is that of the gate beside it, which threads share; any of them
// may give a hold back.
unsafe impl Send for KeptHold {}
// SAFETY: as above; nothing can be done to a hold but to drop it.
unsafe impl Sync for KeptHold {}

impl KeptHold {
    /// Calls what this was taken for.
    pub(super) fn call<R>(&self, f: impl FnOnce() -> R) -> R {
        self.gate.call(f)
    }
}

thread_local! {
    /// The innermost frame of the thread.
    static INNERMOST: Cell<*const Frame> = const { Cell::new(ptr::null()) };
    /// For whose gate the thread exists.
    static SERVES: Cell<*const Gate> = const { Cell::new(ptr::null()) };
}

/// A call on an object, or a pass over it, on the stack of the thread that it is on.
struct Frame {
    gate: *const Gate,
    hold: Cell<Option<Hold>>,
    outer: *const Frame,
}

impl Frame {
    #[inline]
    fn with<R>(gate: &Gate, hold: Option<Hold>, f: impl FnOnce() -> R) -> R {
        let frame = Frame { gate, hold: Cell::new(hold), outer: INNERMOST.get() };
        let _leave = Leave(&frame);
        INNERMOST.set(&raw const frame);
        f()
    }

    /// Calls `f` for the gate of each frame of this thread, the innermost first.
    fn each(mut f: impl FnMut(*const Gate)) {
        let mut at = INNERMOST.get();
        // SAFETY: FRAMES.
        while let Some(frame) = unsafe { at.as_ref() } {
            f(frame.gate);
            at = frame.outer;
        }
        if !SERVES.get().is_null() {
            f(SERVES.get());
        }
    }

    /// The outermost frame of this thread that is of this gate.
    fn outermost(gate: &Gate) -> Option<*const Frame> {
        let (mut at, mut found) = (INNERMOST.get(), None);
        // SAFETY: FRAMES.
        while let Some(frame) = unsafe { at.as_ref() } {
            if ptr::eq(frame.gate, gate) {
                found = Some(at);
            }
            at = frame.outer;
        }
        found
    }

    fn has_hold(&self) -> bool {
        let hold = self.hold.take();
        let has = hold.as_ref().is_some_and(|hold| hold.process == forks());
        self.hold.set(hold);
        has
    }

    fn ensure_hold(&self, gate: &Arc<Gate>) -> Option<()> {
        if !self.has_hold() {
            self.hold.set(Some(Hold::take(gate)?));
        }
        Some(())
    }

    /// Takes the handle's hold, unless it has one.
    fn inherit(&self, hold: Hold) {
        if !self.has_hold() {
            self.hold.set(Some(hold));
        }
    }
}

struct Leave<'f>(&'f Frame);

impl Drop for Leave<'_> {
    #[inline]
    fn drop(&mut self) {
        INNERMOST.set(self.0.outer);
        drop(self.0.hold.take());
    }
}

/// Notes for whose loop this thread exists, if it was made for one: all that it calls, it calls for
/// that.
pub(super) fn serve(gate: &Arc<Gate>) {
    if thread::is_ours() {
        SERVES.set(Arc::as_ptr(gate));
    }
}

/// Who waits for whom (ACYCLIC): addresses of gates.
struct Waits {
    edges: Vec<(usize, usize)>,
    process: u32,
}

static WAITS: Lock<Waits> = Lock::new(Waits { edges: Vec::new(), process: 0 });

/// The threads that waited in the parent of this process do not wait here.
fn lock_waits() -> LockGuard<'static, Waits> {
    let (mut waits, torn) = WAITS.lock_marked();
    if torn || waits.process != forks() {
        let mine = Waits { edges: Vec::new(), process: forks() };
        mem::forget(mem::replace(&mut *waits, mine));
    }
    waits
}

/// The time that a thread waits for an object's end.
pub(super) struct WaitEdges {
    mine: Vec<usize>,
    awaited: usize,
}

impl Drop for WaitEdges {
    fn drop(&mut self) {
        if self.mine.is_empty() {
            return;
        }
        let mut waits = lock_waits();
        for waiting in &self.mine {
            let at = waits.edges.iter().position(|edge| *edge == (*waiting, self.awaited));
            at.map(|at| waits.edges.swap_remove(at));
        }
    }
}

#[cfg(test)]
mod tests;
