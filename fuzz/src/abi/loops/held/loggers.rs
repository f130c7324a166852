//! Loggers.

use std::sync::Arc;

use docache::ffi::*;

use crate::abi::registry::Sink;

/// Shares of a logger.
pub(crate) struct Held {
    pub(crate) handle: *mut docache_logger,
    pub(crate) shares: u32,
    pub(crate) sink: Arc<Sink>,
}

impl Held {
    /// The handle for a loop. Only a drop tells when a loop's logger was last used, so without one
    /// it gets none.
    pub(crate) fn for_loop(&self) -> *mut docache_logger {
        if self.sink.registration.is_counted() { self.handle } else { std::ptr::null_mut() }
    }

    pub(crate) fn release(&mut self) {
        self.shares -= 1;
        // SAFETY: HANDLE: one of the shares held.
        unsafe { docache_logger_release(self.handle) };
    }

    pub(crate) fn finish(mut self) {
        while self.shares > 0 {
            self.release();
        }
    }
}
