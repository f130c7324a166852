//! What the handles of a cache share.

use std::sync::Arc;

use super::lead::Flown;
use crate::context::Context;
use crate::echo::background::upkeep::Upkeep;
use crate::echo::core::{Core, count};
use crate::echo::error::{Operation, Warning};
use crate::echo::store::Within;
use crate::executor::Jobs;
use crate::flight::KeyedGroup;

/// A store, the flights of its keys in this process, and how to go about it.
pub(in crate::echo) struct Inner<S, T, E> {
    pub(in crate::echo) store: S,
    pub(in crate::echo) core: Core<T>,
    pub(in crate::echo) upkeep: Upkeep<S, T>,
    pub(super) group: KeyedGroup<str, Flown<T>, E>,
}

impl<S, T, E> Inner<S, T, E> {
    /// With an executor for its jobs, which it keeps going, or with threads of its own.
    pub(in crate::echo) fn new(
        store: S,
        core: Core<T>,
        executor: Option<Arc<dyn Jobs>>,
    ) -> Inner<S, T, E> {
        Inner { store, core, upkeep: Upkeep::new(executor), group: KeyedGroup::new() }
    }

    pub(in crate::echo) fn within<'a>(&'a self, context: Option<&'a Context>) -> Within<'a> {
        Within::new(context.unwrap_or(&self.core.root), self.core.settings.budget).without_left()
    }

    /// Lets calls of the key that come from now on begin a load of their own.
    pub(in crate::echo) fn forget(&self, key: &str) {
        self.group.forget(key);
    }

    /// Tells that no thread could be had for a lock.
    #[cold]
    pub(in crate::echo) fn unattended(&self, key: &str, operation: Operation) {
        count(&self.core.counters.unattended);
        self.core.warn(&Warning::Unattended { key, operation });
    }
}
