//! The handles of the echo caches' ABI as the tests use them: every call's arguments are valid, and
//! what comes back is owned.

use std::ptr::{null, null_mut};

use docache::ffi::*;

#[path = "../common/value.rs"]
mod value;
pub(crate) use value::{Value, count_up};

/// An error's message, and its share given back.
pub(crate) fn message(error: *mut docache_error) -> String {
    let mut len = 0;
    // SAFETY: the error is the caller's.
    let text = unsafe { docache_error_message(error, &raw mut len) };
    // SAFETY: as above; it is as long.
    let text = unsafe { std::slice::from_raw_parts(text.cast::<u8>(), len) };
    let text = String::from_utf8(text.to_vec()).unwrap();
    // SAFETY: the share is the caller's.
    unsafe { docache_error_release(error) };
    text
}

/// A share of a store.
pub(crate) struct Store(pub(crate) *mut docache_store);

impl Store {
    pub(crate) fn memory() -> Store {
        let mut out = null_mut();
        // SAFETY: all pointers are valid.
        let made = unsafe { docache_store_memory_new(null(), &raw mut out, null_mut()) };
        assert_eq!(made, DOCACHE_OK);
        Store(out)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // SAFETY: the share is ours.
        unsafe { docache_store_release(self.0) };
    }
}

pub(crate) fn options() -> docache_echo_options {
    // SAFETY: its fields are numbers and pointers to functions or NULL.
    let mut options: docache_echo_options = unsafe { std::mem::zeroed() };
    options.size = size_of::<docache_echo_options>();
    options
}

pub(crate) fn lazy_options() -> docache_echo_lazy_options {
    // SAFETY: its fields are numbers and pointers to functions or NULL.
    let mut options: docache_echo_lazy_options = unsafe { std::mem::zeroed() };
    options.size = size_of::<docache_echo_lazy_options>();
    options
}

/// A cache that is freed with this.
pub(crate) struct Echo(pub(crate) *mut docache_echo);

// SAFETY: the library's functions may be called from any thread.
unsafe impl Send for Echo {}
// SAFETY: as above.
unsafe impl Sync for Echo {}

impl Echo {
    pub(crate) fn memo(store: &Store, options: &docache_echo_options, ctx: usize) -> Echo {
        let mut out = null_mut();
        // SAFETY: all pointers are valid.
        let made =
            unsafe { docache_echo_new(store.0, options, ctx, None, &raw mut out, null_mut()) };
        assert_eq!(made, DOCACHE_OK);
        Echo(out)
    }

    pub(crate) fn lazy(
        store: &Store,
        options: &docache_echo_lazy_options,
        perform: docache_perform_key_fn,
        ctx: usize,
    ) -> Echo {
        let mut out = null_mut();
        // SAFETY: all pointers are valid.
        let made = unsafe {
            docache_echo_lazy_new(store.0, options, perform, ctx, None, &raw mut out, null_mut())
        };
        assert_eq!(made, DOCACHE_OK);
        Echo(out)
    }

    /// The status of a fetch, its value and where that comes from, or the error's message.
    pub(crate) fn fetch(
        &self,
        key: &[u8],
        perform: docache_perform_key_fn,
        ctx: usize,
    ) -> (docache_status, Result<(Vec<u8>, i32), String>) {
        let (mut value, mut fetched, mut error) = (null_mut(), -1, null_mut());
        let (start, len) = (key.as_ptr(), key.len());
        let (places, place) = ((&raw mut value, &raw mut fetched), &raw mut error);
        // SAFETY: all pointers are valid.
        let status = unsafe {
            let forever = DOCACHE_FOREVER;
            docache_echo_fetch(
                self.0,
                start,
                len,
                forever,
                perform,
                ctx,
                places.0,
                places.1,
                null_mut(),
                place,
            )
        };
        if value.is_null() {
            return (status, Err(message(error)));
        }
        (status, Ok((Value(value).bytes(), fetched)))
    }

    /// A fetch that goes well.
    pub(crate) fn get(&self, key: &[u8], perform: docache_perform_key_fn) -> (Vec<u8>, i32) {
        let (status, fetched) = self.fetch(key, perform, 0);
        assert_eq!(status, DOCACHE_OK, "{fetched:?}");
        fetched.unwrap()
    }

    pub(crate) fn begin(&self, key: &[u8]) -> (docache_status, Call) {
        let (mut value, mut call) = (null_mut(), null_mut());
        let (start, len, places) = (key.as_ptr(), key.len(), (&raw mut value, &raw mut call));
        let none = null_mut();
        // SAFETY: all pointers are valid.
        let status = unsafe {
            docache_echo_begin(self.0, start, len, places.0, null_mut(), null_mut(), places.1, none)
        };
        drop(Value(value));
        (status, Call(call))
    }

    pub(crate) fn refresh(&self) -> (docache_status, Call) {
        let mut call = null_mut();
        // SAFETY: all pointers are valid.
        let status = unsafe { docache_echo_refresh_begin(self.0, &raw mut call, null_mut()) };
        (status, Call(call))
    }

    pub(crate) fn put(&self, key: &[u8], data: &[u8]) -> (docache_status, String) {
        let (value, mut error) = (Value::new(data), null_mut());
        // SAFETY: all pointers are valid.
        let status =
            unsafe { docache_echo_put(self.0, key.as_ptr(), key.len(), value.0, &raw mut error) };
        (status, if error.is_null() { String::new() } else { message(error) })
    }

    pub(crate) fn remove(&self, key: &[u8]) -> docache_status {
        // SAFETY: all pointers are valid.
        unsafe { docache_echo_remove(self.0, key.as_ptr(), key.len(), null_mut()) }
    }

    pub(crate) fn stats(&self) -> docache_echo_counters {
        // SAFETY: all of its fields are numbers.
        let mut counters: docache_echo_counters = unsafe { std::mem::zeroed() };
        counters.size = size_of::<docache_echo_counters>();
        // SAFETY: all pointers are valid.
        let status = unsafe { docache_echo_stats(self.0, &raw mut counters, null_mut()) };
        assert_eq!(status, DOCACHE_OK);
        counters
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // SAFETY: freed once.
        unsafe { docache_echo_free(self.0) };
    }
}

/// A call that is freed with this.
pub(crate) struct Call(pub(crate) *mut docache_echo_call);

impl Call {
    pub(crate) fn poll(&self) -> (docache_status, Option<Vec<u8>>) {
        let mut value = null_mut();
        // SAFETY: all pointers are valid.
        let status = unsafe {
            let (none, nothing) = (null_mut(), null_mut());
            docache_echo_call_poll(self.0, &raw mut value, none, nothing, null_mut())
        };
        (status, (!value.is_null()).then(|| Value(value).bytes()))
    }

    /// Polls until there is something else to see.
    pub(crate) fn poll_while(&self, status: docache_status) -> (docache_status, Option<Vec<u8>>) {
        loop {
            let polled = self.poll();
            if polled.0 != status {
                return polled;
            }
            std::thread::yield_now();
        }
    }

    pub(crate) fn finish(&self, data: &[u8]) -> docache_status {
        let value = Value::new(data);
        // SAFETY: all pointers are valid.
        unsafe { docache_echo_call_finish(self.0, DOCACHE_OK, value.0, null_mut(), null_mut()) }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // SAFETY: freed once.
        unsafe { docache_echo_call_free(self.0) };
    }
}
