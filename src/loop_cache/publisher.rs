//! How a result is published: O(log capacity), and without copying anything while nobody holds an
//! older view.
//!
//! # State
//! `twin` is a view equal to the published one, that nobody else can see. It is what was published
//! before, once nobody has that any more: the left-right scheme of Ramalhete and Correia (2013),
//! but that the writer does not wait for readers. If one still has it, the next view is a copy that
//! shares with the published one what a push does not touch.
//!
//! A view of no more than one result needs no twin: a new one is cheaper than what it takes to make
//! an old one equal.
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
    /// Where the published view and its newest entry are likely to be, to be asked for and never
    /// followed.
    published: usize,
    newest: usize,
}

/// What a publication leaves to be dropped; [`Publisher::settle`] does.
pub(super) struct Replaced<T> {
    view: Arc<View<T>>,
    /// What is to be added to it if it becomes the twin.
    entry: Option<Arc<LoopEntry<T>>>,
}

impl<T: Send + Sync + 'static> Publisher<T> {
    pub(super) fn new() -> Publisher<T> {
        Publisher { twin: None, published: 0, newest: 0 }
    }

    /// Asks for what the next publication touches.
    #[inline]
    pub(super) fn prefetch(&self) {
        if let Some(twin) = &self.twin {
            prefetch(&**twin);
        }
        prefetch_at(std::ptr::without_provenance(self.published), size_of::<View<T>>());
        prefetch_at(std::ptr::without_provenance(self.newest), size_of::<LoopEntry<T>>());
    }

    /// Publishes a result. No value is dropped in here.
    pub(super) fn publish(&mut self, shared: &Shared<T>, mut entry: LoopEntry<T>) -> Replaced<T> {
        let output = &shared.output;
        // Only the runner writes it.
        let version = output.version.load(Ordering::Relaxed) + 1;
        entry.sequence = version;
        let entry = Arc::new(entry);
        self.newest = Arc::as_ptr(&entry).addr();
        let (view, entry) = if shared.settings.capacity <= 1 {
            (
                Arc::new(View::after(|| output.view.load_full(), shared.settings.capacity, entry)),
                None,
            )
        } else {
            let mut view = self.twin.take().unwrap_or_else(|| output.view.load_full());
            // In place if it is the twin, else in a copy.
            Arc::make_mut(&mut view).push(entry.clone());
            (view, Some(entry))
        };
        self.published = Arc::as_ptr(&view).addr();
        let view = output.view.swap(view);
        // Release: VERSION.
        output.version.store(version, Ordering::Release);
        Replaced { view, entry }
    }

    /// Drops what nobody can see any more; that may run the destructors of values. Keeps the
    /// replaced view as the twin if nobody else has it.
    pub(super) fn settle(&mut self, replaced: Replaced<T>) {
        let Replaced { mut view, entry } = replaced;
        let Some(entry) = entry else { return };
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
    use crate::error::Error;
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
    fn a_view_of_one_result_or_none_shows_the_last_success_beside_a_failure() {
        for capacity in [0, 1] {
            let (cache, mut publisher) = (cache(capacity), Publisher::new());
            let value = Value::default();
            push(&mut publisher, &cache, &value);
            let failed = LoopEntry::new(
                Err(Error::internal("for a test", "no")),
                SystemTime::UNIX_EPOCH,
                Tick::default(),
                Duration::default(),
            );
            let replaced = publisher.publish(&cache.shared, failed);
            publisher.settle(replaced);
            let view = cache.snapshot();
            assert_eq!((view.version(), view.len()), (2, capacity));
            assert_eq!(view.latest().map(LoopEntry::sequence), Some(1));
            assert_eq!(view.newest().map(LoopEntry::sequence), Some(2));
            assert_eq!(view.get(0).map(LoopEntry::sequence), (capacity == 1).then_some(2));
            assert!(view.get(1).is_none());
            drop(view);
            push(&mut publisher, &cache, &Value::default());
            assert_eq!(Arc::strong_count(&value), 1, "nobody can see it");
            assert_eq!(cache.snapshot().newest().map(LoopEntry::sequence), Some(3));
        }
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
