//! Memory reclamation: when the place of an entry that was unlinked may be used again.
//!
//! Readers hold a [`Guard`] around what they read. A writer that unlinks something then takes a
//! [`GraceCookie`], and sees to it that *grace periods* go by. A grace period ends when every guard
//! is gone that was there when it began. So once a period has ended that began after the cookie was
//! taken, no reader can still see what was unlinked before. Nothing is destroyed here: the writer
//! asks whether the cookie [has elapsed](GraceCookie::has_elapsed), and if so, the thing is its own
//! again.
//!
//! There are two implementations, and a process uses the same one from its first guard on:
//! - [`records`], one for each thread, where the system has an [asymmetric
//!   fence](crate::sync::barrier). A guard costs two plain stores; ending a period costs a heavy
//!   fence and a look at each registered record. (After the userspace RCU of Desnoyers et al.,
//!   IEEE TPDS 2012, with `membarrier`; readers copy no global counter.)
//! - [`epochs`], those of crossbeam-epoch, everywhere else. A guard costs an atomic
//!   read-modify-write.
//!
//! If `membarrier` is forbidden (by seccomp, say) after the first guard, a more expensive fence
//! takes its place; on systems that [have none](crate::sync::barrier) nothing is reclaimed from
//! then on, as if a guard were held for ever.
//!
//! The child of a fork has none of the other threads' guards. (With [`epochs`], if the forking
//! thread itself holds a guard then, the child may never reclaim anything, because guards of other
//! threads cannot be told from its own.)

#[cfg(not(docache_loom))]
mod epochs;
#[cfg(not(docache_loom))]
mod global;
#[cfg(any(not(docache_loom), test))]
mod grace;
#[cfg(docache_loom)]
mod loom;
#[cfg(all(test, docache_loom))]
mod model;
#[cfg(any(not(docache_loom), test))]
#[cfg_attr(docache_loom, allow(dead_code, reason = "models need no more than guards and periods"))]
mod records;

#[cfg(docache_loom)]
pub(crate) use self::loom::{
    GraceCookie, Guard, advance, advance_is_costly, advance_throttled, ended, is_pinned, pin,
};
#[cfg(not(docache_loom))]
pub(crate) use global::{
    GraceCookie, Guard, advance, advance_is_costly, advance_throttled, ended, is_pinned, pin,
    prepare,
};
