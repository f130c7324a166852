//! The entries of a loop.

use docache::ffi::*;

use super::errors::check_shown;
use crate::abi::loops::plan::Plan;
use crate::abi::loops::script::Shown;
use crate::abi::outcome::bytes_of;

/// Checks an entry against what the Doer's call must have left; `borrowed`: with its value or
/// error.
///
/// # Safety
/// HANDLE for the entry's value or error.
pub(crate) unsafe fn check_entry(plan: &Plan, entry: &docache_entry, borrowed: bool) {
    let shown = plan.script.shown(entry.sequence);
    assert_eq!(entry.reserved, 0);
    match &shown {
        Shown::Value(bytes) => {
            assert!(
                entry.error.is_null() && entry.status == DOCACHE_OK,
                "{entry:?}, not {shown:?}"
            );
            assert_eq!(entry.value.is_null(), !borrowed);
            // SAFETY: HANDLE.
            assert!(
                !borrowed || unsafe { bytes_of(entry.value) } == bytes,
                "the value of {entry:?}"
            );
        }
        Shown::Error { status, .. } => {
            assert!(entry.value.is_null() && entry.status == *status, "{entry:?}, not {shown:?}");
            // SAFETY: HANDLE.
            unsafe { check_shown(entry.error, &shown) };
        }
    }
}
