//! How a result is published: O(log capacity), and without copying anything while nobody holds an
//! older view.
//!
//! # State
//! `twin` is a view equal to the published one, that nobody else can see. It is what was published
//! before, once nobody has that any more: the left-right scheme of Ramalhete and Correia (2013),
//! but that the writer does not wait for readers. If one still has it, the next view is a copy that
//! shares with the published one what a push does not touch.
//!
//! # Invariants
//! - TWIN: between two calls of `publish` and `settle`, `twin` shows what the published view shows.
//!   So it keeps no result alive that no reader can see.

use std::sync::Arc;

use super::shared::Shared;
use super::view::{LoopEntry, View};
use crate::sync::atomic::Ordering;
use crate::sync::prefetch::{prefetch, prefetch_at};

/// The runner's means to publish.
pub(super) struct Publisher<T> {
    twin: Option<Arc<View<T>>>,
    /// Where the published view is likely to be, to be asked for and never followed.
    published: usize,
}

/// What a publication leaves to be dropped; [`Publisher::settle`] does.
pub(super) struct Replaced<T> {
    view: Arc<View<T>>,
    entry: Arc<LoopEntry<T>>,
}

impl<T: Send + Sync + 'static> Publisher<T> {
    pub(super) fn new() -> Publisher<T> {
        Publisher { twin: None, published: 0 }
    }

    /// Asks for what the next publication touches.
    #[inline]
    pub(super) fn prefetch(&self) {
        if let Some(twin) = &self.twin {
            prefetch(&**twin);
        }
        prefetch_at(std::ptr::without_provenance(self.published), size_of::<View<T>>());
    }

    /// The same for what lies behind that, once that is there.
    #[inline]
    pub(super) fn prefetch_entry(&self) {
        if let Some(newest) = self.twin.as_ref().and_then(|twin| twin.newest.as_ref()) {
            prefetch(&**newest);
        }
    }

    /// Publishes a result. No value is dropped in here.
    pub(super) fn publish(&mut self, shared: &Shared<T>, mut entry: LoopEntry<T>) -> Replaced<T> {
        let mut view = self.twin.take().unwrap_or_else(|| shared.view.load_full());
        let version = view.version + 1;
        entry.sequence = version;
        let entry = Arc::new(entry);
        // In place if it is the twin, else in a copy.
        Arc::make_mut(&mut view).push(entry.clone());
        self.published = Arc::as_ptr(&view).addr();
        let view = shared.view.swap(view);
        // Release: VERSION.
        shared.version.store(version, Ordering::Release);
        Replaced { view, entry }
    }

    /// Drops what nobody can see any more; that may run the destructors of values. Keeps the
    /// replaced view as the twin if nobody else has it.
    pub(super) fn settle(&mut self, replaced: Replaced<T>) {
        let Replaced { mut view, entry } = replaced;
        if let Some(alone) = Arc::get_mut(&mut view) {
            alone.push(entry);
            self.twin = Some(view);
        }
    }
}

#[cfg(all(test, not(docache_loom)))]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::clock::Tick;
    use crate::loop_cache::LoopCache;

    type Value = Arc<()>;

    fn cache(capacity: usize) -> LoopCache<Value> {
        let builder = LoopCache::builder(|| Ok::<_, std::io::Error>(Value::default()));
        builder.interval(Duration::from_secs(1)).capacity(capacity).build().unwrap()
    }

    fn push(publisher: &mut Publisher<Value>, cache: &LoopCache<Value>, value: &Value) {
        let entry = LoopEntry::new(
            Ok(value.clone()),
            SystemTime::UNIX_EPOCH,
            Tick::default(),
            Duration::default(),
        );
        let replaced = publisher.publish(&cache.shared, entry);
        publisher.settle(replaced);
    }

    #[test]
    fn results_live_as_long_as_somebody_can_see_them() {
        let (cache, mut publisher) = (cache(2), Publisher::new());
        let values: [Value; 6] = Default::default();
        let alive = || values.iter().map(|value| Arc::strong_count(value) > 1).collect::<Vec<_>>();
        for value in &values[..3] {
            push(&mut publisher, &cache, value);
        }
        assert!(publisher.twin.is_some(), "nobody has the view before");
        assert_eq!(alive(), [false, true, true, false, false, false]);
        let snapshot = cache.snapshot();
        for value in &values[3..] {
            push(&mut publisher, &cache, value);
        }
        assert_eq!(alive(), [false, true, true, false, true, true]);
        assert!(Arc::ptr_eq(snapshot.get(0).unwrap().value().unwrap(), &values[1]));
        drop(snapshot);
        assert_eq!(alive(), [false, false, false, false, true, true]);
    }

    #[test]
    fn a_view_that_somebody_holds_is_no_twin() {
        let (cache, mut publisher) = (cache(2), Publisher::new());
        push(&mut publisher, &cache, &Value::default());
        let reading = cache.latest();
        push(&mut publisher, &cache, &Value::default());
        assert!(publisher.twin.is_none());
        assert_eq!(reading.map(|reading| reading.sequence()), Some(1));
        push(&mut publisher, &cache, &Value::default());
        assert!(publisher.twin.is_some());
        assert_eq!((cache.version(), cache.snapshot().len()), (3, 2));
    }
}
