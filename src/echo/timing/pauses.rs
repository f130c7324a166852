//! Keys whose loads are left alone for a while: they have failed, or another process is at them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::backoff::Backoff;
use crate::cache::Cache;
use crate::clock::{Clock, Tick};
use crate::echo::lock::random;
use crate::error::Result;

#[derive(Clone, Copy, Debug)]
struct Pause {
    /// How often the load has failed in a row.
    failures: u32,
    until: Tick,
}

pub(in crate::echo) struct Pauses {
    backoff: Option<Backoff>,
    keys: Cache<Box<str>, Pause>,
    /// Set with the first pause: most caches never have one, and do not look.
    used: AtomicBool,
    clock: Arc<dyn Clock>,
}

/// As many keys as are remembered.
const MOST: usize = 10_000;

impl Pauses {
    /// `backoff` is for loads that fail.
    pub(in crate::echo) fn new(backoff: Option<Backoff>, clock: Arc<dyn Clock>) -> Result<Pauses> {
        let keys = Cache::builder().capacity(MOST).never_expire().clock(clock.clone()).build()?;
        Ok(Pauses { backoff, keys, used: AtomicBool::new(false), clock })
    }

    fn get(&self, key: &str) -> Option<Pause> {
        // Relaxed: whoever has paused a key sees it.
        if self.used.load(Ordering::Relaxed) { self.keys.get(key) } else { None }
    }

    fn set(&self, key: &str, pause: Pause, ttl: Duration) {
        self.used.store(true, Ordering::Relaxed);
        self.keys.insert_with_ttl(key.into(), pause, ttl);
    }

    /// Whether a refresh is not worth a try.
    pub(in crate::echo) fn is_paused(&self, key: &str) -> bool {
        self.get(key).is_some_and(|pause| self.clock.now() < pause.until)
    }

    /// Whether the load has failed so lately that it is not tried while something can be served.
    pub(in crate::echo) fn backs_off(&self, key: &str) -> bool {
        let failing = self.get(key).filter(|pause| pause.failures > 0);
        failing.is_some_and(|pause| self.clock.now() < pause.until)
    }

    pub(in crate::echo) fn failed(&self, key: &str) {
        let Some(backoff) = self.backoff else { return };
        let failures = self.failures(key);
        let until = self.clock.now().deadline(backoff.jittered(failures, random()));
        // One that is not tried again for some time begins anew.
        let ttl = backoff.most.saturating_mul(4);
        self.set(key, Pause { failures: failures.saturating_add(1), until }, ttl);
    }

    pub(in crate::echo) fn succeeded(&self, key: &str) {
        if self.used.load(Ordering::Relaxed) {
            self.keys.remove(key);
        }
    }

    /// Another process is at it.
    pub(in crate::echo) fn left_to_others(&self, key: &str, span: Duration) {
        if self.failures(key) == 0 {
            let until = self.clock.now().deadline(span);
            self.set(key, Pause { failures: 0, until }, span);
        }
    }

    /// How often the load has failed in a row.
    pub(in crate::echo) fn failures(&self, key: &str) -> u32 {
        self.get(key).map_or(0, |pause| pause.failures)
    }
}

impl fmt::Debug for Pauses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pauses").field("backoff", &self.backoff).finish_non_exhaustive()
    }
}
