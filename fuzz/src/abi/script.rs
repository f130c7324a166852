//! The Doer: a script that says what each of its calls does and returns. What a loop cache publishes as its `n`-th
//! result therefore follows from `n` alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

use arbitrary::{Arbitrary, Result, Unstructured};
use docache::ffi::*;

use super::args::{Returned, Timeout};
use super::inside::Inside;
use super::outcome::{message_of, name};
use super::registry::{Drops, Registration, Registry, ctx, drop_wrapped};
use crate::input::{Bytes, Rare, Text, list};
use crate::patience::soon;

/// What a call returns.
#[derive(Arbitrary, Clone, Debug)]
pub(super) struct Answer {
    status: Returned,
    no_value: Rare,
    value: Bytes,
    wrapped: Option<Drops>,
    error: Option<(i64, Text)>,
    unwinds: Rare,
}

/// One call of the Doer.
#[derive(Arbitrary, Clone, Debug)]
pub(super) struct Step {
    inside: Inside,
    answer: Answer,
}

/// The calls of the Doer; after the last one they begin again, but then only answer.
#[derive(Clone, Debug)]
pub(super) struct Script(Vec<Step>);

impl<'a> Arbitrary<'a> for Script {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Script> {
        let most = usize::from(u8::arbitrary(u)? % 7) + 1;
        let steps: Vec<Step> = list(u, most)?;
        if steps.is_empty() {
            return Ok(Script(vec![Step::arbitrary(&mut Unstructured::new(&[]))?]));
        }
        Ok(Script(steps))
    }
}

/// What an entry must show.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Value(Vec<u8>),
    Error { status: docache_status, error_status: docache_status, code: i64, message: String },
}

impl Shown {
    pub(super) fn is_value(&self) -> bool {
        matches!(self, Shown::Value(_))
    }

    /// What becomes of a failure that the Doer returned under `status`.
    fn failed(status: docache_status, code: i64, message: String) -> Shown {
        let status = if status == DOCACHE_PANIC { DOCACHE_PANIC } else { DOCACHE_DOER_FAILED };
        Shown::Error { status, error_status: status, code, message }
    }
}

impl Script {
    fn step(&self, sequence: u64) -> &Step {
        // The remainder is below a usize.
        &self.0[((sequence - 1) % self.0.len() as u64) as usize]
    }

    /// What the call does besides answering.
    pub(super) fn inside(&self, sequence: u64) -> Inside {
        if sequence <= self.0.len() as u64 { self.step(sequence).inside } else { Inside::Nothing }
    }

    pub(super) fn any_inside(&self, test: impl Fn(Inside) -> bool) -> bool {
        self.0.iter().any(|step| test(step.inside))
    }

    /// The bytes of a value tell whose they are, unless there are none.
    fn value(&self, sequence: u64) -> Option<Vec<u8>> {
        let Answer { value, no_value, .. } = &self.step(sequence).answer;
        let mut bytes = value.0.clone();
        if !bytes.is_empty() {
            bytes.extend_from_slice(&sequence.to_le_bytes());
        }
        (!no_value.0).then_some(bytes)
    }

    /// What the library must make of the answer.
    pub(super) fn shown(&self, sequence: u64) -> Shown {
        let answer = &self.step(sequence).answer;
        if answer.unwinds.0 {
            return Shown::failed(DOCACHE_PANIC, 0, "panicked: a Doer that unwinds".into());
        }
        match (answer.status.0, self.value(sequence), &answer.error) {
            (DOCACHE_OK, Some(value), _) => Shown::Value(value),
            (DOCACHE_OK, None, _) => {
                Shown::failed(DOCACHE_OK, 0, "the Doer returned OK without a value".into())
            }
            (status, _, Some((code, message))) => Shown::failed(status, *code, message.0.clone()),
            (status, _, None) => {
                Shown::failed(status, 0, format!("the Doer returned {} ({status})", name(status)))
            }
        }
    }
}

/// A Doer and what it shares with the one who registered it.
pub(super) struct Plan {
    pub(super) script: Script,
    pub(super) registration: Registration,
    registry: Arc<Registry>,
    pub(super) handle: AtomicPtr<docache_loop>,
    /// Calls begun.
    pub(super) calls: AtomicU64,
    /// Calls that may have begun by now: raised before whatever may bring one more.
    pub(super) allowed: AtomicU64,
    active: AtomicBool,
    /// Calls only answer.
    muted: AtomicBool,
    /// The next call stops the loop.
    pub(super) stop_next: AtomicBool,
    /// The next call frees the loop, once it is released.
    pub(super) free_next: AtomicBool,
    pub(super) released: AtomicBool,
}

impl Plan {
    pub(super) fn new(script: Script, drops: Drops, registry: Arc<Registry>) -> Arc<Plan> {
        // Only a drop tells when a loop that starts itself again has made its last call.
        let starts = script.any_inside(Inside::starts);
        let drops = if starts && drops == Drops::Null { Drops::Counted } else { drops };
        Arc::new(Plan {
            script,
            registration: Registration::new(drops),
            registry,
            handle: AtomicPtr::default(),
            calls: AtomicU64::new(0),
            allowed: AtomicU64::new(0),
            active: AtomicBool::new(false),
            muted: AtomicBool::new(false),
            stop_next: AtomicBool::new(false),
            free_next: AtomicBool::new(false),
            released: AtomicBool::new(false),
        })
    }

    pub(super) fn allow(&self, calls: u64) {
        self.allowed.fetch_add(calls, Ordering::SeqCst);
    }

    /// From now on the Doer leaves the handle alone.
    pub(super) fn mute(&self) {
        self.muted.store(true, Ordering::SeqCst);
        soon("the end of the Doer's call", || !self.active.load(Ordering::SeqCst));
    }

    fn act(&self, sequence: u64) {
        let handle = self.handle.load(Ordering::SeqCst);
        if self.free_next.swap(false, Ordering::SeqCst) {
            soon("the release", || self.released.load(Ordering::SeqCst));
            // SAFETY: HANDLE: who released it does not use it any more.
            unsafe { docache_loop_free(handle) };
            return;
        }
        if !self.muted.load(Ordering::SeqCst) {
            self.script.inside(sequence).act(self, handle, sequence);
        }
        if self.stop_next.swap(false, Ordering::SeqCst) {
            Inside::Stop(Timeout::Generous).act(self, handle, sequence);
        }
    }

    fn answer(
        &self,
        sequence: u64,
        out_value: *mut *mut docache_value,
        out_error: *mut *mut docache_error,
    ) -> docache_status {
        let answer = &self.script.step(sequence).answer;
        if answer.unwinds.0 {
            std::panic::resume_unwind(Box::new("a Doer that unwinds"));
        }
        if let Some(bytes) = self.script.value(sequence) {
            let status = self.new_value(bytes, answer.wrapped, out_value);
            assert_eq!(status, DOCACHE_OK);
        }
        if let Some((code, message)) = &answer.error {
            let (text, len) = (message.0.as_ptr().cast(), message.0.len());
            // SAFETY: SPAN; the place is the library's.
            let status = unsafe { docache_error_new(*code, text, len, out_error, std::ptr::null_mut()) };
            assert_eq!(status, DOCACHE_OK);
            // SAFETY: HANDLE, SPAN: just written.
            let error = unsafe { *out_error };
            // SAFETY: HANDLE.
            assert_eq!(unsafe { message_of(error) }, message.0);
        }
        answer.status.0
    }

    fn new_value(
        &self,
        bytes: Vec<u8>,
        wrapped: Option<Drops>,
        out: *mut *mut docache_value,
    ) -> docache_status {
        let Some(drops) = wrapped else {
            // SAFETY: SPAN; the place is the library's.
            return unsafe { docache_value_new(bytes.as_ptr(), bytes.len(), out, std::ptr::null_mut()) };
        };
        let bytes = bytes.into_boxed_slice();
        let (data, len) = (bytes.as_ptr(), bytes.len());
        let wrapped = self.registry.wrap(bytes, drops);
        let drop = wrapped.registration.callback(drop_wrapped);
        // SAFETY: SPAN, CALLBACK: the memory and the registration live until the drop.
        unsafe { docache_value_wrap(data, len, ctx(&wrapped), drop, out, std::ptr::null_mut()) }
    }
}

/// One call at a time.
struct Active<'a>(&'a AtomicBool);

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// The Doer.
pub(super) unsafe extern "C-unwind" fn perform(
    ctx: usize,
    out_value: *mut *mut docache_value,
    out_error: *mut *mut docache_error,
) -> docache_status {
    // SAFETY: CALLBACK: `ctx` is the address of a `Plan`, which lives until the end of its case.
    let plan = unsafe { &*std::ptr::with_exposed_provenance::<Plan>(ctx) };
    assert!(!plan.registration.is_dropped(), "a call after the Doer's drop");
    assert!(!plan.active.swap(true, Ordering::SeqCst), "two calls of one Doer at once");
    let active = Active(&plan.active);
    // SAFETY: SPAN.
    assert!(unsafe { *out_value }.is_null());
    // SAFETY: SPAN.
    assert!(unsafe { *out_error }.is_null());
    let sequence = plan.calls.fetch_add(1, Ordering::SeqCst) + 1;
    plan.act(sequence);
    let status = plan.answer(sequence, out_value, out_error);
    drop(active);
    status
}

/// The Doer's drop callback.
pub(super) unsafe extern "C-unwind" fn drop_plan(ctx: usize) {
    // SAFETY: CALLBACK: `ctx` is the address of a `Plan`, which lives until the end of its case.
    let plan = unsafe { &*std::ptr::with_exposed_provenance::<Plan>(ctx) };
    assert!(!plan.active.load(Ordering::SeqCst), "the Doer was dropped during its call");
    plan.registration.drop_now();
}
