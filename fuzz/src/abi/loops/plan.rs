//! A Doer and its script: what it shares with the one who registered it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

use docache::ffi::docache_loop;

use super::inside::Inside;
use super::script::Script;
use crate::abi::registry::{Drops, Registration, Registry};
use crate::patience::soon;

/// A Doer and what it shares with the one who registered it.
pub(crate) struct Plan {
    pub(crate) script: Script,
    pub(crate) registration: Registration,
    pub(crate) registry: Arc<Registry>,
    pub(crate) handle: AtomicPtr<docache_loop>,
    /// Calls begun.
    pub(crate) calls: AtomicU64,
    /// Calls that may have begun by now: raised before whatever may bring one more.
    pub(crate) allowed: AtomicU64,
    pub(crate) active: AtomicBool,
    /// Calls only answer.
    pub(crate) muted: AtomicBool,
    /// The next call stops the loop.
    pub(crate) stop_next: AtomicBool,
    /// The next call frees the loop, once it is released.
    pub(crate) free_next: AtomicBool,
    pub(crate) released: AtomicBool,
}

impl Plan {
    pub(crate) fn new(script: Script, drops: Drops, registry: Arc<Registry>) -> Arc<Plan> {
        // Only a drop tells when a loop that starts itself again has made its last call.
        let starts = script.any_inside(Inside::starts);
        let drops = if starts && drops == Drops::Null { Drops::Counted } else { drops };
        Arc::new(Plan {
            script,
            registration: Registration::new(drops),
            registry,
            handle: AtomicPtr::default(),
            calls: AtomicU64::new(0),
            allowed: AtomicU64::new(0),
            active: AtomicBool::new(false),
            muted: AtomicBool::new(false),
            stop_next: AtomicBool::new(false),
            free_next: AtomicBool::new(false),
            released: AtomicBool::new(false),
        })
    }

    pub(crate) fn allow(&self, calls: u64) {
        self.allowed.fetch_add(calls, Ordering::SeqCst);
    }

    /// From now on the Doer leaves the handle alone.
    pub(crate) fn mute(&self) {
        self.muted.store(true, Ordering::SeqCst);
        soon("the end of the Doer's call", || !self.active.load(Ordering::SeqCst));
    }
}
