//! What threads of a cache do, or jobs on its executor: `queue`: refreshes, and calls that wait for
//! a thread; `keep`: renewing the locks that threads hold; `upkeep`: what is owed to the store;
//! `polls`: tasks of the C ABI.

pub(super) mod keep;
#[cfg(all(feature = "capi", not(docache_loom)))]
pub(super) mod polls;
pub(super) mod queue;
pub(super) mod upkeep;
