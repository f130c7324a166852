//! Registrations and what becomes of them: each drop callback is counted, and what it must not
//! outlive goes with it.

use std::ptr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use arbitrary::{Arbitrary, Result, Unstructured};
use docache::ffi::*;

use crate::patience::soon;

/// What stands in for the drop callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drops {
    Counted,
    /// Counted, and then it breaks its contract.
    Unwinds,
    Null,
}

impl<'a> Arbitrary<'a> for Drops {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Drops> {
        Ok(match u8::arbitrary(u)? {
            0..=223 => Drops::Counted,
            224..=247 => Drops::Null,
            248..=255 => Drops::Unwinds,
        })
    }
}

/// Counts the calls of one drop callback.
#[derive(Debug)]
pub(crate) struct Registration {
    drops: Drops,
    count: AtomicU32,
}

impl Registration {
    pub(crate) fn new(drops: Drops) -> Registration {
        Registration { drops, count: AtomicU32::new(0) }
    }

    /// `function`, unless the callback is to be NULL.
    pub(crate) fn callback(&self, function: unsafe extern "C-unwind" fn(usize)) -> docache_drop_fn {
        (self.drops != Drops::Null).then_some(function)
    }

    pub(crate) fn is_counted(&self) -> bool {
        self.drops != Drops::Null
    }

    /// Nothing of the registration may be used any more.
    pub(crate) fn is_dropped(&self) -> bool {
        self.count.load(Ordering::SeqCst) > 0
    }

    /// The one call of the callback.
    pub(crate) fn drop_now(&self) {
        let before = self.count.fetch_add(1, Ordering::SeqCst);
        assert_eq!(before, 0, "a drop callback was called twice");
        if self.drops == Drops::Unwinds {
            std::panic::resume_unwind(Box::new("a drop callback that unwinds"));
        }
    }

    /// Waits until it is dropped, if it ever is.
    pub(crate) fn settle(&self, what: &str) {
        soon(what, || self.is_dropped() == self.is_counted());
    }
}

/// Memory of the caller's that a value wraps, until its drop.
pub(crate) struct Wrapped {
    pub(crate) registration: Registration,
    pub(crate) data: Mutex<Option<Box<[u8]>>>,
}

/// The drop callback of a [`Wrapped`].
pub(crate) unsafe extern "C-unwind" fn drop_wrapped(ctx: usize) {
    // SAFETY: CALLBACK: `ctx` is the address of a `Wrapped`, which lives as long as its registry.
    let wrapped = unsafe { &*std::ptr::with_exposed_provenance::<Wrapped>(ctx) };
    drop(wrapped.data.lock().expect("not poisoned").take());
    wrapped.registration.drop_now();
}

/// Where a logger's records go.
pub(crate) struct Sink {
    pub(crate) registration: Registration,
    pub(crate) max_level: i32,
    pub(crate) unwinds: bool,
    pub(crate) records: AtomicU64,
}

/// The drop callback of a [`Sink`].
pub(crate) unsafe extern "C-unwind" fn drop_sink(ctx: usize) {
    // SAFETY: CALLBACK: `ctx` is the address of a `Sink`, which lives as long as its registry.
    unsafe { &*std::ptr::with_exposed_provenance::<Sink>(ctx) }.registration.drop_now();
}

/// The log callback of a [`Sink`].
pub(crate) unsafe extern "C-unwind" fn log(ctx: usize, record: *const docache_log_record) {
    // SAFETY: CALLBACK: `ctx` is the address of a `Sink`, which lives as long as its registry.
    let sink = unsafe { &*std::ptr::with_exposed_provenance::<Sink>(ctx) };
    assert!(!sink.registration.is_dropped(), "a record after the logger's drop");
    // SAFETY: SPAN: the record is valid during the call.
    let record = unsafe { &*record };
    assert_eq!((record.size, record.reserved), (size_of::<docache_log_record>(), 0));
    assert!((1..=sink.max_level).contains(&record.level), "a record of level {}", record.level);
    for (text, len) in [(record.target, record.target_len), (record.message, record.message_len)] {
        // SAFETY: SPAN: as above.
        let text = unsafe { std::slice::from_raw_parts(text.cast::<u8>(), len) };
        assert!(
            std::str::from_utf8(text).is_ok_and(|text| !text.is_empty()),
            "a record without words"
        );
    }
    sink.records.fetch_add(1, Ordering::Relaxed);
    if sink.unwinds {
        std::panic::resume_unwind(Box::new("a logger that unwinds"));
    }
}

/// Keeps what callbacks point to until the end of a case.
#[derive(Default)]
pub(crate) struct Registry {
    wrapped: Mutex<Vec<Arc<Wrapped>>>,
    sinks: Mutex<Vec<Arc<Sink>>>,
}

impl Registry {
    /// The caller's memory for a value; its address is the `ctx`.
    pub(crate) fn wrap(&self, data: Box<[u8]>, drops: Drops) -> Arc<Wrapped> {
        let wrapped =
            Wrapped { registration: Registration::new(drops), data: Mutex::new(Some(data)) };
        let wrapped = Arc::new(wrapped);
        self.wrapped.lock().expect("not poisoned").push(wrapped.clone());
        wrapped
    }

    /// A value of these bytes: a copy, or memory of the caller's that `drop` lets go of, which ends
    /// with [`drop_wrapped`].
    pub(crate) fn value(
        &self,
        bytes: &[u8],
        wrapped: Option<Drops>,
        drop: unsafe extern "C-unwind" fn(usize),
    ) -> (*mut docache_value, Option<Arc<Wrapped>>) {
        let (mut out, no_error) = (ptr::null_mut(), ptr::null_mut());
        let Some(drops) = wrapped else {
            // SAFETY: SPAN.
            let made =
                unsafe { docache_value_new(bytes.as_ptr(), bytes.len(), &raw mut out, no_error) };
            assert_eq!(made, DOCACHE_OK);
            return (out, None);
        };
        let memory: Box<[u8]> = bytes.into();
        let (data, len) = (memory.as_ptr(), memory.len());
        let wrapped = self.wrap(memory, drops);
        let drop = wrapped.registration.callback(drop);
        // SAFETY: SPAN, CALLBACK: the memory and the registration live until the drop.
        let made =
            unsafe { docache_value_wrap(data, len, ctx(&wrapped), drop, &raw mut out, no_error) };
        assert_eq!(made, DOCACHE_OK);
        (out, Some(wrapped))
    }

    pub(crate) fn sink(&self, max_level: i32, drops: Drops, unwinds: bool) -> Arc<Sink> {
        let records = AtomicU64::new(0);
        let sink =
            Arc::new(Sink { registration: Registration::new(drops), max_level, unwinds, records });
        self.sinks.lock().expect("not poisoned").push(sink.clone());
        sink
    }

    /// Every handle is gone: each drop callback has been called once, or is about to be.
    pub(crate) fn finish(&self) {
        for wrapped in self.wrapped.lock().expect("not poisoned").iter() {
            wrapped.registration.settle("the drop of a wrapped value");
        }
        for sink in self.sinks.lock().expect("not poisoned").iter() {
            sink.registration.settle("the drop of a logger");
        }
    }
}

/// The `ctx` that stands for `target`.
pub(crate) fn ctx<T>(target: &Arc<T>) -> usize {
    Arc::as_ptr(target).expose_provenance()
}
