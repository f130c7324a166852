//! Family `cache`.

// The header has what they declare in this order.
mod ttl;

mod listener;

mod options;

mod handle;

mod fetch;
mod reads;
mod writes;

pub use fetch::*;
pub use handle::*;
pub use listener::*;
pub use options::*;
pub use reads::*;
pub use ttl::*;
pub use writes::*;
