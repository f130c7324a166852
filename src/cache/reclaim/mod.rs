//! When what was taken out of a table can be used again.
//!
//! Readers hold a [`Guard`] around what they read. Whoever retires something notes its [`Era`] and
//! sees to it that *grace periods* go by: at the end of one all guards are gone that were there
//! when it began. When a period is over that began after the era, nobody sees any more what was
//! unlinked before it. No destructor runs here: who retired a thing asks whether its era [is
//! over](Era::is_over), and then it is his again.
//!
//! There are two ways to tell who reads, and a process goes one of them from its first guard on:
//! - [`records`] of threads, where the system has a [fence](crate::sync::barrier) that only those
//!   pay for who want a period to end. A guard costs two plain stores, and a period costs as much
//!   as there are threads with records. (The idea is that of the userspace RCU of Desnoyers et al.,
//!   IEEE TPDS 2012.)
//! - [`epochs`], those of crossbeam-epoch, everywhere else. A guard costs a locked instruction.
//!
//! A process that forbids itself `membarrier` after its first guard goes on with a fence that costs
//! more; where [there is none](crate::sync::barrier) it reclaims nothing any more, as if a guard
//! were held for ever.
//!
//! In the child of a fork the guards of other threads are gone with them. (With [`epochs`] that is
//! so unless the thread that forks has a guard: then the child reclaims nothing if another one had,
//! too.)

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
pub(crate) use self::loom::{Era, Guard, advance, ended, hint, is_reading, pin};
#[cfg(not(docache_loom))]
pub(crate) use global::{Era, Guard, advance, ended, hint, is_reading, pin, prepare};
