//! Where entries are: the shards, what readers look at in them, and what writers do to them.

mod bulk;
mod callback;
pub(crate) mod core;
pub(crate) mod deferred;
mod entries;
mod expiry;
pub(crate) mod limbo;
pub(crate) mod locked;
mod maintenance;
pub(crate) mod place;
mod reuse;
pub(crate) mod shard;
pub(crate) mod slab;
pub(crate) mod table;
mod walk;
mod write;
