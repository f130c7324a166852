//! Family `loop`.

// The header has what they declare in this order.
mod options;

mod handle;

mod stats;

mod drive;
mod executor;
mod reads;
mod waits;

pub use drive::*;
pub use handle::*;
pub use options::*;
pub use reads::*;
pub use stats::*;
pub use waits::*;
