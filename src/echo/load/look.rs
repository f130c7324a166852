//! The first look into the store, and what is to be done with what it says.

use std::time::Duration;

use super::inner::Inner;
use crate::context::Context;
use crate::echo::core::Judged;
use crate::echo::error::{Operation, StoreError, StoreErrorKind};
use crate::echo::fetched::{Fetched, Status};
use crate::echo::store::{Found, Store, Within, blocking};

/// What the first look into the store comes to.
pub(in crate::echo) enum Looked<T> {
    Hit(Fetched<T>),
    /// A hit that is due for a refresh, at this age.
    Due(Fetched<T>, Duration),
    /// A value of this age that is served only if it cannot be loaded; and what is left of the time
    /// for the store.
    Late(T, Duration, Duration),
    /// To be loaded; with what is left of the time for the store, unless that has just failed.
    Miss(Option<Duration>),
}

impl<S, T, E> Inner<S, T, E> {
    /// What there is in memory, and what to do with it; `None`: to be looked for.
    #[inline(always)]
    pub(in crate::echo) fn look_now(&self, key: &str) -> Option<Looked<T>>
    where
        S: Store<T>,
    {
        let found = self.store.get_now(key, self.core.needs_age)?;
        Some(self.found(found, || self.core.settings.budget))
    }

    #[inline(always)]
    fn found(&self, found: Found<T>, budget: impl Fn() -> Duration) -> Looked<T> {
        match self.core.judge(&found) {
            Judged::Serve(status) => Looked::Hit(self.hit(found, status)),
            Judged::Due(status, age) => Looked::Due(self.hit(found, status), age),
            Judged::Late(age) => Looked::Late(found.value, age, budget()),
            Judged::Gone => Looked::Miss(Some(budget())),
        }
    }

    /// Looks into the store.
    pub(in crate::echo) fn look_up(&self, key: &str, context: Option<&Context>) -> Looked<T>
    where
        S: Store<T>,
    {
        let within = self.within(context);
        let called = blocking(|| self.store.get(key, &within));
        self.look((key, context, &within), called)
    }

    /// What to do with what the store has said.
    #[inline]
    pub(in crate::echo) fn look(
        &self,
        (key, context, within): (&str, Option<&Context>, &Within<'_>),
        called: Result<Option<Found<T>>, StoreError>,
    ) -> Looked<T> {
        if let Ok(Some(found)) = called {
            return self.found(found, || within.rest(&self.core.root).budget());
        }
        self.missed((key, context, within), called.map(|_| ()))
    }

    #[cold]
    fn missed(
        &self,
        (key, context, within): (&str, Option<&Context>, &Within<'_>),
        called: Result<(), StoreError>,
    ) -> Looked<T> {
        // A call that its caller has cut short is no failure of the store.
        if called.is_err() && context.is_some_and(Context::is_done) {
            return Looked::Miss(None);
        }
        // What cannot be read is to be replaced, under the lock as any other.
        let is_corrupt =
            called.as_ref().is_err_and(|error| error.kind() == StoreErrorKind::Corrupt);
        let heeded = self.core.heed((key, Operation::Get), called);
        let answered = is_corrupt || heeded.is_some();
        Looked::Miss(answered.then(|| within.rest(&self.core.root).budget()))
    }

    #[inline(always)]
    fn hit(&self, found: Found<T>, status: Status) -> Fetched<T> {
        self.core.count_hit(status);
        Fetched { value: found.value, status }
    }
}
