//! Many keys at once.
//!
//! A bulk call first enters the flights of all its keys, which never blocks; then it runs the work
//! for those that it leads and completes them; only then does it wait. So nobody waits while others
//! wait for its leads, and bulk calls that overlap in any way end. A lead that is handed to it
//! while it waits it serves at once, whatever else it still waits for: it looks at all of its calls
//! each time that it is woken, which for those that still wait is one atomic load.

use std::convert::Infallible;
use std::hash::Hash;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use super::drive::{ErrorStyle, Target};
use super::error::{FlightError, Shared};
use super::flight_call::{FlightCall, RunResult, RunResultOf, WaitResult};
use super::infallible::value_or_panic;
use super::keyed::KeyedGroup;
use super::protocol::call::{State, WaitKind};
use super::protocol::domain::{Domain, OutcomeOf};
use super::protocol::outcome::Failure;
use super::protocol::registry::Entered;
use crate::clock::SystemClock;
use crate::context::{Context, until};
use crate::error::panic_message;
use crate::wait::block_on;

/// One key of a bulk call.
struct Part<'k, D: Domain> {
    flight_call: FlightCall<D>,
    error_style: ErrorStyle<D::Key>,
    key: &'k D::Key,
    /// Whether the flight was given the Waker of this thread, which is the same at every look.
    armed: bool,
    result: Option<RunResultOf<D>>,
}

/// The result for each key, at its [`Target`]; see [`KeyedGroup::try_run_many_in`].
pub(crate) fn run_all<'k, D: Domain<Key: 'k>>(
    targets: impl Iterator<Item = (Target<D>, &'k D::Key)>,
    context: Option<&Context>,
    mut work: impl FnMut(&[&D::Key]) -> Result<Vec<D::Loaded>, D::Error>,
) -> Vec<RunResultOf<D>> {
    let part = |(target, key): (Target<D>, &'k D::Key)| {
        // SAFETY: it goes into a box that does not grow or move what it holds, and that lives in
        // this frame, which the key outlives.
        let flight_call =
            unsafe { FlightCall::new(target.domain, target.hash, key, WaitKind::Polled) };
        Part {
            flight_call,
            error_style: ErrorStyle { repanic: false, ..target.error_style },
            key,
            armed: false,
            result: None,
        }
    };
    let mut parts: Box<[Part<'k, D>]> = targets.map(part).collect();
    let led = enter_all(&mut parts);
    if !led.is_empty() {
        run_for(&mut parts, &led, &mut work);
    }
    let completion = std::future::poll_fn(|cx| poll_all(&mut parts, cx, &mut work));
    match context {
        None => {
            block_on(completion, &SystemClock, None);
        }
        Some(context) => {
            block_on(until(completion, context), context.clock(), context.deadline());
        }
    }
    parts.iter_mut().for_each(|part| part.finish(context));
    // Not collected from `into_iter`, which would keep all of the parts' memory.
    let mut results = Vec::with_capacity(parts.len());
    results.extend(parts.iter_mut().filter_map(|part| part.result.take()));
    results
}

impl<K: ?Sized + Hash + Eq, T: Clone, E> KeyedGroup<K, T, E> {
    /// Gets the outcomes of many keys, in their order: runs `work` once for all keys that nobody
    /// runs, and shares the runs of the others. Keys may be repeated.
    ///
    /// `work` gets the keys that this call leads and returns their values in the same order. It is
    /// called on this thread, before anything is waited for; again, with a few keys, if somebody
    /// whose run was joined gave it up; and not at all if there is nothing to lead. An error counts
    /// for all keys of that call of `work`. Bulk calls that overlap do not wait for one another in
    /// a circle.
    ///
    /// Allocates at most four times, however many keys there are, unless it takes leads over.
    ///
    /// # Errors
    /// For each key those of [`try_run`](KeyedGroup::try_run).
    ///
    /// # Panics
    /// If `work` panics, or returns another number of values than it got keys; those that joined
    /// get [`Panicked`](FlightError::Panicked). If a run that was joined panicked and the group was
    /// [built](super::GroupBuilder::repanic) so; all keys that this call leads are completed
    /// before.
    ///
    /// ```
    /// let group = docache::KeyedGroup::<str, usize, std::io::Error>::new();
    /// let lengths = group
    ///     .try_run_many(&["one", "three"], |keys| Ok(keys.iter().map(|key| key.len()).collect()));
    /// assert_eq!(*lengths[1].as_ref().unwrap().clone(), 5);
    /// ```
    pub fn try_run_many(
        &self,
        keys: &[&K],
        work: impl FnMut(&[&K]) -> Result<Vec<T>, E>,
    ) -> Vec<RunResult<T, E>> {
        self.bulk(None, keys, work)
    }

    /// [`try_run_many`](KeyedGroup::try_run_many) with a context, which limits the wait for runs
    /// that this call joins. If it is done beforehand, nothing runs.
    ///
    /// # Errors
    /// For each key those of [`try_run_in`](KeyedGroup::try_run_in).
    ///
    /// # Panics
    /// As [`try_run_many`](KeyedGroup::try_run_many).
    ///
    /// ```
    /// let group = docache::KeyedGroup::<str, usize, std::io::Error>::new();
    /// let ctx = docache::Context::new();
    /// ctx.cancel();
    /// let lengths = group.try_run_many_in(&ctx, &["one", "three"], |_| unreachable!());
    /// assert!(lengths.iter().all(|length| length.as_ref().unwrap_err().is_cancelled()));
    /// ```
    pub fn try_run_many_in(
        &self,
        context: &Context,
        keys: &[&K],
        work: impl FnMut(&[&K]) -> Result<Vec<T>, E>,
    ) -> Vec<RunResult<T, E>> {
        self.bulk(Some(context), keys, work)
    }

    fn bulk(
        &self,
        context: Option<&Context>,
        keys: &[&K],
        work: impl FnMut(&[&K]) -> Result<Vec<T>, E>,
    ) -> Vec<RunResult<T, E>> {
        if let Some(error) = context.and_then(Context::error) {
            return keys.iter().map(|_| Err(FlightError::Left(error.clone()))).collect();
        }
        let results = run_all(keys.iter().map(|key| (self.target(key), *key)), context, work);
        // Only now that nobody depends on this call any more.
        if self.error_style.repanic {
            for result in &results {
                if let Err(FlightError::Panicked(message)) = result {
                    panic!("the run panicked: {message}");
                }
            }
        }
        results
    }
}

impl<K: ?Sized + Hash + Eq, T: Clone> KeyedGroup<K, T> {
    /// Gets the values of many keys, in their order, as [`try_run_many`](KeyedGroup::try_run_many)
    /// does.
    ///
    /// # Panics
    /// If `work` panics or returns another number of values than it got keys, if a run that was
    /// joined panicked, or if the call comes from inside the run of one of the keys. All keys that
    /// this call leads are completed before.
    ///
    /// ```
    /// let group = docache::KeyedGroup::<str, usize>::new();
    /// let lengths =
    ///     group.run_many(&["one", "three"], |keys| keys.iter().map(|key| key.len()).collect());
    /// assert_eq!(lengths.iter().map(|length| **length).collect::<Vec<_>>(), [3, 5]);
    /// ```
    pub fn run_many(&self, keys: &[&K], mut work: impl FnMut(&[&K]) -> Vec<T>) -> Vec<Shared<T>> {
        let result: Vec<RunResult<T, Infallible>> = self.bulk(None, keys, |keys| Ok(work(keys)));
        result.into_iter().map(value_or_panic).collect()
    }
}

/// Enters the flights of all keys, and says which of them this call leads.
fn enter_all<D: Domain>(parts: &mut [Part<'_, D>]) -> Vec<usize> {
    let mut led = Vec::with_capacity(parts.len());
    for (index, part) in parts.iter_mut().enumerate() {
        match part.flight_call.enter() {
            Entered::Leads => led.push(index),
            // Perhaps a flight of this very call, which is completed before anything is waited for.
            Entered::Joined => {}
            Entered::Found => part.result = Some(part.flight_call.own_result(false)),
            Entered::Reentrant => part.result = Some(Err(part.error_style.reentrant(part.key))),
        }
    }
    led
}

/// Runs the work for the parts at `led`, which lead, and completes them all.
fn run_for<D: Domain>(
    parts: &mut [Part<'_, D>],
    led: &[usize],
    work: &mut impl FnMut(&[&D::Key]) -> Result<Vec<D::Loaded>, D::Error>,
) {
    let keys: Vec<&D::Key> = led.iter().map(|index| parts[*index].key).collect();
    // Calls of ours that wait count as inside the work too: if one of them became a leader now, a
    // caller inside the work could wait for it forever. They do so until all are completed,
    // because completing runs user code, which must not wait for a key whose turn is yet to come.
    let busy = |part: &&Part<'_, D>| part.result.is_none();
    parts.iter().filter(busy).for_each(|part| part.flight_call.call().enter_work());
    let result = catch_unwind(AssertUnwindSafe(|| {
        let values = work(&keys).inspect_err(|error| {
            led.iter().for_each(|index| parts[*index].flight_call.stage_with(Err(error)));
        })?;
        let (given, asked) = (values.len(), keys.len());
        assert!(
            given == asked,
            "work: {given} values are not accepted; return one for each of the {asked} keys"
        );
        // In the same memory, where the types are of one size.
        let value_of =
            |(at, loaded): (usize, D::Loaded)| parts[led[at]].flight_call.value_of(loaded);
        let values: Vec<D::Value> = values.into_iter().enumerate().map(value_of).collect();
        led.iter()
            .zip(&values)
            .for_each(|(index, value)| parts[*index].flight_call.stage_with(Ok(value)));
        Ok(values)
    }));
    let mut complete = |index: &usize, outcome: OutcomeOf<D>| {
        let part = &mut parts[*index];
        part.flight_call.put(outcome);
        let shared = part.flight_call.complete();
        part.result = Some(part.flight_call.own_result(shared));
    };
    let (failure, payload) = match result {
        Ok(Ok(values)) => {
            led.iter().zip(values).for_each(|(index, value)| complete(index, Ok(value)));
            parts.iter().for_each(|part| part.flight_call.call().leave_work());
            return;
        }
        Ok(Err(error)) => (Failure::Failed(Arc::new(error)), None),
        Err(payload) => (Failure::Panicked(panic_message(&*payload).into()), Some(payload)),
    };
    led.iter().for_each(|index| complete(index, Err(failure.clone())));
    parts.iter().for_each(|part| part.flight_call.call().leave_work());
    if let Some(payload) = payload {
        resume_unwind(payload);
    }
}

/// Looks at all parts that still wait; serves the leads that were handed over.
fn poll_all<D: Domain>(
    parts: &mut [Part<'_, D>],
    cx: &TaskContext<'_>,
    work: &mut impl FnMut(&[&D::Key]) -> Result<Vec<D::Loaded>, D::Error>,
) -> Poll<()> {
    loop {
        let (mut led, mut waits) = (Vec::new(), false);
        for (index, part) in parts.iter_mut().enumerate().filter(|(_, part)| part.result.is_none())
        {
            part.flight_call.call().reset_if_forked();
            if mem::replace(&mut part.armed, true)
                && part.flight_call.call().state() == State::Waits
            {
                waits = true;
                continue;
            }
            match part.flight_call.poll(cx) {
                Poll::Pending => waits = true,
                Poll::Ready(WaitResult::Leads) => {
                    if part.flight_call.recheck() {
                        part.flight_call.call().enter_work();
                        led.push(index);
                    } else {
                        part.result =
                            Some(part.flight_call.own_result(part.flight_call.complete()));
                    }
                }
                Poll::Ready(end) => {
                    part.result = Some(part.error_style.joined(&part.flight_call, end, None))
                }
            }
        }
        if !led.is_empty() {
            run_for(parts, &led, work);
        } else if waits {
            return Poll::Pending;
        } else {
            return Poll::Ready(());
        }
    }
}

impl<D: Domain> Part<'_, D> {
    /// Stops waiting, if it still does: the context is done.
    fn finish(&mut self, context: Option<&Context>) {
        if self.result.is_none() {
            self.result =
                Some(self.error_style.joined(&self.flight_call, self.flight_call.leave(), context));
        }
    }
}
