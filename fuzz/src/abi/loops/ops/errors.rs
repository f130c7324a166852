//! Families `version`, `status` and `error`.

use std::ffi::CStr;

use arbitrary::Arbitrary;
use docache::ffi::*;

use crate::abi::args::{Pick, Span};
use crate::abi::loops::held::errors::Held;
use crate::abi::loops::world::World;
use crate::abi::outcome::{Failure, call, name};
use crate::abi::place::{Given, Place};
use crate::input::Bytes;

/// A call of the families.
#[derive(Arbitrary, Clone, Debug)]
pub(crate) enum ErrorOp {
    Version,
    StatusName(i32),
    New { code: i64, message: Bytes, span: Span, out: Given, error: Given },
    Read { pick: Pick, len: Given },
    Retain(Pick),
    Release(Pick),
}

impl ErrorOp {
    pub(crate) fn apply(self, world: &mut World) {
        match self {
            ErrorOp::Version => version(),
            ErrorOp::StatusName(status) => {
                let known = (-6..=9).contains(&status);
                assert_eq!(name(status) != "UNKNOWN", known, "the name of {status}");
            }
            ErrorOp::New { code, message, span, out, error } => {
                new(world, code, &message.0, span, (out, error));
            }
            ErrorOp::Read { pick, len } => read(world, pick, len),
            ErrorOp::Retain(pick) => retain(world, pick),
            ErrorOp::Release(pick) => release(world, pick),
        }
    }
}

fn version() {
    assert_eq!(docache_abi_version(), DOCACHE_ABI_VERSION);
    // SAFETY: SPAN: NUL-terminated and static.
    let text = unsafe { CStr::from_ptr(docache_version()) }.to_str();
    let numbers =
        format!("{DOCACHE_VERSION_MAJOR}.{DOCACHE_VERSION_MINOR}.{DOCACHE_VERSION_PATCH}");
    assert_eq!(text, Ok(&*numbers));
}

fn new(world: &mut World, code: i64, message: &[u8], span: Span, (out, error): (Given, Given)) {
    let (start, len, seen) = span.of(message);
    let text = seen.map(String::from_utf8_lossy);
    let mut out = Place::one(out);
    // SAFETY: SPAN, or a length that is refused.
    let made = call("error_new", error, |error| unsafe {
        docache_error_new(code, start.cast(), len, out.pointer(), error)
    });
    made.is_ok_if(text.is_some() && out.is_valid());
    if let (Some(handle), Some(text)) = (out.handle(made.is_ok(), "error_new"), text) {
        let held = Held::new(Failure(handle));
        assert_eq!((held.code, held.status, &*held.message), (code, DOCACHE_DOER_FAILED, &*text));
        world.errors.push(held);
    }
    world.keep(made);
}

fn read(world: &World, pick: Pick, len: Given) {
    let held = pick.index(world.errors.len()).map(|index| &world.errors[index]);
    let handle = pick.handle(&world.errors, Held::handle);
    let mut len = Place::one(len);
    // SAFETY: HANDLE: a share is held, or it counts as NULL; SPAN, or a place that is left alone.
    let message = unsafe { docache_error_message(handle, len.pointer()) };
    let expected = held.map_or(0, |held| held.message.len());
    let written = len.take(len.is_valid(), "error_message");
    assert!(written.is_none_or(|len| len == expected), "the length of a message");
    match held {
        Some(held) => held.check(),
        None => {
            assert!(message.is_null());
            // SAFETY: HANDLE: counts as NULL.
            assert_eq!(unsafe { docache_error_code(handle) }, 0);
            // SAFETY: as above.
            assert_eq!(unsafe { docache_error_status(handle) }, DOCACHE_OK);
        }
    }
}

fn retain(world: &mut World, pick: Pick) {
    let handle = pick.handle(&world.errors, Held::handle);
    // SAFETY: HANDLE: a share is held, or it counts as NULL.
    assert_eq!(unsafe { docache_error_retain(handle) }, handle);
    if let Some(index) = pick.index(world.errors.len()) {
        world.errors[index].failures.push(Failure(handle));
    }
}

fn release(world: &mut World, pick: Pick) {
    let Some(index) = pick.index(world.errors.len()) else {
        let nothing = pick.handle(&world.errors, Held::handle);
        // SAFETY: HANDLE: NULL, or what counts as NULL.
        return unsafe { docache_error_release(nothing) };
    };
    // The last failure is released with the table's entry.
    if world.errors[index].failures.len() == 1 {
        world.errors.swap_remove(index);
    } else {
        world.errors[index].failures.pop();
    }
}
