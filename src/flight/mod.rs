//! Singleflight: callers who want the same thing now share one run of it.
//!
//! # State
//! Everything lies in the callers' own frames. A [`Call`](call::Call) is one caller's part: on a
//! thread's stack, in a pinned future, or in a box. What they meet at is a [home](home::Home): a
//! lock, and behind it the [registry](registry::Registry) of the calls that lead, linked through
//! the calls themselves. A group has [shards](shard::Shard) for that; a cache has its own. Those
//! that wait form a ring with the call that leads, linked through the calls too. So there are no
//! slots to be reused and nothing to be allocated; an address that is used again belongs to a new
//! call, which only enters lists under the lock.
//!
//! A call's [`Stage`](call::Stage) is its state word:
//!
//! ```text
//!         enter: nobody runs the key            complete, abandon
//!   Out ───────────────────────────────► Leads ───────────────────► Out
//!    │                                     ▲
//!    │ enter: somebody does                │ the leader abandons, and this is the heir
//!    └───────────────────────────► Waits ──┤
//!                                          ├── told ─────────► Done ──► Out
//!                          leave ──► Out ◄─┤
//!                                          └── told first ──► Relays ─► Out
//! ```
//!
//! # The run of a flight
//! 1. `enter` looks for the key under the shard's lock. Nobody there: the call is registered and
//!    leads. Else it goes into the leader's ring and waits.
//! 2. The leader runs its work without any lock.
//! 3. `complete` unregisters the leader under the lock. From then on nobody can join: the ring only
//!    shrinks. With an empty ring that is all.
//! 4. Otherwise the outcome is cloned, without the lock, and put into the ring's calls under it. A
//!    leader puts one clone into the parked thread behind it, makes that `Relays`, leaves the ring
//!    and returns: it costs the leader the same however many wait. The teller, once awake, hands on
//!    that duty in the same way, and tells a batch of others besides. Only parked threads get the
//!    duty: the system runs them for certain, while a task that was woken may not be polled for a
//!    long time, and what it waits for may be what others would do once they are told. Where no
//!    thread waits the leader tells all tasks itself, and where a clone panicked whoever made it
//!    goes on: that outcome is not handed on.
//! 5. A leader that goes without an outcome (a future that is dropped) hands its place in the ring
//!    and in the registry to the call behind it, in one critical section; with none there it only
//!    unregisters. A bulk call that is in its work is passed over where others wait: that work may
//!    wait for one of them. Where all are in their work the last to come gets the lead: one that
//!    was made from inside the work of another came later, and is what that work waits for. (A lead
//!    that comes just before the work begins is not passed on: then only calls from the same thread
//!    are found out.)
//!
//! # Invariants
//! - PINNED: a call does not move from `enter` on, and is taken out of registry and ring by its
//!   owner before its memory is used for anything else. A future that is forgotten keeps its memory
//!   for ever, which is fine.
//! - KEY: while a call is in a flight its key is there: borrowed by a stack frame, which cannot be
//!   forgotten, or in the same pinned memory as the call. A borrow in a future would not do: a
//!   forgotten future outlives what it borrows.
//! - LINKS: what lists consist of, and Wakers, are touched only under the lock of the call's shard.
//! - RING: behind the leader, or the teller, come parked threads, and then the others in the order
//!   in which they came. So the call behind tells whether there is any thread, and the last of the
//!   others is the last to come.
//! - OUTCOME: an outcome is put into a call that waits under the lock, by the one who then makes it
//!   `Done` or `Relays`; from then on it is the owner's, as it is while the call does not wait.
//! - OWNER: a call's owner is in one place at a time: a frame, the poll of a future, or whoever has
//!   the owned call. What is set aside of its result, between its work and the end of its flight,
//!   is the owner's alone.
//! - LAST: making a call `Done`, under the lock, is the last access that anybody but the owner
//!   makes to it. (The lock itself lies in the group, which the teller borrows for longer.)
//! - OWN: a call is unregistered at most once: by its completion, or by `forget` before that. So
//!   completion removes only what is its own.
//! - ONE-RUN: a registered leader is the only one of its key; so runs of a key overlap only if one
//!   was forgotten.
//!
//! - COPIED: in the child of a fork, calls of threads that are not there are not looked at: their
//!   frames belong to others. So a registry forgets its calls before it is used there
//!   ([`renew`](Registry::renew)), and a call that came along, since its owner forked or it lies on
//!   the heap, leaves what it was in before its owner does anything with it
//!   ([`see_to_fork`](Call)). If it waited it then leads.
//!
//! # Orderings
//! - The lock acquires and releases; all lists are ordered by it.
//! - `Stage` is stored with Release and loaded with Acquire: who sees `Done` or `Relays` without
//!   the lock sees the outcome, and the teller done with the call (LAST). An heir that sees `Leads`
//!   sees all that its predecessor did.
//! - The word that tells which thread is inside a call's work is compared with the reader's own
//!   thread: `Relaxed`. Whether there is any is only asked under the lock, for calls that wait, and
//!   matters only if a call from inside that work has taken the lock before.
//!
//! # Progress
//! A call nobody joins is two critical sections of a few instructions; see [`lock`](crate::lock).
//! No user code but `K`'s `Eq` runs in one: outcomes are cloned, dropped and woken for outside.
//! Waiting is a park or a pending future. Two sections are longer: a shard that has more flights
//! than ever before links them all anew, and a lead that is given up passes by the bulk calls that
//! are in their work.

mod builder;
mod bulk;
mod call;
mod drive;
mod group;
pub(crate) mod home;
mod infallible;
mod keyed;
mod outcome;
#[cfg(all(feature = "capi", not(docache_loom)))]
mod owned_call;
mod pinned_call;
mod registry;
mod shard;

#[cfg(all(test, docache_loom))]
mod model;

pub use builder::GroupBuilder;
pub(crate) use bulk::run_all;
pub(crate) use call::Call;
pub(crate) use drive::{Manner, Target, name_by_debug};
pub use group::Group;
pub use keyed::KeyedGroup;
#[cfg(all(feature = "capi", not(docache_loom)))]
pub(crate) use keyed::MOST_SHARDS;
pub(crate) use outcome::{Failure, Outcome};
pub use outcome::{FlightError, Shared};
#[cfg(all(feature = "capi", not(docache_loom)))]
pub(crate) use owned_call::{Departure, GroupPort, OwnedCall, Port};
#[cfg(all(feature = "capi", not(docache_loom)))]
pub(crate) use pinned_call::WaitResult;
pub(crate) use registry::Registry;
