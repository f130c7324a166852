//! Families `group` and `cache`: runs and fetches whose work is told the key.
//!
//! The work runs on the thread of the call that leads, before that call returns. So what it is told
//! can lie on the stack of the call, and the functions here are those without a key, with work of
//! ours around it.

use super::boundary::{docache_error, docache_status};
use super::cache::{docache_cache, docache_cache_fetch};
use super::group::{docache_group, docache_group_run};
use super::perform::docache_perform_fn;
use super::value::{docache_value, start};

/// A docache_perform_fn that is also told the key, which is borrowed for the call.
pub type docache_perform_key_fn = Option<
    unsafe extern "C-unwind" fn(
        ctx: usize,
        key: *const u8,
        key_len: usize,
        out_value: *mut *mut docache_value,
        out_error: *mut *mut docache_error,
    ) -> docache_status,
>;

/// Work that is told its key, and the key.
struct KeyedWork {
    perform: docache_perform_key_fn,
    ctx: usize,
    key: *const u8,
    key_len: usize,
}

impl KeyedWork {
    /// NULL stays NULL, for others to refuse.
    fn perform(&self) -> docache_perform_fn {
        self.perform.map(|_| perform_keyed as _)
    }

    fn ctx(&self) -> usize {
        std::ptr::from_ref(self).expose_provenance()
    }
}

/// # Safety
/// CALLBACK; `ctx` is [`KeyedWork::ctx`] of one that lives through the call.
unsafe extern "C-unwind" fn perform_keyed(
    ctx: usize,
    out_value: *mut *mut docache_value,
    out_error: *mut *mut docache_error,
) -> docache_status {
    // SAFETY: the caller's promise.
    let work = unsafe { &*std::ptr::with_exposed_provenance::<KeyedWork>(ctx) };
    let Some(perform) = work.perform else { unreachable!("it was not given away then") };
    let key = if work.key_len == 0 { start(&[]) } else { work.key };
    // SAFETY: CALLBACK.
    unsafe { perform(work.ctx, key, work.key_len, out_value, out_error) }
}

/// docache_group_run with work that is told the key. \[CB\] \[BLK\]
///
/// # Safety
/// HANDLE, SPAN, CALLBACK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_group_run_key(
    group: *mut docache_group,
    key: *const u8,
    key_len: usize,
    timeout_ns: i64,
    perform: docache_perform_key_fn,
    ctx: usize,
    out_value: *mut *mut docache_value,
    out_shared: *mut u32,
    out_error: *mut *mut docache_error,
) -> docache_status {
    let work = KeyedWork { perform, ctx, key, key_len };
    let (perform, ctx) = (work.perform(), work.ctx());
    // SAFETY: the caller's promise; the work is called before this returns.
    unsafe {
        docache_group_run(
            group, key, key_len, timeout_ns, perform, ctx, out_value, out_shared, out_error,
        )
    }
}

/// docache_cache_fetch with work that is told the key. \[CB\] \[BLK\]
///
/// # Safety
/// HANDLE, SPAN, CALLBACK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_cache_fetch_key(
    cache: *const docache_cache,
    key: *const u8,
    key_len: usize,
    ttl_ns: u64,
    timeout_ns: i64,
    perform: docache_perform_key_fn,
    ctx: usize,
    out_value: *mut *mut docache_value,
    out_error: *mut *mut docache_error,
) -> docache_status {
    let work = KeyedWork { perform, ctx, key, key_len };
    let (perform, ctx) = (work.perform(), work.ctx());
    // SAFETY: the caller's promise; the work is called before this returns.
    unsafe {
        docache_cache_fetch(
            cache, key, key_len, ttl_ns, timeout_ns, perform, ctx, out_value, out_error,
        )
    }
}
