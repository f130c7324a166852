//! Who is told of entries that leave a cache, and why they left.

use crate::cache::Cause;
use crate::ffi::value::docache_value;

/// Why an entry left: there was no room for it beside others.
pub const DOCACHE_CAUSE_SIZE: i32 = 0;
/// Its time was over.
pub const DOCACHE_CAUSE_EXPIRED: i32 = 1;
/// It was removed, or the cache was cleared.
pub const DOCACHE_CAUSE_REMOVED: i32 = 2;
/// The key got another value.
pub const DOCACHE_CAUSE_REPLACED: i32 = 3;
/// It was never taken in: it is too heavy, or its shard is full (2^30 entries).
pub const DOCACHE_CAUSE_REFUSED: i32 = 4;

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

/// The DOCACHE_CAUSE of it.
pub(super) fn number_of(cause: Cause) -> i32 {
    match cause {
        Cause::Size => DOCACHE_CAUSE_SIZE,
        Cause::Expired => DOCACHE_CAUSE_EXPIRED,
        Cause::Removed => DOCACHE_CAUSE_REMOVED,
        Cause::Replaced => DOCACHE_CAUSE_REPLACED,
        Cause::Refused => DOCACHE_CAUSE_REFUSED,
    }
}
