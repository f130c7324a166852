//! Singleflight: callers who want the same thing now share one run of it.
//!
//! # State
//! Joining allocates nothing: all lists are intrusive, linked through memory that the callers own.
//! (Only a registry that has more flights than before allocates, for its buckets.) A [`Call`] is
//! one caller's part in a flight. It lies on the caller's stack, in its pinned future, or in a box.
//! Callers of the same key meet in a [domain](Domain): a lock, and behind it the
//! [registry](Registry), a hash table of the calls that lead. The calls that wait form a ring with
//! the one that leads. A group has [shards](shard) for domains; a cache uses its own. An address
//! that is used again belongs to a new call, and a call enters lists only under the lock, so there
//! is no ABA problem.
//!
//! A call's [`State`](protocol::call::State) is its state word:
//!
//! ```text
//!         enter: nobody runs the key            complete, abandon
//!   Out ───────────────────────────────► Leads ───────────────────► Out
//!    │                                     ▲
//!    │ enter: somebody does                │ the leader abandons, and this is the heir
//!    └───────────────────────────► Waits ──┤
//!                                          ├── served ───────────────────────► Done ───► Out
//!                          leave ──► Out ◄─┤
//!                                          └── served, with others to serve ─► Relays ─► Out
//! ```
//!
//! The ring of a flight in which two threads wait (B came after A) and two tasks (D after C):
//!
//! ```text
//!  bucket of the registry
//!     │
//!     ▼
//! ╭────────╮ next ╭────────╮ next ╭────────╮ next ╭────────╮ next ╭────────╮
//! │ leader ├─────►│   B    ├─────►│   A    ├─────►│   C    ├─────►│   D    │
//! │        │      │ Parked │      │ Parked │      │ Polled │      │ Polled │
//! │ Leads  │◄─────┤ Waits  │◄─────┤ Waits  │◄─────┤ Waits  │◄─────┤ Waits  │
//! ╰──┬─────╯ prev ╰────────╯ prev ╰────────╯ prev ╰────────╯ prev ╰─────┬──╯
//!    │ ▲                                                              ▲ │
//!    │ └──────────────────────────── next ────────────────────────────┼─┘
//!    └────────────────────────────── prev ────────────────────────────┘
//! ```
//!
//! The next thread enters between the leader and B, the next task between D and the leader. While
//! the outcome is delivered, the relay stands where the leader stood, in no bucket.
//!
//! # The run of a flight
//! 1. `enter` looks for the key in the registry, under the lock. If it is not there, the call is
//!    registered and leads; otherwise it joins the leader's ring and waits.
//! 2. The leader runs its work without any lock.
//! 3. `complete` unregisters the leader under the lock. From then on nobody can join: the ring only
//!    shrinks. With an empty ring that is all.
//! 4. Otherwise the outcome is delivered: cloned without the lock, and the clones put into the
//!    waiting calls under it.
//!    - If no thread is parked, the leader serves all tasks itself, in batches.
//!    - If one is, the leader serves only the parked thread right behind it, which becomes
//!      `Relays`; then the leader leaves the ring and returns. So its cost does not depend on how
//!      many wait.
//!    - This *relay*, once awake, serves a batch of the others, makes the next parked thread the
//!      relay in the same way, and returns.
//!    - Only parked threads become relays: the scheduler is certain to run them, while a woken task
//!      may not be polled for a long time (perhaps because its executor waits for one of the calls
//!      that it would have to serve).
//!    - If a clone panics, the call that it was meant for gets that panic, and nobody becomes a
//!      relay in that batch: the thread that made the clones goes on serving.
//! 5. A leader that leaves without an outcome (a dropped future) hands its place in ring and
//!    registry to a waiting call, its *heir*, in one critical section. If nobody waits it is only
//!    unregistered.
//!    - The heir is the first call behind the leader that is not inside its work: a bulk call that
//!      is running that is passed over, since that work may wait for one of the other callers.
//!    - If all are inside their work, the last to come is the heir: of calls that are nested on one
//!      thread it is the innermost, which the others wait for.
//!    - A bulk call that becomes the leader just before its work begins is not passed over; then
//!      only calls from its own thread are recognized as reentrant.
//!
//! # Invariants
//! - PINNED: a call does not move from `enter` on, and is taken out of registry and ring by its
//!   owner before its memory is used for anything else. A future that is forgotten keeps its memory
//!   forever, which is fine.
//! - KEY: while a call is in a flight its key is there: borrowed by a stack frame, which cannot be
//!   forgotten, or in the same pinned memory as the call. A borrow in a future would not do: a
//!   forgotten future outlives what it borrows.
//! - LINKS: the links of a call (its neighbours in ring and bucket) and its Waker are accessed only
//!   under the lock of its domain.
//! - RING: behind the leader, or the relay, come parked threads, the latest first; then all others,
//!   in the order of their arrival. So the call right behind tells whether any thread is parked,
//!   and the last one, if it is no thread, is the latest of the others.
//! - OUTCOME: while a call waits, its outcome is written only under the lock, by the thread that
//!   then sets it to `Done` or `Relays`. From then on, and while it does not wait, its outcome is
//!   its owner's.
//! - OWNER: a call's owner is one thread at a time: that of the stack frame, of the future's poll,
//!   or the one that uses the owned call. What a call stages for its domain is the owner's alone.
//! - LAST: the store of `Done`, under the lock, is the last access to a call by anybody but its
//!   owner, which may free it as soon as it sees that. (The lock lies in the group, which the relay
//!   borrows for longer.)
//! - REGISTERED: whether a call is in the registry is noted in its own links. Completion, `abandon`
//!   and `forget` take a call out only if it is, so none of them ever removes another call of the
//!   key. (A forgotten call that was handed the lead may be registered anew, by `Domain::recheck`.)
//! - ONE-RUN: a registered leader is the only one of its key; so runs of a key overlap only if one
//!   was forgotten, if an owned call leads and leaves while its work goes on, or in the child of a
//!   fork, whose registry forgets the run that the forking thread is in.
//! - COPIED: in the child of a fork the other threads' calls must not be looked at: their stacks
//!   may be in use for something else. So a registry forgets all its calls before it is used there
//!   ([`reset`](Registry::reset)). A call that survives in the child (on the stack of the thread
//!   that forked, or on the heap) resets its links before its owner does anything else with it
//!   (`reset_if_forked`); if it waited, it now leads.
//!
//! # Orderings
//! - The lock acquires and releases; all lists are ordered by it.
//! - `State` is stored with Release and loaded with Acquire: an owner that sees `Done` or `Relays`
//!   without the lock sees the outcome, and with `Done` all accesses of others to the call are
//!   over (LAST). An heir that sees `Leads` sees all that its predecessor did.
//! - Which thread is inside a call's work is stored and loaded `Relaxed`. Comparing it with one's
//!   own thread asks only about one's own stores. `is_in_work` asks about other threads, under the
//!   lock, for calls that wait. It may miss a thread that has just begun; it matters only if a call
//!   made from inside that work has joined the ring, which means that this thread has taken the
//!   lock since.
//!
//! # Progress
//! A call that nobody joins takes the lock twice, for a few instructions each; see
//! [`lock`](crate::lock). The only user code that runs under it is `K`'s `Eq`: outcomes are cloned
//! and dropped, and Wakers woken, without it. Waiting is parking, or a pending future. Two critical
//! sections are longer: growing the registry relinks all its flights, and finding an heir passes
//! over bulk calls that are inside their work.

mod builder;
mod bulk;
mod drive;
mod error;
mod flight_call;
mod group;
mod infallible;
mod keyed;
#[cfg(all(feature = "capi", not(docache_loom)))]
mod owned_call;
mod protocol;
mod run_future;
mod shard;

#[cfg(all(test, docache_loom))]
mod model;

pub use builder::GroupBuilder;
pub(crate) use bulk::run_all;
pub(crate) use drive::{ErrorStyle, Target, name_by_debug};
pub use error::{FlightError, Shared};
#[cfg(all(feature = "capi", not(docache_loom)))]
pub(crate) use flight_call::WaitResult;
pub use group::Group;
pub(crate) use infallible::value_or_panic;
pub use keyed::KeyedGroup;
#[cfg(all(feature = "capi", not(docache_loom)))]
pub(crate) use keyed::MAX_SHARDS;
#[cfg(all(feature = "capi", not(docache_loom)))]
pub(crate) use owned_call::{Departure, GroupDomain, OwnedCall, OwnedDomain};
pub(crate) use protocol::call::Call;
pub(crate) use protocol::deliver::deliver_outcome;
pub(crate) use protocol::domain::{Domain, grow};
pub(crate) use protocol::outcome::{Failure, Outcome};
pub(crate) use protocol::registry::{Entered, Registry};
pub(crate) use run_future::RunFuture;
