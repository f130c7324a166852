//! Family `store`: stores in this process's memory.

use super::any::{AnyStore, Kind};
use super::docache_store;
use crate::cache::{EvictionPolicy, MAX_SHARDS};
use crate::echo::{MemoryStore, SingleStore};
use crate::error::{Error, Result};
use crate::ffi::boundary::versioned::{self, Versioned};
use crate::ffi::boundary::{DOCACHE_OK, Out, docache_error, docache_status, guard};
use crate::ffi::cache::{DOCACHE_POLICY_ADAPTIVE, DOCACHE_POLICY_LRU};
use crate::ffi::value::Value;

use super::length;

/// How a store in memory is to be. Begin with DOCACHE_STORE_MEMORY_OPTIONS_INIT and set what you
/// need.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct docache_store_memory_options {
    /// sizeof(docache_store_memory_options), as the caller was compiled.
    pub size: usize,
    /// The most entries. 0: no limit.
    pub capacity: u64,
    /// How long entries live at most, whatever their cache says; 0 and DOCACHE_NEVER: as long as
    /// the cache says.
    pub time_to_live_ns: u64,
    /// As in docache_cache_options.
    pub shards: usize,
    /// A DOCACHE_POLICY. LRU needs a capacity.
    pub policy: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: it is, it is, and all of its fields are numbers.
unsafe impl Versioned for docache_store_memory_options {
    const NAME: &'static str = "docache_store_memory_options";
}

/// As the header's trailer has it (in `cbindgen.toml`): neither side may move alone.
#[cfg(target_pointer_width = "64")]
const _: () = {
    use std::mem::offset_of;
    assert!(
        size_of::<docache_store_memory_options>() == 40
            && offset_of!(docache_store_memory_options, shards) == 24
    );
    assert!(offset_of!(docache_store_memory_options, policy) == 32);
};

fn configure(options: &docache_store_memory_options) -> Result<Kind> {
    versioned::reserved("options.reserved", options.reserved)?;
    versioned::shards(options.shards, MAX_SHARDS)?;
    let mut builder = MemoryStore::<Value>::builder();
    match options.policy {
        DOCACHE_POLICY_ADAPTIVE => {}
        DOCACHE_POLICY_LRU if options.capacity != 0 => {
            builder = builder.policy(EvictionPolicy::Lru);
        }
        DOCACHE_POLICY_LRU => {
            return Err(Error::invalid_argument(
                "options.policy",
                "DOCACHE_POLICY_LRU without a limit",
                "give options.capacity with it",
            ));
        }
        other => {
            let accepted = "give a DOCACHE_POLICY, 0 or 1";
            return Err(Error::invalid_argument("options.policy", other, accepted));
        }
    }
    if options.capacity != 0 {
        builder = builder.capacity(usize::try_from(options.capacity).unwrap_or(usize::MAX));
    }
    if options.shards != 0 {
        builder = builder.shards(options.shards);
    }
    let most = length(options.time_to_live_ns).filter(|most| !most.is_zero());
    Ok(Kind::Memory(builder.build()?, most))
}

/// Makes a store in this process's memory. Values are shared, not copied, and reads never wait.
/// `options` may be NULL: no limit. \[NC\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_store_memory_new(
    options: *const docache_store_memory_options,
    out: *mut *mut docache_store,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::handle(out, "out") }?;
        // SAFETY: the caller's promise.
        let kind = match unsafe { versioned::optional(options) }? {
            Some(options) => configure(&options)?,
            None => Kind::Memory(MemoryStore::builder().build()?, None),
        };
        out.write(docache_store::into_handle(AnyStore::new(kind)));
        Ok(DOCACHE_OK)
    })
}

/// Makes a store in memory that has one entry, whatever the key: for what there is one of, such as
/// a configuration. `time_to_live_ns` is as in docache_store_memory_options. \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_store_single_new(
    time_to_live_ns: u64,
    out: *mut *mut docache_store,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::handle(out, "out") }?;
        let most = length(time_to_live_ns).filter(|most| !most.is_zero());
        let kind = Kind::Single(SingleStore::new(), most);
        out.write(docache_store::into_handle(AnyStore::new(kind)));
        Ok(DOCACHE_OK)
    })
}
