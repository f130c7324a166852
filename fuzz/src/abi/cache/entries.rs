//! What is there: set, remove, clear, get, each.

use std::cell::RefCell;
use std::ptr::null_mut;

use docache::ffi::*;

use super::script::{Callback, KEYS, Key, bytes};
use super::world::World;

pub(crate) fn set(world: &World, key: Key, value: u8, shares: bool) {
    let (start, len, key) = key.arguments();
    let status = if shares {
        let value = world.new_value(value);
        // SAFETY: HANDLE; SPAN, or what is refused.
        let set =
            unsafe { docache_cache_set_value(world.cache.get(), start, len, value, 0, null_mut()) };
        // SAFETY: the share is ours.
        unsafe { docache_value_release(value) };
        set
    } else {
        let data = bytes(value);
        // SAFETY: as above.
        unsafe {
            docache_cache_set(
                world.cache.get(),
                start,
                len,
                data.as_ptr(),
                data.len(),
                0,
                null_mut(),
            )
        }
    };
    assert_eq!(status, if key.is_some() { DOCACHE_OK } else { DOCACHE_INVALID_ARGUMENT });
    if let Some(key) = key {
        world.model.borrow_mut().set(key, value);
    }
}

/// Sets many at once: nothing happens if one of the keys is refused.
pub(crate) fn set_many(world: &World, pairs: &[(Key, u8)]) {
    let arguments: Vec<_> = pairs.iter().map(|(key, _)| key.arguments()).collect();
    let data: Vec<Vec<u8>> = pairs.iter().map(|(_, value)| bytes(*value)).collect();
    let keys: Vec<_> =
        arguments.iter().map(|(start, len, _)| docache_bytes { data: *start, len: *len }).collect();
    let span = |data: &Vec<u8>| docache_bytes { data: data.as_ptr(), len: data.len() };
    let values: Vec<_> = data.iter().map(span).collect();
    let count = pairs.len();
    // SAFETY: HANDLE; SPAN, or what is refused.
    let status = unsafe {
        docache_cache_set_many(
            world.cache.get(),
            keys.as_ptr(),
            values.as_ptr(),
            count,
            0,
            null_mut(),
        )
    };
    let seen: Option<Vec<usize>> = arguments.iter().map(|(_, _, seen)| *seen).collect();
    assert_eq!(status, if seen.is_some() { DOCACHE_OK } else { DOCACHE_INVALID_ARGUMENT });
    for (key, (_, value)) in seen.iter().flatten().zip(pairs) {
        world.model.borrow_mut().set(*key, *value);
    }
}

pub(crate) fn remove(world: &World, key: Key) {
    let (start, len, key) = key.arguments();
    let mut out = null_mut();
    // SAFETY: HANDLE; SPAN, or what is refused.
    let status =
        unsafe { docache_cache_remove(world.cache.get(), start, len, &raw mut out, null_mut()) };
    let removed = key.and_then(|key| world.model.borrow_mut().remove(key));
    assert_eq!(status, found(key, removed));
    world.check_value(out, removed);
}

pub(crate) fn read(world: &World, key: Key) {
    let (start, len, key) = key.arguments();
    let (mut out, mut buffer, mut size) = (null_mut(), [0; 32], 0);
    let expected = key.and_then(|key| world.model.borrow().values.get(&key).copied());
    // SAFETY: HANDLE; SPAN, or what is refused.
    let got = unsafe { docache_cache_get(world.cache.get(), start, len, &raw mut out, null_mut()) };
    assert_eq!(got, found(key, expected));
    world.check_value(out, expected);
    let place = buffer.as_mut_ptr();
    // SAFETY: as above.
    let copied = unsafe {
        docache_cache_try_get(
            world.cache.get(),
            start,
            len,
            place,
            buffer.len(),
            &raw mut size,
            null_mut(),
        )
    };
    assert_eq!((copied, &buffer[..size]), (got, &*expected.map(bytes).unwrap_or_default()));
    // SAFETY: as above.
    assert_eq!(unsafe { docache_cache_contains(world.cache.get(), start, len, null_mut()) }, got);
}

pub(crate) fn visit(world: &World) {
    type Seen = RefCell<Vec<(Vec<u8>, usize)>>;
    unsafe extern "C-unwind" fn visit(
        seen: usize,
        key: *const u8,
        len: usize,
        value: *const docache_value,
    ) -> i32 {
        // SAFETY: the visit's own, below.
        let (world, seen) = unsafe { &*(seen as *const (&World, Seen)) };
        // SAFETY: SPAN.
        let key = unsafe { std::slice::from_raw_parts(key, len) };
        // SAFETY: HANDLE.
        seen.borrow_mut().push((key.to_vec(), unsafe { docache_value_len(value) }));
        // The visit goes on.
        world.called(Callback::Visit);
        0
    }
    let visited: (&World, Seen) = (world, RefCell::default());
    let ctx = std::ptr::from_ref(&visited) as usize;
    // SAFETY: HANDLE, CALLBACK.
    assert_eq!(
        unsafe { docache_cache_each(world.cache.get(), Some(visit), ctx, null_mut()) },
        DOCACHE_OK
    );
    let mut seen = visited.1.into_inner();
    seen.sort();
    let model = world.model.borrow();
    let pair = |(key, value): (&usize, &u8)| (KEYS[*key].to_vec(), bytes(*value).len());
    let mut expected: Vec<_> = model.values.iter().map(pair).collect();
    expected.sort();
    assert_eq!(seen, expected);
}

pub(crate) fn clear(world: &World) {
    // SAFETY: HANDLE.
    assert_eq!(unsafe { docache_cache_clear(world.cache.get(), null_mut()) }, DOCACHE_OK);
    world.model.borrow_mut().clear();
}

/// The status of looking for a key.
fn found(key: Option<usize>, value: Option<u8>) -> docache_status {
    match (key, value) {
        (None, _) => DOCACHE_INVALID_ARGUMENT,
        (_, None) => DOCACHE_MISS,
        (_, Some(_)) => DOCACHE_OK,
    }
}
