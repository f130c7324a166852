//! How a value is found or loaded: `inner`: what the handles of a cache share; `look`: the first
//! look into the store; `flight`: one load of a key at a time; `lead`: that load, under the key's
//! refresh lock; `owed`: giving back the locks that it could not.

pub(super) mod flight;
pub(super) mod inner;
pub(super) mod lead;
pub(super) mod look;
mod owed;
