//! Family `store`: stores that many processes share, by URL.

use std::ffi::c_char;

use super::any::AnyStore;
use super::docache_store;
use crate::error::{Error, Result};
use crate::ffi::boundary::versioned::{self, Versioned};
use crate::ffi::boundary::{DOCACHE_OK, Out, docache_error, docache_status, guard, text};

/// A value in the store is the bytes that the program gave, which must be JSON. Its age is not
/// known, so it is never stale: for caches of docache_echo_new.
pub const DOCACHE_FORMAT_JSON: u32 = 0;
/// A value in the store is a JSON object of the bytes that the program gave, which must be JSON,
/// and the time at which they were loaded, `{"Value":...,"CreatedAt":"2026-11-21T09:19:01.93Z"}`:
/// for caches of docache_echo_lazy_new.
pub const DOCACHE_FORMAT_LAZY_JSON: u32 = 1;

/// How a store on a server is to be. Begin with DOCACHE_STORE_REMOTE_OPTIONS_INIT and set what you
/// need.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct docache_store_remote_options {
    /// sizeof(docache_store_remote_options), as the caller was compiled.
    pub size: usize,
    /// What keys begin with on the server; a text without NUL. NULL with length 0: `docache`.
    pub prefix: *const c_char,
    /// The length of `prefix`.
    pub prefix_len: usize,
    /// How long one try to connect may take. No call waits for it longer than its own time. 0: a
    /// default of half a second or more.
    pub connect_timeout_ns: u64,
    /// A DOCACHE_FORMAT.
    pub format: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: it is, it is, and all of its fields are numbers or pointers, of which nothing is read
// before it is checked.
unsafe impl Versioned for docache_store_remote_options {
    const NAME: &'static str = "docache_store_remote_options";
}

/// As the header's trailer has it (in `cbindgen.toml`): neither side may move alone.
#[cfg(target_pointer_width = "64")]
const _: () = {
    use std::mem::offset_of;
    assert!(
        size_of::<docache_store_remote_options>() == 40
            && offset_of!(docache_store_remote_options, connect_timeout_ns) == 24
    );
    assert!(offset_of!(docache_store_remote_options, format) == 32);
};

/// What was asked for, checked.
#[cfg_attr(
    not(any(feature = "redis", feature = "nats")),
    allow(dead_code, reason = "without servers options are only checked")
)]
struct Settings<'a> {
    prefix: Option<&'a str>,
    connect_timeout_ns: u64,
    lazy: bool,
}

/// # Safety
/// SPAN.
unsafe fn settings<'a>(options: *const docache_store_remote_options) -> Result<Settings<'a>> {
    // SAFETY: the caller's promise.
    let Some(options) = unsafe { versioned::optional(options) }? else {
        return Ok(Settings { prefix: None, connect_timeout_ns: 0, lazy: false });
    };
    versioned::reserved("options.reserved", options.reserved)?;
    let lazy = match options.format {
        DOCACHE_FORMAT_JSON => false,
        DOCACHE_FORMAT_LAZY_JSON => true,
        other => {
            let accepted = "give a DOCACHE_FORMAT, 0 or 1";
            return Err(Error::invalid_argument("options.format", other, accepted));
        }
    };
    // SAFETY: the caller's promise.
    let prefix = unsafe { text(options.prefix, options.prefix_len, "options.prefix") }?;
    Ok(Settings {
        prefix: (!prefix.is_empty()).then_some(prefix),
        connect_timeout_ns: options.connect_timeout_ns,
        lazy,
    })
}

/// What the builders of both stores are told in the same way.
#[cfg(any(feature = "redis", feature = "nats"))]
macro_rules! configured {
    ($builder:expr, $settings:expr) => {{
        use super::json::Format;

        let settings = $settings;
        let format = if settings.lazy { Format::LazyJson } else { Format::Json };
        let mut builder = $builder.codec(format);
        if let Some(prefix) = settings.prefix {
            builder = builder.prefix(prefix);
        }
        if settings.connect_timeout_ns != 0 {
            builder = builder
                .connect_timeout(std::time::Duration::from_nanos(settings.connect_timeout_ns));
        }
        builder
    }};
}

/// Makes a store in the Redis server, or one that speaks its protocol, at `url`:
/// `redis://[user][:password@]host[:port][/database]`, `rediss://...` for TLS, if the library was
/// built with that, or `unix:///path`. `options` may be NULL. It connects when it is first used, so
/// the server need not be there yet, and again in the background when the connection breaks; calls
/// never wait longer than the time for the store of their cache.
///
/// Keys, values and locks are as the Go library logocomune/echocache has them: the entry is at
/// `prefix:key`, its lock at `prefix:lock:key`. Values are JSON; what is not, is refused with
/// INVALID_ARGUMENT where it is put in, or where `perform` returns it.
///
/// UNSUPPORTED if this library was built without Redis. \[NC\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_store_redis_new(
    url: *const c_char,
    url_len: usize,
    options: *const docache_store_remote_options,
    out: *mut *mut docache_store,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::handle(out, "out") }?;
        // SAFETY: the caller's promise.
        let url = unsafe { text(url, url_len, "url") }?;
        // SAFETY: the caller's promise.
        let settings = unsafe { settings(options) }?;
        out.write(docache_store::into_handle(redis(url, &settings)?));
        Ok(DOCACHE_OK)
    })
}

#[cfg(feature = "redis")]
fn redis(url: &str, settings: &Settings<'_>) -> Result<AnyStore> {
    use super::any::Kind;
    use crate::echo::RedisStore;

    let builder = configured!(RedisStore::builder(url), settings);
    Ok(AnyStore::new(Kind::Redis(builder.build()?)))
}

#[cfg(not(feature = "redis"))]
fn redis(_: &str, _: &Settings<'_>) -> Result<AnyStore> {
    Err(crate::ffi::boundary::unsupported("stores in Redis", "redis"))
}

/// Makes a store in a key-value bucket of NATS JetStream, at `url`:
/// `nats://[user:password@]host[:port]`. `options` may be NULL. The bucket is created when it is
/// first used, if it is not there. Else as docache_store_redis_new; the entry is at the prefix, a
/// dot and the MD5 of the key.
///
/// UNSUPPORTED if this library was built without NATS. \[NC\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_store_nats_new(
    url: *const c_char,
    url_len: usize,
    bucket: *const c_char,
    bucket_len: usize,
    options: *const docache_store_remote_options,
    out: *mut *mut docache_store,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::handle(out, "out") }?;
        // SAFETY: the caller's promise.
        let url = unsafe { text(url, url_len, "url") }?;
        // SAFETY: the caller's promise.
        let bucket = unsafe { text(bucket, bucket_len, "bucket") }?;
        // SAFETY: the caller's promise.
        let settings = unsafe { settings(options) }?;
        out.write(docache_store::into_handle(nats(url, bucket, &settings)?));
        Ok(DOCACHE_OK)
    })
}

#[cfg(feature = "nats")]
fn nats(url: &str, bucket: &str, settings: &Settings<'_>) -> Result<AnyStore> {
    use super::any::Kind;
    use crate::echo::NatsStore;

    let builder = configured!(NatsStore::builder(url, bucket), settings);
    Ok(AnyStore::new(Kind::Nats(builder.build()?)))
}

#[cfg(not(feature = "nats"))]
fn nats(_: &str, _: &str, _: &Settings<'_>) -> Result<AnyStore> {
    Err(crate::ffi::boundary::unsupported("stores in NATS", "nats"))
}
