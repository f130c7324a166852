//! A cache beside its model: each operation is done to both, and what it answers is compared.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use docache::{Cache, Cause, EvictionPolicy, FlightError, ManualClock};

use super::model::{Bound, Fate, Life, Model, Value};

/// How a load ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Value,
    Error,
    Panic,
}

/// What a loader does.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// Something else that it does with the cache.
    pub(crate) inside: Option<Box<Op>>,
    pub(crate) ending: Ending,
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Get(u16),
    Contains(u16),
    GetPinned(u16),
    Insert(u16),
    /// With a time to live in milliseconds of its own.
    InsertFor(u16, u8),
    TryInsert(u16),
    Remove(u16),
    Fetch(u16, Load),
    FetchFor(u16, u8, Load),
    GetMany(Vec<u16>),
    InsertMany(Vec<u16>),
    RemoveMany(Vec<u16>),
    FetchMany(Vec<u16>, Load),
    Clear,
    Purge,
    Flush,
    Iterate,
    Advance(u8),
}

/// What kind of cache is played with.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) bound: Bound,
    pub(crate) shards: usize,
    pub(crate) adaptive: bool,
    /// In milliseconds.
    pub(crate) ttl: Option<u8>,
    pub(crate) negative: Option<u8>,
    /// Keys are below this.
    pub(crate) keys: u16,
}

type Events = Arc<Mutex<Vec<(u16, Value, Cause)>>>;

/// The cache and its model. Loaders come back to it, so nothing is borrowed while the cache is
/// called.
pub(crate) struct World {
    cache: Cache<u16, Value, Value>,
    clock: ManualClock,
    model: RefCell<Model>,
    settings: Settings,
    events: Events,
    values: Cell<Value>,
}

/// What a pair weighs: values divisible by 13 are too heavy for any cache here.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "it is a weigher")]
fn weight(_: &u16, value: &Value) -> u32 {
    if value % 13 == 0 { 1_000_000 } else { value % 5 }
}

fn milliseconds(count: impl Into<u64>) -> Duration {
    Duration::from_millis(count.into())
}

impl World {
    pub(crate) fn new(settings: Settings) -> World {
        let (clock, events) = (ManualClock::new(), Events::default());
        let mut builder = Cache::builder().clock(clock.clone()).no_sweep().shards(settings.shards);
        builder = match settings.bound {
            Bound::None => builder,
            Bound::Lru(capacity) | Bound::Some(capacity) => builder.capacity(capacity),
            Bound::Weight(most) => builder.weigher(weight).max_weight(most),
        };
        if !settings.adaptive && settings.bound != Bound::None {
            builder = builder.policy(EvictionPolicy::Lru);
        }
        builder = match settings.ttl {
            None => builder.never_expire(),
            Some(ttl) => builder.time_to_live(milliseconds(ttl)),
        };
        if let Some(negative) = settings.negative {
            builder = builder.negative_ttl(milliseconds(negative));
        }
        let told = events.clone();
        builder = builder.on_evict(move |key: &u16, value: &Value, cause| {
            told.lock().expect("nobody panics with it").push((*key, *value, cause));
        });
        let told = events.clone();
        let left = move |value| {
            let events = told.lock().expect("nobody panics with it");
            events.iter().rev().any(|(_, left, _)| *left == value)
        };
        let negative = settings.negative.map(u64::from);
        let model = RefCell::new(Model::new(settings.bound, negative, Box::new(left)));
        let cache = builder.build().expect("good settings");
        World { cache, clock, model, settings, events, values: Cell::new(0) }
    }

    fn key(&self, key: u16) -> u16 {
        key % self.settings.keys
    }

    fn value(&self) -> Value {
        self.values.set(self.values.get() + 1);
        self.values.get()
    }

    fn ttl(&self) -> Option<u64> {
        self.settings.ttl.map(u64::from)
    }

    fn is_too_heavy(&self, value: Value) -> bool {
        let Bound::Weight(most) = self.settings.bound else { return false };
        u64::from(weight(&0, &value)) > most / self.settings.shards as u64
    }

    /// What the model is told of an insertion.
    fn inserted(&self, key: u16, value: Value, ttl: Option<u64>) {
        let mut model = self.model.borrow_mut();
        if self.is_too_heavy(value) {
            model.refuse(key, value)
        } else {
            model.insert(key, value, ttl)
        }
    }

    pub(crate) fn apply(&self, op: &Op) {
        match op {
            Op::Get(key) | Op::Contains(key) | Op::GetPinned(key) => self.look(op, self.key(*key)),
            Op::Insert(key) | Op::InsertFor(key, _) | Op::TryInsert(key) => {
                self.insert(op, self.key(*key))
            }
            Op::Remove(key) => {
                let key = self.key(*key);
                let got = self.cache.remove(&key);
                self.model.borrow_mut().remove(key, got);
            }
            Op::Fetch(key, load) => self.fetch(self.key(*key), None, load),
            Op::FetchFor(key, ttl, load) => self.fetch(self.key(*key), Some(*ttl), load),
            Op::GetMany(keys) => {
                let keys: Vec<u16> = keys.iter().map(|key| self.key(*key)).collect();
                let found = self.cache.get_many(&keys.iter().collect::<Vec<_>>());
                assert_eq!(found.len(), keys.len());
                keys.iter()
                    .zip(found)
                    .for_each(|(key, got)| self.model.borrow_mut().read(*key, got, true));
            }
            Op::InsertMany(keys) => {
                let pairs: Vec<_> = keys.iter().map(|key| (self.key(*key), self.value())).collect();
                self.cache.insert_many(pairs.clone());
                pairs.into_iter().for_each(|(key, value)| self.inserted(key, value, self.ttl()));
            }
            Op::RemoveMany(keys) => {
                self.remove_many(keys.iter().map(|key| self.key(*key)).collect())
            }
            Op::FetchMany(keys, load) => {
                self.fetch_many(&keys.iter().map(|key| self.key(*key)).collect::<Vec<_>>(), load);
            }
            Op::Clear => {
                self.cache.clear();
                self.model.borrow_mut().clear();
                assert_eq!((self.cache.len(), self.cache.weight()), (0, 0));
            }
            Op::Purge => {
                let swept = self.cache.purge_expired();
                let expected = self.model.borrow_mut().purge();
                assert!(swept == expected || !self.model.borrow().is_exact() && swept <= expected);
            }
            Op::Flush => self.flush(),
            Op::Iterate => self.iterate(),
            Op::Advance(by) => {
                self.clock.advance(milliseconds(*by));
                self.model.borrow_mut().now += u64::from(*by);
            }
        }
        self.check();
    }

    fn flush(&self) {
        assert!(self.cache.flush(), "nothing is pinned");
        assert_eq!(self.cache.stats().retired, 0);
    }

    fn look(&self, op: &Op, key: u16) {
        let there = self.model.borrow().find(key);
        match op {
            Op::Get(_) => {
                let got = self.cache.get(&key);
                self.model.borrow_mut().read(key, got, true);
            }
            Op::GetPinned(_) => {
                let pinned = self.cache.pin();
                let got = pinned.get(&key).copied();
                self.model.borrow_mut().read(key, got, true);
            }
            _ => {
                let got = self.cache.contains_key(&key);
                assert!(!got || there.is_some(), "key {key} is not there");
                self.model.borrow_mut().read(key, there.filter(|_| got), false);
            }
        }
    }

    fn insert(&self, op: &Op, key: u16) {
        let value = self.value();
        let mut ttl = self.ttl();
        match op {
            Op::InsertFor(_, own) => {
                ttl = (*own < u8::MAX).then(|| u64::from(*own));
                self.cache.insert_with_ttl(key, value, ttl.map_or(Duration::MAX, milliseconds));
            }
            Op::TryInsert(_) => {
                let tried = self.cache.try_insert(key, value);
                assert_eq!(tried.is_err(), self.is_too_heavy(value), "{tried:?}");
            }
            _ => self.cache.insert(key, value),
        }
        self.inserted(key, value, ttl);
    }

    fn remove_many(&self, keys: Vec<u16>) {
        let before = self.cache.len();
        let removed = self.cache.remove_many(&keys.iter().collect::<Vec<_>>());
        let mut model = self.model.borrow_mut();
        let mut expected = 0;
        for key in keys {
            expected += usize::from(model.find(key).is_some());
            model.drop_key(key);
        }
        assert!(removed == expected || !model.is_exact() && removed <= expected.min(before));
    }

    /// One run of a loader, for these keys.
    fn load(&self, keys: &[u16], load: &Load) -> Result<Vec<Value>, Value> {
        keys.iter().for_each(|key| self.model.borrow_mut().begin_load(*key));
        load.inside.iter().for_each(|op| self.apply(op));
        match load.ending {
            Ending::Value => Ok(keys.iter().map(|_| self.value()).collect()),
            Ending::Error => Err(self.value()),
            Ending::Panic => resume_unwind(Box::new(self.value())),
        }
    }

    /// What the model is told of the end of a load.
    fn loaded(&self, keys: &[u16], result: Option<&Result<Vec<Value>, Value>>, ttl: Option<u64>) {
        for (at, key) in keys.iter().enumerate() {
            let result = result
                .map(|result| result.as_ref().map(|values| values[at]).map_err(|error| *error));
            let fits = !matches!(result, Some(Ok(value)) if self.is_too_heavy(value));
            self.model.borrow_mut().end_load(*key, result, ttl, fits);
        }
    }

    fn fetch(&self, key: u16, own: Option<u8>, load: &Load) {
        let ttl = own.map_or(self.ttl(), |own| Some(own.into()));
        let (there, failure) = (self.model.borrow().find(key), self.model.borrow().failure(key));
        let reentrant = self.model.borrow().is_loading(key);
        let mut ran = None;
        let fetched = catch_unwind(AssertUnwindSafe(|| {
            let run = || {
                ran = Some(None);
                let result = self.load(&[key], load);
                ran = Some(Some(result.clone()));
                result.map(|values| values[0])
            };
            match own {
                None => self.cache.try_fetch(key, run),
                Some(own) => self.cache.options().ttl(milliseconds(own)).try_fetch(key, run),
            }
        }));
        match (fetched, ran) {
            (Err(payload), Some(None)) => {
                assert_eq!(payload.downcast_ref(), Some(&self.values.get()), "its own payload");
                self.loaded(&[key], None, ttl);
            }
            (Ok(Ok(value)), Some(Some(result))) => {
                assert_eq!(Ok(vec![value]), result);
                self.loaded(&[key], Some(&result), ttl);
            }
            (Ok(Err(FlightError::Failed(error))), Some(Some(result))) => {
                assert_eq!(Err(*error), result);
                self.loaded(&[key], Some(&result), ttl);
            }
            (Ok(Ok(value)), None) => self.model.borrow_mut().read(key, Some(value), true),
            (Ok(Err(FlightError::Failed(error))), None) => {
                assert_eq!((Some(*error), there), (failure, None), "a failure that is remembered");
            }
            (Ok(Err(FlightError::Reentrant(_))), None) => {
                assert!(reentrant, "key {key} is not loaded")
            }
            (end, ran) => panic!("{end:?} after {ran:?}"),
        }
    }

    fn fetch_many(&self, keys: &[u16], load: &Load) {
        // The model is asked before, for a loader may change what is there.
        let before: Vec<_> = keys.iter().map(|key| self.model.borrow().find(*key)).collect();
        let failures: Vec<_> = keys.iter().map(|key| self.model.borrow().failure(*key)).collect();
        let reentrant: Vec<_> =
            keys.iter().map(|key| self.model.borrow().is_loading(*key)).collect();
        let mut runs = Vec::new();
        let asked: Vec<&u16> = keys.iter().collect();
        let fetched = catch_unwind(AssertUnwindSafe(|| {
            self.cache.try_fetch_many(&asked, |missing| {
                let missing: Vec<u16> = missing.iter().map(|key| **key).collect();
                self.hit(keys, &before, &missing);
                runs.push((missing.clone(), None));
                let result = self.load(&missing, load);
                runs.last_mut().expect("this run").1 = Some(result.clone());
                result
            })
        }));
        assert!(runs.len() <= 1, "nobody else loads");
        if runs.is_empty() {
            self.hit(keys, &before, &[]);
        }
        let (missing, result) = runs.pop().unwrap_or_default();
        let sorted = |keys: &[u16]| keys.iter().map(|key| (*key, ())).collect::<BTreeMap<_, _>>();
        assert_eq!(sorted(&missing).len(), missing.len(), "each key once");
        let Ok(fetched) = fetched else {
            assert!(result.is_none() && load.ending == Ending::Panic);
            return self.loaded(&missing, None, self.ttl());
        };
        assert_eq!(fetched.len(), keys.len());
        for (at, (key, end)) in keys.iter().zip(fetched).enumerate() {
            let led = missing.iter().position(|led| led == key);
            match (end, led, &result) {
                (Ok(value), Some(led), Some(Ok(values))) => assert_eq!(value, values[led]),
                (Err(FlightError::Failed(error)), Some(_), Some(Err(failed))) => {
                    assert_eq!(*error, *failed)
                }
                (Ok(value), None, _) => assert_eq!(Some(value), before[at], "key {key}"),
                (Err(FlightError::Failed(error)), None, _) => {
                    assert_eq!(Some(*error), failures[at])
                }
                (Err(FlightError::Reentrant(_)), None, _) => assert!(reentrant[at]),
                (end, _, _) => panic!("{end:?} of key {key} after {result:?}"),
            }
        }
        self.loaded(&missing, result.as_ref(), self.ttl());
    }

    /// The keys that are not `missing` were found.
    fn hit(&self, keys: &[u16], there: &[Option<Value>], missing: &[u16]) {
        let found =
            keys.iter().zip(there).filter(|(key, there)| there.is_some() && !missing.contains(key));
        found.for_each(|(key, there)| self.model.borrow_mut().read(*key, *there, true));
    }

    fn iterate(&self) {
        let mut found = BTreeMap::new();
        for (key, value) in self.cache.iter() {
            assert_eq!(found.insert(key, value), None, "key {key} comes twice");
        }
        let pinned = self.cache.pin();
        assert_eq!(
            pinned.iter().map(|(key, value)| (*key, *value)).collect::<BTreeMap<_, _>>(),
            found
        );
        drop(pinned);
        let expected = self.model.borrow().all();
        if self.model.borrow().is_exact() {
            assert_eq!(found, expected);
        }
        expected
            .keys()
            .for_each(|key| self.model.borrow_mut().read(*key, found.remove(key), false));
        assert_eq!(found, BTreeMap::new(), "there is nothing that was not put in");
    }

    /// What holds after each step.
    fn check(&self) {
        let (len, weight, model) = (self.cache.len(), self.cache.weight(), self.model.borrow());
        assert!(len <= model.len());
        assert_eq!(self.cache.is_empty(), len == 0);
        match model.bound {
            Bound::None | Bound::Lru(_) => assert!(len >= model.all().len()),
            Bound::Some(capacity) => assert!(len <= capacity, "{len} in a cache of {capacity}"),
            Bound::Weight(most) => assert!(weight <= most, "{weight} in a cache of {most}"),
        }
    }

    /// What is left is as it should be, and each value that was put in came to one end, or is
    /// there.
    pub(crate) fn finish(&self) {
        self.apply(&Op::Purge);
        self.apply(&Op::Iterate);
        self.flush();
        let live: BTreeMap<u16, Value> = self.cache.iter().collect();
        assert_eq!(self.cache.len(), live.len());
        if matches!(self.settings.bound, Bound::Weight(_)) {
            assert_eq!(
                self.cache.weight(),
                live.iter().map(|(key, value)| u64::from(weight(key, value))).sum::<u64>()
            );
        }
        let model = self.model.borrow();
        let mut told = BTreeMap::new();
        for (key, value, cause) in self.events.lock().expect("nobody panics with it").iter() {
            assert_eq!(told.insert(*value, *cause), None, "value {value} was evicted twice");
            assert_eq!(*key, model.lives[value].key);
        }
        for (value, life) in &model.lives {
            let cause = told.get(value).copied();
            assert!(self.is_right(life, cause), "value {value} was evicted as {cause:?}: {life:?}");
        }
        assert!(told.keys().all(|value| model.lives.contains_key(value)));
        self.check_stats(&told);
    }

    /// Whether a listener may have been told this of a value.
    fn is_right(&self, life: &Life, cause: Option<Cause>) -> bool {
        let bounded = self.settings.bound != Bound::None;
        let over = life.deadline.is_some_and(|deadline| deadline <= self.model.borrow().now);
        match (cause, life.fate) {
            // Who evicts may find one whose time is over.
            (Some(Cause::Size), Some(fate)) if fate != Fate::Refused && fate != Fate::Beaten => {
                bounded
            }
            (Some(Cause::Expired), Some(Fate::Expired)) => over,
            (Some(Cause::Expired), Some(Fate::Evicted)) => over && bounded,
            (Some(Cause::Removed), Some(Fate::Removed | Fate::Cleared)) => true,
            (Some(Cause::Replaced), Some(Fate::Replaced)) => true,
            (Some(Cause::Refused), Some(Fate::Refused)) => true,
            (None, None | Some(Fate::Beaten)) => true,
            _ => false,
        }
    }

    fn check_stats(&self, told: &BTreeMap<Value, Cause>) {
        let (stats, model) = (self.cache.stats(), self.model.borrow());
        let count = |cause| told.values().filter(|told| **told == cause).count() as u64;
        assert_eq!((stats.len, stats.weight), (self.cache.len(), self.cache.weight()));
        assert_eq!((stats.retired, stats.listener_panics), (0, 0));
        let left = (stats.evicted, stats.expired, stats.removed, stats.replaced, stats.refused);
        let [size, expired, removed, replaced, refused] =
            [Cause::Size, Cause::Expired, Cause::Removed, Cause::Replaced, Cause::Refused]
                .map(count);
        assert_eq!(left, (size, expired, removed, replaced, refused));
        let taken_in = |life: &&Life| !matches!(life.fate, Some(Fate::Refused | Fate::Beaten));
        assert_eq!(stats.inserted, model.lives.values().filter(taken_in).count() as u64);
    }
}
