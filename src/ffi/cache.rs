//! Family `cache`: its life. Reading is in `cache_reads`, writing in `cache_writes`, fetching in `cache_fetch`.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use super::call::docache_call;
use super::flights::{Lanes, Source};
use super::gate::Gate;
use super::options::{self, Options};
use super::store::{Key, Store};
use super::value::{Value, any_wraps, docache_value, start};
use super::{
    DOCACHE_OK, Out, Registration, docache_drop_fn, docache_error, docache_status, guard, is_usable, quietly,
};
use crate::cache::{CacheBuilder, Cause, EvictionPolicy, MOST_SHARDS};
use crate::error::{Error, ErrorKind, Result};

/// A keyed cache with expiry, whose reads never wait, and which fetches what is not there once for all who ask.
///
/// Keys are bytes, of which the library keeps copies; values are shared, not copied. A value that was removed, replaced or
/// evicted is released by a later write to the cache, by its sweep, by docache_cache_flush or with the cache: never by a read.
pub struct docache_cache {
    pub(super) store: Store,
    pub(super) lanes: Lanes<docache_call>,
    gate: Arc<Gate>,
    listened: bool,
}

impl docache_cache {
    /// Does a write, which may call the listener, or a value's `drop`, and these may free the cache.
    #[inline]
    pub(super) fn write<R>(&self, write: impl FnOnce(&Store) -> R) -> R {
        if self.listened || any_wraps() { self.gate.call(|| write(&self.store)) } else { write(&self.store) }
    }

    /// Does what calls back.
    pub(super) fn during<R>(&self, f: impl FnOnce(&Store) -> R) -> Result<R> {
        let freed = || Error::new(ErrorKind::Closed, "the cache was freed");
        self.gate.during(|| f(&self.store)).ok_or_else(freed)
    }
}

impl std::fmt::Debug for docache_cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("docache_cache").field("store", &self.store).finish_non_exhaustive()
    }
}

/// A length of time that does not end.
pub const DOCACHE_NEVER: u64 = u64::MAX;

/// Why an entry left: there was no room for it beside others.
pub const DOCACHE_CAUSE_SIZE: i32 = 0;
/// Its time was over.
pub const DOCACHE_CAUSE_EXPIRED: i32 = 1;
/// It was removed, or the cache was cleared.
pub const DOCACHE_CAUSE_REMOVED: i32 = 2;
/// The key got another value.
pub const DOCACHE_CAUSE_REPLACED: i32 = 3;
/// It was never taken in: it is too heavy, or there is no place: 2^30 entries lie in a shard.
pub const DOCACHE_CAUSE_REFUSED: i32 = 4;

/// A full cache evicts what is used least, by recency and frequency: scans do not wash out what is used often.
pub const DOCACHE_POLICY_ADAPTIVE: u32 = 0;
/// A full cache evicts what was used the longest time ago. Reads that hit take a short lock then.
pub const DOCACHE_POLICY_LRU: u32 = 1;

/// Counts hits and misses, which costs each read a few nanoseconds.
pub const DOCACHE_CACHE_RECORD_STATS: u32 = 1;
/// What has expired is still found until the sweep takes it out.
pub const DOCACHE_CACHE_EXPIRE_ON_SWEEP_ONLY: u32 = 2;

/// Told of an entry that has left, or was not taken in, with a DOCACHE_CAUSE: on the thread that
/// brought it about, a writer's or the sweep's, with no lock held; never a reader's. Key and value
/// are borrowed for the call; docache_value_retain keeps the value. It must return; it may use the
/// cache, and free it: then it is not called any more, and the cache ends when the write or the
/// sweep is over that it was called from.
pub type docache_evict_fn = Option<
    unsafe extern "C-unwind" fn(
        ctx: usize,
        key: *const u8,
        key_len: usize,
        value: *const docache_value,
        cause: i32,
    ),
>;

/// How a cache is to be. Begin with DOCACHE_CACHE_OPTIONS_INIT and set what you need.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct docache_cache_options {
    /// sizeof(docache_cache_options), as the caller was compiled.
    pub size: usize,
    /// How long entries live that are not given a time of their own, to within two milliseconds. 0:
    /// 15 minutes; DOCACHE_NEVER: for ever.
    pub time_to_live_ns: u64,
    /// How often what has expired is taken out, 1 ms at least. 0: every 20 minutes; DOCACHE_NEVER: when it is asked for.
    pub sweep_interval_ns: u64,
    /// For how long failures of fetches are kept, and given to those who fetch; 0: not at all. They
    /// are no entries: reads, the length and the limit know nothing of them.
    pub negative_ttl_ns: u64,
    /// The most entries. 0: no limit. Not together with `max_weight`.
    pub capacity: u64,
    /// The most bytes, of keys and values together; from 4 GiB on all values are as heavy as one of 4 GiB. 0: no limit.
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
unsafe impl Options for docache_cache_options {
    const NAME: &'static str = "docache_cache_options";
}

/// A time to live of an entry's own; 0 is the cache's.
pub(super) fn ttl(ns: u64) -> Option<Duration> {
    match ns {
        0 => None,
        DOCACHE_NEVER => Some(Duration::MAX),
        ns => Some(Duration::from_nanos(ns)),
    }
}

fn weigh(key: &[u8], value: &Value) -> u32 {
    u32::try_from(key.len() + value.bytes().len()).unwrap_or(u32::MAX)
}

type Builder = CacheBuilder<Key, Value, Error>;

/// A defect of a callback is not remembered, as a failure may be.
fn new_builder() -> Builder {
    Store::builder().remembers(|error| !error.is_panicked())
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
        return refuse("sweep_interval_ns", &options.sweep_interval_ns, "give at least 1000000, or 0");
    }
    options::shards(options.shards, MOST_SHARDS)?;
    if options.jitter_permille > 1000 {
        return refuse("jitter_permille", &options.jitter_permille, "give 0 to 1000");
    }
    if options.flags & !FLAGS != 0 {
        return refuse("flags", &options.flags, "give DOCACHE_CACHE_ flags, 0 to 3");
    }
    options::reserved("options.reserved", options.reserved)
}

/// What is not a default goes to the builder.
fn configure(options: &docache_cache_options) -> Result<Builder> {
    check(options)?;
    let mut builder = new_builder();
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

fn number(cause: Cause) -> i32 {
    match cause {
        Cause::Size => DOCACHE_CAUSE_SIZE,
        Cause::Expired => DOCACHE_CAUSE_EXPIRED,
        Cause::Removed => DOCACHE_CAUSE_REMOVED,
        Cause::Replaced => DOCACHE_CAUSE_REPLACED,
        Cause::Refused => DOCACHE_CAUSE_REFUSED,
    }
}

/// Makes a cache. `options` may be NULL: all defaults, without a limit; nothing that they point to
/// is needed afterwards. `on_evict` may be NULL, and so may `drop`; `drop(ctx)` is called exactly
/// once, when the cache is gone or when this function fails. INTERNAL if the machine refuses
/// something. \[CB\] only `drop`
///
/// # Safety
/// HANDLE, SPAN, CALLBACK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_cache_new(
    options: *const docache_cache_options,
    on_evict: docache_evict_fn,
    ctx: usize,
    drop: docache_drop_fn,
    out: *mut *mut docache_cache,
    out_error: *mut *mut docache_error,
) -> docache_status {
    let registration = Registration { ctx, drop };
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::handle(out, "out") }?;
        let mut builder = if options.is_null() {
            new_builder()
        } else {
            // SAFETY: the caller's promise.
            configure(&unsafe { options::read(options) }?)?
        };
        let gate = Gate::new();
        let registration = Arc::new(registration);
        gate.keep(registration.clone());
        if let Some(on_evict) = on_evict {
            let gate = gate.clone();
            builder = builder.on_evict(move |key, value, cause| {
                let ctx = registration.ctx;
                // SAFETY: CALLBACK; what is borrowed lives through the call.
                gate.during(|| unsafe {
                    on_evict(ctx, start(key), key.len(), value.as_ptr(), number(cause));
                });
            });
        }
        let around = gate.clone();
        builder = builder.around_background(move |pass| {
            around.during(pass);
        });
        let store = builder.build()?;
        let lanes = Lanes::new(&Source::Cache(store.clone()));
        let listened = on_evict.is_some();
        out.write(Box::into_raw(Box::new(docache_cache { store, lanes, gate, listened })));
        Ok(DOCACHE_OK)
    })
}

/// Frees the handle, and with it the cache and its shares of values, without telling `on_evict`. Waits for a sweep under way on
/// another thread; so when this has returned `on_evict` is not being called, nor will be, its `drop` has been called, and the
/// cache's shares are given back. Inside a callback of the cache's own (`on_evict`, the `perform` of a docache_cache_fetch, the
/// `visit` of a docache_cache_each, and the `drop` of a value that the cache lets go) it returns at once, and all that happens
/// when the outermost call on the cache, or the sweep, is over that the callback came from. Inside callbacks of other objects
/// it waits, unless these are being freed by who is waited for.
///
/// Calls of docache_cache_fetch_begin that are out are the exception: they stay valid and go on among themselves, with their
/// notifications. They tell `on_evict` nothing, but its `drop`, and that of values, then waits for the last of them to be freed,
/// and not this function. NULL is fine. \[CB\] only `drop` \[BLK\]
///
/// # Safety
/// HANDLE; nothing else may be going on with the handle, but calls from inside of which it is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_cache_free(cache: *mut docache_cache) {
    if is_usable(cache) {
        // SAFETY: HANDLE: it came from `Box::into_raw` and is freed once.
        let owned = unsafe { Box::from_raw(cache) };
        quietly((), || owned.gate.clone().close(owned));
    }
}
