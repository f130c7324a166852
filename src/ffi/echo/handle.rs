//! Family `echo`: the life of a cache.

use std::sync::Arc;

use super::host_queue::HostQueue;
use super::options::{check_flags, docache_echo_lazy_options, docache_echo_options, given};
use super::store::{AnyStore, Gated, docache_store};
use super::warning::{docache_echo_warning_fn, tell};
use crate::echo::{EchoCache, LazyEchoCache, Polls, Warning};
use crate::error::{Error, ErrorKind, Result};
use crate::ffi::boundary::{
    DOCACHE_OK, Out, Registration, docache_drop_fn, docache_error, docache_status, guard,
    is_usable, quietly, versioned,
};
use crate::ffi::gate::Gate;
use crate::ffi::perform_key::docache_perform_key_fn;
use crate::ffi::value::Value;

pub(super) type Memo = EchoCache<Gated, Value, Error>;
pub(super) type Lazy = LazyEchoCache<Gated, Value, Error>;

/// A cache over a store. What the store does not have is fetched once, however many ask: callers in
/// one process share one run of the work, and processes that share the store take turns.
///
/// Keys are UTF-8, of which the library keeps copies; values are shared, not copied, as far as the
/// store is memory.
pub struct docache_echo {
    pub(super) kind: Kind,
    pub(super) gate: Arc<Gate>,
    pub(super) common: Common,
    /// What refreshes are performed with, or else where their host finds them.
    pub(super) refreshes: Option<Refreshes>,
}

/// What calls need to know of their cache, and may outlive it.
#[derive(Clone, Debug)]
pub(super) struct Common {
    pub(super) wants_json: bool,
    /// Where its calls are polled, if they may call the user back, be it the store or `on_warning`:
    /// not on any thread.
    pub(super) polls: Option<Polls>,
}

pub(super) enum Kind {
    Memo(Memo),
    Lazy(Lazy),
}

/// Who performs the refreshes of a lazy cache.
#[derive(Clone)]
pub(super) enum Refreshes {
    Doer(Doer),
    Host(Arc<HostQueue>),
}

/// The work that was registered with a lazy cache.
///
/// REGISTERED: the registration lies behind the gate, so its `ctx` is there inside of that.
#[derive(Clone, Copy)]
pub(super) struct Doer {
    pub(super) perform: PerformKey,
    pub(super) ctx: usize,
}

pub(super) type PerformKey = unsafe extern "C-unwind" fn(
    usize,
    *const u8,
    usize,
    *mut *mut crate::ffi::value::docache_value,
    *mut *mut docache_error,
) -> docache_status;

impl std::fmt::Debug for docache_echo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind: &dyn std::fmt::Debug = match &self.kind {
            Kind::Memo(memo) => memo,
            Kind::Lazy(lazy) => lazy,
        };
        f.debug_struct("docache_echo").field("kind", kind).finish_non_exhaustive()
    }
}

/// Why a callback is not called any more.
#[cold]
pub(super) fn freed() -> Error {
    Error::new(ErrorKind::Closed, "the cache was freed")
}

/// What a new cache is made of, besides what its kind has.
struct Parts {
    gate: Arc<Gate>,
    /// Of the registration (REGISTERED).
    ctx: usize,
    store: AnyStore,
}

impl Parts {
    /// # Safety
    /// HANDLE.
    unsafe fn new(store: *const docache_store, registration: Registration) -> Result<Parts> {
        // SAFETY: the caller's promise.
        let store = unsafe { docache_store::share(store, "store") }?;
        let (gate, ctx) = (Gate::new(), registration.ctx);
        gate.keep(registration);
        Ok(Parts { gate, ctx, store })
    }

    fn gated(&self) -> Gated {
        Gated::new(self.store.clone(), &self.gate)
    }

    /// The hook that calls `on_warning` while the cache is there.
    fn hook(
        &self,
        on_warning: docache_echo_warning_fn,
    ) -> Option<impl Fn(&Warning<'_>) + Send + Sync + use<>> {
        let on_warning = on_warning?;
        let (gate, ctx) = (self.gate.clone(), self.ctx);
        Some(move |warning: &Warning<'_>| {
            // SAFETY: CALLBACK, REGISTERED.
            gate.during(|| unsafe { tell(on_warning, ctx, warning) });
        })
    }

    /// Which values say that there is no such thing.
    fn is_negative(&self) -> impl Fn(&Value) -> bool + Send + Sync + use<> {
        let wants_json = self.store.wants_json();
        move |value: &Value| {
            let bytes = value.bytes();
            bytes.is_empty() || (wants_json && bytes.trim_ascii() == b"null")
        }
    }

    fn hand_out(
        self,
        out: &Out<*mut docache_echo>,
        (kind, refreshes): (Kind, Option<Refreshes>),
        on_warning: docache_echo_warning_fn,
    ) -> docache_status {
        let calls_back = self.store.calls_back() || on_warning.is_some();
        let polls = calls_back.then(Polls::new);
        let common = Common { wants_json: self.store.wants_json(), polls };
        let echo = docache_echo { kind, gate: self.gate, common, refreshes };
        out.write(Box::into_raw(Box::new(echo)));
        DOCACHE_OK
    }
}

/// Makes a cache whose values live for a time. `options` may be NULL: all defaults, so values live
/// for 15 minutes. The cache takes a share of the store. `drop(ctx)` is called exactly once, when
/// the cache is gone or when this function fails; `ctx` is also what `on_warning` gets.
///
/// What fails in the store fails no fetch that can be computed: `on_warning` is told, and `perform`
/// is called. A fetch spends no more than `store_budget_ns` on a store that keeps to its time.
/// \[CB\] only `drop`
///
/// # Safety
/// HANDLE, SPAN, CALLBACK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_echo_new(
    store: *const docache_store,
    options: *const docache_echo_options,
    ctx: usize,
    drop: docache_drop_fn,
    out: *mut *mut docache_echo,
    out_error: *mut *mut docache_error,
) -> docache_status {
    let registration = Registration { ctx, drop };
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::handle(out, "out") }?;
        // SAFETY: the caller's promise.
        let options = unsafe { versioned::optional(options) }?;
        let options = options.unwrap_or_else(docache_echo_options::defaults);
        // SAFETY: the caller's promise.
        let parts = unsafe { Parts::new(store, registration) }?;
        let memo = memo(&options, &parts)?;
        Ok(parts.hand_out(&out, (Kind::Memo(memo), None), options.on_warning))
    })
}

/// What both builders are told in the same way.
macro_rules! common_options {
    ($builder:ident, $options:expr, $parts:expr) => {{
        let (options, parts) = ($options, $parts);
        if let Some(ttl) = given(options.negative_ttl_ns) {
            $builder = $builder.negative(parts.is_negative(), ttl);
        }
        if let Some(ttl) = given(options.lock_ttl_ns) {
            $builder = $builder.lock_ttl(ttl);
        }
        if let Some(wait) = given(options.lock_wait_ns) {
            $builder = $builder.lock_wait(wait);
        }
        if let Some(budget) = given(options.store_budget_ns) {
            $builder = $builder.store_budget(budget);
        }
        if let Some(hook) = parts.hook(options.on_warning) {
            $builder = $builder.on_warning(hook);
        }
        $builder = $builder.record_stats(options.flags & super::DOCACHE_ECHO_RECORD_STATS != 0);
    }};
}

fn memo(options: &docache_echo_options, parts: &Parts) -> Result<Memo> {
    check_flags(options.flags)?;
    versioned::reserved("options.reserved", options.reserved)?;
    let mut builder = Memo::builder(parts.gated());
    if let Some(ttl) = given(options.time_to_live_ns) {
        builder = builder.ttl(ttl);
    }
    common_options!(builder, options, parts);
    builder.build()
}

/// Makes a cache that does not let callers wait for what can be served stale: such a value is
/// returned at once, and refreshed in the background. `options` may be NULL: all defaults. The
/// cache takes a share of the store. `drop(ctx)` is called exactly once, when the cache is gone or
/// when this function fails; `ctx` is also what `on_warning` and `perform` get.
///
/// `perform`, which is told the key, refreshes on threads of the library, and loads for fetches
/// that are given none of their own. With NULL refreshes are left to the program around:
/// docache_echo_refresh_begin.
///
/// A store that does not know the ages of its values, such as one on a server with
/// DOCACHE_FORMAT_JSON, has nothing that is ever stale. \[CB\] only `drop`
///
/// # Safety
/// HANDLE, SPAN, CALLBACK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_echo_lazy_new(
    store: *const docache_store,
    options: *const docache_echo_lazy_options,
    perform: docache_perform_key_fn,
    ctx: usize,
    drop: docache_drop_fn,
    out: *mut *mut docache_echo,
    out_error: *mut *mut docache_error,
) -> docache_status {
    let registration = Registration { ctx, drop };
    guard(out_error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::handle(out, "out") }?;
        // SAFETY: the caller's promise.
        let options = unsafe { versioned::optional(options) }?;
        let options = options.unwrap_or_else(docache_echo_lazy_options::defaults);
        // SAFETY: the caller's promise.
        let parts = unsafe { Parts::new(store, registration) }?;
        let lazy = lazy(&options, &parts)?;
        let refreshes = match perform {
            Some(perform) => Refreshes::Doer(Doer { perform, ctx: parts.ctx }),
            None => Refreshes::Host(HostQueue::new(&parts.gate)),
        };
        Ok(parts.hand_out(&out, (Kind::Lazy(lazy), Some(refreshes)), options.on_warning))
    })
}

fn lazy(options: &docache_echo_lazy_options, parts: &Parts) -> Result<Lazy> {
    check_flags(options.flags)?;
    let mut builder = Lazy::builder(parts.gated());
    if let Some(age) = given(options.refresh_after_ns) {
        builder = builder.refresh_after(age);
    }
    if let Some(age) = given(options.expires_ns) {
        builder = builder.expires(age);
    }
    if let Some(age) = given(options.stale_until_ns) {
        builder = builder.stale_until(age);
    }
    if let Some(timeout) = given(options.refresh_timeout_ns) {
        builder = builder.refresh_timeout(timeout);
    }
    match (given(options.backoff_first_ns), given(options.backoff_most_ns)) {
        (None, None) => {}
        (None, Some(_)) => {
            let accepted = "give options.backoff_first_ns with it";
            let found = "given alone";
            return Err(Error::invalid_argument("options.backoff_most_ns", found, accepted));
        }
        (Some(first), most) => {
            builder = builder.failure_backoff(first, most.unwrap_or(first));
        }
    }
    if options.queue_size != 0 {
        builder = builder.queue_size(options.queue_size);
    }
    if options.workers != 0 {
        builder = builder.workers(options.workers);
    }
    builder = builder.early_refresh(f64::from(options.early_refresh_permille) / 1000.0);
    common_options!(builder, options, parts);
    builder.build()
}

/// Frees the handle, and with it the cache and its share of the store. Refreshes that wait are
/// dropped; those under way, and calls of a store of callbacks, are waited for; so when this has
/// returned no callback of the cache is being called, nor will be, and `drop` has been called. See
/// docache_echo_shutdown for letting refreshes end. Inside a callback of the cache's own
/// (`on_warning`, `perform`, those of its store, and the `drop` of a value that it lets go) it
/// returns at once, and all that happens when the outermost call on the cache, or the refresh, is
/// over that the callback came from. Inside callbacks of other objects it waits, unless the thread
/// that it waits for is freeing that object.
///
/// Calls of docache_echo_begin and docache_echo_refresh_begin that are out are the exception: they
/// stay valid and go on among themselves, with their notifications, but without a store of
/// callbacks: what they fetch is not kept there. They tell `on_warning` nothing, and have shares of
/// the store until they are freed. NULL is fine. \[CB\] only `drop` \[BLK\]
///
/// # Safety
/// HANDLE; nothing else may be going on with the handle, but calls from inside of which it is
/// freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn docache_echo_free(echo: *mut docache_echo) {
    if is_usable(echo) {
        // SAFETY: HANDLE: it came from `Box::into_raw` and is freed once.
        let owned = unsafe { Box::from_raw(echo) };
        quietly((), || {
            if let Some(Refreshes::Host(queue)) = &owned.refreshes {
                queue.close();
            }
            match &owned.kind {
                Kind::Memo(memo) => memo.end_upkeep(),
                Kind::Lazy(lazy) => lazy.end_upkeep(),
            }
            owned.gate.clone().close(owned);
        });
    }
}
