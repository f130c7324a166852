//! Sequences of calls of the family `group`, each checked against a model that knows every status beforehand: all that
//! happens, happens on one thread at a time.

mod calls;
mod life;
mod model;
mod notes;
mod runs;
mod stock;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use arbitrary::{Arbitrary, Result, Unstructured};
use docache::ffi::{docache_group, docache_status};

use super::args::{Pick, Returned, Span};
use super::outcome::Outcome;
use super::place::Given;
use super::registry::{Drops, Registry};
use crate::input::{Bytes, Rare, Text, list};
use model::{Blob, Fault, Group, Held, Stage};
use notes::Note;

/// Calls inside calls inside calls: further down nothing is done.
const DEPTH: u32 = 5;
/// Enough calls for two batches of waiters and more.
const CALLS: usize = 48;

/// Lengths of keys, among them those where the library keeps keys elsewhere.
const KEYS: [&[u8]; 8] = [b"", b"a", b"b", b"a\0", &[b'k'; 40], &[b'k'; 41], &[b'k'; 1000], &[b'k'; 5000]];

/// A key as an argument.
#[derive(Clone, Copy, Debug)]
struct Key(usize, Span);

impl<'a> Arbitrary<'a> for Key {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Key> {
        let which = u8::arbitrary(u)?;
        // Mostly few keys, so that calls meet.
        let key = usize::from(which) % if which < 192 { 2 } else { KEYS.len() };
        Ok(Key(key, u.arbitrary()?))
    }
}

impl Key {
    /// The arguments, and the key that the callee must see if it accepts them.
    fn arguments(self) -> (*const u8, usize, Option<usize>) {
        let (start, len, seen) = self.1.of(KEYS[self.0]);
        (start, len, seen.map(|seen| if seen.is_empty() { 0 } else { self.0 }))
    }
}

/// Who begins a call: what docache_group_begin_as is given, 0 being nobody; without, it is docache_group_begin.
#[derive(Clone, Copy, Debug)]
struct Owner(Option<u64>);

impl<'a> Arbitrary<'a> for Owner {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Owner> {
        Ok(Owner(match u8::arbitrary(u)? {
            0..=127 => None,
            // Few names, so that they meet.
            which @ 128..=247 => Some(u64::from(which % 4)),
            248..=251 => Some(u64::MAX),
            252..=255 => Some(1 << 32 | 1),
        }))
    }
}

/// What is done inside a notification.
#[derive(Clone, Debug, Default)]
struct Inside {
    /// The call is polled.
    looks: bool,
    ops: Vec<Op>,
}

impl<'a> Arbitrary<'a> for Inside {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Inside> {
        let which = u8::arbitrary(u)?;
        Ok(Inside { looks: which % 2 == 1, ops: inside(u, which)? })
    }
}

fn inside(u: &mut Unstructured<'_>, which: u8) -> Result<Vec<Op>> {
    if which < 128 { Ok(Vec::new()) } else { list(u, usize::from(which / 16 - 7)) }
}

/// What the work returns.
#[derive(Clone, Debug)]
struct Answer {
    status: Returned,
    value: stock::GivenValue,
    error: stock::GivenError,
    unwinds: bool,
}

impl<'a> Arbitrary<'a> for Answer {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Answer> {
        let (status, value, error) = (u.arbitrary()?, u.arbitrary()?, u.arbitrary()?);
        Ok(Answer { status, value, error, unwinds: u8::arbitrary(u)? % 16 == 15 })
    }
}

/// What a leader reports.
#[derive(Clone, Copy, Debug)]
struct Report {
    status: Returned,
    value: Option<Pick>,
    error: Option<Pick>,
}

impl<'a> Arbitrary<'a> for Report {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Report> {
        let (status, pick) = (u.arbitrary()?, u.arbitrary()?);
        let value = Report { status, value: Some(pick), error: None };
        let error = Report { status, value: None, error: Some(pick) };
        Ok(match u8::arbitrary(u)? {
            0..=119 if status.0 == docache::ffi::DOCACHE_OK => value,
            0..=119 => error,
            120..=159 => Report { status: Returned(docache::ffi::DOCACHE_PANIC), ..error },
            160..=199 => Report { status, value: None, error: None },
            200..=215 => value,
            216..=231 => error,
            232..=255 => Report { status, value: Some(pick), error: Some(u.arbitrary()?) },
        })
    }
}

/// One call, or a few of a kind.
#[derive(Clone, Debug)]
enum Op {
    New {
        options: Option<life::Options>,
        out: Given,
        error: Given,
    },
    FreeGroup(Pick),
    InFlight(Pick),
    Forget {
        group: Pick,
        key: Key,
        error: Given,
    },
    Begin {
        group: Pick,
        key: Key,
        owner: Owner,
        away: bool,
        out: Given,
        error: Given,
    },
    /// Many that begin, and ask to be notified.
    Crowd {
        group: Pick,
        key: Key,
        named: bool,
        count: u8,
        inside: Inside,
    },
    Finish {
        call: Pick,
        report: Report,
        frees: bool,
        shared: Given,
        error: Given,
    },
    OnReady {
        call: Pick,
        no_notify: Rare,
        inside: Inside,
        error: Given,
    },
    Poll {
        call: Pick,
        value: Given,
        shared: Given,
        error: Given,
    },
    Cancel(Pick),
    Free(Pick),
    Run(Box<runs::Run>),
    NewValue(Bytes, Option<Drops>),
    Release(Pick),
    NewError(i64, Text),
    ReleaseError(Pick),
}

impl<'a> Arbitrary<'a> for Op {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Op> {
        Ok(match u8::arbitrary(u)? % 35 {
            0..=6 => a_begin(u)?,
            7..=8 => {
                let (group, key, named) = (u.arbitrary()?, u.arbitrary()?, u.arbitrary()?);
                Op::Crowd { group, key, named, count: u.arbitrary()?, inside: u.arbitrary()? }
            }
            9..=15 => {
                let (call, report, frees) = (u.arbitrary()?, u.arbitrary()?, u.arbitrary()?);
                Op::Finish { call, report, frees, shared: u.arbitrary()?, error: u.arbitrary()? }
            }
            16..=18 => {
                let (call, no_notify) = (u.arbitrary()?, u.arbitrary()?);
                Op::OnReady { call, no_notify, inside: u.arbitrary()?, error: u.arbitrary()? }
            }
            19..=20 => {
                let (call, value) = (u.arbitrary()?, u.arbitrary()?);
                Op::Poll { call, value, shared: u.arbitrary()?, error: u.arbitrary()? }
            }
            21 => Op::Cancel(u.arbitrary()?),
            22..=24 => Op::Free(u.arbitrary()?),
            25..=27 => Op::Run(Box::new(a_run(u)?)),
            28 => Op::Forget { group: u.arbitrary()?, key: u.arbitrary()?, error: u.arbitrary()? },
            29 => Op::New { options: u.arbitrary()?, out: u.arbitrary()?, error: u.arbitrary()? },
            30 => Op::FreeGroup(u.arbitrary()?),
            31 => Op::InFlight(u.arbitrary()?),
            32 => Op::NewValue(u.arbitrary()?, u.arbitrary()?),
            33 => Op::Release(u.arbitrary()?),
            _ if bool::arbitrary(u)? => Op::NewError(u.arbitrary()?, u.arbitrary()?),
            _ => Op::ReleaseError(u.arbitrary()?),
        })
    }
}

fn a_begin(u: &mut Unstructured<'_>) -> Result<Op> {
    let (group, key, owner) = (u.arbitrary()?, u.arbitrary()?, u.arbitrary()?);
    let away = u8::arbitrary(u)? % 4 == 3;
    Ok(Op::Begin { group, key, owner, away, out: u.arbitrary()?, error: u.arbitrary()? })
}

fn a_run(u: &mut Unstructured<'_>) -> Result<runs::Run> {
    let (group, key, timeout) = (u.arbitrary()?, u.arbitrary()?, u.arbitrary()?);
    let (away, no_perform, which) = (u8::arbitrary(u)? % 8 == 7, Rare::arbitrary(u)?.0, u.arbitrary()?);
    let (joiners, answer, places) =
        (u8::arbitrary(u)?.saturating_sub(220) / 8, u.arbitrary()?, u.arbitrary()?);
    let inside = inside(u, which)?;
    Ok(runs::Run { group, key, timeout, away, no_perform, joiners, inside, answer, places })
}

/// A sequence of calls, and the order in which what is left is freed.
#[derive(Clone, Debug)]
pub struct Case {
    groups_first: bool,
    values_first: bool,
    newest_first: bool,
    /// All calls are polled before they are freed.
    looks_last: bool,
    ops: Vec<Op>,
}

impl<'a> Arbitrary<'a> for Case {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Case> {
        let flags = u8::arbitrary(u)?;
        let is_set = |bit: u8| (flags >> bit) & 1 == 1;
        let (groups_first, values_first) = (is_set(0), is_set(1));
        let (newest_first, looks_last) = (is_set(2), is_set(3));
        Ok(Case { groups_first, values_first, newest_first, looks_last, ops: list(u, 64)? })
    }
}

/// Tables of handles, each with its model. Callbacks come back to it, so nothing is borrowed while the library is called.
#[derive(Default)]
struct World {
    registry: Registry,
    groups: RefCell<Vec<Rc<Group>>>,
    calls: RefCell<Vec<Rc<Held>>>,
    /// One for each share of a value that the caller has.
    shares: RefCell<Vec<Rc<Blob>>>,
    faults: RefCell<Vec<Fault>>,
    /// The values that were wrapped.
    blobs: RefCell<Vec<Rc<Blob>>>,
    notes: RefCell<Vec<Rc<Note>>>,
    depth: Cell<u32>,
    /// A function is being called that never calls back.
    quiet: Cell<bool>,
}

impl World {
    /// A group as an argument, and the one that it is, if it is one.
    fn group(&self, pick: Pick) -> (*mut docache_group, Option<Rc<Group>>) {
        let groups = self.groups.borrow();
        let group = pick.index(groups.len()).map(|index| groups[index].clone());
        (pick.handle(&groups, |group| group.handle), group)
    }

    /// Keeps the error of a call, to be reported later; a few are enough.
    fn keep(&self, outcome: Outcome) {
        let mut faults = self.faults.borrow_mut();
        if let Some(error) = outcome.error.filter(|_| faults.len() < 8) {
            faults.push(Fault::new(error));
        }
    }

    /// Keeps a share of a value; a few are enough.
    fn take_share(&self, blob: Rc<Blob>) {
        if self.shares.borrow().len() < 16 {
            self.shares.borrow_mut().push(blob);
        } else {
            stock::release_share(&blob);
        }
    }

    /// Takes a share away from what may be released, until it is put back.
    fn lend_share(&self, pick: Pick) -> Option<Rc<Blob>> {
        let mut shares = self.shares.borrow_mut();
        pick.index(shares.len()).map(|index| shares.swap_remove(index))
    }

    /// Drops a call that is freed: what docache_call_free must say, and who leads now.
    fn drop_call(&self, held: &Rc<Held>) -> (docache_status, Option<Rc<Held>>) {
        self.calls.borrow_mut().retain(|other| !Rc::ptr_eq(other, held));
        held.leave()
    }

    /// Calls a function that never calls back.
    fn quietly<R>(&self, f: impl FnOnce() -> R) -> R {
        let before = self.quiet.replace(true);
        let result = f();
        self.quiet.set(before);
        result
    }

    /// Calls a function that never calls back, unless it `may`.
    fn quietly_unless<R>(&self, may: bool, f: impl FnOnce() -> R) -> R {
        if may { f() } else { self.quietly(f) }
    }

    fn act(&self, ops: &[Op]) {
        if self.depth.get() < DEPTH {
            self.depth.set(self.depth.get() + 1);
            ops.iter().for_each(|op| op.apply(self));
            self.depth.set(self.depth.get() - 1);
        }
    }

    /// What must hold between two calls.
    fn check(&self) {
        for group in &*self.groups.borrow() {
            // SAFETY: HANDLE: the table's.
            let found = unsafe { docache::ffi::docache_group_in_flight(group.handle) };
            assert_eq!(found, group.in_flight(), "how many runs are under way");
        }
        for held in &*self.calls.borrow() {
            let stage = held.stage.get();
            assert!(!held.is_armed() || stage == Stage::Waits, "a notification is due at {stage:?}");
        }
        let mut blobs = self.blobs.borrow_mut();
        blobs.iter().for_each(Blob::check_shares);
        blobs.retain(|blob| Rc::strong_count(blob) > 1);
    }

    fn finish(&self, case: &Case) {
        let free_groups = || {
            while !self.groups.borrow().is_empty() {
                life::free(self, Pick::at(0));
            }
        };
        let release = || {
            while !self.shares.borrow().is_empty() {
                stock::release(self, Pick::at(0));
            }
        };
        if case.groups_first {
            free_groups();
        }
        if case.values_first {
            release();
        }
        if case.looks_last {
            let calls = self.calls.borrow().clone();
            calls.iter().for_each(|held| calls::look(self, held));
        }
        self.check();
        // Notifications may begin more calls, but not without end.
        while let Some(held) = self.next(case.newest_first) {
            calls::free_held(self, &held);
            self.check();
        }
        free_groups();
        release();
        self.faults.take().iter().for_each(Fault::check);
        self.check();
        assert!(self.blobs.borrow().is_empty());
        self.registry.finish();
    }

    fn next(&self, newest: bool) -> Option<Rc<Held>> {
        let calls = self.calls.borrow();
        if newest { calls.last().cloned() } else { calls.first().cloned() }
    }
}

impl Op {
    fn apply(&self, world: &World) {
        let full = world.calls.borrow().len() >= CALLS;
        match self.clone() {
            Op::New { .. } if world.groups.borrow().len() >= 3 => {}
            Op::New { options, out, error } => life::new(world, options, (out, error)),
            Op::FreeGroup(pick) => life::free(world, pick),
            Op::InFlight(pick) => life::in_flight(world, pick),
            Op::Forget { group, key, error } => life::forget(world, group, key, error),
            Op::Begin { .. } | Op::Crowd { .. } if full => {}
            Op::Begin { group, key, owner, away, out, error } => {
                calls::begin(world, group, key, owner, away, (out, error));
            }
            Op::Crowd { group, key, named, count, inside } => {
                crowd(world, (group, key, named), count, &inside);
            }
            Op::Finish { call, report, frees, shared, error } => {
                calls::finish(world, call, report, frees, (shared, error));
            }
            Op::OnReady { call, no_notify, inside, error } => {
                calls::on_ready(world, call, no_notify.0, inside, error);
            }
            Op::Poll { call, value, shared, error } => calls::poll(world, call, (value, shared, error)),
            Op::Cancel(pick) => calls::cancel(world, pick),
            Op::Free(pick) => calls::free(world, pick),
            Op::Run(run) => runs::run(world, &run),
            Op::NewValue(bytes, wrapped) => {
                let blob = stock::new_value(world, &bytes.0, wrapped);
                world.take_share(blob);
            }
            Op::Release(pick) => stock::release(world, pick),
            Op::NewError(code, message) => stock::keep_error(world, code, &message.0),
            Op::ReleaseError(pick) => stock::release_error(world, pick),
        }
    }
}

/// Begins up to forty calls, of four owners if they are `named`; all that wait and are of odd number ask to be notified.
fn crowd(world: &World, (group, key, named): (Pick, Key, bool), count: u8, inside: &Inside) {
    for at in 0..count % 40 {
        let owner = Owner(named.then_some(u64::from(at % 4)));
        let begun = calls::begin(world, group, key, owner, false, (Given::Valid, Given::Valid));
        let call = Pick::at(world.calls.borrow().len().wrapping_sub(1));
        if begun.is_some() && at % 2 == 1 {
            // One of them does more than be told.
            let inside = if at == 3 { inside.clone() } else { Inside::default() };
            calls::on_ready(world, call, false, inside, Given::Valid);
        }
    }
}

/// Runs a case.
///
/// # Panics
/// If the library breaks a promise.
pub fn run(case: &Case) {
    let world = World::default();
    let valid = (Given::Valid, Given::Valid);
    life::new(&world, None, valid);
    let blob = stock::new_value(&world, b"value", Some(Drops::Counted));
    world.take_share(blob);
    stock::keep_error(&world, -5, "error");
    for op in &case.ops {
        op.apply(&world);
        world.check();
    }
    world.finish(case);
}
