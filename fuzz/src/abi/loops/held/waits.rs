//! Waits.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arbitrary::Arbitrary;
use docache::ffi::*;

use crate::abi::loops::plan::Plan;
use crate::abi::loops::tokens::Token;
use crate::abi::outcome::{Outcome, call};
use crate::abi::place::{Given, Place};
use crate::patience::soon;

/// What is waited for.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    First,
    Changed,
    Refresh,
    Stop,
}

/// The notification of a wait.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Armed {
    No,
    Token(Token),
}

/// A wait.
pub(crate) struct Held {
    pub(crate) handle: *mut docache_wait,
    pub(crate) kind: Kind,
    pub(crate) plan: Arc<Plan>,
    /// The version must be later than this.
    pub(crate) since: u64,
    pub(crate) armed: Armed,
    /// What it came to.
    pub(crate) over: Option<(docache_status, Option<u64>)>,
}

impl Held {
    /// Checks what the wait came to, and that it comes to nothing else later.
    fn saw(&mut self, status: docache_status, version: Option<u64>) {
        if let Some((before, at)) = self.over {
            assert_eq!(status, before, "a wait that was over has changed its mind");
            assert!(at.is_none() || version.is_none() || at == version, "and its version");
        }
        if status == DOCACHE_PENDING {
            return;
        }
        let at = self.over.and_then(|(_, at)| at).or(version);
        self.over = Some((status, at));
        match (self.kind, version) {
            (Kind::Stop, _) => {
                assert_eq!(status, DOCACHE_OK, "the end of a run comes, whatever else happens")
            }
            (Kind::First | Kind::Changed | Kind::Refresh, _) => {
                assert!(matches!(status, DOCACHE_OK | DOCACHE_CLOSED), "a wait came to {status}");
            }
        }
        if let Some(version) = version {
            let possible = match self.kind {
                Kind::First | Kind::Stop => version == 0,
                Kind::Changed | Kind::Refresh => {
                    version > self.since && version <= self.plan.calls.load(Ordering::SeqCst)
                }
            };
            assert!(possible, "{:?} since {} came to version {version}", self.kind, self.since);
        }
    }

    pub(crate) fn poll(&mut self, out: Given, error: Given) -> Outcome {
        let mut version = Place::one(out);
        // SAFETY: HANDLE, SPAN.
        let polled = call("wait_poll", error, |error| unsafe {
            docache_wait_poll(self.handle, version.pointer(), error)
        });
        if !version.is_valid_option() {
            polled.is(DOCACHE_INVALID_ARGUMENT);
            return polled;
        }
        self.saw(polled.status, version.take(polled.is_ok() && version.is_valid(), "wait_poll"));
        polled
    }

    /// The wait must be over: what it came to is noted.
    pub(crate) fn check_over(&mut self) {
        let polled = self.poll(Given::Valid, Given::Valid);
        assert_ne!(polled.status, DOCACHE_PENDING, "a wait that is over is pending");
    }

    pub(crate) fn free(self) {
        // SAFETY: HANDLE: the table's, which it leaves.
        unsafe { docache_wait_free(self.handle) };
    }

    /// Frees the wait while its loop may still be there: it has told at most once.
    pub(crate) fn abandon(self) {
        let armed = self.armed;
        self.free();
        if let Armed::Token(token) = armed {
            assert!(token.calls() <= 1);
        }
    }

    /// Frees the wait after its loop: it is over, and has told exactly once if it was to.
    pub(crate) fn finish(mut self) {
        if let Armed::Token(token) = self.armed {
            soon("a notification", || token.calls() == 1);
        }
        soon("the end of a wait on a freed loop", || {
            self.poll(Given::Valid, Given::Valid);
            self.over.is_some()
        });
        self.free();
    }
}
