//! Where flights live: a [registry](Registry) behind a lock, and what happens to the calls in it.
//!
//! A group's flights live in the group's own [shards](crate::flight::shard). A cache's live under
//! the lock of the cache's own shard, where entering a flight is one critical section with the look
//! into the table, and ending it is one with storing the value.

use std::ops::DerefMut;

use super::call::{Call, CallPtr};
use super::outcome::Outcome;
use super::registry::{Entered, Registry};

/// A call of a [`Domain`].
pub(crate) type CallOf<D> = Call<<D as Domain>::Key, <D as Domain>::Value, <D as Domain>::Error>;
/// What comes of a flight in a [`Domain`].
pub(crate) type OutcomeOf<D> = Outcome<<D as Domain>::Value, <D as Domain>::Error>;
pub(super) type CallPtrOf<D> =
    CallPtr<<D as Domain>::Key, <D as Domain>::Value, <D as Domain>::Error>;

/// What lets one code run the flights of groups and of caches: how one call gets at the registry of
/// its flight, which lies behind a lock, and what is done in
/// the same critical sections.
///
/// Two types implement it: a reference to a shard of a group, which is the bare registry; and what
/// a call of a cache knows of its shard, which also looks for values there and stores them.
///
/// # Safety
/// [`registry`](Self::registry) returns the same registry each time, with its one lock held for as
/// long as the result lives (LINKS).
pub(crate) unsafe trait Domain {
    /// What flights are told apart by.
    type Key: ?Sized + Eq;
    /// What callers get.
    type Value: Clone;
    /// How the work fails.
    type Error;
    /// What the work returns: a value, perhaps with its time to live.
    type Loaded;
    /// What a call stages for its domain from [`enter`](Self::enter) on. It lies in the
    /// [`FlightCall`](crate::flight::flight_call::FlightCall), not in the domain, which is moved:
    /// values may be large.
    type Staged: Default;

    /// The registry, with its lock held.
    fn registry(&self) -> impl DerefMut<Target = Registry<Self::Key, Self::Value, Self::Error>>;

    /// Joins the flight of the call's key, or begins one, unless none is needed.
    ///
    /// # Safety
    /// `me` is at [`Out`](super::call::State::Out), belongs to the caller, is pinned and is used
    /// with no other registry. It is taken out again with [`complete`](Self::complete),
    /// [`abandon`](super::wait::abandon) or [`leave`](super::wait::leave) before its memory is
    /// used for anything else (PINNED, KEY).
    unsafe fn enter(&self, me: &CallOf<Self>, staged: &mut Self::Staged) -> Entered;

    /// Called when a call that waited was handed the lead, before it runs its work; not for a call
    /// that leads from [`enter`](Self::enter) on. A cache looks for the value once more here. False
    /// if there is one (or a cached error): it has been put into the call, and no work is to run.
    ///
    /// # Safety
    /// `me` belongs to the caller and leads in this registry.
    unsafe fn recheck(&self, me: &CallOf<Self>, staged: &mut Self::Staged) -> bool;

    /// The value in what the work returned.
    fn value_of(&self, loaded: Self::Loaded, staged: &mut Self::Staged) -> Self::Value;

    /// Stages what is to be stored of the result of the work, before the flight ends. Runs as part
    /// of the work: a panic in here is a panic of the work.
    ///
    /// # Safety
    /// `me` belongs to the caller and leads in this registry.
    unsafe fn stage(
        &self,
        me: &CallOf<Self>,
        result: Result<&Self::Value, &Self::Error>,
        staged: &mut Self::Staged,
    );

    /// Ends the flight that `me` leads: later calls of its key begin a new one, and those that wait
    /// get the outcome. True if any waited.
    ///
    /// # Safety
    /// `me` belongs to the caller and leads in this registry.
    unsafe fn complete(
        &self,
        me: &CallOf<Self>,
        outcome: &OutcomeOf<Self>,
        staged: &mut Self::Staged,
    ) -> bool;

    /// Called when a call goes, after it has left its flight.
    fn on_drop(&self, staged: &mut Self::Staged);
}

/// Gives the registry the number of buckets that it [wanted](Registry::wanted_buckets).
#[cold]
#[inline(never)]
pub(crate) fn grow<D: Domain + ?Sized>(domain: &D, buckets: usize) {
    let mut buckets = vec![None; buckets];
    domain.registry().grow(&mut buckets);
}
