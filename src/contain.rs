//! Keeping the panics of user code where they belong.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::Error;

/// Calls user code and contains its panic, payload and all.
///
/// What `f` leaves half-done is the user's own, so there is nothing of ours to be unwind-safe
/// about.
pub(crate) fn contained<R>(f: impl FnOnce() -> R) -> Result<R, Error> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|payload| {
        let error = Error::panicked(&*payload);
        discard(payload);
        error
    })
}

/// Drops what belongs to the user.
pub(crate) fn drop_contained<T>(value: T) {
    let _ = contained(|| drop(value));
}

/// A payload's destructor may panic too; the payload of that second panic is leaked.
fn discard(payload: Box<dyn Any + Send>) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
}

#[cfg(all(test, not(docache_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_payload_that_panics_when_dropped_goes_no_further() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("a bad payload");
            }
        }
        assert!(contained(|| std::panic::panic_any(Bomb)).unwrap_err().is_panicked());
        drop_contained(Bomb);
        assert_eq!(contained(|| 7).unwrap(), 7);
    }
}
