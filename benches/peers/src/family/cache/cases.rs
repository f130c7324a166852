//! What is done with the stores, and which of them take part.

use std::error::Error;
use std::hint::black_box;

use foldhash::fast::RandomState;

use super::docache::Docache;
use super::keys::{Dice, Fresh, Keys, One, Own, Recorded, key};
use super::stores::{
    DashMap, FibreCache, Frozen, Loading, Make, Moka, MokaTtl, MutexLru, Papaya, QuickCache, Read,
    RwLockHashMap, Store,
};
use crate::harness::{Bench, Subject};

/// Entries of most cases.
const ENTRIES: u64 = 1 << 16;
/// Entries of `get-uniform-1m`.
const MANY: u64 = 1_000_000;
/// What a bounded store may hold of [`ENTRIES`] where it has to evict.
const TENTH: u64 = ENTRIES.div_ceil(10);
/// Reads under one pin.
const PINNED: u64 = 128;
/// Pairs of one `insert_many`.
const AT_ONCE: usize = 1_000;
/// Alone, and against one other thread.
const FEW: &[usize] = &[1, 2];
/// The same, and more threads than some machines have processors.
const MORE: &[usize] = &[1, 2, 4];

/// Subjects that do the same with several stores: those fields of a struct, each under its own
/// name.
macro_rules! subjects {
    ($work:ident($input:expr) => $stores:ident: $($name:ident)*) => {
        [$($work(stringify!($name), &$stores.$name, $input)),*]
    };
}

/// One of each.
#[derive(Debug)]
struct Stores {
    docache: Docache<RandomState>,
    quick_cache: QuickCache<RandomState>,
    moka: Moka<RandomState>,
    moka_ttl: MokaTtl<RandomState>,
    papaya: Papaya<RandomState>,
    dashmap: DashMap<RandomState>,
    rwlock_hashmap: RwLockHashMap<RandomState>,
    mutex_lru: MutexLru<RandomState>,
    fibre_cache: FibreCache<RandomState>,
    hashbrown: Frozen<RandomState>,
}

impl Stores {
    /// Stores that hold [`ENTRIES`] and could hold twice as many.
    fn filled() -> Result<Self, Box<dyn Error>> {
        Ok(Stores {
            docache: filled("docache", ENTRIES)?,
            quick_cache: filled("quick_cache", ENTRIES)?,
            moka: filled("moka", ENTRIES)?,
            moka_ttl: filled("moka_ttl", ENTRIES)?,
            papaya: filled("papaya", ENTRIES)?,
            dashmap: filled("dashmap", ENTRIES)?,
            rwlock_hashmap: filled("rwlock_hashmap", ENTRIES)?,
            mutex_lru: filled("mutex_lru", ENTRIES)?,
            fibre_cache: filled("fibre_cache", ENTRIES)?,
            hashbrown: frozen(ENTRIES),
        })
    }
}

/// A store that holds `entries`, and could hold twice as many.
fn filled<T: Make<RandomState> + Store>(name: &str, entries: u64) -> Result<T, Box<dyn Error>> {
    let store = T::make(2 * entries, RandomState::default());
    for number in Dice::new(3).shuffled(entries) {
        store.insert(key(number), number);
    }
    store.settle();
    let missing = (0..entries).filter(|number| store.get(key(*number)) != Some(*number)).count();
    if missing > 0 {
        return Err(format!("{name}: {missing} of {entries} entries are missing").into());
    }
    Ok(store)
}

/// A map of `entries` that stays as it is.
fn frozen(entries: u64) -> Frozen<RandomState> {
    let mut map = hashbrown::HashMap::default();
    map.extend(Dice::new(3).shuffled(entries).into_iter().map(|number| (key(number), number)));
    Frozen(map)
}

/// Reads of what is there.
fn get<'a>(name: &'static str, store: &'a impl Read, keys: &'a impl Keys) -> Subject<'a> {
    let walk = move |turns| keys.walk(turns);
    Subject::prepared(name, walk, move |key, turns| {
        for turn in 0..turns {
            black_box(store.get(key(turn)));
        }
    })
    .large()
}

/// The same, and one insert of a key that is there in each `every` turns.
fn mix<'a>(
    name: &'static str,
    store: &'a impl Store,
    (keys, every): (&'a impl Keys, u64),
) -> Subject<'a> {
    let walk = move |turns| keys.walk(turns);
    Subject::prepared(name, walk, move |key, turns| {
        let mut left = every;
        for turn in 0..turns {
            left -= 1;
            if left == 0 {
                left = every;
                store.insert(key(turn), turn);
            } else {
                black_box(store.get(key(turn)));
            }
        }
    })
    .large()
}

/// Loads of what is there already.
fn fetch<'a>(name: &'static str, store: &'a impl Loading, keys: &'a impl Keys) -> Subject<'a> {
    let walk = move |turns| keys.walk(turns);
    Subject::prepared(name, walk, move |key, turns| {
        for turn in 0..turns {
            black_box(store.fetch(key(turn)));
        }
    })
    .large()
}

/// Loads of what is not there, each with the removal that makes the next possible.
fn fetch_miss<'a>(name: &'static str, store: &'a impl Loading, keys: &'a impl Keys) -> Subject<'a> {
    let walk = move |turns| keys.walk(turns);
    Subject::prepared(name, walk, move |key, turns| {
        for turn in 0..turns {
            let key = key(turn);
            black_box(store.fetch(key));
            black_box(store.remove(key));
        }
    })
}

/// Reads, each with an insert if it was in vain.
fn churn<'a>(name: &'static str, store: &'a impl Store, keys: &'a impl Keys) -> Subject<'a> {
    let walk = move |turns| keys.walk(turns);
    Subject::prepared(name, walk, move |key, turns| {
        for turn in 0..turns {
            let key = key(turn);
            if black_box(store.get(key)).is_none() {
                store.insert(key, turn);
            }
        }
    })
}

/// Inserts of what was not there before.
fn insert<'a>(name: &'static str, store: &'a impl Store, keys: &'a impl Keys) -> Subject<'a> {
    let walk = move |turns| keys.walk(turns);
    Subject::prepared(name, walk, move |key, turns| {
        for turn in 0..turns {
            store.insert(key(turn), turn);
        }
    })
    .large()
}

/// The same, each removed again.
fn remove<'a>(name: &'static str, store: &'a impl Store, keys: &'a impl Keys) -> Subject<'a> {
    let walk = move |turns| keys.walk(turns);
    Subject::prepared(name, walk, move |key, turns| {
        for turn in 0..turns {
            let key = key(turn);
            store.insert(key, turn);
            black_box(store.remove(key));
        }
    })
}

/// The cases in which all entries stay where they are.
pub(super) fn reads(bench: &mut Bench) -> Result<(), Box<dyn Error>> {
    const CASES: [&str; 8] = [
        "get-zipf",
        "get-pinned",
        "get-hot",
        "fetch-hit",
        "fetch-miss",
        "mix-90-10",
        "mix-50-50",
        "remove",
    ];
    if !CASES.iter().any(|case| bench.wants(case)) {
        return Ok(());
    }
    let (stores, zipf) = (Stores::filled()?, Recorded::zipf(ENTRIES));
    for &threads in MORE {
        let subjects = subjects!(get(&zipf) => stores:
            docache quick_cache moka moka_ttl papaya dashmap rwlock_hashmap mutex_lru fibre_cache hashbrown);
        bench.case("get-zipf", threads, &subjects);
    }
    for &threads in FEW {
        bench.case("get-pinned", threads, &pinned(&stores, &zipf));
        let subjects = subjects!(get(&One) => stores:
            docache quick_cache moka papaya dashmap rwlock_hashmap mutex_lru fibre_cache hashbrown);
        bench.case("get-hot", threads, &subjects);
        let [docache, quick_cache, moka, fibre_cache] =
            subjects!(fetch(&zipf) => stores: docache quick_cache moka fibre_cache);
        // In the same rounds, since the contract is about the difference.
        let docache_get = get("docache_get", &stores.docache, &zipf);
        bench.case("fetch-hit", threads, &[docache, docache_get, quick_cache, moka, fibre_cache]);
        let own = Own::default();
        let subjects = subjects!(fetch_miss(&own) => stores: docache quick_cache moka fibre_cache);
        bench.case("fetch-miss", threads, &subjects);
    }
    mixed(bench, &stores, &zipf);
    Ok(())
}

/// Some writes among the reads, and writes alone.
fn mixed(bench: &mut Bench, stores: &Stores, zipf: &Recorded) {
    for (case, every, counts) in [("mix-90-10", 10, MORE), ("mix-50-50", 2, FEW)] {
        for &threads in counts {
            let subjects = subjects!(mix((zipf, every)) => stores:
                docache quick_cache moka papaya dashmap rwlock_hashmap mutex_lru fibre_cache);
            bench.case(case, threads, &subjects);
        }
    }
    for &threads in FEW {
        let own = Own::default();
        let subjects = subjects!(remove(&own) => stores:
            docache quick_cache moka papaya dashmap rwlock_hashmap mutex_lru fibre_cache);
        bench.case("remove", threads, &subjects);
    }
}

/// Reads by reference, many under one pin. To pin is part of it: the first time, which is not
/// prepared, as every other.
fn pinned<'a>(stores: &'a Stores, keys: &'a impl Keys) -> [Subject<'a>; 3] {
    let walk = |turns| keys.walk(turns);
    [
        Subject::prepared("docache", walk, |key, turns| {
            let mut pinned = stores.docache.0.pin();
            for turn in 0..turns {
                if turn % PINNED == 0 {
                    pinned.repin();
                }
                black_box(pinned.get(&key(turn)));
            }
        })
        .large(),
        Subject::prepared("papaya_pinned", walk, |key, turns| {
            let mut pinned = stores.papaya.0.pin();
            for turn in 0..turns {
                if turn % PINNED == 0 {
                    drop(pinned);
                    pinned = stores.papaya.0.pin();
                }
                black_box(pinned.get(&key(turn)));
            }
        })
        .large(),
        Subject::prepared("hashbrown", walk, |key, turns| {
            for turn in 0..turns {
                black_box(stores.hashbrown.0.get(&key(turn)));
            }
        })
        .large(),
    ]
}

/// Reads of a store that no processor's cache holds.
pub(super) fn uniform(bench: &mut Bench) -> Result<(), Box<dyn Error>> {
    const CASE: &str = "get-uniform-1m";
    if !bench.wants(CASE) {
        return Ok(());
    }
    struct Large {
        docache: Docache<RandomState>,
        quick_cache: QuickCache<RandomState>,
        papaya: Papaya<RandomState>,
        dashmap: DashMap<RandomState>,
        hashbrown: Frozen<RandomState>,
    }
    let stores = Large {
        docache: filled("docache", MANY)?,
        quick_cache: filled("quick_cache", MANY)?,
        papaya: filled("papaya", MANY)?,
        dashmap: filled("dashmap", MANY)?,
        hashbrown: frozen(MANY),
    };
    let keys = Recorded::uniform(MANY);
    for &threads in FEW {
        let subjects =
            subjects!(get(&keys) => stores: docache quick_cache papaya dashmap hashbrown);
        bench.case(CASE, threads, &subjects);
    }
    Ok(())
}

/// The stores that evict.
#[derive(Debug)]
struct Bounded {
    docache: Docache<RandomState>,
    quick_cache: QuickCache<RandomState>,
    moka: Moka<RandomState>,
    mutex_lru: MutexLru<RandomState>,
    fibre_cache: FibreCache<RandomState>,
}

impl Bounded {
    fn new(capacity: u64) -> Self {
        fn make<T: Make<RandomState>>(capacity: u64) -> T {
            T::make(capacity, RandomState::default())
        }
        Bounded {
            docache: make(capacity),
            quick_cache: make(capacity),
            moka: make(capacity),
            mutex_lru: make(capacity),
            fibre_cache: make(capacity),
        }
    }

    /// Stores that have grown to their size, so that each further entry takes the place of another.
    fn full(capacity: u64) -> Self {
        fn fill(store: &impl Store, capacity: u64) {
            (0..2 * capacity).for_each(|number| store.insert(key(number), number));
            store.settle();
        }
        let stores = Bounded::new(capacity);
        fill(&stores.docache, capacity);
        fill(&stores.quick_cache, capacity);
        fill(&stores.moka, capacity);
        fill(&stores.mutex_lru, capacity);
        fill(&stores.fibre_cache, capacity);
        stores
    }
}

/// The cases in which entries come and go.
pub(super) fn writes(bench: &mut Bench) {
    if bench.wants("churn") {
        let (stores, zipf) = (Bounded::new(TENTH), Recorded::zipf(ENTRIES));
        hits(bench, &stores, &zipf);
        for &threads in MORE {
            let subjects =
                subjects!(churn(&zipf) => stores: docache quick_cache moka mutex_lru fibre_cache);
            bench.case("churn", threads, &subjects);
        }
    }
    if !bench.wants("insert") {
        return;
    }
    let (stores, fresh) = (Bounded::full(ENTRIES), Fresh::default());
    for &threads in FEW {
        let subjects =
            subjects!(insert(&fresh) => stores: docache quick_cache moka mutex_lru fibre_cache);
        bench.case("insert", threads, &subjects);
    }
}

/// Inserts by calls of [`AT_ONCE`] pairs.
fn insert_many<'a>(
    name: &'static str,
    store: &'a Docache<RandomState>,
    keys: &'a impl Keys,
) -> Subject<'a> {
    let walk = move |turns| keys.walk(turns);
    Subject::prepared(name, walk, move |key, turns| {
        for begin in (0..turns).step_by(AT_ONCE) {
            let end = turns.min(begin + AT_ONCE as u64);
            store.0.insert_many((begin..end).map(|turn| (key(turn), turn)));
        }
    })
    .large()
}

/// Inserts of many at once, beside as many of one: of new keys into full stores, and of other
/// values for keys that are there.
pub(super) fn many(bench: &mut Bench) -> Result<(), Box<dyn Error>> {
    const NEW: &str = "insert-many";
    const THERE: &str = "replace-many";
    if !bench.wants(NEW) && !bench.wants(THERE) {
        return Ok(());
    }
    let full = || {
        let store = Docache::<RandomState>::make(ENTRIES, RandomState::default());
        (0..2 * ENTRIES).for_each(|number| store.insert(key(number), number));
        store
    };
    let full = [full(), full()];
    let with_room = [filled("docache", ENTRIES)?, filled("docache", ENTRIES)?];
    let (fresh, there) = (Fresh::default(), Recorded::uniform(ENTRIES));
    for &threads in FEW {
        let [at_once, one_by_one] = &full;
        let ours = insert_many("docache", at_once, &fresh);
        bench.case(NEW, threads, &[ours, insert("docache_insert", one_by_one, &fresh)]);
        let [at_once, one_by_one] = &with_room;
        let ours = insert_many("docache", at_once, &there);
        bench.case(THERE, threads, &[ours, insert("docache_insert", one_by_one, &there)]);
    }
    Ok(())
}

/// What part of its reads each store answers: a faster `churn` that answers fewer is no better.
/// Warms up on the way.
fn hits(bench: &mut Bench, stores: &Bounded, keys: &Recorded) {
    fn of(store: &impl Store, keys: &Recorded) -> f64 {
        let (mut hits, mut turns) = (0, 0);
        for key in keys.iter() {
            turns += 1;
            match store.get(key) {
                Some(_) => hits += 1,
                None => store.insert(key, turns),
            }
        }
        100.0 * hits as f64 / turns as f64
    }
    for (subject, hits) in [
        ("docache", of(&stores.docache, keys)),
        ("quick_cache", of(&stores.quick_cache, keys)),
        ("moka", of(&stores.moka, keys)),
        ("mutex_lru", of(&stores.mutex_lru, keys)),
        ("fibre_cache", of(&stores.fibre_cache, keys)),
    ] {
        bench.record_in("churn-hits", 1, subject, hits, "%");
    }
}
