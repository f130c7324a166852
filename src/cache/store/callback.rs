//! Whether the calling thread is inside user code that a write calls.
//! [`deferred`](super::deferred) says what for.

use std::cell::Cell;

thread_local!(static INSIDE: Cell<bool> = const { Cell::new(false) });

/// The calling thread is inside user code that a writer calls: a listener or a destructor.
pub(crate) struct CallbackScope(bool);

impl CallbackScope {
    pub(crate) fn enter() -> CallbackScope {
        CallbackScope(INSIDE.replace(true))
    }

    #[inline]
    pub(crate) fn is_active() -> bool {
        INSIDE.get()
    }
}

impl Drop for CallbackScope {
    fn drop(&mut self) {
        INSIDE.set(self.0);
    }
}

#[cfg(all(test, not(docache_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_scope_lasts_until_the_outermost_is_left() {
        assert!(!CallbackScope::is_active());
        {
            let _outer = CallbackScope::enter();
            drop(CallbackScope::enter());
            assert!(CallbackScope::is_active());
        }
        assert!(!CallbackScope::is_active());
    }
}
