//! Values and errors: what leaders report and the work returns.

use std::rc::Rc;

use docache::ffi::*;

use super::model::{Blob, Fault};
use super::script::{GivenError, GivenValue};
use super::world::World;
use crate::abi::args::Pick;
use crate::abi::outcome::new_error;
use crate::abi::registry::{Drops, drop_wrapped};

pub(crate) fn new_value(world: &World, bytes: &[u8], wrapped: Option<Drops>) -> Rc<Blob> {
    let (handle, wrapped) = world.registry.value(bytes, wrapped, drop_wrapped);
    let is_wrapped = wrapped.is_some();
    let blob = Rc::new(Blob { handle, bytes: bytes.to_vec(), wrapped });
    if is_wrapped {
        world.blobs.borrow_mut().push(blob.clone());
    }
    blob
}

/// A share of a value that is not the world's any more.
pub(crate) fn give_value(world: &World, given: &GivenValue) -> Option<Rc<Blob>> {
    match given {
        GivenValue::Nothing => None,
        GivenValue::New(bytes, wrapped) => Some(new_value(world, &bytes.0, *wrapped)),
        GivenValue::Share(pick) => {
            let shares = world.shares.borrow();
            let blob = &shares[pick.index(shares.len())?];
            // SAFETY: HANDLE: a share is held.
            assert_eq!(unsafe { docache_value_retain(blob.handle) }, blob.handle);
            Some(blob.clone())
        }
    }
}

/// A share of an error that is not the world's any more, with its code and message.
pub(crate) fn give_error(
    world: &World,
    given: &GivenError,
) -> Option<(*mut docache_error, i64, String)> {
    match given {
        GivenError::Nothing => None,
        GivenError::New(code, message) => {
            let failure = std::mem::ManuallyDrop::new(new_error(*code, &message.0));
            Some((failure.0, *code, message.0.clone()))
        }
        GivenError::Share(pick) => {
            let faults = world.faults.borrow();
            let fault = &faults[pick.index(faults.len())?];
            // SAFETY: HANDLE: a share is held.
            let handle = unsafe { docache_error_retain(fault.failure.0) };
            Some((handle, fault.code, fault.message.clone()))
        }
    }
}

/// Gives a share of a value back.
pub(crate) fn release(world: &World, pick: Pick) {
    let mut shares = world.shares.borrow_mut();
    let Some(index) = pick.index(shares.len()) else { return };
    let blob = shares.swap_remove(index);
    drop(shares);
    blob.release();
}

pub(crate) fn release_error(world: &World, pick: Pick) {
    let mut faults = world.faults.borrow_mut();
    if let Some(index) = pick.index(faults.len()) {
        faults.swap_remove(index).check();
    }
}

/// Keeps an error that the caller made.
pub(crate) fn keep_error(world: &World, code: i64, message: &str) {
    let fault = Fault::new(new_error(code, message));
    assert_eq!((fault.code, &*fault.message), (code, message));
    world.faults.borrow_mut().push(fault);
}
