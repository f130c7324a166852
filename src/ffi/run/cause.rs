//! Family `run`: why something stops.

use std::ffi::c_char;
use std::ptr;

use super::{counts_as, given};
use crate::ffi::boundary::versioned::Versioned;
use crate::ffi::boundary::{DOCACHE_OK, docache_error, docache_status};
use crate::ffi::value::start;
use crate::run::{ActorError, Cause};

/// All actors have returned, none with an error.
pub const DOCACHE_RUN_FINISHED: i32 = 0;
/// An actor has returned, under DOCACHE_STOP_ON_RETURN.
pub const DOCACHE_RUN_RETURNED: i32 = 1;
/// An actor has failed, or the system gave no thread for it.
pub const DOCACHE_RUN_FAILED: i32 = 2;
/// An actor has returned DOCACHE_PANIC.
pub const DOCACHE_RUN_PANICKED: i32 = 3;
/// The process was sent a signal.
pub const DOCACHE_RUN_SIGNAL: i32 = 4;
/// It was told to stop, or freed.
pub const DOCACHE_RUN_STOPPED: i32 = 5;
/// This process is the child of a fork, and the actors are the parent's.
pub const DOCACHE_RUN_FORKED: i32 = 6;

/// Why a group or a loop stops. What it points to is borrowed: for the call of an interrupt, or for
/// as long as the report is there that it is of. Texts are UTF-8, not NUL-terminated.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct docache_run_cause {
    /// The size of this struct: as the library knows it, where it fills one of its own, else
    /// sizeof(docache_run_cause), as the caller was compiled.
    pub size: usize,
    /// The name of the actor that returned, failed or panicked; NULL if that is not the cause. Of
    /// an actor in a group inside another one a path: "outer/inner".
    pub actor: *const c_char,
    /// The length of `actor`.
    pub actor_len: usize,
    /// What that actor failed with: the error that its callback gave, or one that the library made;
    /// NULL if that is not the cause.
    pub error: *const docache_error,
    /// The cause as a sentence.
    pub message: *const c_char,
    /// The length of `message`.
    pub message_len: usize,
    /// A DOCACHE_RUN_ cause.
    pub kind: i32,
    /// What that actor's failure counts as: DOER_FAILED, PANIC or INTERNAL; TIMEOUT for a group
    /// whose own actors have not stopped in time. OK if that is not the cause.
    pub status: docache_status,
    /// The number of the signal; 0 if that is not the cause.
    pub signal: i32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: it is, it is, and all of its fields are numbers and pointers.
unsafe impl Versioned for docache_run_cause {
    const NAME: &'static str = "docache_run_cause";
}

/// As the header's trailer has it (in `cbindgen.toml`): neither side may move alone.
#[cfg(target_pointer_width = "64")]
const _: () = {
    use std::mem::offset_of;
    assert!(size_of::<docache_run_cause>() == 64 && offset_of!(docache_run_cause, kind) == 48);
};

/// A text as C sees it.
pub(super) fn text_of(text: &str) -> (*const c_char, usize) {
    (start(text.as_bytes()).cast(), text.len())
}

/// The error that an actor gave, as a handle that is borrowed.
pub(super) fn error_of(error: &ActorError) -> *const docache_error {
    given(error.error()).as_ptr().cast()
}

impl docache_run_cause {
    /// The cause as C sees it, with its sentence.
    pub(super) fn new(size: usize, cause: &Cause, message: &str) -> docache_run_cause {
        let (message, message_len) = text_of(message);
        let mut seen = docache_run_cause {
            size,
            actor: ptr::null(),
            actor_len: 0,
            error: ptr::null(),
            message,
            message_len,
            kind: DOCACHE_RUN_STOPPED,
            status: DOCACHE_OK,
            signal: 0,
            reserved: 0,
        };
        match cause {
            Cause::Finished => seen.kind = DOCACHE_RUN_FINISHED,
            Cause::Returned(name) => {
                seen.kind = DOCACHE_RUN_RETURNED;
                (seen.actor, seen.actor_len) = text_of(name);
            }
            Cause::Failed(error) | Cause::Panicked(error) => {
                let panicked = error.is_panicked();
                seen.kind = if panicked { DOCACHE_RUN_PANICKED } else { DOCACHE_RUN_FAILED };
                (seen.actor, seen.actor_len) = text_of(error.name());
                seen.error = error_of(error);
                seen.status = counts_as(error.error());
            }
            Cause::Signal(signal) => {
                seen.kind = DOCACHE_RUN_SIGNAL;
                seen.signal = signal.number();
            }
            Cause::Stopped | Cause::Context(_) => {}
            Cause::Forked => seen.kind = DOCACHE_RUN_FORKED,
        }
        seen
    }
}
