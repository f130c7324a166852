//! The world of a case. Callbacks come back to it.

use std::cell::{Cell, RefCell};
use std::ptr::null_mut;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread::{self, ThreadId};

use docache::ffi::*;

use super::model::{Held, Model};
use super::script::{Callback, KEYS, Op, bytes};
use crate::abi::args::Pick;

/// Loads inside loads inside loads: further down nothing is done.
const DEPTH: u32 = 5;
/// A value's memory, how many of them there are, and whose it is.
struct Blob(Vec<u8>, Arc<AtomicI32>, *const World, ThreadId);

unsafe extern "C-unwind" fn drop_blob(blob: usize) {
    // SAFETY: it came from `Box::into_raw`, and the library calls this once.
    let blob = unsafe { Box::from_raw(blob as *mut Blob) };
    let Blob(_, count, world, thread) = *blob;
    count.fetch_sub(1, Ordering::SeqCst);
    // The background may drop values too.
    if thread == thread::current().id() {
        // SAFETY: the world outlives its values.
        unsafe { &*world }.called(Callback::Drop);
    }
}

unsafe extern "C-unwind" fn listen(
    world: usize,
    key: *const u8,
    len: usize,
    value: *const docache_value,
    cause: i32,
) {
    // SAFETY: the world outlives its cache.
    let world = unsafe { &*(world as *const World) };
    assert!(!world.cache.get().is_null(), "the listener of a cache that was freed");
    assert!(matches!(cause, DOCACHE_CAUSE_REMOVED | DOCACHE_CAUSE_REPLACED));
    // SAFETY: SPAN.
    assert!(KEYS.contains(&unsafe { std::slice::from_raw_parts(key, len) }));
    // SAFETY: HANDLE.
    assert!(unsafe { docache_value_len(value) } > 0);
    world.called(Callback::Listener);
}

unsafe extern "C-unwind" fn drop_world(world: usize) {
    // SAFETY: as above.
    let world = unsafe { &*(world as *const World) };
    assert!(world.cache.get().is_null(), "the listener's drop, before the cache was freed");
    world.drops.fetch_add(1, Ordering::SeqCst);
}

/// A cache, its model, and the calls that are out.
pub(crate) struct World {
    /// Does one call of a script.
    apply: fn(&World, &Op),
    /// NULL once it was freed.
    pub(crate) cache: Cell<*mut docache_cache>,
    /// Inside which callback it is to be freed.
    pub(crate) free_in: Cell<Option<Callback>>,
    /// How often the `drop` of its registration was called.
    pub(crate) drops: AtomicI32,
    pub(crate) model: RefCell<Model>,
    pub(crate) calls: RefCell<Vec<Rc<Held>>>,
    /// All calls there ever were: a notification that is too late must be seen.
    pub(crate) records: RefCell<Vec<Rc<Held>>>,
    pub(crate) blobs: Arc<AtomicI32>,
    depth: Cell<u32>,
}

impl World {
    pub(crate) fn new(apply: fn(&World, &Op), keeps_failures: bool, listens: bool) -> Box<World> {
        let options = docache_cache_options {
            size: size_of::<docache_cache_options>(),
            time_to_live_ns: DOCACHE_NEVER,
            sweep_interval_ns: DOCACHE_NEVER,
            negative_ttl_ns: if keeps_failures { DOCACHE_NEVER } else { 0 },
            capacity: 0,
            max_weight: 0,
            shards: 1,
            policy: DOCACHE_POLICY_ADAPTIVE,
            jitter_permille: 0,
            flags: 0,
            reserved: 0,
        };
        let world = Box::new(World {
            apply,
            cache: Cell::new(null_mut()),
            free_in: Cell::new(None),
            drops: AtomicI32::new(0),
            model: RefCell::new(Model { keeps_failures, ..Model::default() }),
            calls: RefCell::default(),
            records: RefCell::default(),
            blobs: Arc::default(),
            depth: Cell::new(0),
        });
        let mut cache = null_mut();
        let listener: docache_evict_fn = if listens { Some(listen) } else { None };
        let ctx = std::ptr::from_ref(&*world) as usize;
        let drop: docache_drop_fn = Some(drop_world);
        // SAFETY: all pointers are valid; CALLBACK: the world lives longer than the cache.
        let made = unsafe {
            docache_cache_new(&raw const options, listener, ctx, drop, &raw mut cache, null_mut())
        };
        assert_eq!(made, DOCACHE_OK);
        world.cache.set(cache);
        world
    }

    pub(crate) fn free_cache(&self) {
        // SAFETY: HANDLE: freed once, by this thread, inside whatever calls of its own.
        unsafe { docache_cache_free(self.cache.replace(null_mut())) };
    }

    /// A callback was called.
    pub(crate) fn called(&self, callback: Callback) {
        if self.free_in.get() == Some(callback) {
            self.free_in.set(None);
            self.free_cache();
        }
    }

    pub(crate) fn new_value(&self, value: u8) -> *mut docache_value {
        self.blobs.fetch_add(1, Ordering::SeqCst);
        let blob = Box::new(Blob(bytes(value), self.blobs.clone(), self, thread::current().id()));
        let (data, len) = (blob.0.as_ptr(), blob.0.len());
        let mut out = null_mut();
        let ctx = Box::into_raw(blob) as usize;
        // SAFETY: SPAN: the memory is the blob's, which lives until its drop.
        let made = unsafe {
            docache_value_wrap(data, len, ctx, Some(drop_blob), &raw mut out, null_mut())
        };
        assert_eq!(made, DOCACHE_OK);
        out
    }

    /// Takes a value that the library gave, if it should have given one.
    pub(crate) fn check_value(&self, given: *mut docache_value, expected: Option<u8>) {
        assert_eq!(given.is_null(), expected.is_none(), "whether there is a value");
        if let Some(value) = expected {
            // SAFETY: HANDLE: the share is ours.
            let (data, len) =
                (unsafe { docache_value_data(given) }, unsafe { docache_value_len(given) });
            // SAFETY: SPAN.
            assert_eq!(unsafe { std::slice::from_raw_parts(data, len) }, bytes(value));
        }
        // SAFETY: as above.
        unsafe { docache_value_release(given) };
    }

    pub(crate) fn act(&self, ops: &[Op]) {
        if self.depth.get() < DEPTH {
            self.depth.set(self.depth.get() + 1);
            for op in ops {
                (self.apply)(self, op);
                self.check();
            }
            self.depth.set(self.depth.get() - 1);
        }
    }

    /// Does something with a call, if there is one.
    pub(crate) fn with(&self, pick: Pick, f: impl FnOnce(&Rc<Held>)) {
        let calls = self.calls.borrow();
        let held = pick.index(calls.len()).map(|at| calls[at].clone());
        drop(calls);
        if let Some(held) = held {
            f(&held);
        }
    }

    /// What must hold between two calls.
    pub(crate) fn check(&self) {
        self.records.borrow().iter().for_each(|held| held.check());
        if !self.cache.get().is_null() {
            // SAFETY: HANDLE.
            let len = unsafe { docache_cache_len(self.cache.get()) };
            assert_eq!(len, self.model.borrow().values.len() as u64);
        }
    }
}
