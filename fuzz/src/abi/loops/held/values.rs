//! Values.

use docache::ffi::*;

use crate::abi::outcome::bytes_of;

/// Shares of a value, and what it holds.
pub(crate) struct Held {
    pub(crate) handle: *mut docache_value,
    pub(crate) shares: u32,
    bytes: Vec<u8>,
}

impl Held {
    /// Takes over the caller's share of a value that must hold `bytes`.
    pub(crate) fn new(handle: *mut docache_value, bytes: Vec<u8>) -> Held {
        let held = Held { handle, shares: 1, bytes };
        held.check();
        held
    }

    pub(crate) fn check(&self) {
        // SAFETY: HANDLE: a share is held.
        assert_eq!(unsafe { bytes_of(self.handle) }, self.bytes, "a value's bytes");
    }

    pub(crate) fn release(&mut self) {
        self.shares -= 1;
        // SAFETY: HANDLE: one of the shares held.
        unsafe { docache_value_release(self.handle) };
    }

    pub(crate) fn finish(mut self) {
        self.check();
        while self.shares > 0 {
            self.release();
        }
    }
}
