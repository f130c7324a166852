//! The jobs of a scheduler: where each of them is, and which one is next.
//!
//! # State
//! Jobs lie in a slab of [`Slot`]s, which grows and is given back as a whole. The wheel has the
//! number of the slot of each job that waits for a time; `called` those that were called out of
//! turn, in order, and some that have gone since.
//!
//! On a clock of real time the wheel counts in units of 2^16 ns, in which a job is due at the end
//! of the unit that its time lies in: so jobs pass fewer levels of the wheel, and are late by less
//! than the system's own timers are.
//!
//! # Invariants
//! - HOME: a slot has its job exactly while its place is `Waits`, `Sleeps` or `Called`. While it
//!   `Runs`, one thread has the job and gives it back.
//! - NUMBERED: no two jobs of a scheduler have the same number; a slot that is free has number 0.

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use crate::clock::{Tick, TimerId, Wheel};
use crate::executor::{Job, Next};
use crate::sync::prefetch::prefetch;

/// Names a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct JobId {
    number: u64,
    slot: u32,
}

/// Where a job is.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// Nowhere; the next free slot.
    Free(u32),
    /// On the wheel.
    Waits(TimerId),
    /// Nowhere, until it is called.
    Sleeps,
    /// In the queue of those that were called.
    Called,
    /// With a thread; whether it was called meanwhile.
    Runs { again: bool },
}

/// One cache line.
#[repr(align(64))]
struct Slot {
    number: u64,
    place: Place,
    /// When it is due, or was called.
    at: Tick,
    /// Whether it returned at once when it was last called.
    quick: bool,
    job: Option<Box<dyn Job>>,
}

#[cfg(all(target_pointer_width = "64", not(docache_loom)))]
const _: () = assert!(size_of::<Slot>() == 64);

/// No slot.
const NIL: u32 = u32::MAX;

/// A job that a thread has.
pub(super) struct Taken {
    pub(super) id: JobId,
    pub(super) job: Box<dyn Job>,
    /// Whether it was called, and is not due.
    pub(super) called: bool,
    pub(super) at: Tick,
    pub(super) quick: bool,
}

/// See the module.
pub(super) struct JobTable {
    wheel: Wheel<u32>,
    /// How many bits of a time the wheel leaves out.
    coarse: u32,
    called: VecDeque<JobId>,
    slots: Vec<Slot>,
    free: u32,
    numbered: u64,
    len: usize,
    /// Whose turn it is, if one was called and another is due.
    prefers_called: bool,
}

/// What the wheel leaves out of real time.
const COARSE: u32 = 16;

impl JobTable {
    /// One for a clock of real time, or for one that a test moves.
    pub(super) fn new(real: bool) -> JobTable {
        JobTable::of(if real { COARSE } else { 0 })
    }

    fn of(coarse: u32) -> JobTable {
        JobTable {
            wheel: Wheel::default(),
            coarse,
            called: VecDeque::new(),
            slots: Vec::new(),
            free: NIL,
            numbered: 0,
            len: 0,
            prefers_called: false,
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// When the first of those that nobody has is to be called: never later, and sometimes earlier.
    /// The last unit of time does not come.
    pub(super) fn next(&self) -> Option<Tick> {
        if !self.called.is_empty() {
            return Some(Tick::default());
        }
        let unit = self.wheel.next()?.as_nanos();
        Some(Tick::from_nanos(unit.saturating_mul(1 << self.coarse)))
    }

    /// A place for a job that the caller has, as if it ran.
    pub(super) fn reserve(&mut self) -> JobId {
        if self.free == NIL {
            let slot = u32::try_from(self.slots.len()).unwrap_or(NIL);
            assert!(slot < NIL, "more jobs than can be numbered");
            let place = Place::Free(NIL);
            self.slots.push(Slot { number: 0, place, at: Tick::MAX, quick: false, job: None });
            self.free = slot;
        }
        self.numbered += 1;
        self.len += 1;
        let i = self.free;
        let slot = &mut self.slots[i as usize];
        if let Place::Free(next) = slot.place {
            self.free = next;
        }
        (slot.number, slot.place, slot.quick) =
            (self.numbered, Place::Runs { again: false }, false);
        JobId { number: self.numbered, slot: i }
    }

    /// Takes a job back from the thread that has it, or returns it if it is over.
    #[inline]
    pub(super) fn settle(
        &mut self,
        id: JobId,
        job: Box<dyn Job>,
        next: Next,
        quick: bool,
        now: Tick,
    ) -> Option<Box<dyn Job>> {
        let Some(slot) = self.slot(id) else { return Some(job) };
        let Place::Runs { again } = slot.place else { return Some(job) };
        slot.quick = quick;
        let next = if next == Next::AtOnce { Next::At(now.deadline(Duration::ZERO)) } else { next };
        match next {
            Next::Over => {
                self.release(id.slot);
                return Some(job);
            }
            _ if again => {
                (slot.job, slot.place, slot.at) = (Some(job), Place::Called, now);
                self.called.push_back(id);
            }
            Next::At(at) if at != Tick::MAX => {
                (slot.job, slot.at) = (Some(job), at);
                let unit = at.as_nanos().div_ceil(1 << self.coarse);
                let timer = self.wheel.insert(Tick::from_nanos(unit), id.slot);
                self.slots[id.slot as usize].place = Place::Waits(timer);
            }
            Next::At(_) | Next::AtOnce | Next::Called => {
                (slot.job, slot.place) = (Some(job), Place::Sleeps)
            }
        }
        None
    }

    /// Calls a job out of turn. Whether a thread has to see to it.
    pub(super) fn call(&mut self, id: JobId, now: Tick) -> bool {
        let Some(slot) = self.slot(id) else { return false };
        match &mut slot.place {
            Place::Runs { again } => {
                *again = true;
                return false;
            }
            Place::Waits(timer) => {
                let timer = *timer;
                (slot.place, slot.at) = (Place::Called, now);
                self.wheel.remove(timer);
            }
            Place::Sleeps => (slot.place, slot.at) = (Place::Called, now),
            Place::Called | Place::Free(_) => return false,
        }
        self.called.push_back(id);
        true
    }

    /// Takes a job away that nobody has.
    pub(super) fn remove(&mut self, id: JobId) -> Option<Box<dyn Job>> {
        let slot = self.slot(id)?;
        let job = slot.job.take()?;
        if let Place::Waits(timer) = slot.place {
            self.wheel.remove(timer);
        }
        self.release(id.slot);
        Some(job)
    }

    /// Whether a job is still to be called.
    pub(super) fn is_waiting(&self, id: JobId) -> bool {
        let slot = self.slots.get(id.slot as usize);
        slot.is_some_and(|slot| slot.number == id.number && slot.job.is_some())
    }

    /// The next of those that are to be called at `now`. Those that were called and those that are
    /// due take turns.
    #[inline]
    pub(super) fn take(&mut self, now: Tick) -> Option<Taken> {
        if self.called.is_empty() {
            return self.take_due(now);
        }
        self.prefers_called = !self.prefers_called;
        if self.prefers_called {
            self.take_called().or_else(|| self.take_due(now))
        } else {
            self.take_due(now).or_else(|| self.take_called())
        }
    }

    #[inline]
    fn take_due(&mut self, now: Tick) -> Option<Taken> {
        let i = self.wheel.pop_due(Tick::from_nanos(now.as_nanos() >> self.coarse))?;
        self.prefetch_upcoming();
        self.hand_out(i, false)
    }

    /// Asks for what the next calls touch, in three steps, each of which finds what the one before
    /// has brought: of the third that comes the slot, of the second the job, of the first what that
    /// leads to.
    #[inline]
    fn prefetch_upcoming(&self) {
        let [first, second, third] = self.wheel.upcoming();
        let job = |i: &u32| self.slots[*i as usize].job.as_deref();
        if let Some(job) = first.and_then(job) {
            job.prefetch();
        }
        if let Some(job) = second.and_then(job) {
            prefetch(job);
        }
        if let Some(i) = third {
            prefetch(&self.slots[*i as usize]);
        }
    }

    fn take_called(&mut self) -> Option<Taken> {
        while let Some(id) = self.called.pop_front() {
            if self.is_waiting(id) {
                return self.hand_out(id.slot, true);
            }
        }
        None
    }

    #[inline]
    fn hand_out(&mut self, i: u32, called: bool) -> Option<Taken> {
        let slot = &mut self.slots[i as usize];
        // HOME: it is there.
        let job = slot.job.take()?;
        // It is called as soon as the lock is free.
        prefetch(&*job);
        slot.place = Place::Runs { again: false };
        let id = JobId { number: slot.number, slot: i };
        Some(Taken { id, job, called, at: slot.at, quick: slot.quick })
    }

    /// Takes one of the jobs away that nobody has; gives the memory back when there are none. For a
    /// table to which no more are added: the list of free slots is not kept. O(1), amortized.
    pub(super) fn remove_last(&mut self) -> Option<Box<dyn Job>> {
        while let Some(last) = self.slots.last() {
            let id = JobId { number: last.number, slot: self.slots.len() as u32 - 1 };
            let job = self.remove(id);
            self.slots.pop();
            if job.is_some() {
                return job;
            }
        }
        drop(self.clear());
        None
    }

    /// Gives up all jobs that nobody has, and the names of all others.
    pub(super) fn clear(&mut self) -> Vec<Box<dyn Job>> {
        let jobs = self.slots.iter_mut().filter_map(|slot| slot.job.take()).collect();
        let numbered = self.numbered;
        *self = JobTable { numbered, ..JobTable::of(self.coarse) };
        jobs
    }

    /// Gives the memory back if there are none.
    pub(super) fn shrink(&mut self) {
        if self.len == 0 {
            drop(self.clear());
        }
    }

    /// Forgets all jobs but the one that the only thread has, if that has one. For the child of a
    /// fork: nobody else is there who could give one back, and where a job comes from it is known
    /// to be lost.
    pub(super) fn reset_in_child(&mut self, kept: Option<JobId>) {
        self.clear().into_iter().for_each(mem::forget);
        let Some(kept) = kept else { return };
        let place = Place::Runs { again: false };
        let free = |next| Slot {
            number: 0,
            place: Place::Free(next),
            at: Tick::MAX,
            quick: false,
            job: None,
        };
        self.slots = (0..kept.slot).map(|i| free(i.checked_sub(1).unwrap_or(NIL))).collect();
        self.free = kept.slot.checked_sub(1).unwrap_or(NIL);
        let number = kept.number;
        self.slots.push(Slot { number, place, at: Tick::MAX, quick: false, job: None });
        self.len = 1;
    }

    #[inline]
    fn slot(&mut self, id: JobId) -> Option<&mut Slot> {
        self.slots.get_mut(id.slot as usize).filter(|slot| slot.number == id.number)
    }

    fn release(&mut self, i: u32) {
        let slot = &mut self.slots[i as usize];
        (slot.number, slot.place) = (0, Place::Free(self.free));
        self.free = i;
        self.len -= 1;
    }
}
