//! The handles of the caches' ABI as the tests use them: every call's arguments are valid, and what
//! comes back is owned.

use std::ptr::null_mut;
use std::sync::atomic::AtomicUsize;

use docache::ffi::*;

#[path = "../common/value.rs"]
mod value;
pub(crate) use value::{Value, count_up};

/// A cache that is freed with this.
pub(crate) struct Cache(pub(crate) *mut docache_cache);

// SAFETY: the library's functions may be called from any thread.
unsafe impl Send for Cache {}
// SAFETY: as above.
unsafe impl Sync for Cache {}

pub(crate) fn options() -> docache_cache_options {
    docache_cache_options {
        size: size_of::<docache_cache_options>(),
        time_to_live_ns: 0,
        sweep_interval_ns: DOCACHE_NEVER,
        negative_ttl_ns: 0,
        capacity: 0,
        max_weight: 0,
        shards: 0,
        policy: 0,
        jitter_permille: 0,
        flags: 0,
        reserved: 0,
    }
}

impl Cache {
    pub(crate) fn new() -> Cache {
        Cache::with(&options())
    }

    pub(crate) fn with(options: &docache_cache_options) -> Cache {
        Cache::listened(options, None, 0)
    }

    pub(crate) fn listened(
        options: &docache_cache_options,
        on_evict: docache_evict_fn,
        ctx: usize,
    ) -> Cache {
        let mut out = null_mut();
        // SAFETY: all pointers are valid.
        let made =
            unsafe { docache_cache_new(options, on_evict, ctx, None, &raw mut out, null_mut()) };
        assert_eq!(made, DOCACHE_OK);
        Cache(out)
    }

    pub(crate) fn set(&self, key: &[u8], data: &[u8], ttl_ns: u64) -> docache_status {
        let (key_len, len) = (key.len(), data.len());
        // SAFETY: all pointers are valid.
        unsafe {
            docache_cache_set(self.0, key.as_ptr(), key_len, data.as_ptr(), len, ttl_ns, null_mut())
        }
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let mut out = null_mut();
        // SAFETY: all pointers are valid.
        match unsafe {
            docache_cache_get(self.0, key.as_ptr(), key.len(), &raw mut out, null_mut())
        } {
            DOCACHE_OK => Some(Value(out).bytes()),
            status => {
                assert!(status == DOCACHE_MISS && out.is_null());
                None
            }
        }
    }

    pub(crate) fn remove(&self, key: &[u8]) -> docache_status {
        // SAFETY: all pointers are valid.
        unsafe { docache_cache_remove(self.0, key.as_ptr(), key.len(), null_mut(), null_mut()) }
    }

    pub(crate) fn begin(&self, key: &[u8]) -> (docache_status, Option<Value>, Call) {
        self.begin_as(key, 0)
    }

    pub(crate) fn begin_as(&self, key: &[u8], owner: u64) -> (docache_status, Option<Value>, Call) {
        let (mut value, mut call) = (null_mut(), null_mut());
        let (start, len, places) = (key.as_ptr(), key.len(), (&raw mut value, &raw mut call));
        // SAFETY: all pointers are valid.
        let status = unsafe {
            docache_cache_fetch_begin(self.0, start, len, 0, owner, places.0, places.1, null_mut())
        };
        (status, (!value.is_null()).then_some(Value(value)), Call(call))
    }

    pub(crate) fn lead(&self, key: &[u8]) -> Call {
        let (status, value, call) = self.begin(key);
        assert!(status == DOCACHE_LEADER && value.is_none());
        call
    }

    pub(crate) fn join(&self, key: &[u8]) -> Call {
        let (status, value, call) = self.begin(key);
        assert!(status == DOCACHE_PENDING && value.is_none());
        call
    }

    /// The status of a fetch whose work is `perform`, and its value.
    pub(crate) fn fetch(
        &self,
        key: &[u8],
        perform: docache_perform_fn,
        ctx: usize,
    ) -> (docache_status, Option<Vec<u8>>) {
        let mut out = null_mut();
        let (start, len, place) = (key.as_ptr(), key.len(), &raw mut out);
        // SAFETY: all pointers are valid.
        let status = unsafe {
            docache_cache_fetch(self.0, start, len, 0, -1, perform, ctx, place, null_mut())
        };
        (status, (!out.is_null()).then(|| Value(out).bytes()))
    }

    pub(crate) fn stats(&self) -> docache_cache_counters {
        // SAFETY: all of its fields are numbers.
        let mut counters: docache_cache_counters = unsafe { std::mem::zeroed() };
        counters.size = size_of::<docache_cache_counters>();
        // SAFETY: all pointers are valid.
        let status = unsafe { docache_cache_stats(self.0, &raw mut counters, null_mut()) };
        assert_eq!(status, DOCACHE_OK);
        counters
    }

    pub(crate) fn flush(&self) {
        // SAFETY: the handle is valid. Other tests' reads may hold it up for a moment.
        while unsafe { docache_cache_flush(self.0, null_mut()) } != DOCACHE_OK {}
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        // SAFETY: freed once.
        unsafe { docache_cache_free(self.0) };
    }
}

/// A value that counts when it is gone.
pub(crate) fn counted(drops: &AtomicUsize) -> Value {
    let (ctx, mut out) = (std::ptr::from_ref(drops) as usize, null_mut());
    // SAFETY: all pointers are valid, and the memory is static.
    let made = unsafe {
        docache_value_wrap(b"counted".as_ptr(), 7, ctx, Some(count_up), &raw mut out, null_mut())
    };
    assert_eq!(made, DOCACHE_OK);
    Value(out)
}

/// A call that the test frees.
#[derive(Clone, Copy)]
pub(crate) struct Call(pub(crate) *mut docache_call);

impl Call {
    pub(crate) fn finish(self, value: &Value) -> docache_status {
        // SAFETY: all pointers are valid.
        unsafe {
            docache_call_finish(self.0, DOCACHE_OK, value.0, null_mut(), null_mut(), null_mut())
        }
    }

    pub(crate) fn fail(self, status: docache_status) {
        let nothing = null_mut();
        // SAFETY: the call is valid.
        let failed = unsafe {
            docache_call_finish(self.0, status, nothing, null_mut(), null_mut(), null_mut())
        };
        assert_eq!(failed, DOCACHE_OK);
    }

    pub(crate) fn poll(self) -> (docache_status, Option<Vec<u8>>) {
        let mut value = null_mut();
        // SAFETY: all pointers are valid.
        let status = unsafe { docache_call_poll(self.0, &raw mut value, null_mut(), null_mut()) };
        (status, (!value.is_null()).then(|| Value(value).bytes()))
    }

    pub(crate) fn on_ready(self, counter: &AtomicUsize) {
        let token = std::ptr::from_ref(counter) as usize;
        // SAFETY: all pointers are valid; tests keep the counter for as long as the call may be
        // notified.
        let armed = unsafe { docache_call_on_ready(self.0, Some(count_up), token, null_mut()) };
        assert_eq!(armed, DOCACHE_PENDING);
    }

    pub(crate) fn free(self) -> docache_status {
        // SAFETY: each test frees its calls once.
        unsafe { docache_call_free(self.0) }
    }
}
