//! Notifications: what `docache_wait_on_ready` calls, and how often.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// Tokens are numbers, for a notification may come at any time; long before they are used again it
/// has.
const TOKENS: usize = 1 << 16;

/// The number of calls in the low bits.
static STATES: [AtomicU32; TOKENS] = [const { AtomicU32::new(0) }; TOKENS];
const CALLS: u32 = FORBIDDEN - 1;
/// The library has said that it will not call.
const FORBIDDEN: u32 = 1 << 31;

/// The token of one notification.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token(pub(crate) usize);

impl Token {
    pub(crate) fn new() -> Token {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let token = Token(NEXT.fetch_add(1, Ordering::Relaxed) % TOKENS);
        token.state().store(0, Ordering::SeqCst);
        token
    }

    fn state(self) -> &'static AtomicU32 {
        &STATES[self.0]
    }

    pub(crate) fn calls(self) -> u32 {
        self.state().load(Ordering::SeqCst) & CALLS
    }

    /// From now on it must not be called, and it has not been.
    pub(crate) fn forbid(self) {
        let before = self.state().fetch_or(FORBIDDEN, Ordering::SeqCst);
        assert_eq!(before & CALLS, 0, "a notification that the library took back had been called");
    }
}

/// The notification.
pub(crate) unsafe extern "C-unwind" fn notify(token: usize) {
    let before = Token(token).state().fetch_add(1, Ordering::SeqCst);
    assert_eq!(
        before, 0,
        "a notification was called twice, or after the library had taken it back"
    );
}
