//! Calls on another thread, which this one waits for.

use docache::ffi::docache_status;

/// What travels to another thread that this one waits for.
struct Sent<T>(T);

// SAFETY: this thread does nothing until the other is done, and HANDLE lets any thread use a
// handle.
unsafe impl<T> Send for Sent<T> {}

impl<T> Sent<T> {
    fn open(self) -> T {
        self.0
    }
}

/// Calls `f` here, or `away`, on another thread while this one waits.
pub(crate) fn elsewhere<T>(
    away: bool,
    arguments: T,
    f: impl FnOnce(T) -> docache_status + Send,
) -> docache_status {
    if !away {
        return f(arguments);
    }
    let sent = Sent(arguments);
    let status = std::thread::scope(|scope| scope.spawn(move || f(sent.open())).join());
    status.expect("a call does not panic")
}
