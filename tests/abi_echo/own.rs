//! Stores of callbacks that do as they are told.

use std::ptr::null_mut;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use docache::ffi::*;

use crate::handles::{Store, Value, count_up};

/// What the callbacks of a store do. It keeps nothing.
#[derive(Default)]
pub(crate) struct Told {
    /// What reads say.
    pub(crate) get: AtomicI32,
    /// What they leave behind.
    pub(crate) leaves: AtomicI32,
    /// How often the lock is another's still.
    pub(crate) busy: AtomicUsize,
    pub(crate) age_ns: AtomicUsize,
    pub(crate) calls: AtomicUsize,
    pub(crate) written: AtomicUsize,
    pub(crate) given_back: AtomicUsize,
    pub(crate) drops: AtomicUsize,
}

pub(crate) const NOTHING: i32 = 0;
pub(crate) const A_VALUE: i32 = 1;
pub(crate) const A_BAD_POINTER: i32 = 2;
pub(crate) const A_PANIC: i32 = 3;
pub(crate) const A_VALUE_AND_AN_ERROR: i32 = 4;

fn told<'a>(ctx: usize) -> &'a Told {
    // SAFETY: tests give the address of one that outlives its store.
    let told = unsafe { &*(ctx as *const Told) };
    told.calls.fetch_add(1, Ordering::SeqCst);
    told
}

unsafe fn leave(told: &Told, out: *mut docache_found, out_error: *mut *mut docache_error) {
    let leaves = told.leaves.load(Ordering::SeqCst);
    // SAFETY: the library's own places.
    let out = unsafe { &mut *out };
    match leaves {
        A_VALUE | A_VALUE_AND_AN_ERROR => {
            out.value = std::mem::ManuallyDrop::new(Value::new(b"kept")).0;
            out.age_ns = told.age_ns.load(Ordering::SeqCst) as u64;
        }
        A_BAD_POINTER => out.value = std::ptr::without_provenance_mut(3),
        A_PANIC => panic!("as told"),
        _ => {}
    }
    if leaves == A_VALUE_AND_AN_ERROR {
        // SAFETY: as above.
        unsafe { docache_error_new(1, std::ptr::null(), 0, out_error, null_mut()) };
    }
}

unsafe extern "C-unwind" fn get(
    ctx: usize,
    _: *const u8,
    _: usize,
    _: i64,
    out: *mut docache_found,
    out_error: *mut *mut docache_error,
) -> docache_status {
    let told = told(ctx);
    // SAFETY: the library's own places.
    unsafe { leave(told, out, out_error) };
    told.get.load(Ordering::SeqCst)
}

unsafe extern "C-unwind" fn begin(
    ctx: usize,
    _: *const u8,
    _: usize,
    _: *const docache_refresh_lock,
    _: i64,
    _: *mut docache_found,
    out_holder: *mut u64,
    _: *mut *mut docache_error,
) -> docache_status {
    let busy = &told(ctx).busy;
    let is_busy = busy.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |busy| busy.checked_sub(1));
    if is_busy.is_err() {
        return DOCACHE_OK;
    }
    // SAFETY: the library's own place.
    unsafe { out_holder.write(5) };
    DOCACHE_BUSY
}

unsafe extern "C-unwind" fn renew(
    ctx: usize,
    _: *const u8,
    _: usize,
    _: *const docache_refresh_lock,
    _: i64,
    _: *mut *mut docache_error,
) -> docache_status {
    told(ctx);
    DOCACHE_OK
}

unsafe extern "C-unwind" fn abandon(
    ctx: usize,
    _: *const u8,
    _: usize,
    _: *const docache_refresh_lock,
    _: i64,
    _: *mut *mut docache_error,
) -> docache_status {
    told(ctx).given_back.fetch_add(1, Ordering::SeqCst);
    DOCACHE_MISS
}

unsafe extern "C-unwind" fn write(
    ctx: usize,
    _: *const u8,
    _: usize,
    _: *const docache_value,
    _: u64,
    _: u64,
    _: *const docache_refresh_lock,
    _: i64,
    _: *mut *mut docache_error,
) -> docache_status {
    told(ctx).written.fetch_add(1, Ordering::SeqCst);
    DOCACHE_OK
}

unsafe extern "C-unwind" fn remove(
    ctx: usize,
    _: *const u8,
    _: usize,
    _: i64,
    _: *mut *mut docache_error,
) -> docache_status {
    told(ctx);
    DOCACHE_MISS
}

pub(crate) fn callbacks() -> docache_store_callbacks {
    docache_store_callbacks {
        size: size_of::<docache_store_callbacks>(),
        get: Some(get),
        begin_refresh: Some(begin),
        renew: Some(renew),
        finish_refresh: Some(write),
        abandon_refresh: Some(abandon),
        put: Some(write),
        remove: Some(remove),
    }
}

/// A store that does as it is told.
pub(crate) fn store(told: &Told) -> Store {
    let (mut out, ctx) = (null_mut(), std::ptr::from_ref(told) as usize);
    // SAFETY: all pointers are valid.
    let made = unsafe {
        docache_store_custom_new(&callbacks(), ctx, Some(dropped), &raw mut out, null_mut())
    };
    assert_eq!(made, DOCACHE_OK);
    Store(out)
}

unsafe extern "C-unwind" fn dropped(ctx: usize) {
    // SAFETY: as in `told`.
    let drops = unsafe { &(*(ctx as *const Told)).drops };
    // SAFETY: it is a counter.
    unsafe { count_up(std::ptr::from_ref(drops) as usize) };
}
