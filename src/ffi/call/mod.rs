//! Family `call`: one caller's part in a run of a group or in a fetch of a cache, for those that
//! must not block.

mod any_call;
mod finish;
mod handle;
mod lanes;
mod notify_waker;
mod poll;

pub use finish::*;
pub use handle::docache_call;
pub use poll::*;

pub(super) use any_call::LoadOptions;
pub(super) use handle::{Begun, begin};
pub(super) use lanes::{Lanes, Source};
