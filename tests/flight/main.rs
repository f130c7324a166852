//! Every way in which a call of a group can end, well or badly.

#[path = "../common/mod.rs"]
mod common;

mod bulk;
mod contexts;
mod forget;
mod futures;
mod keys;
mod panics;
mod reentry;
mod tasks;
mod values;
