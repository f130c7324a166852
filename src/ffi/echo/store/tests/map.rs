//! A store of callbacks over a map, as somebody would write it in C.

use std::collections::HashMap;
use std::ptr::null_mut;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::super::callbacks::{
    DOCACHE_AGE_UNKNOWN, docache_found, docache_refresh_lock, docache_store_callbacks,
};
use super::super::custom::docache_store_custom_new;
use super::super::docache_store;
use crate::ffi::boundary::{DOCACHE_BUSY, DOCACHE_MISS, DOCACHE_OK, docache_error, docache_status};
use crate::ffi::cache::DOCACHE_NEVER;
use crate::ffi::value::{Value, docache_value, share_value};

#[derive(Default)]
struct Entry {
    value: Option<Kept>,
    lock: Option<(String, Instant)>,
}

struct Kept {
    value: Value,
    /// When it was loaded, if that is known.
    loaded: Option<Instant>,
    until: Option<Instant>,
}

type Map = Mutex<HashMap<Vec<u8>, Entry>>;

impl Entry {
    fn holder(&self) -> Option<&str> {
        let (token, until) = self.lock.as_ref()?;
        (*until > Instant::now()).then_some(token)
    }

    /// Writes what there is to a place of the library's.
    unsafe fn show(&self, out: *mut docache_found) -> bool {
        let now = Instant::now();
        let is_alive = |kept: &&Kept| kept.until.is_none_or(|until| until > now);
        let Some(kept) = self.value.as_ref().filter(is_alive) else { return false };
        // SAFETY: the library's own place.
        let out = unsafe { &mut *out };
        out.value = kept.value.clone().into_ptr();
        if let Some(loaded) = kept.loaded {
            out.age_ns = (now - loaded).as_nanos() as u64;
        }
        if let Some(until) = kept.until {
            out.left_ns = (until - now).as_nanos() as u64;
        }
        true
    }
}

/// The map, and the key.
unsafe fn enter<'m>(
    ctx: usize,
    key: *const u8,
    len: usize,
) -> (MutexGuard<'m, HashMap<Vec<u8>, Entry>>, Vec<u8>) {
    // SAFETY: the map lives as long as its store.
    let map = unsafe { &*std::ptr::with_exposed_provenance::<Map>(ctx) };
    // SAFETY: the library's own span.
    let key = unsafe { std::slice::from_raw_parts(key, len) };
    (map.lock().unwrap(), key.to_vec())
}

unsafe fn token<'l>(lock: *const docache_refresh_lock) -> &'l str {
    // SAFETY: the library's own claim.
    let lock = unsafe { &*lock };
    // SAFETY: as above.
    let token = unsafe { std::slice::from_raw_parts(lock.token.cast(), lock.token_len) };
    std::str::from_utf8(token).unwrap()
}

unsafe fn held(lock: *const docache_refresh_lock) -> Option<(String, Instant)> {
    // SAFETY: see there.
    let token = unsafe { token(lock) };
    // SAFETY: the library's own claim.
    let ttl = unsafe { &*lock }.ttl_ns;
    Some((token.to_owned(), Instant::now() + Duration::from_nanos(ttl)))
}

unsafe extern "C-unwind" fn get(
    ctx: usize,
    key: *const u8,
    len: usize,
    _: i64,
    out: *mut docache_found,
    _: *mut *mut docache_error,
) -> docache_status {
    // SAFETY: see there.
    let (mut map, key) = unsafe { enter(ctx, key, len) };
    // SAFETY: the library's own place.
    if unsafe { map.entry(key).or_default().show(out) } { DOCACHE_OK } else { DOCACHE_MISS }
}

unsafe extern "C-unwind" fn begin(
    ctx: usize,
    key: *const u8,
    len: usize,
    lock: *const docache_refresh_lock,
    _: i64,
    out: *mut docache_found,
    out_holder: *mut u64,
    _: *mut *mut docache_error,
) -> docache_status {
    // SAFETY: see there.
    let (mut map, key) = unsafe { enter(ctx, key, len) };
    let entry = map.entry(key).or_default();
    // SAFETY: the library's own place.
    unsafe { entry.show(out) };
    // SAFETY: see there.
    let mine = unsafe { token(lock) };
    if let Some(holder) = entry.holder().filter(|holder| *holder != mine) {
        let number = holder
            .bytes()
            .fold(1, |number: u64, byte| number.wrapping_mul(31).wrapping_add(u64::from(byte)));
        // SAFETY: the library's own place.
        unsafe { out_holder.write(number) };
        return DOCACHE_BUSY;
    }
    // SAFETY: see there.
    entry.lock = unsafe { held(lock) };
    DOCACHE_OK
}

unsafe extern "C-unwind" fn renew(
    ctx: usize,
    key: *const u8,
    len: usize,
    lock: *const docache_refresh_lock,
    _: i64,
    _: *mut *mut docache_error,
) -> docache_status {
    // SAFETY: see there.
    let (mut map, key) = unsafe { enter(ctx, key, len) };
    let entry = map.entry(key).or_default();
    // SAFETY: see there.
    if entry.holder() != Some(unsafe { token(lock) }) {
        return DOCACHE_MISS;
    }
    // SAFETY: see there.
    entry.lock = unsafe { held(lock) };
    DOCACHE_OK
}

unsafe extern "C-unwind" fn abandon(
    ctx: usize,
    key: *const u8,
    len: usize,
    lock: *const docache_refresh_lock,
    _: i64,
    _: *mut *mut docache_error,
) -> docache_status {
    // SAFETY: see there.
    let (mut map, key) = unsafe { enter(ctx, key, len) };
    let entry = map.entry(key).or_default();
    // SAFETY: see there.
    if entry.holder() != Some(unsafe { token(lock) }) {
        return DOCACHE_MISS;
    }
    entry.lock = None;
    DOCACHE_OK
}

unsafe extern "C-unwind" fn write(
    ctx: usize,
    key: *const u8,
    len: usize,
    value: *const docache_value,
    ttl_ns: u64,
    age_ns: u64,
    lock: *const docache_refresh_lock,
    _: i64,
    _: *mut *mut docache_error,
) -> docache_status {
    // SAFETY: see there.
    let (mut map, key) = unsafe { enter(ctx, key, len) };
    let entry = map.entry(key).or_default();
    // SAFETY: see there.
    if !lock.is_null() && entry.holder() != Some(unsafe { token(lock) }) {
        return DOCACHE_MISS;
    }
    let now = Instant::now();
    let age = (age_ns != DOCACHE_AGE_UNKNOWN).then(|| Duration::from_nanos(age_ns));
    entry.value = Some(Kept {
        // SAFETY: the library lends it.
        value: unsafe { share_value(value) },
        loaded: age.and_then(|age| now.checked_sub(age)),
        until: (ttl_ns != DOCACHE_NEVER).then(|| now + Duration::from_nanos(ttl_ns)),
    });
    entry.lock = None;
    DOCACHE_OK
}

unsafe extern "C-unwind" fn remove(
    ctx: usize,
    key: *const u8,
    len: usize,
    _: i64,
    _: *mut *mut docache_error,
) -> docache_status {
    // SAFETY: see there.
    let (mut map, key) = unsafe { enter(ctx, key, len) };
    if map.remove(&key).is_some() { DOCACHE_OK } else { DOCACHE_MISS }
}

unsafe extern "C-unwind" fn dropped(ctx: usize) {
    // SAFETY: it came from a box, and this is the one call.
    drop(unsafe { Box::from_raw(std::ptr::with_exposed_provenance_mut::<Map>(ctx)) });
}

pub(super) fn store() -> *mut docache_store {
    let callbacks = docache_store_callbacks {
        size: size_of::<docache_store_callbacks>(),
        get: Some(get),
        begin_refresh: Some(begin),
        renew: Some(renew),
        finish_refresh: Some(write),
        abandon_refresh: Some(abandon),
        put: Some(write),
        remove: Some(remove),
    };
    let map = Box::into_raw(Box::new(Map::default()));
    let (ctx, mut out) = (map.expose_provenance(), null_mut());
    // SAFETY: all pointers are valid.
    let made = unsafe {
        docache_store_custom_new(&raw const callbacks, ctx, Some(dropped), &raw mut out, null_mut())
    };
    assert_eq!(made, DOCACHE_OK);
    out
}
