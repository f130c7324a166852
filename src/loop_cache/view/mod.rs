//! What a loop cache publishes: entries, and views of them.

mod entry;
mod ring;

pub use entry::{Entries, LoopEntry, Reading, Snapshot, View};
