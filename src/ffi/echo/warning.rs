//! Who is told of what fails and fails no fetch.

use std::ffi::c_char;

use crate::echo::{Operation, Warning};
use crate::ffi::value::start;

/// A call to the store failed, and the fetch went on without it.
pub const DOCACHE_WARNING_STORE: i32 = 1;
/// Another process held the key's refresh lock for longer than the lock wait, and the value was
/// loaded beside it.
pub const DOCACHE_WARNING_LOCK_WAIT: i32 = 2;
/// The key's refresh lock was lost before the load was over, and its value was not written.
pub const DOCACHE_WARNING_LOCK_LOST: i32 = 3;
/// A refresh in the background failed.
pub const DOCACHE_WARNING_REFRESH: i32 = 4;
/// The key's refresh lock could not be renewed or given back in the background, since there was no
/// thread, or too many waited: it is held for its time to live at most.
pub const DOCACHE_WARNING_UNATTENDED: i32 = 5;

/// What a store was asked to do: none of these.
pub const DOCACHE_OPERATION_NONE: i32 = 0;
/// To read.
pub const DOCACHE_OPERATION_GET: i32 = 1;
/// To take the lock.
pub const DOCACHE_OPERATION_BEGIN_REFRESH: i32 = 2;
/// To go on holding the lock.
pub const DOCACHE_OPERATION_RENEW: i32 = 3;
/// To write, and to give the lock back.
pub const DOCACHE_OPERATION_FINISH_REFRESH: i32 = 4;
/// To give the lock back.
pub const DOCACHE_OPERATION_ABANDON_REFRESH: i32 = 5;
/// To write.
pub const DOCACHE_OPERATION_PUT: i32 = 6;
/// To remove.
pub const DOCACHE_OPERATION_REMOVE: i32 = 7;

/// Something that has failed. Its texts are UTF-8, not NUL-terminated, and valid only during the
/// call.
#[repr(C)]
#[derive(Debug)]
pub struct docache_echo_warning {
    /// The size of this struct as the library knows it.
    pub size: usize,
    /// The key.
    pub key: *const u8,
    /// The length of `key`.
    pub key_len: usize,
    /// Why; a sentence.
    pub message: *const c_char,
    /// The length of `message`.
    pub message_len: usize,
    /// A DOCACHE_WARNING.
    pub kind: i32,
    /// A DOCACHE_OPERATION.
    pub operation: i32,
}

/// As the header's trailer has it (in `cbindgen.toml`): neither side may move alone.
#[cfg(target_pointer_width = "64")]
const _: () = {
    use std::mem::offset_of;
    assert!(
        size_of::<docache_echo_warning>() == 48 && offset_of!(docache_echo_warning, kind) == 40
    );
};

/// Told of what has failed and fails no fetch, with the `ctx` of the cache, on whichever thread is
/// at it, perhaps on several at once, with no lock held. It must return. It may use the cache, and
/// free it: then it is not called any more, and the cache ends when the call, or the refresh, is
/// over that it was called from.
pub type docache_echo_warning_fn =
    Option<unsafe extern "C-unwind" fn(ctx: usize, warning: *const docache_echo_warning)>;

fn number_of(operation: Operation) -> i32 {
    match operation {
        Operation::Get => DOCACHE_OPERATION_GET,
        Operation::BeginRefresh => DOCACHE_OPERATION_BEGIN_REFRESH,
        Operation::Renew => DOCACHE_OPERATION_RENEW,
        Operation::FinishRefresh => DOCACHE_OPERATION_FINISH_REFRESH,
        Operation::AbandonRefresh => DOCACHE_OPERATION_ABANDON_REFRESH,
        Operation::Put => DOCACHE_OPERATION_PUT,
        Operation::Remove => DOCACHE_OPERATION_REMOVE,
    }
}

/// Tells C of it.
///
/// # Safety
/// CALLBACK.
pub(super) unsafe fn tell(
    hook: unsafe extern "C-unwind" fn(usize, *const docache_echo_warning),
    ctx: usize,
    warning: &Warning<'_>,
) {
    let (key, kind, operation, message) = match warning {
        Warning::Store { key, operation, error } => {
            (key, DOCACHE_WARNING_STORE, number_of(*operation), error.to_string())
        }
        Warning::LockWait { key } => {
            let message = "loaded beside the holder of its refresh lock";
            (key, DOCACHE_WARNING_LOCK_WAIT, DOCACHE_OPERATION_NONE, message.to_owned())
        }
        Warning::LockLost { key } => {
            let message = "the refresh lock was lost, and the value not written";
            (key, DOCACHE_WARNING_LOCK_LOST, DOCACHE_OPERATION_NONE, message.to_owned())
        }
        Warning::Unattended { key, operation } => {
            let message = "no thread for its refresh lock";
            (key, DOCACHE_WARNING_UNATTENDED, number_of(*operation), message.to_owned())
        }
        Warning::Refresh { key, message } => {
            (key, DOCACHE_WARNING_REFRESH, DOCACHE_OPERATION_NONE, (*message).to_owned())
        }
    };
    let told = docache_echo_warning {
        size: size_of::<docache_echo_warning>(),
        key: start(key.as_bytes()),
        key_len: key.len(),
        message: start(message.as_bytes()).cast(),
        message_len: message.len(),
        kind,
        operation,
    };
    // SAFETY: CALLBACK; what is borrowed lives through the call.
    unsafe { hook(ctx, &raw const told) };
}
