//! Fetches that block, and what happens inside their work.

use std::ptr::null_mut;

use docache::ffi::*;

use super::model::Came;
use super::script::{KEYS, Key, Op};
use super::world::World;

/// What a fetch does.
struct Work<'w> {
    world: &'w World,
    /// What it must be told if it is told the key.
    key: Option<usize>,
    run: Option<u64>,
    answer: Came,
    inside: &'w [Op],
}

unsafe extern "C-unwind" fn perform(
    work: usize,
    out: *mut *mut docache_value,
    _: *mut *mut docache_error,
) -> docache_status {
    // SAFETY: `fetch` keeps it through the call.
    let work = unsafe { &*(work as *const Work<'_>) };
    let runs = work
        .world
        .model
        .borrow()
        .flights
        .get(&work.run.unwrap_or_default())
        .is_some_and(|run| run.loads);
    assert!(runs, "the work runs, but the value was there");
    work.world.act(work.inside);
    if let Came::Value(value) = work.answer {
        // SAFETY: SPAN.
        unsafe { out.write(work.world.new_value(value)) };
    }
    work.answer.status()
}

/// The work that is told its key.
unsafe extern "C-unwind" fn perform_key(
    work: usize,
    key: *const u8,
    key_len: usize,
    out: *mut *mut docache_value,
    error: *mut *mut docache_error,
) -> docache_status {
    assert!(!key.is_null(), "a key is somewhere");
    // SAFETY: SPAN.
    let told = unsafe { std::slice::from_raw_parts(key, key_len) };
    // SAFETY: `fetch` keeps it through the call.
    let expected = unsafe { &*(work as *const Work<'_>) }.key.map(|key| KEYS[key]);
    assert_eq!(Some(told), expected, "the key that the work is told");
    // SAFETY: CALLBACK: as this was called.
    unsafe { perform(work, out, error) }
}

pub(crate) fn fetch(world: &World, key: Key, answer: Came, keyed: bool, inside: &[Op]) {
    let (start, len, key) = key.arguments();
    let mut model = world.model.borrow_mut();
    let kept = key.and_then(|key| model.values.get(&key).copied());
    let joined = key.and_then(|key| model.joined(key));
    let early = match (key, kept, joined) {
        (None, _, _) => Some(DOCACHE_INVALID_ARGUMENT),
        (_, Some(_), _) => Some(DOCACHE_OK),
        (_, _, Some((_, flight))) if flight.leader.is_none() => Some(DOCACHE_REENTRANT),
        (_, _, Some(_)) => Some(DOCACHE_TIMEOUT),
        (Some(key), None, None) => model.found(key).map(Came::status),
    };
    let run = key.filter(|_| early.is_none()).map(|key| model.start(key));
    if let Some(run) = run {
        assert_eq!(model.take_lead(run), None);
    }
    drop(model);
    let work = Work { world, key, run, answer, inside };
    let (ctx, mut value) = (std::ptr::from_ref(&work) as usize, null_mut());
    let (cache, place) = (world.cache.get(), &raw mut value);
    let status = if keyed {
        let perform: docache_perform_key_fn = Some(perform_key);
        // SAFETY: HANDLE; SPAN, or what is refused; CALLBACK: the work lives through the call.
        unsafe { docache_cache_fetch_key(cache, start, len, 0, 0, perform, ctx, place, null_mut()) }
    } else {
        // SAFETY: as above.
        unsafe {
            docache_cache_fetch(cache, start, len, 0, 0, Some(perform), ctx, place, null_mut())
        }
    };
    if let Some(run) = run {
        world.model.borrow_mut().finish(run, answer);
    }
    assert_eq!(status, early.unwrap_or(answer.status()));
    let led = if let (None, Came::Value(value)) = (early, answer) { Some(value) } else { kept };
    world.check_value(value, led);
}
