//! The cache: keyed, with expiry, and lock-free to read.
//!
//! # State
//! A cache is a number of [shards](store::shard::Shard), chosen by the top bits of a key's hash. In
//! each,
//!
//! ```text
//!   readers:  hash ─► view ─► table: bucket ─► index ─► slab: entry (key, value, deadline, hits)
//!                               ▲                           ▲
//!   writers (one lock): ────────┴── policy: queues, ghosts ─┘    limbo: taken out, not reusable
//! ```
//!
//! Readers take a guard, look an entry up, compare keys and the deadline, and clone the value or
//! lend it. They write nothing but the entry's count of hits, and that only until it is full.
//! Writers take the shard's lock. What they take out of the table goes to limbo until no reader can
//! see it ([`reclaim`]), and then its place is used again. New entries do not wait for that: they
//! take other places. So a suspended reader costs memory, and holds up no write.
//!
//! Loads are flights ([`flight`](crate::flight)) that live under the lock of their key's shard
//! ([`load`]): one run for each key, however many ask. A write ends the flight of its key in its
//! own critical section: the load's callers get what it brings, the cache does not keep it, and a
//! call that comes later begins another one.
//!
//! Listeners, destructors, weighers and clones run without a lock ([`store::deferred`]); only keys'
//! `Eq` and `Hash` run under it. Each cache has a [`background`] job. It removes expired entries,
//! drops retired entries that no later write has dropped, and does the notifications and drops that
//! a reentrant write (one made from inside a listener or destructor) had to put off.
//!
//! The invariants, and the orderings that keep them, are at the head of each part:
//! [`table`](store::table), [`slab`](store::slab), [`limbo`](store::limbo),
//! [`shard`](store::shard), [`reclaim`], [`policy`].
//!
//! # What a read may see
//! A read sees every write that happened before it began. A read that runs concurrently with a
//! write of its key sees the value before that write or after it; never one that had been replaced
//! or removed when the read began, never an expired one, and never a miss for a key that was there
//! all the time. Operations on one key are linearizable. `get_many`, `insert_many`, `clear` and
//! `len` are sequences of such operations, key by key or shard by shard; of `insert_many` only the
//! pairs of a shard are sure to come in their order. `iter` and `retain` are weaker: in
//! each shard they walk the table that is published when they get to the shard, and if that is
//! replaced meanwhile they do not see what is written to the new one.

#[cfg(not(docache_loom))]
mod background;
mod builder;
mod handle;
mod inner;
mod key;
mod load;
#[cfg(all(test, docache_loom))]
mod model;
mod pinned;
mod policy;
mod reclaim;
mod settings;
mod stats;
mod store;

#[cfg(all(feature = "capi", not(docache_loom)))]
pub(crate) use background::dismiss_workers;
#[cfg(all(feature = "capi", not(docache_loom)))]
pub(crate) use builder::MAX_SHARDS;
pub use builder::{CacheBuilder, EvictionPolicy};
pub use handle::Cache;
pub use key::{FetchKey, Lookup};
#[cfg(all(feature = "capi", not(docache_loom)))]
pub(crate) use load::LoadDomain;
pub use load::{DetachedFetch, FetchOptions, Loaded, WaitLimit};
pub use pinned::{Iter, Pinned};
pub use stats::{CacheStats, Cause};
