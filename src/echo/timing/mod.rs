//! When a value is too old, and when to try again: `ages`: what may be served at which age;
//! `backoff`: how long to wait before another try; `pauses`: keys that are left alone for a while.

pub(super) mod ages;
pub(super) mod backoff;
pub(super) mod pauses;
