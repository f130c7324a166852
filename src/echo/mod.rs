//! The echo cache.

mod ages;
mod backoff;
mod breaker;
mod builder;
mod cache;
mod core;
mod error;
mod fetched;
mod keep;
mod lazy;
mod lead;
mod lock;
mod queue;
mod stats;
mod store;

pub use builder::EchoCacheBuilder;
pub use cache::{EchoCache, EchoOptions};
pub use error::{Operation, StoreError, StoreErrorKind, Warning};
pub use fetched::{Fetched, Status};
pub use lazy::{LazyEchoCache, LazyEchoCacheBuilder, LazyEchoOptions, ShutdownReport};
pub use lock::{RefreshLock, Token};
pub use stats::EchoStats;
pub use store::*;
