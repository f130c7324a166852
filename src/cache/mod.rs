//! The cache: keyed, with expiry, and lock-free to read.
//!
//! # State
//! A cache is a number of [shards](shard::Shard), chosen by the top bits of a key's hash. In each,
//!
//! ```text
//!   readers:  hash ─► head ─► table: bucket ─► index ─► slab: entry (key, value, deadline, hits)
//!                               ▲                           ▲
//!   writers (one lock): ────────┴── policy: queues, ghosts ─┘        limbo: entries taken out, waiting for readers
//! ```
//!
//! Readers take a guard, look an entry up, compare keys and the deadline, and clone the value or lend it. They write
//! nothing but the entry's count of hits, and that only until it is full. Writers take the shard's lock. What they take out
//! of the table goes to limbo until no reader can see it ([`reclaim`]), and then its place is used again.
//!
//! Loads go through a [`KeyedGroup`](crate::KeyedGroup): one run for each key, whoever asks. A load that a write to its key
//! has overtaken is given to its callers and not kept ([`loads`]).
//!
//! The invariants, and the orderings that keep them, stand at the head of each part: [`table`], [`slab`], [`limbo`],
//! [`shard`], [`reclaim`], [`policy`].
//!
//! # What a read may see
//! A read sees every write that happened before it began. Beside writes of its key it sees the value before or after;
//! never one that had been replaced or removed when the read began, never an expired one, and never a miss for a key that
//! was there all the time. Each operation on a key takes effect at one moment between call and return. Operations on many
//! keys (`get_many`, `clear`, `iter`, `len`) are a sequence of those, shard by shard or key by key.

mod after;
mod builder;
mod bulk;
mod core;
// Not used yet: shards are to ask it before they evict what is alive.
#[cfg(all(test, not(docache_loom)))]
mod deadlines;
mod detached;
mod entry;
mod failures;
mod fetch;
mod fetch_async;
mod handle;
mod inner;
mod limbo;
mod loading;
mod loads;
#[cfg(all(test, docache_loom))]
mod model;
mod pinned;
mod policy;
mod reclaim;
mod settings;
mod shard;
mod slab;
#[cfg(all(feature = "capi", not(docache_loom)))]
mod split;
mod stats;
mod sweep;
mod table;

pub use builder::{CacheBuilder, EvictionPolicy};
pub use handle::Cache;
#[cfg(all(feature = "capi", not(docache_loom)))]
pub(crate) use loading::Begun;
pub use pinned::{Iter, Pinned};
#[cfg(all(feature = "capi", not(docache_loom)))]
pub(crate) use split::Suspended;
pub use stats::{CacheStats, Cause};
