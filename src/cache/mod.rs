//! A keyed in-memory cache with expiry.

#[cfg_attr(
    any(not(test), docache_loom),
    expect(dead_code, reason = "the shards that ask it are not built yet")
)]
mod policy;
