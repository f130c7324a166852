//! What calls a Doer: a thread of the loop's own, an executor that many share, or its host.
//!
//! From the bottom up: `ticker` says when, `forked` what is left after a fork, `runner` what a run
//! does, on its thread; `driven` is that in steps, which `scheduled` makes into a job of an
//! executor's, and which in `host` the host takes. `launch` starts one of these.

mod driven;
mod forked;
#[cfg(feature = "capi")]
mod host;
mod launch;
mod runner;
mod scheduled;
mod ticker;

#[cfg(feature = "capi")]
pub(crate) use driven::{Driven, Next};
