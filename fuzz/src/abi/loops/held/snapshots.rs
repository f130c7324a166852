//! Snapshots.

use std::sync::Arc;

use docache::ffi::*;

use super::entries::check_entry;
use crate::abi::loops::plan::Plan;
use crate::abi::outcome::call;
use crate::abi::place::{Given, Place, Places};

/// Shares of a snapshot, and what it must show for ever.
pub(crate) struct Held {
    pub(crate) handle: *mut docache_snapshot,
    pub(crate) shares: u32,
    pub(crate) plan: Arc<Plan>,
    pub(crate) version: u64,
    pub(crate) len: usize,
}

impl Held {
    pub(crate) fn check(&self) {
        // SAFETY: HANDLE: a share is held.
        let len = unsafe { docache_snapshot_len(self.handle) };
        // SAFETY: as above.
        let version = unsafe { docache_snapshot_version(self.handle) };
        assert_eq!((len, version), (self.len, self.version), "a snapshot never changes");
        let mut out = Places::many(Given::Valid, len);
        let mut written = Place::one(Given::Valid);
        // SAFETY: HANDLE, SPAN.
        let read = call("snapshot_read", Given::Valid, |error| unsafe {
            docache_snapshot_read(self.handle, 0, out.pointer(), len, written.pointer(), error)
        });
        read.is(DOCACHE_OK);
        assert_eq!(written.take(true, "snapshot_read"), Some(len));
        self.check_entries(&out, 0, len);
    }

    /// The `count` entries in `out` are this snapshot's, from the `first` on.
    pub(crate) fn check_entries(&self, out: &Places<docache_entry>, first: usize, count: usize) {
        assert!(out.untouched_from(count), "wrote past the entries");
        let before = self.version - self.len as u64 + first as u64;
        for at in 0..count {
            let entry = out.get(at);
            assert_eq!(entry.sequence, before + 1 + at as u64, "sequences are contiguous");
            // SAFETY: HANDLE: borrowed from the snapshot, of which a share is held.
            unsafe { check_entry(&self.plan, &entry, true) };
        }
    }

    pub(crate) fn release(&mut self) {
        self.shares -= 1;
        // SAFETY: HANDLE: one of the shares held.
        unsafe { docache_snapshot_release(self.handle) };
    }

    pub(crate) fn finish(mut self) {
        self.check();
        while self.shares > 0 {
            self.release();
        }
    }
}
