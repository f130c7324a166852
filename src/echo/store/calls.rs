//! One face for both kinds of stores, so that what an echo cache does is written once.
//!
//! It is written as futures. A blocking store's are ready when they are first polled; a task's are
//! dropped when their time is over. Panics of either are contained.

use std::future::ready;
use std::mem::ManuallyDrop;
use std::pin::{Pin, pin};
use std::task::{Context as TaskContext, Poll};

use super::{AsyncStore, Begun, Found, Life, Store, Within, Written, store_methods};
use crate::contain::contained;
use crate::context::until_armed;
use crate::echo::error::StoreError;
use crate::echo::lock::RefreshLock;

type Called<R> = Result<R, StoreError>;

/// The calls of a store.
pub(in crate::echo) trait Calls<T>: Copy + Send + Sync {
    fn canonical<'k>(&self, key: &'k str) -> &'k str;

    fn get(
        &self,
        key: &str,
        within: &Within<'_>,
    ) -> impl Future<Output = Called<Option<Found<T>>>> + Send;

    fn begin_refresh(
        &self,
        key: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> impl Future<Output = Called<Begun<T>>> + Send;

    fn renew(
        &self,
        key: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> impl Future<Output = Called<bool>> + Send;

    fn finish_refresh(
        &self,
        key: &str,
        value: &T,
        life: Life,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> impl Future<Output = Called<Written>> + Send;

    fn abandon_refresh(
        &self,
        key: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> impl Future<Output = Called<()>> + Send;

    fn put(
        &self,
        key: &str,
        value: &T,
        life: Life,
        within: &Within<'_>,
    ) -> impl Future<Output = Called<()>> + Send;

    fn remove(&self, key: &str, within: &Within<'_>) -> impl Future<Output = Called<()>> + Send;
}

/// Calls a blocking store.
#[inline]
pub(in crate::echo) fn blocking<R>(call: impl FnOnce() -> Called<R>) -> Called<R> {
    contained(call).unwrap_or_else(|error| Err(StoreError::panicked(&error)))
}

/// A store as threads call it.
#[derive(Debug)]
pub(in crate::echo) struct Threads<'s, S>(pub(in crate::echo) &'s S);

impl<S> Clone for Threads<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Threads<'_, S> {}

/// A call of a blocking store.
macro_rules! blocking_call {
    ([] $this:ident.$call:ident / $async:ident($($argument:expr),+; $within:expr)) => {
        ready(blocking(|| $this.0.$call($($argument),+, $within)))
    };
}

impl<T: Send + Sync, S: Store<T>> Calls<T> for Threads<'_, S> {
    fn canonical<'k>(&self, key: &'k str) -> &'k str {
        contained(|| self.0.canonical(key)).unwrap_or(key)
    }

    store_methods! { Calls<T> by blocking_call![] }
}

/// A store as tasks call it.
#[derive(Debug)]
pub(in crate::echo) struct Tasks<'s, S>(pub(in crate::echo) &'s S);

impl<S> Clone for Tasks<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Tasks<'_, S> {}

/// A call of a store for tasks.
macro_rules! bounded_call {
    ([] $this:ident.$call:ident / $async:ident($($argument:expr),+; $within:expr)) => {
        bounded($within, move || $this.0.$async($($argument),+, $within))
    };
}

impl<T: Send + Sync, S: AsyncStore<T>> Calls<T> for Tasks<'_, S> {
    fn canonical<'k>(&self, key: &'k str) -> &'k str {
        contained(|| self.0.canonical(key)).unwrap_or(key)
    }

    store_methods! { Calls<T> by bounded_call![] }
}

/// Makes a call and waits for it until its time is over. One that is ready at once sets no alarm.
async fn bounded<R, F>(within: &Within<'_>, call: impl FnOnce() -> F) -> Called<R>
where
    F: Future<Output = Called<R>> + Send,
{
    let call = contained(call).map_err(|error| StoreError::panicked(&error))?;
    let mut call = pin!(Contained(ManuallyDrop::new(call)));
    let first = std::future::poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await;
    if let Poll::Ready(called) = first {
        return called;
    }
    let context = within.context();
    until_armed(call, &context).await.unwrap_or_else(|| Err(StoreError::timeout()))
}

/// A call whose panic is an error, also when it is dropped.
struct Contained<F>(ManuallyDrop<F>);

impl<R, F: Future<Output = Called<R>>> Future for Contained<F> {
    type Output = Called<R>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Called<R>> {
        // SAFETY: the field is pinned whenever its owner is: it is not moved out, and is dropped
        // where it lies.
        let call = unsafe { self.map_unchecked_mut(|this| &mut *this.0) };
        contained(|| call.poll(cx))
            .unwrap_or_else(|error| Poll::Ready(Err(StoreError::panicked(&error))))
    }
}

impl<F> Drop for Contained<F> {
    fn drop(&mut self) {
        // SAFETY: it is dropped once, here, and not used afterwards.
        let _ = contained(|| unsafe { ManuallyDrop::drop(&mut self.0) });
    }
}
