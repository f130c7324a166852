//! Seven broken stores: the suite finds out each of them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::checks;
use crate::clock::ManualClock;
use crate::echo::error::StoreError;
use crate::echo::lock::RefreshLock;
use crate::echo::store::{Begun, Found, Life, MemoryStore, Store, Within, Written};
use crate::sync::Mutex;

/// What is wrong with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Flaw {
    /// It forgets what was read once.
    Forgets,
    /// It keeps values beyond their time to live.
    IgnoresTtl,
    /// It grants a lock to whoever asks.
    GrantsTwice,
    /// It gives back a lock for whoever asks.
    ReleasesAnothers,
    /// After a value was overwritten it still reads the old one, once.
    ReadsStale,
    /// It cuts off values that are long.
    Truncates,
    /// Its first read takes 700 ms, whatever time it has.
    Hangs,
}

impl Flaw {
    /// All of them.
    pub const ALL: [Flaw; 7] = [
        Flaw::Forgets,
        Flaw::IgnoresTtl,
        Flaw::GrantsTwice,
        Flaw::ReleasesAnothers,
        Flaw::ReadsStale,
        Flaw::Truncates,
        Flaw::Hangs,
    ];

    /// The check that finds it out.
    ///
    /// ```
    /// use docache::ManualClock;
    /// use docache::echo::conformance::Suite;
    /// use docache::echo::conformance::broken::{Broken, Flaw};
    /// let clock = ManualClock::new();
    /// let report = Suite::new()
    ///     .time(|span| clock.advance(span))
    ///     .run(|| Broken::new(Flaw::Truncates, &clock));
    /// assert_eq!(report.failures()[0].check, Flaw::Truncates.check());
    /// ```
    #[must_use]
    pub fn check(self) -> &'static str {
        match self {
            Flaw::Forgets => checks::KEEPS,
            Flaw::IgnoresTtl => checks::EXPIRES,
            Flaw::GrantsTwice => checks::GRANTS_ONCE,
            Flaw::ReleasesAnothers => checks::ANOTHERS,
            Flaw::ReadsStale => checks::READS_LAST,
            Flaw::Truncates => checks::WHOLE,
            Flaw::Hangs => checks::IN_TIME,
        }
    }
}

/// A store in memory with a flaw.
#[derive(Debug)]
pub struct Broken {
    flaw: Flaw,
    store: MemoryStore<String>,
    /// What was overwritten, for one who reads stale.
    old: Mutex<HashMap<String, Found<String>>>,
    was_read: AtomicBool,
}

const HANGS_FOR: Duration = Duration::from_millis(700);
const CUT_AT: usize = 1_000;

impl Broken {
    /// A store with this flaw, on this clock.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn new(flaw: Flaw, clock: &ManualClock) -> Broken {
        let store = match MemoryStore::builder().clock(clock.clone()).build() {
            Ok(store) => store,
            Err(error) => unreachable!("the defaults are accepted: {error}"),
        };
        Broken { flaw, store, old: Mutex::default(), was_read: AtomicBool::new(false) }
    }

    /// What is written instead.
    fn distorted(&self, key: &str, value: &str, life: Life, within: &Within<'_>) -> (String, Life) {
        if self.flaw == Flaw::ReadsStale {
            if let Ok(Some(found)) = self.store.get(key, within) {
                self.old.lock().insert(key.to_owned(), found);
            }
        }
        let value = match self.flaw {
            Flaw::Truncates => value.chars().take(CUT_AT).collect(),
            _ => value.to_owned(),
        };
        let ttl = life.ttl.filter(|_| self.flaw != Flaw::IgnoresTtl);
        (value, Life { ttl, ..life })
    }
}

impl Store<String> for Broken {
    fn get(&self, key: &str, within: &Within<'_>) -> Result<Option<Found<String>>, StoreError> {
        let is_first = !self.was_read.swap(true, Ordering::Relaxed);
        if self.flaw == Flaw::Hangs && is_first {
            std::thread::sleep(HANGS_FOR);
        }
        if let Some(old) = self.old.lock().remove(key) {
            return Ok(Some(old));
        }
        let found = self.store.get(key, within);
        if self.flaw == Flaw::Forgets {
            self.store.remove(key, within)?;
        }
        found
    }

    fn begin_refresh(
        &self,
        key: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<Begun<String>, StoreError> {
        let mut begun = self.store.begin_refresh(key, lock, within)?;
        begun.granted |= self.flaw == Flaw::GrantsTwice;
        Ok(begun)
    }

    fn renew(
        &self,
        key: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<bool, StoreError> {
        Store::<String>::renew(&self.store, key, lock, within)
    }

    fn finish_refresh(
        &self,
        key: &str,
        value: &String,
        life: Life,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<Written, StoreError> {
        let (value, life) = self.distorted(key, value, life, within);
        self.store.finish_refresh(key, &value, life, lock, within)
    }

    fn abandon_refresh(
        &self,
        key: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<(), StoreError> {
        if self.flaw == Flaw::ReleasesAnothers {
            self.store.break_lock(key);
        }
        Store::<String>::abandon_refresh(&self.store, key, lock, within)
    }

    fn put(
        &self,
        key: &str,
        value: &String,
        life: Life,
        within: &Within<'_>,
    ) -> Result<(), StoreError> {
        let (value, life) = self.distorted(key, value, life, within);
        self.store.put(key, &value, life, within)
    }

    fn remove(&self, key: &str, within: &Within<'_>) -> Result<(), StoreError> {
        self.old.lock().remove(key);
        Store::<String>::remove(&self.store, key, within)
    }
}
