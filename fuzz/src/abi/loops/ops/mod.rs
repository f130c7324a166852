//! The calls that a case is made of, a file for each family.

mod blocking;
pub(crate) mod errors;
pub(crate) mod life;
pub(crate) mod loggers;
pub(crate) mod reads;
pub(crate) mod snapshots;
pub(crate) mod values;
pub(crate) mod waits;
