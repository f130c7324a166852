//! Family `store`: what the callbacks of a store look like to C.

use std::ffi::c_char;

use crate::ffi::boundary::versioned::Versioned;
use crate::ffi::boundary::{docache_error, docache_status};
use crate::ffi::value::docache_value;

/// An age that is not known. What is of unknown age is never stale.
pub const DOCACHE_AGE_UNKNOWN: u64 = u64::MAX;

/// What a store has under a key.
#[repr(C)]
#[derive(Debug)]
pub struct docache_found {
    /// sizeof(docache_found), as the library knows it. Not to be changed.
    pub size: usize,
    /// The value, whose share is given away; NULL: there is nothing.
    pub value: *mut docache_value,
    /// How long ago it was loaded. DOCACHE_AGE_UNKNOWN if nothing is written.
    pub age_ns: u64,
    /// How long the store will keep it still. DOCACHE_NEVER, which is not known, if nothing is
    /// written.
    pub left_ns: u64,
}

/// A claim on the refresh lock of a key.
#[repr(C)]
#[derive(Debug)]
pub struct docache_refresh_lock {
    /// sizeof(docache_refresh_lock), as the library knows it.
    pub size: usize,
    /// A text that no other claim has, of characters A-Z, a-z, 0-9, - and _, without NUL.
    pub token: *const c_char,
    /// The length of `token`: 22.
    pub token_len: usize,
    /// How long the lock is held, from when it is granted or renewed, if it is not given back.
    pub ttl_ns: u64,
}

/// As the header's trailer has it (in `cbindgen.toml`): neither side may move alone.
#[cfg(target_pointer_width = "64")]
const _: () = {
    use std::mem::offset_of;
    assert!(size_of::<docache_found>() == 32 && offset_of!(docache_found, age_ns) == 16);
    assert!(
        size_of::<docache_refresh_lock>() == 32 && offset_of!(docache_refresh_lock, ttl_ns) == 24
    );
    assert!(
        size_of::<docache_store_callbacks>() == 64
            && offset_of!(docache_store_callbacks, remove) == 56
    );
};

/// Reads the key: OK with what there is in `out`, or MISS.
pub type docache_store_get_fn = Option<
    unsafe extern "C-unwind" fn(
        ctx: usize,
        key: *const u8,
        key_len: usize,
        timeout_ns: i64,
        out: *mut docache_found,
        out_error: *mut *mut docache_error,
    ) -> docache_status,
>;

/// Takes the key's lock if nobody has it, and reads the key, in one step if the store can, else the
/// lock first. OK: the lock is granted, also to one who has it already. BUSY: another has it, and
/// `out_holder`, which is 0, may be set to a number that tells who has it from others. In `out`,
/// with both, what there is; what cannot be read counts as nothing there.
pub type docache_store_begin_refresh_fn = Option<
    unsafe extern "C-unwind" fn(
        ctx: usize,
        key: *const u8,
        key_len: usize,
        lock: *const docache_refresh_lock,
        timeout_ns: i64,
        out: *mut docache_found,
        out_holder: *mut u64,
        out_error: *mut *mut docache_error,
    ) -> docache_status,
>;

/// Does something with a lock. `renew`: holds it for its time to live from now on; OK, or MISS if
/// it is not the caller's any more. `abandon_refresh`: gives it back if it is the caller's; OK or
/// MISS.
pub type docache_store_lock_fn = Option<
    unsafe extern "C-unwind" fn(
        ctx: usize,
        key: *const u8,
        key_len: usize,
        lock: *const docache_refresh_lock,
        timeout_ns: i64,
        out_error: *mut *mut docache_error,
    ) -> docache_status,
>;

/// Writes the value, which is borrowed, to be kept for `ttl_ns` (DOCACHE_NEVER: as long as the
/// store can), and notes that it is `age_ns` old, which may be DOCACHE_AGE_UNKNOWN.
///
/// `finish_refresh`: writes, and gives the lock back, in one step if the store can: OK. MISS if the
/// lock is not the caller's any more: nothing is written. `put`: `lock` is NULL; writes, and takes
/// the lock away from whoever has it, since what he loads is older.
pub type docache_store_write_fn = Option<
    unsafe extern "C-unwind" fn(
        ctx: usize,
        key: *const u8,
        key_len: usize,
        value: *const docache_value,
        ttl_ns: u64,
        age_ns: u64,
        lock: *const docache_refresh_lock,
        timeout_ns: i64,
        out_error: *mut *mut docache_error,
    ) -> docache_status,
>;

/// Takes the value out, and the lock away from whoever has it: OK or MISS.
pub type docache_store_remove_fn = Option<
    unsafe extern "C-unwind" fn(
        ctx: usize,
        key: *const u8,
        key_len: usize,
        timeout_ns: i64,
        out_error: *mut *mut docache_error,
    ) -> docache_status,
>;

/// A store of your own. Set `size`, and all of the functions.
///
/// They are called from any thread, several at once, with no lock of the library held, and should
/// return within `timeout_ns`, which is never negative; those of docache_echo_begin are called on
/// its thread. Keys, locks and values are borrowed for the call. What they return that is no status
/// of theirs is a failure: TIMEOUT if the store did not answer in time, PANIC for a defect,
/// INVALID_ARGUMENT if what it has is no value, DOER_FAILED else; with an error in `out_error`,
/// whose share is given away, or none. A failure fails no fetch that can be computed; `on_warning`
/// of the cache is told.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct docache_store_callbacks {
    /// sizeof(docache_store_callbacks), as the caller was compiled.
    pub size: usize,
    /// Reads.
    pub get: docache_store_get_fn,
    /// Takes the lock and reads.
    pub begin_refresh: docache_store_begin_refresh_fn,
    /// Goes on holding the lock.
    pub renew: docache_store_lock_fn,
    /// Writes and gives the lock back.
    pub finish_refresh: docache_store_write_fn,
    /// Gives the lock back.
    pub abandon_refresh: docache_store_lock_fn,
    /// Writes.
    pub put: docache_store_write_fn,
    /// Removes.
    pub remove: docache_store_remove_fn,
}

// SAFETY: it is, it is, and all of its fields are a number and pointers to functions or NULL.
unsafe impl Versioned for docache_store_callbacks {
    const NAME: &'static str = "docache_store_callbacks";
}
