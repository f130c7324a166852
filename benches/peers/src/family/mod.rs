//! One module per family: each measures its cases and says what the contract asks of them.

pub(crate) mod cache;
pub(crate) mod echo;
pub(crate) mod ffi;
pub(crate) mod flight;
mod go;
pub(crate) mod hit_ratio;
pub(crate) mod latest;
pub(crate) mod run;
