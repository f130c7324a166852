//! Sequences of calls of the family `cache`, each checked against a model that knows every status beforehand: all that
//! happens, happens on one thread.

mod model;

use std::cell::{Cell, RefCell};
use std::ptr::null_mut;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread::{self, ThreadId};

use arbitrary::{Arbitrary, Result, Unstructured};
use docache::ffi::*;

use super::args::{Pick, Span};
use crate::input::list;
use model::{Armed, Came, Held, Model, Stage};

/// Loads inside loads inside loads: further down nothing is done.
const DEPTH: u32 = 5;
const CALLS: usize = 48;
const KEYS: [&[u8]; 6] = [b"a", b"", b"b", &[b'k'; 40], &[b'k'; 41], &[b'k'; 5000]];

/// A key as an argument.
#[derive(Clone, Copy, Debug)]
struct Key(usize, Span);

impl<'a> Arbitrary<'a> for Key {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Key> {
        let which = u8::arbitrary(u)?;
        // Mostly few keys, so that calls meet.
        let key = usize::from(which) % if which < 208 { 2 } else { KEYS.len() };
        Ok(Key(key, u.arbitrary()?))
    }
}

impl Key {
    /// The arguments, and the key that the callee must see if it accepts them.
    fn arguments(self) -> (*const u8, usize, Option<usize>) {
        let (start, len, seen) = self.1.of(KEYS[self.0]);
        // The empty key is a key like others.
        (start, len, seen.map(|seen| if seen.is_empty() { 1 } else { self.0 }))
    }
}

/// What a leader reports.
#[derive(Clone, Copy, Debug)]
struct Answer(Came);

impl<'a> Arbitrary<'a> for Answer {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Answer> {
        Ok(Answer(match u8::arbitrary(u)? {
            0..=159 => Came::Value(u.arbitrary()?),
            160..=223 => Came::Failed,
            224..=255 => Came::Panicked,
        }))
    }
}

/// A kind of callbacks. The cache can be freed inside each; inside the work of a fetch it is by an [`Op`].
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
enum Callback {
    Listener,
    Visit,
    Notify,
    Drop,
}

#[derive(Clone, Debug)]
enum Op {
    FreeCache,
    /// The next callback of a kind frees the cache.
    FreeIn(Callback),
    Set(Key, u8, bool),
    Remove(Key),
    Clear,
    Read(Key),
    Visit,
    Begin(Key, u64),
    Finish(Pick, Answer, bool),
    OnReady(Pick),
    Cancel(Pick),
    Poll(Pick),
    Free(Pick),
    Fetch(Key, Answer, Vec<Op>),
}

impl<'a> Arbitrary<'a> for Op {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Op> {
        Ok(match u8::arbitrary(u)? % 34 {
            0..=7 => Op::Begin(u.arbitrary()?, u64::from(u8::arbitrary(u)? % 8).saturating_sub(4)),
            8..=12 => Op::Finish(u.arbitrary()?, u.arbitrary()?, u.arbitrary()?),
            13..=15 => Op::OnReady(u.arbitrary()?),
            16..=18 => Op::Poll(u.arbitrary()?),
            19..=21 => Op::Free(u.arbitrary()?),
            22..=23 => Op::Set(u.arbitrary()?, u.arbitrary()?, u.arbitrary()?),
            24..=25 => Op::Remove(u.arbitrary()?),
            26 => Op::Clear,
            27 => Op::Cancel(u.arbitrary()?),
            28 => Op::Read(u.arbitrary()?),
            29 => Op::Visit,
            32 if u8::arbitrary(u)? % 4 == 0 => Op::FreeCache,
            32..=33 => Op::FreeIn(u.arbitrary()?),
            _ => {
                let (key, answer, inside) = (u.arbitrary()?, u.arbitrary()?, u8::arbitrary(u)?);
                Op::Fetch(key, answer, list(u, usize::from(inside % 4))?)
            }
        })
    }
}

/// A sequence of calls, and in which order what is left is freed.
#[derive(Clone, Debug)]
pub struct Case {
    keeps_failures: bool,
    cache_first: bool,
    listens: bool,
    ops: Vec<Op>,
}

impl<'a> Arbitrary<'a> for Case {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Case> {
        let flags = u8::arbitrary(u)?;
        let (keeps_failures, cache_first, listens) = (flags & 1 == 1, flags & 2 == 2, flags & 4 == 4);
        Ok(Case { keeps_failures, cache_first, listens, ops: list(u, 64)? })
    }
}

/// The bytes of a value, which tell it from others.
fn bytes(value: u8) -> Vec<u8> {
    vec![value; 1 + usize::from(value % 32)]
}

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

unsafe extern "C-unwind" fn notify(held: usize) {
    // SAFETY: the world keeps every call's record to the end.
    let held = unsafe { &*(held as *const Held) };
    held.told.set(held.told.get() + 1);
    // SAFETY: the world outlives the calls.
    unsafe { &*held.world }.called(Callback::Notify);
}

struct World {
    /// NULL once it was freed.
    cache: Cell<*mut docache_cache>,
    /// Inside which callback it is to be freed.
    free_in: Cell<Option<Callback>>,
    /// How often the `drop` of its registration was called.
    drops: AtomicI32,
    model: RefCell<Model>,
    calls: RefCell<Vec<Rc<Held>>>,
    /// All calls there ever were: a notification that is too late must be seen.
    records: RefCell<Vec<Rc<Held>>>,
    blobs: Arc<AtomicI32>,
    depth: Cell<u32>,
}

/// What a fetch does.
struct Work<'w> {
    world: &'w World,
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
    let runs =
        work.world.model.borrow().flights.get(&work.run.unwrap_or_default()).is_some_and(|run| run.loads);
    assert!(runs, "the work runs, but the value was there");
    work.world.act(work.inside);
    if let Came::Value(value) = work.answer {
        // SAFETY: SPAN.
        unsafe { out.write(work.world.new_value(value)) };
    }
    work.answer.status()
}

impl World {
    fn new(keeps_failures: bool, listens: bool) -> Box<World> {
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
        let made =
            unsafe { docache_cache_new(&raw const options, listener, ctx, drop, &raw mut cache, null_mut()) };
        assert_eq!(made, DOCACHE_OK);
        world.cache.set(cache);
        world
    }

    fn free_cache(&self) {
        // SAFETY: HANDLE: freed once, by this thread, inside whatever calls of its own.
        unsafe { docache_cache_free(self.cache.replace(null_mut())) };
    }

    /// A callback was called.
    fn called(&self, callback: Callback) {
        if self.free_in.get() == Some(callback) {
            self.free_in.set(None);
            self.free_cache();
        }
    }

    fn new_value(&self, value: u8) -> *mut docache_value {
        self.blobs.fetch_add(1, Ordering::SeqCst);
        let blob = Box::new(Blob(bytes(value), self.blobs.clone(), self, thread::current().id()));
        let (data, len) = (blob.0.as_ptr(), blob.0.len());
        let mut out = null_mut();
        let ctx = Box::into_raw(blob) as usize;
        // SAFETY: SPAN: the memory is the blob's, which lives until its drop.
        let made = unsafe { docache_value_wrap(data, len, ctx, Some(drop_blob), &raw mut out, null_mut()) };
        assert_eq!(made, DOCACHE_OK);
        out
    }

    /// Takes a value that the library gave, if it should have given one.
    fn check_value(&self, given: *mut docache_value, expected: Option<u8>) {
        assert_eq!(given.is_null(), expected.is_none(), "whether there is a value");
        if let Some(value) = expected {
            // SAFETY: HANDLE: the share is ours.
            let (data, len) = (unsafe { docache_value_data(given) }, unsafe { docache_value_len(given) });
            // SAFETY: SPAN.
            assert_eq!(unsafe { std::slice::from_raw_parts(data, len) }, bytes(value));
        }
        // SAFETY: as above.
        unsafe { docache_value_release(given) };
    }

    fn act(&self, ops: &[Op]) {
        if self.depth.get() < DEPTH {
            self.depth.set(self.depth.get() + 1);
            for op in ops {
                self.apply(op);
                self.check();
            }
            self.depth.set(self.depth.get() - 1);
        }
    }

    /// Does something with a call, if there is one.
    fn with(&self, pick: Pick, f: impl FnOnce(&Rc<Held>)) {
        let calls = self.calls.borrow();
        let held = pick.index(calls.len()).map(|at| calls[at].clone());
        drop(calls);
        if let Some(held) = held {
            f(&held);
        }
    }

    fn apply(&self, op: &Op) {
        let calls_only = matches!(
            op,
            Op::Finish(..) | Op::OnReady(_) | Op::Cancel(_) | Op::Poll(_) | Op::Free(_) | Op::FreeIn(_)
        );
        if self.cache.get().is_null() && !calls_only {
            return;
        }
        match op {
            Op::FreeCache => self.free_cache(),
            Op::FreeIn(callback) => self.free_in.set(Some(*callback)),
            Op::Set(key, value, shares) => self.set(*key, *value, *shares),
            Op::Remove(key) => self.remove(*key),
            Op::Clear => {
                // SAFETY: HANDLE.
                assert_eq!(unsafe { docache_cache_clear(self.cache.get(), null_mut()) }, DOCACHE_OK);
                self.model.borrow_mut().clear();
            }
            Op::Read(key) => self.read(*key),
            Op::Visit => self.visit(),
            Op::Begin(..) if self.calls.borrow().len() >= CALLS => {}
            Op::Begin(key, owner) => self.begin(*key, *owner),
            Op::Finish(pick, answer, ends) => self.with(*pick, |held| self.finish(held, answer.0, *ends)),
            Op::OnReady(pick) => self.with(*pick, |held| self.on_ready(held)),
            Op::Cancel(pick) => self.with(*pick, |held| self.cancel(held)),
            Op::Poll(pick) => self.with(*pick, |held| self.poll(held)),
            Op::Free(pick) => self.with(*pick, |held| self.free(held)),
            Op::Fetch(key, answer, inside) => self.fetch(*key, answer.0, inside),
        }
    }

    fn set(&self, key: Key, value: u8, shares: bool) {
        let (start, len, key) = key.arguments();
        let status = if shares {
            let value = self.new_value(value);
            // SAFETY: HANDLE; SPAN, or what is refused.
            let set = unsafe { docache_cache_set_value(self.cache.get(), start, len, value, 0, null_mut()) };
            // SAFETY: the share is ours.
            unsafe { docache_value_release(value) };
            set
        } else {
            let data = bytes(value);
            // SAFETY: as above.
            unsafe {
                docache_cache_set(self.cache.get(), start, len, data.as_ptr(), data.len(), 0, null_mut())
            }
        };
        assert_eq!(status, if key.is_some() { DOCACHE_OK } else { DOCACHE_INVALID_ARGUMENT });
        if let Some(key) = key {
            self.model.borrow_mut().set(key, value);
        }
    }

    fn remove(&self, key: Key) {
        let (start, len, key) = key.arguments();
        let mut out = null_mut();
        // SAFETY: HANDLE; SPAN, or what is refused.
        let status = unsafe { docache_cache_remove(self.cache.get(), start, len, &raw mut out, null_mut()) };
        let removed = key.and_then(|key| self.model.borrow_mut().remove(key));
        assert_eq!(status, found(key, removed));
        self.check_value(out, removed);
    }

    fn read(&self, key: Key) {
        let (start, len, key) = key.arguments();
        let (mut out, mut buffer, mut size) = (null_mut(), [0; 32], 0);
        let expected = key.and_then(|key| self.model.borrow().values.get(&key).copied());
        // SAFETY: HANDLE; SPAN, or what is refused.
        let got = unsafe { docache_cache_get(self.cache.get(), start, len, &raw mut out, null_mut()) };
        assert_eq!(got, found(key, expected));
        self.check_value(out, expected);
        let place = buffer.as_mut_ptr();
        // SAFETY: as above.
        let copied = unsafe {
            docache_cache_try_get(
                self.cache.get(),
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
        assert_eq!(unsafe { docache_cache_contains(self.cache.get(), start, len, null_mut()) }, got);
    }

    fn visit(&self) {
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
        let visited: (&World, Seen) = (self, RefCell::default());
        let ctx = std::ptr::from_ref(&visited) as usize;
        // SAFETY: HANDLE, CALLBACK.
        assert_eq!(unsafe { docache_cache_each(self.cache.get(), Some(visit), ctx, null_mut()) }, DOCACHE_OK);
        let mut seen = visited.1.into_inner();
        seen.sort();
        let model = self.model.borrow();
        let pair = |(key, value): (&usize, &u8)| (KEYS[*key].to_vec(), bytes(*value).len());
        let mut expected: Vec<_> = model.values.iter().map(pair).collect();
        expected.sort();
        assert_eq!(seen, expected);
    }

    fn begin(&self, key: Key, owner: u64) {
        let (start, len, key) = key.arguments();
        let (mut value, mut call) = (null_mut(), null_mut());
        let places = (&raw mut value, &raw mut call);
        // SAFETY: HANDLE; SPAN, or what is refused.
        let status = unsafe {
            docache_cache_fetch_begin(self.cache.get(), start, len, 0, owner, places.0, places.1, null_mut())
        };
        let model = self.model.borrow_mut();
        let kept = key.and_then(|key| model.values.get(&key).copied());
        let joined = key.and_then(|key| model.joined(key));
        let expected = match (key, kept, joined) {
            (None, _, _) => DOCACHE_INVALID_ARGUMENT,
            (_, Some(_), _) => DOCACHE_OK,
            (_, _, Some((_, flight))) => match &flight.leader {
                None => DOCACHE_REENTRANT,
                Some(leader) if owner != 0 && leader.owner == owner => DOCACHE_REENTRANT,
                Some(_) => DOCACHE_PENDING,
            },
            (Some(key), None, None) => model.found(key).map_or(DOCACHE_LEADER, Came::status),
        };
        let run = joined.map(|(run, _)| run);
        drop(model);
        assert_eq!(status, expected);
        self.check_value(value, kept);
        let made = matches!(status, DOCACHE_LEADER | DOCACHE_PENDING);
        assert_eq!(call.is_null(), !made);
        if let Some(key) = key.filter(|_| made) {
            let joined = status == DOCACHE_PENDING;
            let stage = Cell::new(if joined { Stage::Waits } else { Stage::Leads });
            let (armed, told) = (Cell::new(Armed::No), Cell::new(0));
            let mut model = self.model.borrow_mut();
            let run = if joined { run.expect("it waits for one") } else { model.start(key) };
            let held = Rc::new(Held { world: self, handle: call, run, owner, joined, stage, armed, told });
            model.join(&held);
            if !joined {
                assert_eq!(model.take_lead(run), None);
            }
            self.calls.borrow_mut().push(held.clone());
            self.records.borrow_mut().push(held);
        }
    }

    fn finish(&self, held: &Rc<Held>, came: Came, ends: bool) {
        let value = if let Came::Value(value) = came { self.new_value(value) } else { null_mut() };
        let function = if ends { docache_call_end } else { docache_call_finish };
        // SAFETY: HANDLE: the table's.
        let status =
            unsafe { function(held.handle, came.status(), value, null_mut(), null_mut(), null_mut()) };
        // SAFETY: the share is ours.
        unsafe { docache_value_release(value) };
        let mut model = self.model.borrow_mut();
        let leads = held.stage.get() == Stage::Leads && model.flights[&held.run].loads;
        assert_eq!(status, if leads { DOCACHE_OK } else { DOCACHE_INVALID_ARGUMENT });
        if leads {
            model.finish(held.run, came);
            if ends {
                self.calls.borrow_mut().retain(|other| !Rc::ptr_eq(other, held));
            }
        }
    }

    fn on_ready(&self, held: &Rc<Held>) {
        let token = Rc::as_ptr(held) as usize;
        // SAFETY: HANDLE: the table's; CALLBACK: the records keep it.
        let status = unsafe { docache_call_on_ready(held.handle, Some(notify), token, null_mut()) };
        let expected = match held.stage.get() {
            _ if !held.joined || held.armed.get() != Armed::No => DOCACHE_INVALID_ARGUMENT,
            Stage::Waits => DOCACHE_PENDING,
            Stage::Leads | Stage::Over(_) => DOCACHE_OK,
        };
        assert_eq!(status, expected);
        if status == DOCACHE_PENDING {
            held.armed.set(Armed::Yes);
        }
    }

    fn cancel(&self, held: &Rc<Held>) {
        // SAFETY: HANDLE: the table's.
        let status = unsafe { docache_call_cancel(held.handle) };
        if held.armed.get() == Armed::Fired {
            assert_eq!(status, DOCACHE_PENDING);
        } else {
            assert_eq!(status, DOCACHE_OK);
            held.armed.set(Armed::No);
        }
    }

    fn poll(&self, held: &Rc<Held>) {
        let mut value = null_mut();
        // SAFETY: HANDLE: the table's.
        let status = unsafe { docache_call_poll(held.handle, &raw mut value, null_mut(), null_mut()) };
        let mut model = self.model.borrow_mut();
        if held.stage.get() == Stage::Leads && !model.flights[&held.run].loads {
            model.take_lead(held.run);
        }
        drop(model);
        let (expected, kept) = match held.stage.get() {
            Stage::Waits => (DOCACHE_PENDING, None),
            Stage::Leads => (DOCACHE_LEADER, None),
            Stage::Over(Came::Value(value)) => (DOCACHE_OK, Some(value)),
            Stage::Over(came) => (came.status(), None),
        };
        assert_eq!(status, expected);
        self.check_value(value, kept);
    }

    fn free(&self, held: &Rc<Held>) {
        self.calls.borrow_mut().retain(|other| !Rc::ptr_eq(other, held));
        // SAFETY: HANDLE: the table's, which it has left.
        let status = unsafe { docache_call_free(held.handle) };
        assert_eq!(status, self.model.borrow_mut().leave(held));
    }

    fn fetch(&self, key: Key, answer: Came, inside: &[Op]) {
        let (start, len, key) = key.arguments();
        let mut model = self.model.borrow_mut();
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
        let work = Work { world: self, run, answer, inside };
        let (ctx, mut value) = (std::ptr::from_ref(&work) as usize, null_mut());
        let place = &raw mut value;
        // SAFETY: HANDLE; SPAN, or what is refused; CALLBACK: the work lives through the call.
        let status = unsafe {
            docache_cache_fetch(self.cache.get(), start, len, 0, 0, Some(perform), ctx, place, null_mut())
        };
        if let Some(run) = run {
            self.model.borrow_mut().finish(run, answer);
        }
        assert_eq!(status, early.unwrap_or(answer.status()));
        let led = if let (None, Came::Value(value)) = (early, answer) { Some(value) } else { kept };
        self.check_value(value, led);
    }

    /// What must hold between two calls.
    fn check(&self) {
        self.records.borrow().iter().for_each(|held| held.check());
        if !self.cache.get().is_null() {
            // SAFETY: HANDLE.
            let len = unsafe { docache_cache_len(self.cache.get()) };
            assert_eq!(len, self.model.borrow().values.len() as u64);
        }
    }

    /// Frees what is left; nothing is kept then.
    fn finish_all(&self, cache_first: bool) {
        if cache_first {
            self.free_cache();
            let dropped = self.drops.load(Ordering::SeqCst) == 1;
            assert!(dropped || !self.calls.borrow().is_empty(), "only calls keep a registration");
        }
        while !self.calls.borrow().is_empty() {
            self.with(Pick::at(0), |held| {
                self.poll(held);
                self.free(held);
            });
            self.records.borrow().iter().for_each(|held| held.check());
        }
        if !cache_first {
            self.free_cache();
        }
        assert_eq!(self.drops.load(Ordering::SeqCst), 1);
        assert_eq!(self.blobs.load(Ordering::SeqCst), 0, "values that were not dropped");
    }
}

/// The status of looking for a key.
fn found(key: Option<usize>, value: Option<u8>) -> docache_status {
    match (key, value) {
        (None, _) => DOCACHE_INVALID_ARGUMENT,
        (_, None) => DOCACHE_MISS,
        (_, Some(_)) => DOCACHE_OK,
    }
}

/// Runs a case.
///
/// # Panics
/// If the library breaks a promise.
pub fn run(case: &Case) {
    let world = World::new(case.keeps_failures, case.listens);
    world.act(&case.ops);
    world.finish_all(case.cache_first);
}
