//! Contexts that other threads are at.

use docache::Context;

use crate::process::beside;

/// Their locks are free, and what was added before is told.
pub(crate) fn busy_contexts() {
    let root = Context::new();
    let own = root.child();
    let busy = || {
        let child = root.child();
        let grandchild = child.child();
        assert!(child.cancel() && grandchild.is_done());
    };
    let child = || {
        busy();
        assert!(root.cancel() && own.is_done());
    };
    beside(busy, child);
    assert!(!own.is_done());
}
