//! A fence that one side pays for both. [`light`], which readers do all the time, only keeps the
//! compiler from moving things across it. [`heavy`] does a full fence and makes every other running
//! thread of the process do one afterwards, each at some moment before it returns. So what stands
//! before the one is seen after the other, in one of the two directions at least. Two other threads
//! get nothing from it for what they do with each other.
//!
//! `heavy` is `membarrier` (PRIVATE_EXPEDITED) of Linux since 4.14: one to five microseconds, most
//! of them for interrupting the processors on which other threads of the process run.
//!
//! # When it is forbidden later
//! A process may forbid itself `membarrier` (by a seccomp filter, say) when threads rely on it
//! already. Then `heavy` has the processors interrupted in another way, where there is one. That is
//! x86-64, but for processors with INVLPGB (some of AMD's, Zen 3 and later), which need no
//! interrupts for that. Elsewhere there is no fence any more: `heavy` says so, and says it to
//! stderr once. Nothing that a cache retires is used again then, as if a guard were held for ever,
//! and waiting for a [lock](crate::lock) is napping.

#[cfg(all(
    any(target_os = "linux", target_os = "android"),
    not(docache_portable),
    not(docache_loom)
))]
mod imp {
    use std::sync::atomic::{AtomicBool, Ordering, compiler_fence};
    use std::sync::{Once, OnceLock};

    use super::super::fork::{self, AtFork};

    static FOUND: AtomicBool = AtomicBool::new(false);

    #[inline(always)]
    pub(crate) fn light() {
        compiler_fence(Ordering::SeqCst);
    }

    /// Whether there was a fence.
    pub(crate) fn heavy() -> bool {
        // The compiler must not move anything across it either.
        light();
        let done = membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED) || shootdown() || lost();
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

    static EXISTS: OnceLock<bool> = OnceLock::new();

    #[cold]
    fn ask() -> bool {
        if let Some(exists) = EXISTS.get() {
            return *exists;
        }
        fork::register_once(&REGISTERED, fork::LockLevel::Fence, &Registration);
        // A child is not to find somebody at it.
        fork::exclude(|| {
            *EXISTS.get_or_init(|| {
                let exists = register() && membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED);
                FOUND.store(exists, Ordering::Relaxed);
                exists
            })
        })
    }

    fn register() -> bool {
        membarrier(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)
    }

    static REGISTERED: AtomicBool = AtomicBool::new(false);

    struct Registration;

    impl AtFork for Registration {
        fn hold(&self) {}

        unsafe fn release(&self) {}

        /// Asks for it anew in the child of a fork: that it is inherited is not written anywhere.
        unsafe fn reset_in_child(&self) {
            if is_found() {
                register();
            }
        }
    }

    fn membarrier(command: libc::c_int) -> bool {
        // SAFETY: it takes numbers, and touches no memory of ours.
        unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
    }

    /// Takes a page away that was just there. Before that is over, each processor on which threads
    /// of this process run has to forget it, which on x86 the kernel has it do by an interrupt.
    /// (Who runs nothing of the process, or sleeps, has gone through the scheduler, which is a
    /// fence.) A page of each caller's own, so that nobody else's interrupts are counted on.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn shootdown() -> bool {
        use std::ptr;
        use std::sync::atomic::fence;

        const PAGE: usize = 4096;
        let (rights, kind) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        if forgets_without_interrupts() {
            return false;
        }
        fence(Ordering::SeqCst);
        // SAFETY: a new mapping, wherever there is room.
        let page = unsafe { libc::mmap(ptr::null_mut(), PAGE, rights, kind, -1, 0) };
        if page == libc::MAP_FAILED {
            return false;
        }
        // From here on the page is there.
        // SAFETY: it is ours, and long enough.
        unsafe { page.cast::<u8>().write_volatile(1) };
        // SAFETY: it is ours, and nobody uses it any more.
        let done = unsafe { libc::munmap(page, PAGE) == 0 };
        fence(Ordering::SeqCst);
        done
    }

    /// Whether the processor has INVLPGB, by which it makes others forget pages, and they go on
    /// meanwhile.
    #[cfg(target_arch = "x86_64")]
    fn forgets_without_interrupts() -> bool {
        use std::arch::x86_64::__cpuid;

        const EXTENDED: u32 = 0x8000_0000;
        const LEAF: u32 = EXTENDED + 8;
        const INVLPGB: u32 = 1 << 3;
        static ANSWER: OnceLock<bool> = OnceLock::new();
        *ANSWER.get_or_init(|| {
            // SAFETY: every x86-64 processor has the instruction, and this leaf.
            #[allow(unused_unsafe, reason = "it is safe in later versions of Rust")]
            let most = unsafe { __cpuid(EXTENDED) }.eax;
            // SAFETY: as above, and it is asked only for leaves that there are.
            #[allow(unused_unsafe, reason = "it is safe in later versions of Rust")]
            let has = |bit| most >= LEAF && unsafe { __cpuid(LEAF) }.ebx & bit != 0;
            has(INVLPGB)
        })
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn shootdown() -> bool {
        false
    }

    /// There is no fence any more.
    #[cold]
    fn lost() -> bool {
        static SAID: Once = Once::new();
        // From here on who leaves a lock does his part alone.
        FOUND.store(false, Ordering::Relaxed);
        SAID.call_once(|| {
            eprintln!(
                "docache: this process has forbidden itself membarrier after caches were read; \
                 what they remove is not freed any more"
            );
        });
        false
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
        // Where it is asked for something is used that a fork may find in use.
        super::super::fork::watch();
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

/// Asks whether there is one, if nobody has. Beside running threads that takes the system some 10
/// ms, once: so it is done where caches and groups are made (but for those that are made at compile
/// time), before somebody waits for them.
pub(crate) fn prepare() {
    #[cfg(not(docache_loom))]
    exists();
}

#[cfg(not(docache_loom))]
pub(crate) use imp::{exists, is_found};
pub(crate) use imp::{heavy, light};

#[cfg(all(test, target_os = "linux", not(docache_portable), not(docache_loom)))]
mod tests {
    use super::{exists, heavy, light};
    use crossbeam_utils::CachePadded;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// The two meet: each goes on when the other one has come this far.
    fn meet(mine: &AtomicUsize, theirs: &AtomicUsize, step: usize) {
        mine.store(step, Ordering::SeqCst);
        let mut spins = 0_u32;
        while theirs.load(Ordering::SeqCst) < step {
            spins += 1;
            if spins % 1_000 == 0 {
                std::thread::yield_now();
            }
        }
    }

    /// One thread stores, does a light fence and looks for what the other one stores, who does a
    /// heavy one. How often neither saw the other.
    fn missed(heavy: impl Fn() + Sync) -> usize {
        const ROUNDS: usize = 2_000;
        // Apart, so that a look can be over before the store is.
        let [one, two, seen, here, there] =
            std::array::from_fn(|_| CachePadded::new(AtomicUsize::new(0)));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 1..=ROUNDS {
                    meet(&here, &there, 2 * round);
                    one.store(round, Ordering::Relaxed);
                    light();
                    seen.store(two.load(Ordering::Relaxed), Ordering::Relaxed);
                    meet(&here, &there, 2 * round + 1);
                }
            });
            let misses = |round: usize| {
                meet(&there, &here, 2 * round);
                two.store(round, Ordering::Relaxed);
                heavy();
                let found = one.load(Ordering::Relaxed);
                meet(&there, &here, 2 * round + 1);
                // It may have begun anew, but then it stores only when this one has, too.
                found < round && seen.load(Ordering::Relaxed) < round
            };
            (1..=ROUNDS).filter(|&round| misses(round)).count()
        })
    }

    #[test]
    fn one_of_two_sees_the_other() {
        assert!(exists(), "this system has no membarrier: test with --cfg docache_portable");
        assert_eq!(missed(|| assert!(heavy())), 0);
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn one_of_two_sees_the_other_also_when_membarrier_is_forbidden() {
        assert_eq!(missed(|| assert!(super::imp::shootdown())), 0);
    }
}
