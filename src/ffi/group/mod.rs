//! Family `group`.

mod handle;
mod runs;

pub use handle::*;
pub use runs::*;
