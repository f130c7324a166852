//! Family `value`: immutable, counted blobs.
//!
//! # State
//! A value is one block: its [head](docache_value), and behind that the bytes, or, if these are the
//! caller's, the [registration](Wrapped) that keeps them. So a reader who has the head has the
//! beginning of the bytes on the same cache line, more often than not, and the bytes are aligned as
//! the allocator aligns.
//!
//! # Invariants
//! - COUNT: the block is there while `shares` is not 0; who has brought it to 0 frees it.
//! - STILL: but for `shares` nothing in the block is written once there is a handle.

use std::alloc::{Layout, alloc, dealloc};
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};

use super::boundary::{
    DOCACHE_OK, Out, Registration, bytes, check, docache_drop_fn, docache_error, docache_status,
    guard, is_usable, quietly,
};
use crate::error::{Error, Result};

/// An immutable blob of bytes, shared by reference counting. The count is atomic.
#[derive(Debug)]
#[repr(align(16))]
pub struct docache_value {
    shares: AtomicUsize,
    /// What comes behind this head.
    wraps: bool,
    /// For an empty value [`EMPTY`].
    data: *const u8,
    len: usize,
}

/// The block of a value whose bytes are the caller's: they stay as they are until the registration
/// is dropped.
#[repr(C)]
struct Wrapped {
    head: docache_value,
    _keeps: Registration,
}

// SAFETY: the bytes do not change, and CALLBACK lets any thread call the registration's drop.
unsafe impl Send for docache_value {}
// SAFETY: as above.
unsafe impl Sync for docache_value {}

static EMPTY: [u8; 1] = [0];

/// Whether there ever was a value that wraps: dropping others calls nobody back.
static ANY_WRAPS: AtomicBool = AtomicBool::new(false);

#[inline]
pub(super) fn any_wraps() -> bool {
    ANY_WRAPS.load(Ordering::Relaxed)
}

/// Where bytes begin. Not the dangling address that an empty slice may have: some runtimes take it
/// for a damaged pointer.
pub(super) fn start(bytes: &[u8]) -> *const u8 {
    if bytes.is_empty() { EMPTY.as_ptr() } else { bytes.as_ptr() }
}

impl docache_value {
    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: STILL, and SPAN, checked when the value was made; the block, or its registration,
        // keeps them.
        unsafe { std::slice::from_raw_parts(self.data, self.len) }
    }

    /// The block of a value that does not wrap.
    fn layout(len: usize) -> Option<Layout> {
        let (layout, at) =
            Layout::new::<docache_value>().extend(Layout::array::<u8>(len).ok()?).ok()?;
        debug_assert_eq!(at, size_of::<docache_value>());
        Some(layout)
    }
}

/// A share of a value.
#[derive(Debug)]
pub(super) struct Value(NonNull<docache_value>);

// SAFETY: it is a counted reference to what is Send and Sync.
unsafe impl Send for Value {}
// SAFETY: as above.
unsafe impl Sync for Value {}

impl Clone for Value {
    #[inline]
    fn clone(&self) -> Value {
        // As with Arc: who has a share needs no ordering to make another, and a count that
        // overflows must not go on.
        if self.head().shares.fetch_add(1, Ordering::Relaxed) > isize::MAX as usize {
            std::process::abort();
        }
        Value(self.0)
    }
}

impl Drop for Value {
    #[inline]
    fn drop(&mut self) {
        if self.head().shares.fetch_sub(1, Ordering::Release) == 1 {
            // All that the others did with the value comes before it is freed.
            fence(Ordering::Acquire);
            // SAFETY: COUNT: this was the last share.
            unsafe { free(self.0) };
        }
    }
}

/// # Safety
/// COUNT: there is no share.
#[cold]
unsafe fn free(value: NonNull<docache_value>) {
    // SAFETY: the block is there until this frees it.
    let head = unsafe { value.as_ref() };
    let (wraps, len) = (head.wraps, head.len);
    if wraps {
        // SAFETY: what wraps was made by `wrap`, in a box.
        drop(unsafe { Box::from_raw(value.cast::<Wrapped>().as_ptr()) });
    } else if let Some(layout) = docache_value::layout(len) {
        // SAFETY: made by `copy` with this very layout.
        unsafe { dealloc(value.as_ptr().cast(), layout) };
    }
}

impl Value {
    pub(super) fn copy(data: &[u8]) -> Result<Value> {
        let Some(layout) = docache_value::layout(data.len()) else {
            return Err(no_memory(data.len()));
        };
        // SAFETY: its size is not 0.
        let block = unsafe { alloc(layout) };
        let Some(value) = NonNull::new(block.cast::<docache_value>()) else {
            return Err(no_memory(data.len()));
        };
        // SAFETY: the block is a head and `data.len()` bytes.
        let behind = unsafe { value.add(1) }.cast::<u8>();
        // SAFETY: as above, and new, so that they do not overlap.
        unsafe { ptr::copy_nonoverlapping(data.as_ptr(), behind.as_ptr(), data.len()) };
        let start = if data.is_empty() { EMPTY.as_ptr() } else { behind.as_ptr().cast_const() };
        let head = docache_value {
            shares: AtomicUsize::new(1),
            wraps: false,
            data: start,
            len: data.len(),
        };
        // SAFETY: as above.
        unsafe { value.write(head) };
        Ok(Value(value))
    }

    /// # Safety
    /// SPAN, until `keeps` is dropped; NULL if there are no bytes.
    unsafe fn wrap(data: *const u8, len: usize, keeps: Registration) -> Value {
        if !any_wraps() {
            ANY_WRAPS.store(true, Ordering::Relaxed);
        }
        let data = if len == 0 { EMPTY.as_ptr() } else { data };
        let head = docache_value { shares: AtomicUsize::new(1), wraps: true, data, len };
        Value(NonNull::from(Box::leak(Box::new(Wrapped { head, _keeps: keeps }))).cast())
    }

    #[inline]
    fn head(&self) -> &docache_value {
        // SAFETY: COUNT: this is a share.
        unsafe { self.0.as_ref() }
    }

    pub(super) fn as_ptr(&self) -> *const docache_value {
        self.0.as_ptr()
    }

    pub(super) fn into_ptr(self) -> *mut docache_value {
        ManuallyDrop::new(self).0.as_ptr()
    }

    /// # Safety
    /// HANDLE, not NULL; takes the caller's share.
    pub(super) unsafe fn from_ptr(value: *const docache_value) -> Value {
        // SAFETY: not NULL, and it came from `into_ptr`.
        Value(unsafe { NonNull::new_unchecked(value.cast_mut()) })
    }

    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        self.head().bytes()
    }
}

#[cold]
fn no_memory(len: usize) -> Error {
    Error::internal("no memory for the value", format!("{len} bytes"))
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

/// Makes a value of the caller's own memory, without copying. The memory must stay as it is until
/// `drop(ctx)`, which is called exactly once, when nobody has the value any more or when this
/// function fails. `drop` may be NULL. \[CB\]
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
        // SAFETY: the caller's promise.
        out.write(unsafe { Value::wrap(data, len, keeps) }.into_ptr());
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
        // SAFETY: HANDLE: the caller has a share.
        let _ = unsafe { share_value(value) }.into_ptr();
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
    // SAFETY: HANDLE; the share is the caller's and stays so.
    let value = ManuallyDrop::new(unsafe { Value::from_ptr(value) });
    (*value).clone()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_shares_of_a_value_are_one_address() {
        let (one, other) = (Value::copy(b"one").unwrap(), Value::copy(b"one").unwrap());
        let again = one.clone();
        assert!(!one.as_ptr().is_null() && one.as_ptr() != other.as_ptr());
        assert_eq!(one.as_ptr(), again.as_ptr());
        let handle = one.into_ptr();
        assert_eq!(handle.cast_const(), again.as_ptr());
        drop(again);
        // SAFETY: it came from `into_ptr`, and nobody else has taken this share.
        let back = unsafe { Value::from_ptr(handle) };
        assert_eq!(back.bytes(), b"one");
    }
}
