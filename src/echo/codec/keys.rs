//! Under which key of a server an entry and its refresh lock are.
//!
//! A lock's key is that of an entry `lock:` + key. So a caller's own key that begins with `lock:`
//! meets the lock of another one: that is part of the format, as other programs know it.

#[cfg(any(feature = "redis", test))]
pub(in crate::echo) fn redis_key(prefix: &str, key: &str) -> String {
    [prefix, ":", key].concat()
}

#[cfg(any(feature = "redis", test))]
pub(in crate::echo) fn redis_lock_key(prefix: &str, key: &str) -> String {
    [prefix, ":lock:", key].concat()
}

/// A key may have any bytes, which a bucket's keys may not: so it is hashed.
#[cfg(feature = "nats")]
pub(in crate::echo) fn nats_key(prefix: &str, key: &str) -> String {
    format!("{}.{:x}", prefix.trim_end_matches('.'), md5::compute(key))
}

#[cfg(feature = "nats")]
pub(in crate::echo) fn nats_lock_key(prefix: &str, key: &str) -> String {
    nats_key(prefix, &["lock:", key].concat())
}
