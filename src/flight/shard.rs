//! A shard: some of a group's flights behind one lock, and what can happen to them.

use std::array;
use std::fmt;
use std::hint;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

use super::call::{Call, Kind, Ref, Stage};
use super::outcome::{Failure, Outcome};
use super::registry::Registry;
use crate::contain::{contained, drop_contained};
use crate::error::panic_message;
use crate::lock::Lock;

/// How many waiters are told of an outcome in one stay under the lock.
const BATCH: usize = if cfg!(docache_loom) { 2 } else { 16 };

/// The largest outcome, in bytes, that is told in batches: the copies lie on the stack of the thread that tells.
const LARGE: usize = 256;

/// What a call that wants to join finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entered {
    /// Nobody: the call leads.
    Leads,
    /// A flight: the call waits.
    Joined,
    /// A flight whose work the calling thread is inside of, or that a call of the same owner leads; the call is in no
    /// flight.
    Reentrant,
}

/// Some of a group's flights.
pub(crate) struct Shard<K: ?Sized, T, E> {
    registry: Lock<Registry<K, T, E>>,
}

impl<K: ?Sized, T, E> fmt::Debug for Shard<K, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard").finish_non_exhaustive()
    }
}

impl<K: ?Sized, T, E> Shard<K, T, E> {
    #[cfg(not(docache_loom))]
    pub(crate) const fn new() -> Self {
        Shard { registry: Lock::new(Registry::new()) }
    }

    #[cfg(docache_loom)]
    pub(crate) fn new() -> Self {
        Shard { registry: Lock::new(Registry::new()) }
    }

    /// How many flights a new call of the same key could join.
    pub(crate) fn flights(&self) -> usize {
        self.registry.lock().flights()
    }

    /// Joins the flight of the call's key, or begins one.
    ///
    /// # Safety
    /// `me` is out, belongs to the caller, is pinned, uses no other shard, and is taken out again with
    /// [`complete`](Self::complete), [`abandon`](Self::abandon) or [`leave`](Self::leave) before it goes (PINNED, KEY).
    #[inline]
    pub(super) unsafe fn enter(&self, me: &Call<K, T, E>) -> Entered
    where
        K: Eq,
    {
        // SAFETY: the caller's promise.
        let call = unsafe { Ref::new(me) };
        // SAFETY: the caller owns the call (KEY).
        let key = unsafe { me.key() };
        let mut registry = self.registry.lock();
        if let Some(leader) = registry.find(me.hash, key) {
            return join(leader, call);
        }
        me.set_stage(Stage::Leads);
        registry.insert(call);
        let wants = registry.wants();
        drop(registry);
        if let Some(lists) = wants {
            self.grow(lists);
        }
        Entered::Leads
    }

    #[cold]
    #[inline(never)]
    fn grow(&self, lists: usize) {
        let mut lists = vec![None; lists];
        self.registry.lock().grow(&mut lists);
    }

    /// Ends the flight that `me` leads: from here on calls of its key begin a new one, and those that wait are told.
    /// Whether there were any.
    ///
    /// # Safety
    /// `me` belongs to the caller and leads in this shard.
    #[inline]
    pub(super) unsafe fn complete(&self, me: &Call<K, T, E>, outcome: &Outcome<T, E>) -> bool
    where
        T: Clone,
    {
        // SAFETY: a call that leads is in this shard (PINNED).
        let call = unsafe { Ref::new(me) };
        let mut registry = self.registry.lock();
        registry.remove(call);
        let alone = call.next().is_none();
        drop(registry);
        if !alone {
            self.tell(call, outcome);
        }
        me.set_stage(Stage::Out);
        !alone
    }

    /// Gives up the lead of `me` without an outcome: it goes to a call that waits, or the flight is over. Whether
    /// somebody took it.
    ///
    /// # Safety
    /// `me` belongs to the caller and leads in this shard.
    pub(super) unsafe fn abandon(&self, me: &Call<K, T, E>) -> bool {
        // SAFETY: a call that leads is in this shard (PINNED).
        let call = unsafe { Ref::new(me) };
        let mut registry = self.registry.lock();
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

    /// Stops waiting. What is there by now counts: an outcome is returned and passed on, a lead is abandoned.
    ///
    /// # Safety
    /// `me` belongs to the caller and waited in this shard.
    pub(super) unsafe fn leave(&self, me: &Call<K, T, E>) -> Option<Outcome<T, E>>
    where
        T: Clone,
    {
        // SAFETY: a call that waits is in this shard (PINNED).
        let call = unsafe { Ref::new(me) };
        let registry = self.registry.lock();
        if me.stage() == Stage::Waits {
            call.unlink();
            let waker = call.links(|links| links.waker.take());
            drop(registry);
            me.set_stage(Stage::Out);
            drop(waker);
            return None;
        }
        drop(registry);
        if me.stage() == Stage::Leads {
            // SAFETY: the lead was handed to us.
            unsafe { self.abandon(me) };
            return None;
        }
        // SAFETY: it was told (the only stages that are left), and is ours.
        unsafe { self.take(me) }
    }

    /// Takes the outcome of a call that has one, and does what it owes to the others.
    ///
    /// # Safety
    /// `me` belongs to the caller, waited in this shard, and is at `Told` or `Tells`.
    pub(super) unsafe fn take(&self, me: &Call<K, T, E>) -> Option<Outcome<T, E>>
    where
        T: Clone,
    {
        // SAFETY: the stage says that it was put there and is the owner's now (OUTCOME).
        let outcome = unsafe { me.take_outcome() };
        if let (Stage::Tells, Some(outcome)) = (me.stage(), &outcome) {
            // SAFETY: a call that tells is in this shard (PINNED).
            self.tell(unsafe { Ref::new(me) }, outcome);
        }
        me.set_stage(Stage::Out);
        outcome
    }

    /// Gives a call that waits its newest Waker; if it does not wait any more, says where it stands.
    ///
    /// # Safety
    /// `me` belongs to the caller and waited in this shard.
    pub(super) unsafe fn poll(&self, me: &Call<K, T, E>, waker: &Waker) -> Option<Stage> {
        // SAFETY: a call that waits is in this shard (PINNED).
        let call = unsafe { Ref::new(me) };
        if me.stage() == Stage::Waits {
            let mut spare = Some(waker.clone());
            let registry = self.registry.lock();
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

    /// Makes later calls of the key begin a new flight. Whether there was one to be forgotten.
    pub(crate) fn forget(&self, hash: u64, key: &K) -> bool
    where
        K: Eq,
    {
        let mut registry = self.registry.lock();
        let found = registry.find(hash, key);
        if let Some(flight) = found {
            registry.remove(flight);
        }
        found.is_some()
    }

    /// Tells those in the ring of `me`, which nobody can join any more, or finds a parked thread that does; either way
    /// `me` is alone afterwards.
    fn tell(&self, me: Ref<K, T, E>, outcome: &Outcome<T, E>)
    where
        T: Clone,
    {
        if mem::size_of::<Outcome<T, E>>() <= LARGE {
            self.tell_by::<BATCH>(me, outcome);
        } else {
            self.tell_by::<1>(me, outcome);
        }
    }

    #[cold]
    #[inline(never)]
    fn tell_by<const MOST: usize>(&self, me: Ref<K, T, E>, outcome: &Outcome<T, E>)
    where
        T: Clone,
    {
        loop {
            let count = self.count_told(me, MOST);
            if count == 0 {
                return;
            }
            let mut copies: [_; MOST] = array::from_fn(|at| (at < count).then(|| copy(outcome)));
            let mut wakers: [Option<Waker>; MOST] = [const { None }; MOST];
            // Who tells the others has to have it whole.
            let whole = copies.iter().flatten().all(|copy| copy.is_ok() == outcome.is_ok());
            let registry = self.registry.lock();
            let teller = parked_next(me).filter(|_| whole);
            tell_batch(me, teller, &mut copies[..count], &mut wakers);
            let done = me.next().is_none();
            drop(registry);
            wakers.into_iter().for_each(wake);
            // Of those who left meanwhile.
            copies.into_iter().flatten().for_each(drop_contained);
            if done {
                return;
            }
        }
    }

    /// How many copies of the outcome the next batch can use, up to `most`.
    fn count_told(&self, me: Ref<K, T, E>, most: usize) -> usize {
        let _registry = self.registry.lock();
        // A leader has better things to do: one parked thread that tells the rest is enough.
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
}

fn join<K: ?Sized, T, E>(leader: Ref<K, T, E>, me: Ref<K, T, E>) -> Entered {
    if leader.call().runs_here() || leader.call().has_owner_of(me.call()) {
        return Entered::Reentrant;
    }
    // RING: the leader, then parked threads, then the others.
    match me.call().kind {
        Kind::Parked => leader.insert_after(me),
        Kind::Free => leader.insert_before(me),
    }
    me.call().set_stage(Stage::Waits);
    Entered::Joined
}

/// The parked thread that stands right behind `me`.
fn parked_next<K: ?Sized, T, E>(me: Ref<K, T, E>) -> Option<Ref<K, T, E>> {
    me.next().filter(|next| *next != me && next.call().kind == Kind::Parked)
}

/// Hands out the copies. If there is a `teller`, the parked thread right behind `me`, it gets the first one and is to tell
/// those who are left, and `me` is alone.
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
            *waker = put(call, copy, Stage::Told);
        }
        return;
    };
    for (copy, waker) in rest.iter_mut().zip(&mut wakers[1..]) {
        // From the end, where those stand that have no duties; then other threads, which return the sooner.
        let last = me.prev().filter(|last| last.call().kind == Kind::Free);
        let Some(call) = last.or_else(|| parked_next(teller)) else { break };
        if call == me {
            break;
        }
        call.unlink();
        *waker = put(call, copy, Stage::Told);
    }
    me.unlink();
    let stage = if teller.next().is_none() { Stage::Told } else { Stage::Tells };
    wakers[0] = put(teller, first, stage);
}

/// Gives a call its outcome and returns its Waker. With `Told` this is the last access to it (LAST).
fn put<K: ?Sized, T, E>(call: Ref<K, T, E>, copy: &mut Option<Outcome<T, E>>, stage: Stage) -> Option<Waker> {
    let waker = call.links(|links| links.waker.take());
    if let Some(outcome) = copy.take() {
        // SAFETY: it waits, and we hold the lock (OUTCOME).
        unsafe { call.call().put_outcome(outcome) };
    }
    call.call().set_stage(stage);
    waker
}

/// A copy for one who waits. The clone of a value is user code; if it panics, that is what the waiter gets.
fn copy<T: Clone, E>(outcome: &Outcome<T, E>) -> Outcome<T, E> {
    catch_unwind(AssertUnwindSafe(|| outcome.clone())).unwrap_or_else(|payload| {
        let message = panic_message(&*payload).into();
        drop_contained(payload);
        Err(Failure::Panicked(message))
    })
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        // A Waker is foreign code; its panic must not cost the others their wake-up.
        let _ = contained(|| waker.wake());
    }
}

/// Looks whether the call was told, for about as long as a very short run takes.
pub(super) fn spin<K: ?Sized, T, E>(me: &Call<K, T, E>) {
    const TURNS: usize = if cfg!(docache_loom) { 0 } else { 40 };
    for _ in 0..TURNS {
        if me.stage() != Stage::Waits {
            return;
        }
        hint::spin_loop();
    }
}
