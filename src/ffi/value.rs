//! Family `value`: immutable, counted blobs.

use std::ptr;
use std::sync::Arc;

use super::{DOCACHE_OK, check};
use super::{
    Out, Registration, bytes, docache_drop_fn, docache_error, docache_status, guard, is_usable, quietly,
};
use crate::error::{Error, Result};

/// An immutable blob of bytes, shared by reference counting. The count is atomic.
#[derive(Debug)]
pub struct docache_value(Bytes);

#[derive(Debug)]
enum Bytes {
    Owned(Box<[u8]>),
    /// The caller's memory, which stays as it is until the registration is dropped.
    Wrapped {
        data: *const u8,
        len: usize,
        _keeps: Registration,
    },
}

// SAFETY: the bytes do not change, and CALLBACK lets any thread call the registration's drop.
unsafe impl Send for docache_value {}
// SAFETY: as above.
unsafe impl Sync for docache_value {}

static EMPTY: [u8; 1] = [0];

/// Where bytes begin. Not the dangling address that an empty slice may have: some runtimes take it for a damaged pointer.
pub(super) fn start(bytes: &[u8]) -> *const u8 {
    if bytes.is_empty() { EMPTY.as_ptr() } else { bytes.as_ptr() }
}

impl docache_value {
    pub(super) fn bytes(&self) -> &[u8] {
        match &self.0 {
            Bytes::Owned(bytes) => bytes,
            Bytes::Wrapped { len: 0, .. } => &[],
            // SAFETY: SPAN, checked when it was wrapped; the memory is kept by the registration.
            Bytes::Wrapped { data, len, .. } => unsafe { std::slice::from_raw_parts(*data, *len) },
        }
    }
}

/// A share of a value.
#[derive(Clone, Debug)]
pub(super) struct Value(Arc<docache_value>);

impl Value {
    pub(super) fn copy(data: &[u8]) -> Result<Value> {
        let mut copy = Vec::new();
        copy.try_reserve_exact(data.len())
            .map_err(|error| Error::internal("no memory for the value", error))?;
        copy.extend_from_slice(data);
        Ok(Value(Arc::new(docache_value(Bytes::Owned(copy.into())))))
    }

    pub(super) fn as_ptr(&self) -> *const docache_value {
        Arc::as_ptr(&self.0)
    }

    pub(super) fn into_ptr(self) -> *mut docache_value {
        Arc::into_raw(self.0).cast_mut()
    }

    /// # Safety
    /// HANDLE, not NULL; takes the caller's share.
    pub(super) unsafe fn from_ptr(value: *const docache_value) -> Value {
        // SAFETY: the pointer came from `into_ptr`.
        Value(unsafe { Arc::from_raw(value) })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }
}

/// Makes a value by copying `len` bytes. \[NC\]
///
/// # Safety
/// HANDLE, SPAN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_value_new(
    data: *const u8,
    len: usize,
    out: *mut *mut docache_value,
    out_error: *mut *mut docache_error,
) -> docache_status {
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::handle(out, "out") }?;
        // SAFETY: the caller's promise.
        let data = unsafe { bytes(data, len, "data") }?;
        out.write(Value::copy(data)?.into_ptr());
        Ok(DOCACHE_OK)
    })
}

/// Makes a value of the caller's own memory, without copying. The memory must stay as it is until `drop(ctx)`, which is
/// called exactly once, when nobody has the value any more or when this function fails. `drop` may be NULL. \[CB\]
///
/// # Safety
/// HANDLE, SPAN, CALLBACK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_value_wrap(
    data: *const u8,
    len: usize,
    ctx: usize,
    drop: docache_drop_fn,
    out: *mut *mut docache_value,
    out_error: *mut *mut docache_error,
) -> docache_status {
    let keeps = Registration { ctx, drop };
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::handle(out, "out") }?;
        // SAFETY: the caller's promise. Only checked here.
        unsafe { bytes(data, len, "data") }?;
        let value = docache_value(Bytes::Wrapped { data, len, _keeps: keeps });
        out.write(Value(Arc::new(value)).into_ptr());
        Ok(DOCACHE_OK)
    })
}

/// Takes one more share; returns its argument. NULL is fine. \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_value_retain(value: *const docache_value) -> *mut docache_value {
    if is_usable(value) {
        // SAFETY: HANDLE: the caller has a share, so the count is not zero.
        unsafe { Arc::increment_strong_count(value) };
    }
    value.cast_mut()
}

/// Gives a share back. NULL is fine. \[CB\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_value_release(value: *const docache_value) {
    if is_usable(value) {
        // SAFETY: HANDLE: the share given back is the caller's.
        quietly((), || drop(unsafe { Value::from_ptr(value) }));
    }
}

/// The bytes, valid while the caller has a share; NULL for NULL. \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_value_data(value: *const docache_value) -> *const u8 {
    if !is_usable(value) {
        return ptr::null();
    }
    // SAFETY: HANDLE.
    start(unsafe { &*value }.bytes())
}

/// The number of bytes; 0 for NULL. \[NC\]
///
/// # Safety
/// HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_value_len(value: *const docache_value) -> usize {
    if !is_usable(value) {
        return 0;
    }
    // SAFETY: HANDLE.
    unsafe { &*value }.bytes().len()
}

/// A share of our own of a value that is the caller's.
///
/// # Safety
/// HANDLE, not NULL.
pub(super) unsafe fn share_value(value: *const docache_value) -> Value {
    // SAFETY: HANDLE: the caller has a share, so the count is not zero.
    unsafe { Arc::increment_strong_count(value) };
    // SAFETY: the share just taken.
    unsafe { Value::from_ptr(value) }
}

/// Takes a share that a callback may have handed over.
///
/// # Safety
/// HANDLE.
pub(super) unsafe fn take(value: *mut docache_value) -> Result<Option<Value>> {
    if value.is_null() {
        return Ok(None);
    }
    check(value, "out_value")?;
    // SAFETY: the caller's promise.
    Ok(Some(unsafe { Value::from_ptr(value) }))
}
