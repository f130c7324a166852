//! Memoizing over a store: one memo for many callers, threads, tasks and processes, stale served at
//! once where that is wanted.
//!
//! | what you have | what you want | take |
//! |---|---|---|
//! | results that many processes need, or that are to outlive this one | one load for all of them, and the result from a shared store | [`EchoCache`] |
//! | the same, and callers who must not wait for a load | what there is at once, and its refresh in the background | [`LazyEchoCache`] |
//! | memory of this process | a store with a capacity; a store of one entry | [`MemoryStore`]; [`SingleStore`] |
//! | a Redis server, features `redis` and `redis-tls` | to share values and locks with other processes | `RedisStore` |
//! | a store that is far away | one that is near before it | [`TieredStore`] |
//! | a store that may be down | to pay next to nothing for it while it is | [`Breaker`] |
//! | a store of your own | to know that it will do; to see what happens when it does not | [`conformance`]; [`Chaos`] |
//!
//! ```
//! use docache::echo::{LazyEchoCache, MemoryStore};
//! use std::time::Duration;
//! let rates: LazyEchoCache<_, f64, std::io::Error> =
//!     LazyEchoCache::builder(MemoryStore::new(1_000))
//!         .refresh_after(Duration::from_secs(10)) // then stale, and refreshed in the background
//!         .expires(Duration::from_secs(60)) // then waited for
//!         .stale_until(Duration::from_secs(3600)) // served till then if the load fails
//!         .build()?;
//! let rate = rates.fetch("EUR/USD", || Ok(1.08)).unwrap();
//! assert_eq!(*rate, 1.08);
//! rates.shutdown(Duration::from_secs(5));
//! # Ok::<(), docache::Error>(())
//! ```
//!
//! # What a fetch does
//!
//! ```text
//!  fetch ──► get ──► there: a hit ─────────────────────────────────────────────► value
//!             │        └─ due: its work is queued as a refresh, and the hit served
//!             ▼ not there, or too old
//!           flight of the key in this process: one call leads, the others wait for it
//!             ▼
//!           begin_refresh: takes the key's lock in the store, and reads again
//!             ├─ there by now: given back ─────────────────────────────────────► value
//!             ├─ another process has the lock: looks again from time to time
//!             ▼ granted
//!           the work, while the lock is renewed ─► finish_refresh: writes,
//!                                                  gives the lock back ────────► value
//! ```
//!
//! A value is in the store before its flight ends, so whoever comes later finds the value or the
//! flight. What was removed or overwritten while it was loaded is not written: the lock was taken
//! away.
//!
//! # Three clocks
//! A lazy cache counts each from the load of the value (RFC 5861):
//!
//! ```text
//!  0 ───────────── refresh_after ───────────── expires ───────────── stale_until ─────►
//!    fresh         stale, and refreshed        loaded; stale if      gone
//!                  in the background           that fails
//! ```
//!
//! A refresh or a load that fails moves none of them. The age is the store's to tell; a value whose
//! age it does not know is fresh for as long as it is there.
//!
//! # When something fails
//! (`docs/failure.md` says more, also of Redis and NATS.)
//!
//! | what | what a fetch does | what else happens |
//! |---|---|---|
//! | the store fails, panics, or has garbage | computes, and returns the value | the [hook](EchoCacheBuilder::on_warning) is told |
//! | the store does not answer | goes on without it when the [budget](EchoCacheBuilder::store_budget) is spent, which is for all calls of a fetch together | the same; an answer that comes later is dropped |
//! | the lock cannot be asked for | loads without it | the value is not written; a refresh is not made; should the lock have been granted late it is given back in the background |
//! | the holder of a lock dies | waits for the lock's time to live; then one takes it over and the others wait for that one, or load beside it when the [lock wait](EchoCacheBuilder::lock_wait) is over, or twice that if the lock changes hands | lazy caches serve stale meanwhile |
//! | a holder overruns its lock | has its value | it is not written over a newer one |
//! | the load fails | has the error, as all do that wait for it; a lazy cache serves the stale value until `stale_until` | nothing is kept; counted once in the [backoff](LazyEchoCacheBuilder::failure_backoff), as a panic is |
//! | the load panics | panics; those that wait have [`Panicked`](crate::FlightError::Panicked), or the stale value | the lock is given back |
//! | the caller's context ends | leaves, also in the midst of a call to the store; if it does not block in its own work, another one that waits takes the lead | the lock is given back; what it has loaded is written in the background if need be |
//! | a refresh fails or panics | has had its stale value | it is counted, and the hook is told |
//! | the queue is full | has the stale value | the refresh is dropped and counted; a later fetch tries again |
//! | the system gives no thread | the same | locks of threads are not renewed, and late ones not given back: that is counted, and the hook is told |
//!
//! # Which thread runs what
//! A load that is waited for runs on its caller's thread or in its caller's task. Refreshes run on
//! threads `docache-echo` of the cache, at most as many as it has
//! [workers](LazyEchoCacheBuilder::workers), or on the user's
//! [executor](LazyEchoCacheBuilder::spawner). Locks that threads hold are renewed, and those that
//! could not be given back are tried again, by at most four more such threads of the cache; a store
//! that hangs there costs no other cache anything. Hooks run wherever something happens. All of
//! these threads start when they are needed, block the host's signals and leave when they have been
//! idle for a second. Instead of them a cache can have jobs, as many, on a
//! [scheduler](LazyEchoCacheBuilder::scheduler) that many share.
//!
//! # Invariants
//! - ONE-LOAD: in a process, loads of a key run one at a time: they are its flights' work. Across
//!   processes that is what the lock is for, which is for efficiency: where it fails, values are
//!   computed, and correct.
//! - GIVEN-BACK: a lock is given back on every path of the load that holds it, by its guard; what
//!   fails there is tried again in the background until the lock's time is over.
//! - LATER: what is written under a lock is written by whoever has it, in one step with the check
//!   of that where the store can; removals and overwrites take it away.
//! - UNLOCKED: no lock and no guard of ours is held while user code runs: work, hooks, destructors,
//!   stores.

#[cfg(doctest)]
#[doc = include_str!("../../docs/failure.md")]
struct FailurePage;

mod background;
mod breaker;
mod builder;
mod cache;
#[cfg(feature = "serde")]
pub mod codec;
mod core;
mod error;
mod fetched;
mod lazy;
mod load;
mod lock;
mod stats;
mod store;
mod timing;

#[cfg(all(feature = "capi", not(docache_loom)))]
pub(crate) use background::polls::Polls;
#[cfg(all(feature = "capi", not(docache_loom)))]
pub(crate) use background::queue::THREAD;
pub use builder::EchoCacheBuilder;
pub use cache::{EchoCache, EchoOptions};
pub use error::{Operation, StoreError, StoreErrorKind, Warning};
pub use fetched::{Fetched, Status};
#[cfg(all(feature = "capi", not(docache_loom)))]
pub(crate) use lazy::{Due, Handed};
pub use lazy::{LazyEchoCache, LazyEchoCacheBuilder, LazyEchoOptions, ShutdownReport};
pub use lock::{RefreshLock, Token};
pub use stats::EchoStats;
pub use store::*;
