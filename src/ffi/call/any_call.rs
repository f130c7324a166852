//! A call as its flight knows it: one in a flight of a group, or one in a flight of a cache. `C` is
//! the type of the call that it is a part of, which its lane keeps.

use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use foldhash::fast::RandomState;

use super::lanes::{Lane, Source};
use crate::cache::LoadDomain;
use crate::error::Error;
use crate::ffi::store::Key;
use crate::ffi::value::Value;
use crate::flight::{
    Departure, Entered, Failure, GroupDomain, KeyedGroup, Outcome, OwnedCall, OwnedDomain,
    WaitResult,
};

/// The longest key whose memory is kept for the next one.
const MAX_RETAINED: usize = 4096;

pub(super) type SharedLane<C> = Arc<Lane<C>>;

impl<C> AsRef<KeyedGroup<[u8], Value, Error>> for Lane<C> {
    fn as_ref(&self) -> &KeyedGroup<[u8], Value, Error> {
        match &self.source {
            Source::Group(group) => group,
            Source::Cache(_) => unreachable!("a lane of a cache has calls of a cache"),
        }
    }
}

/// What a load of a cache goes by; a run of a group needs none of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LoadOptions {
    pub(crate) hash: u64,
    /// How long the value is to live, if not for the cache's own time.
    pub(crate) ttl: Option<Duration>,
}

/// A cache, for calls that lie on the heap.
pub(super) struct CacheDomain<C>(PhantomData<C>);

impl<C> OwnedDomain for CacheDomain<C> {
    type Domain = LoadDomain<'static, Key, Value, Error, RandomState>;
    type Handle = SharedLane<C>;
    type Key = Option<Key>;
    type Options = LoadOptions;

    fn set_key(key: &mut Option<Key>, bytes: &[u8]) {
        match key {
            Some(key) => key.set(bytes),
            None => *key = Some(bytes.into()),
        }
    }

    fn clear_key(key: &mut Option<Key>) {
        key.take_if(|key| key.len() > MAX_RETAINED);
    }

    unsafe fn domain(
        handle: &SharedLane<C>,
        key: &Option<Key>,
        options: LoadOptions,
    ) -> (Self::Domain, u64, *const Key) {
        let (Source::Cache(store), Some(key)) = (&handle.source, key) else {
            unreachable!("a lane of a group has calls of a group")
        };
        let store = std::ptr::from_ref(store);
        // SAFETY: OUTLIVES: the cache lies in the handle, and what it refers to lives as long.
        let target = unsafe { &*store }.target(options.hash, options.ttl);
        (target.domain, target.hash, key)
    }
}

/// A call in a flight of either.
#[derive(Debug)]
pub(super) enum AnyCall<C> {
    Group(OwnedCall<GroupDomain<Lane<C>, Value, Error>>),
    Cache(OwnedCall<CacheDomain<C>>),
}

/// Does the same with whichever it is.
macro_rules! either {
    ($call:expr, $either:ident => $result:expr) => {
        match $call {
            AnyCall::Group($either) => $result,
            AnyCall::Cache($either) => $result,
        }
    };
}

/// Does the same with whichever it is, pinned.
macro_rules! either_pinned {
    ($call:expr, $either:ident => $result:expr) => {
        match $call {
            AnyCall::Group($either) => {
                // SAFETY: the enum is pinned, and with it what it holds.
                let $either = unsafe { Pin::new_unchecked($either) };
                $result
            }
            AnyCall::Cache($either) => {
                // SAFETY: as above.
                let $either = unsafe { Pin::new_unchecked($either) };
                $result
            }
        }
    };
}

impl<C> AnyCall<C> {
    pub(super) fn new(source: &Source) -> AnyCall<C> {
        match source {
            Source::Group(_) => AnyCall::Group(OwnedCall::new()),
            Source::Cache(_) => AnyCall::Cache(OwnedCall::new()),
        }
    }

    /// Whether it is a cache's.
    pub(super) fn is_of_cache(&self) -> bool {
        matches!(self, AnyCall::Cache(_))
    }

    pub(super) fn prepare(
        self: Pin<&mut Self>,
        handle: SharedLane<C>,
        key: &[u8],
        caller_id: u64,
        options: LoadOptions,
    ) {
        // SAFETY: nothing is moved.
        match unsafe { self.get_unchecked_mut() } {
            AnyCall::Group(call) => {
                // SAFETY: the enum is pinned, and with it what it holds.
                unsafe { Pin::new_unchecked(call) }.prepare(handle, key, caller_id, ());
            }
            AnyCall::Cache(call) => {
                // SAFETY: as above.
                unsafe { Pin::new_unchecked(call) }.prepare(handle, key, caller_id, options);
            }
        }
    }

    /// # Safety
    /// As [`OwnedCall::enter`]'s.
    pub(super) unsafe fn enter(self: Pin<&Self>) -> Entered {
        // SAFETY: the caller's promise.
        either_pinned!(self.get_ref(), call => unsafe { call.enter() })
    }

    pub(super) fn is_prepared(&self) -> bool {
        either!(self, call => call.is_prepared())
    }

    pub(super) fn leads(&self) -> bool {
        either!(self, call => call.leads())
    }

    pub(super) fn waits(&self) -> bool {
        either!(self, call => call.waits())
    }

    /// # Safety
    /// ONE-CALLER.
    pub(super) unsafe fn poll(&self, cx: &TaskContext<'_>) -> Poll<WaitResult> {
        // SAFETY: the caller's promise.
        either!(self, call => unsafe { call.poll(cx) })
    }

    /// # Safety
    /// As [`OwnedCall::take`]'s.
    pub(super) unsafe fn take(&self) -> Option<Outcome<Value, Error>> {
        // SAFETY: the caller's promise.
        either!(self, call => unsafe { call.take() })
    }

    /// # Safety
    /// ONE-CALLER; the call leads.
    pub(super) unsafe fn recheck(&self) -> Option<Outcome<Value, Error>> {
        // SAFETY: the caller's promise.
        either!(self, call => unsafe { call.recheck() })
    }

    /// Ends the flight that the call leads, in a cache with the value put there. True if others got
    /// the outcome too.
    ///
    /// # Safety
    /// ONE-CALLER; the call leads.
    pub(super) unsafe fn complete(&self, outcome: &Outcome<Value, Error>) -> bool {
        match self {
            // SAFETY: the caller's promise.
            AnyCall::Group(call) => unsafe { call.complete(outcome) },
            AnyCall::Cache(call) => {
                let result = match outcome {
                    Ok(value) => Some(Ok(value)),
                    Err(Failure::Failed(error)) => Some(Err(&**error)),
                    Err(Failure::Panicked(_)) => None,
                };
                if let Some(result) = result {
                    // SAFETY: the caller's promise.
                    unsafe { call.stage(result) };
                }
                // SAFETY: the caller's promise.
                unsafe { call.complete(outcome) }
            }
        }
    }

    /// Ends the flight with what was found in the cache.
    ///
    /// # Safety
    /// ONE-CALLER; the call leads.
    pub(super) unsafe fn complete_found(&self, outcome: &Outcome<Value, Error>) {
        // SAFETY: the caller's promise.
        either!(self, call => unsafe { call.complete(outcome) });
    }

    /// # Safety
    /// ONE-CALLER.
    pub(super) unsafe fn leave(&self) -> Departure<Value, Error> {
        // SAFETY: the caller's promise.
        either!(self, call => unsafe { call.leave() })
    }

    pub(super) fn reset(self: Pin<&mut Self>) -> Option<SharedLane<C>> {
        // SAFETY: nothing is moved.
        either_pinned!(unsafe { self.get_unchecked_mut() }, call => call.reset())
    }

    /// Counts that the call shares what somebody else loaded.
    pub(super) fn count_coalesced(&self) {
        if let AnyCall::Cache(call) = self {
            if let Some(Source::Cache(store)) = call.handle().map(|lane| &lane.source) {
                store.count_coalesced();
            }
        }
    }
}
