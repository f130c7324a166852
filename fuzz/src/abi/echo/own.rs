//! A store of callbacks: honest, unless it is told to fail. It may be called on any thread; on that
//! of the case it calls the case back.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use docache::ffi::*;

use super::script::Callback;
use crate::abi::outcome::new_error;
use crate::abi::registry::Registration;

/// How often a lock is refused to one who is not its holder: those of the dead are taken over.
const BUSY: u32 = 2;

/// A share of a value.
struct Share(*mut docache_value);

// SAFETY: any thread may use a value's handle.
unsafe impl Send for Share {}

impl Share {
    fn of(value: *const docache_value) -> Share {
        // SAFETY: HANDLE: the caller's, or one that is kept.
        Share(unsafe { docache_value_retain(value) })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        // SAFETY: HANDLE: this share.
        unsafe { docache_value_release(self.0) };
    }
}

#[derive(Default)]
struct Entry {
    value: Option<Share>,
    lock: Option<String>,
    refused: u32,
}

/// The store.
pub(crate) struct Own {
    pub(crate) registration: Registration,
    /// Tells the case of each callback.
    called: fn(Callback),
    entries: Mutex<BTreeMap<Vec<u8>, Entry>>,
    /// How many of the next calls fail, and how.
    pub(crate) failures: AtomicI32,
    pub(crate) failure: AtomicI32,
    pub(crate) unwinds: AtomicBool,
    pub(crate) age_ns: AtomicU64,
}

impl Own {
    pub(crate) fn new(registration: Registration, called: fn(Callback)) -> Arc<Own> {
        Arc::new(Own {
            registration,
            called,
            entries: Mutex::default(),
            failures: AtomicI32::new(0),
            failure: AtomicI32::new(0),
            unwinds: AtomicBool::new(false),
            age_ns: AtomicU64::new(0),
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Vec<u8>, Entry>> {
        self.entries.lock().expect("not poisoned")
    }

    /// Lets go of all that it keeps.
    pub(crate) fn clear(&self) {
        let entries = std::mem::take(&mut *self.lock());
        drop(entries);
    }

    /// What the call is to return instead of doing anything, if it is to fail.
    fn fails(&self, out_error: *mut *mut docache_error) -> Option<docache_status> {
        let one_less = |left: i32| (left > 0).then(|| left - 1);
        let order = Ordering::SeqCst;
        self.failures.fetch_update(order, order, one_less).ok()?;
        let status = self.failure.load(order);
        if status % 2 != 0 {
            let error = std::mem::ManuallyDrop::new(new_error(1, "as told"));
            // SAFETY: the library's own place.
            unsafe { out_error.write(error.0) };
        }
        if self.unwinds.load(order) {
            std::panic::resume_unwind(Box::new("a store that unwinds"));
        }
        Some(status)
    }

    /// What a read finds.
    fn show(&self, entry: &Entry, out: *mut docache_found) -> docache_status {
        // SAFETY: the library's own place.
        let out = unsafe { &mut *out };
        assert_eq!(out.size, size_of::<docache_found>());
        assert!(out.value.is_null() && out.age_ns == DOCACHE_AGE_UNKNOWN);
        let Some(value) = &entry.value else { return DOCACHE_MISS };
        out.value = std::mem::ManuallyDrop::new(Share::of(value.0)).0;
        out.age_ns = self.age_ns.load(Ordering::SeqCst);
        DOCACHE_OK
    }
}

/// A call begins: the store, and the key's bytes.
unsafe fn enter<'a>(
    (ctx, kind): (usize, Callback),
    (key, key_len): (*const u8, usize),
    timeout_ns: i64,
) -> (&'a Own, Vec<u8>) {
    // SAFETY: CALLBACK: `ctx` is the address of an `Own`, which lives as long as its case.
    let own = unsafe { &*std::ptr::with_exposed_provenance::<Own>(ctx) };
    assert!(!own.registration.is_dropped(), "a store is called after its drop");
    assert!(!key.is_null() && timeout_ns >= 0);
    // SAFETY: SPAN.
    let key = unsafe { std::slice::from_raw_parts(key, key_len) }.to_vec();
    (own.called)(kind);
    (own, key)
}

/// The token of a claim.
unsafe fn token(lock: *const docache_refresh_lock) -> String {
    // SAFETY: the library's own, valid through the call.
    let lock = unsafe { &*lock };
    assert_eq!((lock.size, lock.token_len), (size_of::<docache_refresh_lock>(), 22));
    assert!(lock.ttl_ns > 0);
    // SAFETY: SPAN.
    let token = unsafe { std::slice::from_raw_parts(lock.token.cast::<u8>(), lock.token_len) };
    std::str::from_utf8(token).expect("a token is a text").to_owned()
}

unsafe extern "C-unwind" fn get(
    ctx: usize,
    key: *const u8,
    key_len: usize,
    timeout_ns: i64,
    out: *mut docache_found,
    out_error: *mut *mut docache_error,
) -> docache_status {
    // SAFETY: as this was called.
    let (own, key) = unsafe { enter((ctx, Callback::Get), (key, key_len), timeout_ns) };
    let failed = own.fails(out_error);
    failed.unwrap_or_else(|| own.show(own.lock().entry(key).or_default(), out))
}

unsafe extern "C-unwind" fn begin_refresh(
    ctx: usize,
    key: *const u8,
    key_len: usize,
    lock: *const docache_refresh_lock,
    timeout_ns: i64,
    out: *mut docache_found,
    out_holder: *mut u64,
    out_error: *mut *mut docache_error,
) -> docache_status {
    // SAFETY: as this was called.
    let (own, key) = unsafe { enter((ctx, Callback::Begin), (key, key_len), timeout_ns) };
    // SAFETY: as above.
    let token = unsafe { token(lock) };
    if let Some(failed) = own.fails(out_error) {
        return failed;
    }
    let mut entries = own.lock();
    let entry = entries.entry(key).or_default();
    own.show(entry, out);
    if entry.lock.as_ref().is_some_and(|holder| *holder != token) && entry.refused < BUSY {
        entry.refused += 1;
        // SAFETY: the library's own place.
        unsafe { out_holder.write(u64::from(entry.refused)) };
        return DOCACHE_BUSY;
    }
    (entry.lock, entry.refused) = (Some(token), 0);
    DOCACHE_OK
}

/// Does something with a lock: whether it is the caller's.
unsafe fn with_lock(
    ctx: usize,
    key: (*const u8, usize),
    lock: *const docache_refresh_lock,
    (timeout_ns, out_error): (i64, *mut *mut docache_error),
    gives_back: bool,
) -> docache_status {
    let kind = if gives_back { Callback::Abandon } else { Callback::Renew };
    // SAFETY: as this was called.
    let (own, key) = unsafe { enter((ctx, kind), key, timeout_ns) };
    // SAFETY: as above.
    let token = unsafe { token(lock) };
    if let Some(failed) = own.fails(out_error) {
        return failed;
    }
    let mut entries = own.lock();
    let entry = entries.entry(key).or_default();
    if entry.lock.as_ref() != Some(&token) {
        return DOCACHE_MISS;
    }
    if gives_back {
        entry.lock = None;
    }
    DOCACHE_OK
}

unsafe extern "C-unwind" fn renew(
    ctx: usize,
    key: *const u8,
    key_len: usize,
    lock: *const docache_refresh_lock,
    timeout_ns: i64,
    out_error: *mut *mut docache_error,
) -> docache_status {
    // SAFETY: as this was called.
    unsafe { with_lock(ctx, (key, key_len), lock, (timeout_ns, out_error), false) }
}

unsafe extern "C-unwind" fn abandon(
    ctx: usize,
    key: *const u8,
    key_len: usize,
    lock: *const docache_refresh_lock,
    timeout_ns: i64,
    out_error: *mut *mut docache_error,
) -> docache_status {
    // SAFETY: as this was called.
    unsafe { with_lock(ctx, (key, key_len), lock, (timeout_ns, out_error), true) }
}

unsafe extern "C-unwind" fn write(
    ctx: usize,
    key: *const u8,
    key_len: usize,
    value: *const docache_value,
    ttl_ns: u64,
    age_ns: u64,
    lock: *const docache_refresh_lock,
    timeout_ns: i64,
    out_error: *mut *mut docache_error,
) -> docache_status {
    let kind = if lock.is_null() { Callback::Put } else { Callback::Finish };
    // SAFETY: as this was called.
    let (own, key) = unsafe { enter((ctx, kind), (key, key_len), timeout_ns) };
    assert!(!value.is_null() && ttl_ns > 0 && age_ns == 0);
    if let Some(failed) = own.fails(out_error) {
        return failed;
    }
    // SAFETY: as above.
    let token = (!lock.is_null()).then(|| unsafe { token(lock) });
    let mut entries = own.lock();
    let entry = entries.entry(key).or_default();
    if token.is_some() && entry.lock != token {
        return DOCACHE_MISS;
    }
    entry.lock = None;
    let before = entry.value.replace(Share::of(value));
    drop(entries);
    drop(before);
    DOCACHE_OK
}

unsafe extern "C-unwind" fn remove(
    ctx: usize,
    key: *const u8,
    key_len: usize,
    timeout_ns: i64,
    out_error: *mut *mut docache_error,
) -> docache_status {
    // SAFETY: as this was called.
    let (own, key) = unsafe { enter((ctx, Callback::Remove), (key, key_len), timeout_ns) };
    if let Some(failed) = own.fails(out_error) {
        return failed;
    }
    let before = own.lock().remove(&key);
    if before.is_some() { DOCACHE_OK } else { DOCACHE_MISS }
}

/// The drop callback of an [`Own`].
pub(crate) unsafe extern "C-unwind" fn drop_own(ctx: usize) {
    // SAFETY: CALLBACK: as above.
    let own = unsafe { &*std::ptr::with_exposed_provenance::<Own>(ctx) };
    own.clear();
    (own.called)(Callback::DropStore);
    own.registration.drop_now();
}

/// The table, but for one that is `missing`.
pub(crate) fn callbacks(missing: Option<u8>) -> docache_store_callbacks {
    let there = |which: u8| missing != Some(which);
    docache_store_callbacks {
        size: size_of::<docache_store_callbacks>(),
        get: if there(0) { Some(get) } else { None },
        begin_refresh: if there(1) { Some(begin_refresh) } else { None },
        renew: if there(2) { Some(renew) } else { None },
        finish_refresh: if there(3) { Some(write) } else { None },
        abandon_refresh: if there(4) { Some(abandon) } else { None },
        put: if there(5) { Some(write) } else { None },
        remove: if there(6) { Some(remove) } else { None },
    }
}
