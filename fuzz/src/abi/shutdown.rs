//! docache_shutdown, at any moment: it says that nothing of the library's own runs any more, or
//! that something is needed, and leaves everything working.

use docache::ffi::*;

use crate::patience::soon;

pub(crate) fn shutdown() {
    let status = docache_shutdown();
    assert!(matches!(status, DOCACHE_OK | DOCACHE_BUSY), "shutdown: {status}");
}

/// The same where every handle is gone: soon there is nothing that a thread is needed for.
pub(crate) fn shut_down_at_last() {
    soon("the end of the library's threads", || docache_shutdown() == DOCACHE_OK);
}
