//! A value of the C ABI as tests use it.

use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering};

use docache::ffi::*;

/// Counts up what `counter` leads to; serves as a `drop` and as a `notify`.
pub(crate) unsafe extern "C-unwind" fn count_up(counter: usize) {
    // SAFETY: tests give the address of a counter that outlives its use.
    unsafe { &*(counter as *const AtomicUsize) }.fetch_add(1, Ordering::SeqCst);
}

/// A share of a value.
pub(crate) struct Value(pub(crate) *mut docache_value);

impl Value {
    pub(crate) fn new(data: &[u8]) -> Value {
        let mut out = null_mut();
        // SAFETY: all pointers are valid.
        let made =
            unsafe { docache_value_new(data.as_ptr(), data.len(), &raw mut out, null_mut()) };
        assert_eq!(made, DOCACHE_OK);
        Value(out)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        // SAFETY: the share is ours.
        let data = unsafe { docache_value_data(self.0) };
        // SAFETY: as above.
        let len = unsafe { docache_value_len(self.0) };
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts(data, len) }.to_vec()
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        // SAFETY: the share is ours.
        unsafe { docache_value_release(self.0) };
    }
}
