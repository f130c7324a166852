//! Singleflight.
mod builder;
mod bulk;
mod call;
mod fly;
mod group;
mod keyed;
mod outcome;
mod registry;
mod seat;
mod shard;
#[cfg(all(feature = "capi", not(docache_loom)))]
mod ticket;

pub use builder::GroupBuilder;
pub use group::Group;
pub use keyed::KeyedGroup;
#[cfg(all(feature = "capi", not(docache_loom)))]
pub(crate) use outcome::Failure;
pub(crate) use outcome::Outcome;
pub use outcome::{FlightError, Shared};
#[cfg(all(feature = "capi", not(docache_loom)))]
pub(crate) use seat::Landed;
#[cfg(all(feature = "capi", not(docache_loom)))]
pub(crate) use ticket::{Entry, Gone, Ticket};
