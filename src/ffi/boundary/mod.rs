//! What every function of the C ABI is made of: the panic firewall, the checks of arguments, the
//! places for outputs, and the registrations of callbacks. It uses nothing of the families above
//! it.

mod arguments;
mod firewall;
mod out;
mod registration;
mod spans;
mod status;
pub(super) mod versioned;

pub use firewall::docache_error;
pub use registration::docache_drop_fn;
pub use spans::docache_bytes;
pub use status::*;

pub(super) use arguments::{borrow, borrow_mut, bytes, check, is_usable, text, timeout};
pub(super) use firewall::{guard, quietly};
pub(super) use out::Out;
pub(super) use registration::Registration;
pub(super) use spans::Spans;
#[cfg(not(all(unix, feature = "redis", feature = "nats", feature = "signals")))]
pub(super) use status::unsupported;
pub(super) use status::{name_of, status_of, too_small};
