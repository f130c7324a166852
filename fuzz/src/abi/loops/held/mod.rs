//! The handles that a case holds, each with what it must do.

pub(crate) mod counters;
pub(crate) mod entries;
pub(crate) mod errors;
pub(crate) mod loggers;
pub(crate) mod loops;
pub(crate) mod snapshots;
pub(crate) mod values;
pub(crate) mod waits;
