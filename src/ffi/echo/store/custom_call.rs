//! How the callbacks of a store are called, and how what they do is read.

use std::ptr;

use super::super::super::cache::DOCACHE_NEVER;
use super::callbacks::{
    DOCACHE_AGE_UNKNOWN, docache_found, docache_refresh_lock, docache_store_begin_refresh_fn,
    docache_store_get_fn, docache_store_lock_fn, docache_store_remove_fn, docache_store_write_fn,
};
use super::{left_ns, length, ns};
use crate::echo::{
    Begun, Found, Life, RefreshLock, Store, StoreError, StoreErrorKind, Within, Written,
};
use crate::ffi::boundary::{
    DOCACHE_BUSY, DOCACHE_INVALID_ARGUMENT, DOCACHE_MISS, DOCACHE_OK, DOCACHE_PANIC,
    DOCACHE_TIMEOUT, Registration, docache_error, docache_status, is_usable, name_of,
};
use crate::ffi::error::take_error;
use crate::ffi::value::{Value, start, take};

type Called<R> = Result<R, StoreError>;

/// What is there behind an `Option` of a function.
type Function<F> = <F as There>::Function;

/// An `Option`, whose inside is named.
pub(super) trait There {
    /// What is inside.
    type Function;
}

impl<F> There for Option<F> {
    type Function = F;
}

/// The callbacks, all of which are there.
pub(super) struct Calls {
    pub(super) get: Function<docache_store_get_fn>,
    pub(super) begin_refresh: Function<docache_store_begin_refresh_fn>,
    pub(super) renew: Function<docache_store_lock_fn>,
    pub(super) finish_refresh: Function<docache_store_write_fn>,
    pub(super) abandon_refresh: Function<docache_store_lock_fn>,
    pub(super) put: Function<docache_store_write_fn>,
    pub(super) remove: Function<docache_store_remove_fn>,
}

/// A store of callbacks. Dropping it is the one call of their `drop`.
pub(super) struct CustomStore {
    calls: Calls,
    registration: Registration,
}

impl CustomStore {
    pub(super) fn new(calls: Calls, registration: Registration) -> CustomStore {
        CustomStore { calls, registration }
    }

    /// Makes a call that returns a status and may write an error.
    fn call(&self, call: impl FnOnce(usize, *mut *mut docache_error) -> docache_status) -> Answer {
        let mut error = ptr::null_mut();
        let status = call(self.registration.ctx, &raw mut error);
        Answer { status, error }
    }

    fn write(
        &self,
        write: Function<docache_store_write_fn>,
        (key, value, life): (&str, &Value, Life),
        lock: *const docache_refresh_lock,
        within: &Within<'_>,
    ) -> Answer {
        let (ttl, age) = (ns(life.ttl), life.age.map_or(DOCACHE_AGE_UNKNOWN, |age| ns(Some(age))));
        let (key_start, key_len, left) = (start(key.as_bytes()), key.len(), left_ns(within));
        let value = value.as_ptr();
        // SAFETY: CALLBACK; what is borrowed lives through the call.
        self.call(|ctx, error| unsafe {
            write(ctx, key_start, key_len, value, ttl, age, lock, left, error)
        })
    }

    fn with_lock(
        &self,
        call: Function<docache_store_lock_fn>,
        (key, lock): (&str, &RefreshLock),
        within: &Within<'_>,
    ) -> Answer {
        let (key_start, key_len, left) = (start(key.as_bytes()), key.len(), left_ns(within));
        with_claim(lock, |lock| {
            // SAFETY: CALLBACK; what is borrowed lives through the call.
            self.call(|ctx, error| unsafe { call(ctx, key_start, key_len, lock, left, error) })
        })
    }
}

/// Calls `f` with a claim as C sees it.
fn with_claim<R>(lock: &RefreshLock, f: impl FnOnce(*const docache_refresh_lock) -> R) -> R {
    let token = lock.token();
    let token = token.as_str();
    let claim = docache_refresh_lock {
        size: size_of::<docache_refresh_lock>(),
        token: token.as_ptr().cast(),
        token_len: token.len(),
        ttl_ns: ns(Some(lock.ttl())),
    };
    f(&raw const claim)
}

/// What a callback came to. The error is ours.
struct Answer {
    status: docache_status,
    error: *mut docache_error,
}

impl Answer {
    /// The status, if it is one of these; else why the store failed.
    fn one_of(self, accepted: &[docache_status]) -> Called<docache_status> {
        // SAFETY: HANDLE: what the callback wrote is a share that it gives away.
        let error = is_usable(self.error).then(|| unsafe { take_error(self.error) });
        if accepted.contains(&self.status) {
            return Ok(self.status);
        }
        let kind = match self.status {
            DOCACHE_TIMEOUT => StoreErrorKind::Timeout,
            DOCACHE_PANIC => StoreErrorKind::Panicked,
            DOCACHE_INVALID_ARGUMENT => StoreErrorKind::Corrupt,
            _ => StoreErrorKind::Unavailable,
        };
        let name = name_of(self.status).to_string_lossy();
        Err(match error {
            Some(error) => StoreError::with_source(kind, error.to_string(), error),
            None => StoreError::new(kind, format!("the store returned {name} ({})", self.status)),
        })
    }
}

/// The place for what a store has, with nothing in it.
fn nothing() -> docache_found {
    docache_found {
        size: size_of::<docache_found>(),
        value: ptr::null_mut(),
        age_ns: DOCACHE_AGE_UNKNOWN,
        left_ns: DOCACHE_NEVER,
    }
}

/// Takes what a callback wrote.
fn taken(found: &docache_found) -> Called<Option<Found<Value>>> {
    // SAFETY: HANDLE: what the callback wrote is a share that it gives away.
    let value = unsafe { take(found.value) }
        .map_err(|error| StoreError::new(StoreErrorKind::Corrupt, error.to_string()))?;
    Ok(value.map(|value| {
        let mut there = Found::new(value);
        if let Some(age) = length(found.age_ns) {
            there = there.aged(age);
        }
        if let Some(left) = length(found.left_ns) {
            there = there.lasting(left);
        }
        there
    }))
}

impl Store<Value> for CustomStore {
    fn get(&self, key: &str, within: &Within<'_>) -> Called<Option<Found<Value>>> {
        let (mut found, left) = (nothing(), left_ns(within));
        let (key_start, key_len) = (start(key.as_bytes()), key.len());
        let answer = self.call(|ctx, error| {
            // SAFETY: CALLBACK; all places are ours and writable.
            unsafe { (self.calls.get)(ctx, key_start, key_len, left, &raw mut found, error) }
        });
        let value = taken(&found);
        match (answer.one_of(&[DOCACHE_OK, DOCACHE_MISS])?, value?) {
            (DOCACHE_OK, None) => {
                let message = "the store returned OK without a value";
                Err(StoreError::new(StoreErrorKind::Corrupt, message))
            }
            (DOCACHE_OK, found) => Ok(found),
            _ => Ok(None),
        }
    }

    fn begin_refresh(
        &self,
        key: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Called<Begun<Value>> {
        let (mut found, mut holder, left) = (nothing(), 0, left_ns(within));
        let (key_start, key_len) = (start(key.as_bytes()), key.len());
        let answer = with_claim(lock, |lock| {
            self.call(|ctx, error| {
                let (out, holder) = (&raw mut found, &raw mut holder);
                // SAFETY: CALLBACK; all places are ours and writable.
                unsafe {
                    (self.calls.begin_refresh)(
                        ctx, key_start, key_len, lock, left, out, holder, error,
                    )
                }
            })
        });
        let found = taken(&found);
        let granted = answer.one_of(&[DOCACHE_OK, DOCACHE_BUSY])? == DOCACHE_OK;
        // What cannot be read is to be replaced.
        let begun = Begun::new(granted, found.unwrap_or_default());
        Ok(if granted || holder == 0 { begun } else { begun.held_by(holder) })
    }

    fn renew(&self, key: &str, lock: &RefreshLock, within: &Within<'_>) -> Called<bool> {
        let answer = self.with_lock(self.calls.renew, (key, lock), within);
        Ok(answer.one_of(&[DOCACHE_OK, DOCACHE_MISS])? == DOCACHE_OK)
    }

    fn finish_refresh(
        &self,
        key: &str,
        value: &Value,
        life: Life,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Called<Written> {
        let write = self.calls.finish_refresh;
        let answer = with_claim(lock, |lock| self.write(write, (key, value, life), lock, within));
        Ok(match answer.one_of(&[DOCACHE_OK, DOCACHE_MISS])? {
            DOCACHE_OK => Written::Yes,
            _ => Written::Lost,
        })
    }

    fn abandon_refresh(&self, key: &str, lock: &RefreshLock, within: &Within<'_>) -> Called<()> {
        let answer = self.with_lock(self.calls.abandon_refresh, (key, lock), within);
        answer.one_of(&[DOCACHE_OK, DOCACHE_MISS]).map(drop)
    }

    fn put(&self, key: &str, value: &Value, life: Life, within: &Within<'_>) -> Called<()> {
        let answer = self.write(self.calls.put, (key, value, life), ptr::null(), within);
        answer.one_of(&[DOCACHE_OK]).map(drop)
    }

    fn remove(&self, key: &str, within: &Within<'_>) -> Called<()> {
        let (key_start, key_len, left) = (start(key.as_bytes()), key.len(), left_ns(within));
        let answer = self.call(|ctx, error| {
            // SAFETY: CALLBACK; the key lives through the call.
            unsafe { (self.calls.remove)(ctx, key_start, key_len, left, error) }
        });
        answer.one_of(&[DOCACHE_OK, DOCACHE_MISS]).map(drop)
    }
}
