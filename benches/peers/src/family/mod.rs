//! One module per family: each measures its cases and says what the contract asks of them.

pub(crate) mod ffi;
pub(crate) mod flight;
mod go;
pub(crate) mod latest;
