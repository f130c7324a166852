//! When a value is too old, and when to try again: `ages`: what may be served at which age;
//! `plain`: the same at one look, for most; `backoff`: how long to wait before another try;
//! `pauses`: keys that are left alone for a while.

pub(super) mod ages;
pub(super) mod backoff;
pub(super) mod pauses;
pub(super) mod plain;
