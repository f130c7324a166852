//! All kinds of stores pass the suite that stores pass, as threads and as tasks call them.

mod map;

use std::ptr::{null, null_mut};
use std::sync::Arc;
use std::time::Duration;

use super::{AnyStore, Gated, docache_store};
use super::{docache_store_breaker_new, docache_store_memory_new, docache_store_tiered_new};
use crate::clock::SystemClock;
use crate::echo::{
    AsyncStore, Begun, Found, Life, RefreshLock, Store, StoreError, Within, Written, conformance,
    store_methods,
};
use crate::ffi::boundary::DOCACHE_OK;
use crate::ffi::cache::DOCACHE_NEVER;
use crate::ffi::gate::Gate;
use crate::ffi::value::Value;
use crate::wait::block_on;

/// A store of values as one of texts, called as threads or as tasks call it.
struct Texts {
    store: Gated,
    by_tasks: bool,
    _gate: Arc<Gate>,
}

impl Texts {
    fn new(store: *mut docache_store, by_tasks: bool) -> Texts {
        // SAFETY: the test has a share.
        let inner: AnyStore = unsafe { docache_store::share(store, "store") }.unwrap();
        // SAFETY: that share is given back here.
        unsafe { super::docache_store_release(store) };
        let gate = Gate::new();
        Texts { store: Gated::new(inner, &gate), by_tasks, _gate: gate }
    }
}

fn text(value: &Value) -> String {
    String::from_utf8(value.bytes().to_vec()).unwrap()
}

fn texts(found: Found<Value>) -> Found<String> {
    let Found { value, age, left } = found;
    let mut texts = Found::new(text(&value));
    (texts.age, texts.left) = (age, left);
    texts
}

/// Makes a call in one way or the other.
macro_rules! call {
    ([] $this:ident.$call:ident / $call_async:ident($($argument:expr),+; $within:expr)) => {
        if $this.by_tasks {
            let call = AsyncStore::<Value>::$call_async(&$this.store, $($argument),+, $within);
            block_on(call, &SystemClock, None).unwrap()
        } else {
            Store::<Value>::$call(&$this.store, $($argument),+, $within)
        }
    };
}

impl Store<String> for Texts {
    store_methods! { Store<String> by call![]: renew abandon_refresh remove }

    fn get(&self, key: &str, within: &Within<'_>) -> Result<Option<Found<String>>, StoreError> {
        Ok(call!([] self.get / get_async(key; within))?.map(texts))
    }

    fn begin_refresh(
        &self,
        key: &str,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<Begun<String>, StoreError> {
        let begun = call!([] self.begin_refresh / begin_refresh_async(key, lock; within))?;
        let mut other = Begun::new(begun.granted, begun.found.map(texts));
        other.holder = begun.holder;
        Ok(other)
    }

    fn finish_refresh(
        &self,
        key: &str,
        value: &String,
        life: Life,
        lock: &RefreshLock,
        within: &Within<'_>,
    ) -> Result<Written, StoreError> {
        let value = &Value::copy(value.as_bytes()).unwrap();
        call!([] self.finish_refresh / finish_refresh_async(key, value, life, lock; within))
    }

    fn put(
        &self,
        key: &str,
        value: &String,
        life: Life,
        within: &Within<'_>,
    ) -> Result<(), StoreError> {
        let value = &Value::copy(value.as_bytes()).unwrap();
        call!([] self.put / put_async(key, value, life; within))
    }
}

fn memory() -> *mut docache_store {
    let mut out = null_mut();
    // SAFETY: all pointers are valid.
    assert_eq!(unsafe { docache_store_memory_new(null(), &raw mut out, null_mut()) }, DOCACHE_OK);
    out
}

/// A breaker around a store, which takes its share.
fn guarded(inner: *mut docache_store) -> *mut docache_store {
    let mut out = null_mut();
    // SAFETY: all pointers are valid.
    let made = unsafe { docache_store_breaker_new(inner, 0, 0, &raw mut out, null_mut()) };
    assert_eq!(made, DOCACHE_OK);
    // SAFETY: the share is ours.
    unsafe { super::docache_store_release(inner) };
    out
}

/// Memory before a store, which takes its share.
fn tiered(far: *mut docache_store) -> *mut docache_store {
    let (near, mut out) = (memory(), null_mut());
    // SAFETY: all pointers are valid.
    let made =
        unsafe { docache_store_tiered_new(near, far, DOCACHE_NEVER, &raw mut out, null_mut()) };
    assert_eq!(made, DOCACHE_OK);
    for store in [near, far] {
        // SAFETY: the share is ours.
        unsafe { super::docache_store_release(store) };
    }
    out
}

#[test]
fn every_kind_of_store_conforms() {
    let makes: [fn() -> *mut docache_store; 5] = [
        memory,
        map::store,
        || guarded(memory()),
        || tiered(map::store()),
        || guarded(tiered(memory())),
    ];
    for make in makes {
        for by_tasks in [false, true] {
            conformance::check(|| Texts::new(make(), by_tasks));
        }
    }
}

#[test]
fn memory_keeps_nothing_for_longer_than_it_was_told() {
    let mut store = null_mut();
    let most = Duration::from_millis(1).as_nanos() as u64;
    // SAFETY: all pointers are valid.
    let made = unsafe { super::docache_store_single_new(most, &raw mut store, null_mut()) };
    assert_eq!(made, DOCACHE_OK);
    let (texts, context) = (Texts::new(store, false), crate::Context::background());
    let within = Within::new(&context, Duration::from_secs(5));
    texts.put("key", &"value".to_owned(), Life::FOREVER, &within).unwrap();
    while texts.get("any", &within).unwrap().is_some() {
        std::thread::yield_now();
    }
}
