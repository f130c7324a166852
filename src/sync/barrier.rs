//! A fence that one side pays for both. [`light`], which readers do all the time, only keeps the compiler from moving things
//! across it. [`heavy`] does a full fence and makes every other running thread of the process do one afterwards, each at some
//! moment before it returns. So what stands before the one is seen after the other, in one of the two directions at least.
//! Two other threads get nothing from it for what they do with each other.
//!
//! `heavy` is `membarrier` (PRIVATE_EXPEDITED) of Linux since 4.14: one to five microseconds, most of them for
//! interrupting the processors on which other threads of the process run.

#[cfg(all(any(target_os = "linux", target_os = "android"), not(docache_portable), not(docache_loom)))]
mod imp {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, Ordering, compiler_fence};

    static FOUND: AtomicBool = AtomicBool::new(false);

    #[inline(always)]
    pub(crate) fn light() {
        compiler_fence(Ordering::SeqCst);
    }

    /// Whether there was a fence.
    pub(crate) fn heavy() -> bool {
        // The compiler must not move anything across it either.
        light();
        let done = membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED);
        light();
        done
    }

    /// Whether the system has such a thing and lets us use it. It is asked once.
    #[inline]
    pub(crate) fn exists() -> bool {
        is_found() || ask()
    }

    /// Whether somebody has asked, and it exists.
    #[inline(always)]
    pub(crate) fn is_found() -> bool {
        FOUND.load(Ordering::Relaxed)
    }

    #[cold]
    fn ask() -> bool {
        static EXISTS: OnceLock<bool> = OnceLock::new();
        *EXISTS.get_or_init(|| {
            let exists = membarrier(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) && heavy();
            FOUND.store(exists, Ordering::Relaxed);
            exists
        })
    }

    fn membarrier(command: libc::c_int) -> bool {
        // SAFETY: it takes numbers, and touches no memory of ours.
        unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
    }
}

/// Other systems.
#[cfg(all(
    not(all(any(target_os = "linux", target_os = "android"), not(docache_portable))),
    not(docache_loom)
))]
mod imp {
    pub(crate) fn light() {}

    pub(crate) fn heavy() -> bool {
        false
    }

    pub(crate) fn exists() -> bool {
        false
    }

    pub(crate) fn is_found() -> bool {
        false
    }
}

/// A model cannot make other threads do things, so both sides pay.
#[cfg(docache_loom)]
mod imp {
    use crate::sync::atomic::{Ordering, fence};

    pub(crate) fn light() {
        fence(Ordering::SeqCst);
    }

    pub(crate) fn heavy() -> bool {
        fence(Ordering::SeqCst);
        true
    }
}

#[cfg(not(docache_loom))]
pub(crate) use imp::{exists, is_found};
pub(crate) use imp::{heavy, light};
