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

pub use builder::GroupBuilder;
pub use group::Group;
pub use keyed::KeyedGroup;
pub(crate) use outcome::Outcome;
pub use outcome::{FlightError, Shared};
