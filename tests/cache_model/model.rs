//! What a cache holds, as simply as it can be said: pairs with deadlines, in the order in which
//! they were last used.
//!
//! The fuzz target `cache_model` uses this and `play` too.

use std::collections::BTreeMap;

/// Names a value: values are numbered as they are made, and each is put into a cache once.
pub(crate) type Value = u32;

/// Why a value is not in the cache any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Replaced,
    Removed,
    Cleared,
    /// Swept, or overwritten or removed after its deadline.
    Expired,
    /// It was found missing, or made room for another.
    Evicted,
    Refused,
    /// It was never in the cache: it was loaded too late.
    Beaten,
}

/// What became of a value that was put into the cache.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    pub(crate) key: u16,
    pub(crate) deadline: Option<u64>,
    pub(crate) fate: Option<Fate>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    value: Value,
    deadline: Option<u64>,
    /// When it was last used, or written.
    used: u64,
}

/// A load under way.
#[derive(Clone, Copy, Debug)]
struct Load {
    key: u16,
    /// Something was put in place of its result, or took its place away.
    beaten: bool,
}

/// How much a cache holds, and what one knows of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// Everything: each answer is known.
    None,
    /// This many, of which the least recently used go first: each answer is known.
    Lru(usize),
    /// This many at most, of which any may go at any time.
    Some(usize),
    /// This weight at most.
    Weight(u64),
}

/// The state of a cache that one thread uses.
pub(crate) struct Model {
    pub(crate) now: u64,
    pub(crate) bound: Bound,
    /// How long a failure is remembered.
    pub(crate) negative: Option<u64>,
    slots: BTreeMap<u16, Slot>,
    failures: BTreeMap<u16, (Value, u64)>,
    loads: Vec<Load>,
    uses: u64,
    /// Whether the listener was told that a value has left. Asked only which of those went that
    /// have expired: any may.
    left: Box<dyn Fn(Value) -> bool>,
    pub(crate) lives: BTreeMap<Value, Life>,
}

impl Model {
    pub(crate) fn new(
        bound: Bound,
        negative: Option<u64>,
        left: Box<dyn Fn(Value) -> bool>,
    ) -> Model {
        Model {
            now: 0,
            bound,
            negative,
            slots: BTreeMap::new(),
            failures: BTreeMap::new(),
            loads: Vec::new(),
            uses: 0,
            left,
            lives: BTreeMap::new(),
        }
    }

    fn is_over(&self, deadline: Option<u64>) -> bool {
        deadline.is_some_and(|deadline| self.now >= deadline)
    }

    fn tick(&mut self) -> u64 {
        self.uses += 1;
        self.uses
    }

    /// Whether each answer is known.
    pub(crate) fn is_exact(&self) -> bool {
        matches!(self.bound, Bound::None | Bound::Lru(_))
    }

    /// The value that is there, if nothing was evicted that the model does not know of.
    pub(crate) fn find(&self, key: u16) -> Option<Value> {
        self.slots.get(&key).filter(|slot| !self.is_over(slot.deadline)).map(|slot| slot.value)
    }

    /// Everything that is there.
    pub(crate) fn all(&self) -> BTreeMap<u16, Value> {
        self.slots.keys().filter_map(|key| Some((*key, self.find(*key)?))).collect()
    }

    /// How many there are, those included whose time is over and which nobody swept.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The failure that is remembered for a key.
    pub(crate) fn failure(&self, key: u16) -> Option<Value> {
        self.failures
            .get(&key)
            .filter(|(_, deadline)| self.now < *deadline)
            .map(|(error, _)| *error)
    }

    /// Takes a value out of the model.
    fn end(&mut self, key: u16, fate: Fate) -> Option<Value> {
        let slot = self.slots.remove(&key)?;
        let over = self.is_over(slot.deadline);
        let fate = if over { Fate::Expired } else { fate };
        self.lives.get_mut(&slot.value).expect("a value that was put in").fate = Some(fate);
        (!over).then_some(slot.value)
    }

    /// A lookup found `got`, and `uses` it if it is there.
    pub(crate) fn read(&mut self, key: u16, got: Option<Value>, uses: bool) {
        let there = self.find(key);
        if self.is_exact() || got.is_some() {
            assert_eq!(got, there, "key {key} at {} ms", self.now);
        } else if there.is_some() {
            self.end(key, Fate::Evicted);
        }
        if uses && got.is_some() {
            let used = self.tick();
            self.slots.get_mut(&key).expect("it is there").used = used;
        }
    }

    /// Whatever is being loaded under this key comes too late.
    fn beat(&mut self, key: Option<u16>) {
        let beaten = |load: &&mut Load| key.is_none_or(|key| load.key == key);
        self.loads.iter_mut().filter(beaten).for_each(|load| load.beaten = true);
    }

    fn put(&mut self, key: u16, value: Value, ttl: Option<u64>) {
        self.end(key, Fate::Replaced);
        self.failures.remove(&key);
        let (used, deadline) = (self.tick(), ttl.map(|ttl| self.now + ttl));
        self.lives.insert(value, Life { key, deadline, fate: None });
        self.slots.insert(key, Slot { value, deadline, used });
        if let Bound::Lru(capacity) = self.bound {
            if self.slots.len() > capacity {
                // What has expired goes first, in any order; not what has just come.
                let order = |slot: &Slot| {
                    let over = self.is_over(slot.deadline);
                    (!over, over && !(self.left)(slot.value), slot.used)
                };
                let others = self.slots.iter().filter(|(other, _)| **other != key);
                let first = *others.min_by_key(|(_, slot)| order(slot)).expect("one of them").0;
                self.end(first, Fate::Evicted);
            }
        }
    }

    pub(crate) fn insert(&mut self, key: u16, value: Value, ttl: Option<u64>) {
        self.beat(Some(key));
        self.put(key, value, ttl);
    }

    /// A value that does not fit.
    pub(crate) fn refuse(&mut self, key: u16, value: Value) {
        self.beat(Some(key));
        self.end(key, Fate::Replaced);
        self.failures.remove(&key);
        self.lives.insert(value, Life { key, deadline: None, fate: Some(Fate::Refused) });
    }

    /// `got` was removed.
    pub(crate) fn remove(&mut self, key: u16, got: Option<Value>) {
        self.read(key, got, false);
        self.drop_key(key);
    }

    /// A key was removed by a call that does not say whether it was there.
    pub(crate) fn drop_key(&mut self, key: u16) {
        self.beat(Some(key));
        self.failures.remove(&key);
        self.end(key, Fate::Removed);
    }

    pub(crate) fn clear(&mut self) {
        self.beat(None);
        self.failures.clear();
        let keys: Vec<u16> = self.slots.keys().copied().collect();
        for key in keys {
            self.end(key, Fate::Cleared);
        }
    }

    /// How many were swept.
    pub(crate) fn purge(&mut self) -> usize {
        let over: Vec<u16> =
            self.slots.keys().copied().filter(|key| self.find(*key).is_none()).collect();
        for key in &over {
            self.end(*key, Fate::Expired);
        }
        over.len()
    }

    pub(crate) fn is_loading(&self, key: u16) -> bool {
        self.loads.iter().any(|load| load.key == key)
    }

    /// A load begins, for nothing was there.
    pub(crate) fn begin_load(&mut self, key: u16) {
        if self.find(key).is_some() {
            assert!(!self.is_exact(), "key {key} is there, and was loaded at {} ms", self.now);
            self.end(key, Fate::Evicted);
        }
        self.failures.remove(&key);
        self.loads.push(Load { key, beaten: false });
    }

    /// The load of a key ends, with a value, which is refused if it does not fit, a failure, or
    /// neither.
    pub(crate) fn end_load(
        &mut self,
        key: u16,
        result: Option<Result<Value, Value>>,
        ttl: Option<u64>,
        fits: bool,
    ) {
        let at = self.loads.iter().rposition(|load| load.key == key).expect("a load under way");
        let beaten = self.loads.remove(at).beaten;
        match result {
            Some(Ok(value)) if beaten => {
                self.lives.insert(value, Life { key, deadline: None, fate: Some(Fate::Beaten) });
            }
            Some(Ok(value)) if !fits => self.refuse(key, value),
            Some(Ok(value)) => self.put(key, value, ttl),
            Some(Err(error)) if !beaten => {
                if let Some(negative) = self.negative {
                    self.failures.insert(key, (error, self.now + negative));
                }
            }
            _ => {}
        }
    }
}
