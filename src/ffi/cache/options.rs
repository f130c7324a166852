//! How a cache is to be.

use std::fmt::Display;
use std::time::Duration;

use super::ttl::ttl;
use crate::cache::{CacheBuilder, EvictionPolicy, MAX_SHARDS};
use crate::error::{Error, Result};
use crate::ffi::boundary::versioned::{self, Versioned};
use crate::ffi::store::{Key, Store};
use crate::ffi::value::Value;

/// A full cache evicts what is used least, by recency and frequency: scans do not wash out what is
/// used often.
pub const DOCACHE_POLICY_ADAPTIVE: u32 = 0;
/// A full cache evicts what was used the longest time ago. Reads that hit take a short lock then.
pub const DOCACHE_POLICY_LRU: u32 = 1;

/// Counts hits and misses, which costs each read a few nanoseconds.
pub const DOCACHE_CACHE_RECORD_STATS: u32 = 1;
/// What has expired is still found until the sweep takes it out.
pub const DOCACHE_CACHE_EXPIRE_ON_SWEEP_ONLY: u32 = 2;

/// How a cache is to be. Begin with DOCACHE_CACHE_OPTIONS_INIT and set what you need.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct docache_cache_options {
    /// sizeof(docache_cache_options), as the caller was compiled.
    pub size: usize,
    /// How long entries live that are not given a time of their own, to within two milliseconds. 0:
    /// 15 minutes; DOCACHE_NEVER: for ever.
    pub time_to_live_ns: u64,
    /// How often what has expired is taken out, 1 ms at least. 0: every 20 minutes; DOCACHE_NEVER:
    /// when it is asked for.
    pub sweep_interval_ns: u64,
    /// For how long failures of fetches are kept, and given to those who fetch; 0: not at all. They
    /// are no entries: reads, the length and the limit know nothing of them.
    pub negative_ttl_ns: u64,
    /// The most entries. 0: no limit. Not together with `max_weight`.
    pub capacity: u64,
    /// The most bytes, of keys and values together; from 4 GiB on all values are as heavy as one of
    /// 4 GiB. 0: no limit.
    pub max_weight: u64,
    /// Over how many locks writers are spread: rounded up to a power of two, up to 65,536. Each
    /// shard has an equal part of the limit, so that a shard may be full before the cache is, and a
    /// value may be too heavy for its part. 0: as many as keep that rare. 1: the limit is exact.
    pub shards: usize,
    /// A DOCACHE_POLICY. LRU needs a limit.
    pub policy: u32,
    /// By up to how many thousandths, 0 to 1,000, times to live are shortened at random.
    pub jitter_permille: u32,
    /// DOCACHE_CACHE_ flags.
    pub flags: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: it is, it is, and all of its fields are numbers.
unsafe impl Versioned for docache_cache_options {
    const NAME: &'static str = "docache_cache_options";
}

/// As the header's trailer has it (in `cbindgen.toml`): neither side may move alone.
#[cfg(target_pointer_width = "64")]
const _: () = {
    use std::mem::offset_of;
    assert!(
        size_of::<docache_cache_options>() == 72
            && offset_of!(docache_cache_options, capacity) == 32
    );
    assert!(
        offset_of!(docache_cache_options, shards) == 48
            && offset_of!(docache_cache_options, policy) == 56
    );
};

fn weigh(key: &[u8], value: &Value) -> u32 {
    u32::try_from(key.len() + value.bytes().len()).unwrap_or(u32::MAX)
}

pub(super) type Builder = CacheBuilder<Key, Value, Error>;

/// A defect of a callback is not remembered, as a failure may be.
pub(super) fn builder_of_defaults() -> Builder {
    Store::builder().caches_error(|error| !error.is_panicked())
}

/// Refuses what the builder would refuse, by the names that C knows.
fn check(options: &docache_cache_options) -> Result<()> {
    const FLAGS: u32 = DOCACHE_CACHE_RECORD_STATS | DOCACHE_CACHE_EXPIRE_ON_SWEEP_ONLY;
    let refuse = |name: &str, value: &dyn Display, accepted: &str| {
        Err(Error::invalid_argument(&format!("options.{name}"), value, accepted))
    };
    let limited = options.capacity != 0 || options.max_weight != 0;
    if options.capacity != 0 && options.max_weight != 0 {
        return refuse("capacity", &"together with options.max_weight", "give one of them");
    }
    match options.policy {
        DOCACHE_POLICY_LRU if !limited => {
            let accepted = "give options.capacity or options.max_weight with it";
            return refuse("policy", &"DOCACHE_POLICY_LRU without a limit", accepted);
        }
        DOCACHE_POLICY_ADAPTIVE | DOCACHE_POLICY_LRU => {}
        other => return refuse("policy", &other, "give a DOCACHE_POLICY, 0 or 1"),
    }
    if (1..1_000_000).contains(&options.sweep_interval_ns) {
        return refuse(
            "sweep_interval_ns",
            &options.sweep_interval_ns,
            "give at least 1000000, or 0",
        );
    }
    versioned::shards(options.shards, MAX_SHARDS)?;
    if options.jitter_permille > 1000 {
        return refuse("jitter_permille", &options.jitter_permille, "give 0 to 1000");
    }
    if options.flags & !FLAGS != 0 {
        return refuse("flags", &options.flags, "give DOCACHE_CACHE_ flags, 0 to 3");
    }
    versioned::reserved("options.reserved", options.reserved)
}

/// What is not a default goes to the builder.
pub(super) fn configure(options: &docache_cache_options) -> Result<Builder> {
    check(options)?;
    let mut builder = builder_of_defaults();
    builder = match ttl(options.time_to_live_ns) {
        None => builder,
        Some(Duration::MAX) => builder.never_expire(),
        Some(ttl) => builder.time_to_live(ttl),
    };
    builder = match ttl(options.sweep_interval_ns) {
        None => builder,
        Some(Duration::MAX) => builder.no_sweep(),
        Some(interval) => builder.sweep_interval(interval),
    };
    if let Some(ttl) = ttl(options.negative_ttl_ns) {
        builder = builder.negative_ttl(ttl);
    }
    if options.capacity != 0 {
        builder = builder.capacity(usize::try_from(options.capacity).unwrap_or(usize::MAX));
    }
    if options.max_weight != 0 {
        builder = builder.max_weight(options.max_weight).weigher(|key, value| weigh(key, value));
    }
    if options.shards != 0 {
        builder = builder.shards(options.shards);
    }
    if options.policy == DOCACHE_POLICY_LRU {
        builder = builder.policy(EvictionPolicy::Lru);
    }
    Ok(builder
        .ttl_jitter(f64::from(options.jitter_permille) / 1000.0)
        .record_stats(options.flags & DOCACHE_CACHE_RECORD_STATS != 0)
        .expire_on_sweep_only(options.flags & DOCACHE_CACHE_EXPIRE_ON_SWEEP_ONLY != 0))
}
