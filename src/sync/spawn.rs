//! How this crate starts threads.
//!
//! A signal that is sent to a process goes to any of its threads that does not block it. So that it
//! goes to one of the host's, which expects it, a thread of ours blocks all signals but those that
//! a fault of its own raises.
//!
//! # Invariants
//! - BLOCKED: they are blocked when the thread begins, which inherits that from the one that starts
//!   it, and not a moment later. So who starts a thread blocks them for as long as that takes.

use std::io;

use super::thread::{Builder, JoinHandle};

/// Starts a thread with these signals blocked. What the thread starts inherits that.
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let _blocked = Blocked::new();
    Builder::new().name(name.into()).spawn(body)
}

/// The calling thread's signals are blocked until this is dropped.
pub(crate) struct Blocked {
    /// Which were before, if that could be asked.
    #[cfg(unix)]
    before: Option<libc::sigset_t>,
}

#[cfg(unix)]
impl Blocked {
    /// What the system raises in a thread for what that does. To block it is to be killed by it.
    const FAULTS: [libc::c_int; 5] =
        [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP];

    pub(crate) fn new() -> Blocked {
        let mut wanted = std::mem::MaybeUninit::uninit();
        let mut before = std::mem::MaybeUninit::uninit();
        // SAFETY: it fills the set, which is ours.
        unsafe { libc::sigfillset(wanted.as_mut_ptr()) };
        for fault in Blocked::FAULTS {
            // SAFETY: the set is filled.
            unsafe { libc::sigdelset(wanted.as_mut_ptr(), fault) };
        }
        // SAFETY: the one set is filled, the other there to be.
        let done =
            unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, wanted.as_ptr(), before.as_mut_ptr()) }
                == 0;
        // SAFETY: it was filled if that was done.
        Blocked { before: done.then(|| unsafe { before.assume_init() }) }
    }
}

#[cfg(unix)]
impl Drop for Blocked {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // SAFETY: the set is what the system gave; the place for another may be null.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before, std::ptr::null_mut()) };
        }
    }
}

#[cfg(not(unix))]
impl Blocked {
    pub(crate) fn new() -> Blocked {
        Blocked {}
    }
}

#[cfg(all(test, target_os = "linux", not(docache_loom)))]
mod tests {
    use super::spawn;

    /// The calling thread's blocked signals, as the system shows them: bit 0 is signal 1.
    fn blocked() -> u64 {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    }

    #[test]
    fn a_thread_begins_with_all_signals_blocked_but_those_of_faults() {
        let before = blocked();
        let inside = spawn("test", || (blocked(), std::thread::spawn(blocked).join().unwrap()));
        let (inside, inherited) = inside.unwrap().join().unwrap();
        assert_eq!(blocked(), before, "the caller's are as they were");
        assert_eq!(inside, inherited);
        let is_blocked = |signal: i32| inside >> (signal - 1) & 1 == 1;
        for signal in
            [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGUSR1, libc::SIGALRM, libc::SIGCHLD]
        {
            assert!(is_blocked(signal), "{signal}");
        }
        for fault in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP] {
            assert!(!is_blocked(fault), "{fault}");
        }
    }
}
