//! The places for outputs.

use std::ptr;

use super::arguments::check;
use crate::error::Result;

/// The place for an output, checked and not yet touched.
pub(crate) struct Out<T>(*mut T);

impl<T> Out<T> {
    /// # Safety
    /// SPAN for one element.
    #[inline]
    pub(crate) unsafe fn required(pointer: *mut T, name: &str) -> Result<Out<T>> {
        check(pointer, name)?;
        Ok(Out(pointer))
    }

    /// # Safety
    /// SPAN for one element, or NULL.
    #[inline]
    pub(crate) unsafe fn optional(pointer: *mut T, name: &str) -> Result<Option<Out<T>>> {
        // SAFETY: the caller's promise.
        if pointer.is_null() { Ok(None) } else { unsafe { Out::required(pointer, name) }.map(Some) }
    }

    pub(crate) fn write(&self, value: T) {
        // SAFETY: SPAN, promised when this was made.
        unsafe { self.0.write(value) }
    }
}

impl<T> Out<*mut T> {
    /// The place for a handle, which is NULL until the function succeeds.
    ///
    /// # Safety
    /// SPAN for one element.
    #[inline]
    pub(crate) unsafe fn handle(pointer: *mut *mut T, name: &str) -> Result<Out<*mut T>> {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::required(pointer, name) }?;
        out.write(ptr::null_mut());
        Ok(out)
    }

    /// The same where there may be no place.
    ///
    /// # Safety
    /// SPAN for one element.
    pub(crate) unsafe fn optional_handle(
        pointer: *mut *mut T,
        name: &str,
    ) -> Result<Option<Out<*mut T>>> {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::optional(pointer, name) }?;
        Ok(out.inspect(|out| out.write(ptr::null_mut())))
    }
}
