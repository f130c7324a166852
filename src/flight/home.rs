//! Where flights live: a [registry](Registry) behind a lock, and what happens to the calls in it.
//!
//! A group's flights live in a [`Shard`](super::shard::Shard) of their own. A cache's live under
//! the lock of the cache's own shard, where entering a flight is one critical section with the look
//! into the table, and ending it is one with keeping the value.

use std::hint;
use std::mem;
use std::ops::DerefMut;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

use super::call::{Call, Kind, Ref, Stage};
use super::outcome::{Failure, Outcome};
pub(crate) use super::registry::Entered;
use super::registry::{End, Registry};
use crate::contain::{contained, drop_contained};
use crate::error::panic_message;

/// How many waiters get the outcome in one critical section.
const BATCH: usize = if cfg!(docache_loom) { 2 } else { 16 };

/// Outcomes larger than this, in bytes, are delivered one by one: the clones of a batch lie on the
/// stack.
pub(super) const LARGE: usize = 256;

/// A call of a [`Home`].
pub(crate) type CallOf<H> = Call<<H as Home>::Key, <H as Home>::Value, <H as Home>::Error>;
/// What comes of a flight in a [`Home`].
pub(crate) type OutcomeOf<H> = Outcome<<H as Home>::Value, <H as Home>::Error>;
type RefOf<H> = Ref<<H as Home>::Key, <H as Home>::Value, <H as Home>::Error>;

/// A registry of flights, behind a lock, and what is done in the same critical sections.
/// An implementation always returns the same registry from [`registry`](Self::registry), with its
/// one lock held: LINKS relies on it.
pub(crate) trait Home {
    /// What flights are told apart by.
    type Key: ?Sized + Eq;
    /// What their work returns.
    type Value: Clone;
    /// How it fails.
    type Error;
    /// What the work returns: a value, perhaps with something that is said of it.
    type Loaded;
    /// What [`keep`](Self::keep) stages of a call's result for [`complete`](Self::complete) to
    /// store.
    type Kept: Default;

    /// The registry, with its lock held.
    fn registry(&self) -> impl DerefMut<Target = Registry<Self::Key, Self::Value, Self::Error>>;

    /// Joins the flight of the call's key, or begins one, unless none is needed.
    ///
    /// # Safety
    /// `me` is at [`Out`](Stage::Out), belongs to the caller, is pinned and is used with no other
    /// registry. It is taken out again with [`complete`](Self::complete), [`abandon`] or [`leave`]
    /// before its memory is used for anything else (PINNED, KEY).
    #[inline]
    unsafe fn enter(&self, me: &CallOf<Self>) -> Entered {
        let mut registry = self.registry();
        // SAFETY: the caller's promise.
        let entered = unsafe { registry.enter(me) };
        let wants = registry.wants();
        drop(registry);
        if let Some(lists) = wants {
            grow(self, lists);
        }
        entered
    }

    /// Called before a call that was handed the lead runs its work. False if a result has turned up
    /// in the meantime: the call has it then, and need not run.
    ///
    /// # Safety
    /// `me` belongs to the caller and leads in this registry.
    unsafe fn begin(&self, _me: &CallOf<Self>) -> bool {
        true
    }

    /// The value in what the work returned.
    ///
    /// # Safety
    /// This home's call belongs to the caller.
    unsafe fn accept(&self, loaded: Self::Loaded) -> Self::Value;

    /// Stages what is to be stored of the result of the work, before the flight ends. Runs as part
    /// of the work: a panic in here is a panic of the work.
    ///
    /// # Safety
    /// `me` belongs to the caller and leads in this registry.
    unsafe fn keep(
        &self,
        _me: &CallOf<Self>,
        _result: Result<&Self::Value, &Self::Error>,
        _kept: &mut Self::Kept,
    ) {
    }

    /// Ends the flight that `me` leads: later calls of its key begin a new one, and those that wait
    /// get the outcome. True if any did.
    ///
    /// # Safety
    /// `me` belongs to the caller and leads in this registry.
    #[inline]
    unsafe fn complete(
        &self,
        me: &CallOf<Self>,
        outcome: &OutcomeOf<Self>,
        _kept: &mut Self::Kept,
    ) -> bool {
        // SAFETY: the caller's promise.
        let end = unsafe { self.registry().end(me) };
        // SAFETY: the caller's promise; it has just ended.
        unsafe { conclude(self, me, outcome, &end) }
    }
}

/// Tells those who wait of the outcome of a flight that has [ended](Registry::end). Whether there
/// were any.
///
/// # Safety
/// `me` belongs to the caller, and led the flight.
#[inline]
pub(crate) unsafe fn conclude<H: Home + ?Sized>(
    home: &H,
    me: &CallOf<H>,
    outcome: &OutcomeOf<H>,
    end: &End,
) -> bool {
    if !end.alone {
        // SAFETY: a call that leads is in this registry (PINNED).
        tell(home, unsafe { Ref::new(me) }, outcome);
    }
    me.set_stage(Stage::Out);
    !end.alone
}

/// Gives the registry the number of lists that it [wanted](Registry::wants).
#[cold]
#[inline(never)]
pub(crate) fn grow<H: Home + ?Sized>(home: &H, lists: usize) {
    let mut lists = vec![None; lists];
    home.registry().grow(&mut lists);
}

/// Gives up the lead without an outcome: the heir takes it, or the flight ends. True if there was
/// an heir.
///
/// # Safety
/// `me` belongs to the caller and leads in this registry.
pub(super) unsafe fn abandon<H: Home>(home: &H, me: &CallOf<H>) -> bool {
    // SAFETY: a call that leads is in this registry (PINNED).
    let call = unsafe { Ref::new(me) };
    let mut registry = home.registry();
    let registered = call.links(|links| links.registered);
    registry.remove(call);
    let heir = call.heir();
    let waker = heir.and_then(|heir| {
        call.replace_by(heir);
        if registered {
            registry.insert(heir);
        }
        heir.call().set_stage(Stage::Leads);
        heir.links(|links| links.waker.take())
    });
    drop(registry);
    me.set_stage(Stage::Out);
    wake(waker);
    heir.is_some()
}

/// Stops waiting. If the call was served in the meantime, does the relay's duty; if it became the
/// leader, abandons the lead. True if it has an outcome.
///
/// # Safety
/// `me` belongs to the caller and waited in this registry.
pub(super) unsafe fn leave<H: Home>(home: &H, me: &CallOf<H>) -> bool {
    // SAFETY: a call that waits is in this registry (PINNED).
    let call = unsafe { Ref::new(me) };
    let registry = home.registry();
    if me.stage() == Stage::Waits {
        call.unlink();
        let waker = call.links(|links| links.waker.take());
        drop(registry);
        me.set_stage(Stage::Out);
        drop(waker);
        return false;
    }
    drop(registry);
    if me.stage() == Stage::Leads {
        // SAFETY: the lead was handed to us.
        unsafe { abandon(home, me) };
        return false;
    }
    // SAFETY: it was told (the only stages that are left), and is ours.
    unsafe { settle(home, me) };
    true
}

/// Serves the others if the call is a relay. It is `Out` afterwards, and has its outcome.
///
/// # Safety
/// `me` belongs to the caller, waited in this registry, and is at `Done` or `Relays`.
pub(super) unsafe fn settle<H: Home>(home: &H, me: &CallOf<H>) {
    let pass_on = |outcome: Option<&OutcomeOf<H>>| {
        if let (Stage::Relays, Some(outcome)) = (me.stage(), outcome) {
            // SAFETY: a call that tells is in this registry (PINNED).
            tell(home, unsafe { Ref::new(me) }, outcome);
        }
    };
    // SAFETY: the stage says that it was put there and is the owner's now (OUTCOME).
    unsafe { me.with_outcome(pass_on) };
    me.set_stage(Stage::Out);
}

/// Stores the newest Waker of a waiting call. If it no longer waits, returns its stage.
///
/// # Safety
/// `me` belongs to the caller and waited in this registry.
pub(super) unsafe fn poll<H: Home>(home: &H, me: &CallOf<H>, waker: &Waker) -> Option<Stage> {
    // SAFETY: a call that waits is in this registry (PINNED).
    let call = unsafe { Ref::new(me) };
    if me.stage() == Stage::Waits {
        let mut spare = Some(waker.clone());
        let registry = home.registry();
        let waits = me.stage() == Stage::Waits;
        if waits {
            spare = call.links(|links| mem::replace(&mut links.waker, spare));
        }
        drop(registry);
        drop(spare);
        if waits {
            return None;
        }
    }
    Some(me.stage())
}

/// Serves the ring of `me`, which nobody can join any more, or passes that duty to a parked thread.
/// `me` is alone afterwards.
fn tell<H: Home + ?Sized>(home: &H, me: RefOf<H>, outcome: &OutcomeOf<H>) {
    if size_of::<OutcomeOf<H>>() <= LARGE {
        tell_by::<H, BATCH>(home, me, outcome);
    } else {
        tell_by::<H, 1>(home, me, outcome);
    }
}

#[cold]
#[inline(never)]
fn tell_by<H: Home + ?Sized, const MOST: usize>(home: &H, me: RefOf<H>, outcome: &OutcomeOf<H>) {
    loop {
        let count = count_told(home, me, MOST);
        if count == 0 {
            return;
        }
        let mut copies: [Option<OutcomeOf<H>>; MOST] = [const { None }; MOST];
        copies[..count].iter_mut().for_each(|place| copy(outcome, place));
        let mut wakers: [Option<Waker>; MOST] = [const { None }; MOST];
        // Whether all clones succeeded: a relay must have the real outcome.
        let whole = copies.iter().flatten().all(|copy| copy.is_ok() == outcome.is_ok());
        let registry = home.registry();
        let teller = parked_next(me).filter(|_| whole);
        tell_batch(me, teller, &mut copies[..count], &mut wakers);
        let done = me.next().is_none();
        drop(registry);
        wakers.into_iter().for_each(wake);
        // Clones that were made for calls that have left in the meantime.
        copies.iter_mut().for_each(|copy| drop(contained(|| *copy = None)));
        if done {
            return;
        }
    }
}

/// How many copies of the outcome the next batch can use, up to `most`.
fn count_told<H: Home + ?Sized>(home: &H, me: RefOf<H>, most: usize) -> usize {
    let _registry = home.registry();
    // A leader serves one parked thread, and leaves the rest to it.
    let leads = me.call().stage() == Stage::Leads;
    let most = if leads && parked_next(me).is_some() { 1 } else { most };
    let mut count = 0;
    let mut next = me.next();
    while let Some(call) = next.filter(|call| *call != me && count < most) {
        count += 1;
        next = call.next();
    }
    count
}

/// The parked thread that stands right behind `me`.
fn parked_next<K: ?Sized, T, E>(me: Ref<K, T, E>) -> Option<Ref<K, T, E>> {
    me.next().filter(|next| *next != me && next.call().kind == Kind::Parked)
}

/// Hands out the copies. If there is a `teller`, the parked thread right behind `me`, it gets the
/// first one and is to tell those who are left, and `me` is alone.
fn tell_batch<K: ?Sized, T, E>(
    me: Ref<K, T, E>,
    teller: Option<Ref<K, T, E>>,
    copies: &mut [Option<Outcome<T, E>>],
    wakers: &mut [Option<Waker>],
) {
    let (first, rest) = match copies.split_first_mut() {
        Some((first, rest)) => (first, rest),
        None => return,
    };
    let Some(teller) = teller else {
        for (copy, waker) in std::iter::once(first).chain(rest).zip(wakers) {
            let Some(call) = me.prev() else { return };
            call.unlink();
            *waker = put(call, copy, Stage::Done);
        }
        return;
    };
    for (copy, waker) in rest.iter_mut().zip(&mut wakers[1..]) {
        // From the end of the ring, where the calls stand that cannot be relays; then other parked
        // threads, so that they return sooner.
        let last = me.prev().filter(|last| last.call().kind == Kind::Free);
        let Some(call) = last.or_else(|| parked_next(teller)) else { break };
        if call == me {
            break;
        }
        call.unlink();
        *waker = put(call, copy, Stage::Done);
    }
    me.unlink();
    let stage = if teller.next().is_none() { Stage::Done } else { Stage::Relays };
    wakers[0] = put(teller, first, stage);
}

/// Gives a call its outcome and returns its Waker. With `Done` this is the last access to it
/// (LAST).
fn put<K: ?Sized, T, E>(
    call: Ref<K, T, E>,
    copy: &mut Option<Outcome<T, E>>,
    stage: Stage,
) -> Option<Waker> {
    let waker = call.links(|links| links.waker.take());
    // SAFETY: it waits, and we hold the lock (OUTCOME).
    unsafe { call.call().swap_outcome(copy) };
    call.call().set_stage(stage);
    waker
}

/// A copy for one who waits. The clone of a value is user code; if it panics, that is what the
/// waiter gets.
#[inline(never)]
fn copy<T: Clone, E>(outcome: &Outcome<T, E>, place: &mut Option<Outcome<T, E>>) {
    let copied = catch_unwind(AssertUnwindSafe(|| *place = Some(outcome.clone())));
    if let Err(payload) = copied {
        *place = Some(Err(Failure::Panicked(panic_message(&*payload).into())));
        drop_contained(payload);
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        // A Waker is foreign code; its panic must not cost the others their wake-up.
        let _ = contained(|| waker.wake());
    }
}

/// Spins for about as long as a very short run takes.
pub(super) fn spin<K: ?Sized, T, E>(me: &Call<K, T, E>) {
    const TURNS: usize = if cfg!(docache_loom) { 0 } else { 40 };
    for _ in 0..TURNS {
        if me.stage() != Stage::Waits {
            return;
        }
        hint::spin_loop();
    }
}
