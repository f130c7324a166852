//! Where entries are: the shards, what readers look at in them, and what writers do to them.

pub(crate) mod core;
pub(crate) mod deferred;
pub(crate) mod entry;
mod expiry;
mod limbo;
pub(crate) mod locked;
mod negative;
pub(crate) mod shard;
pub(crate) mod slab;
pub(crate) mod table;
mod upkeep;
mod wheel;
mod write;
