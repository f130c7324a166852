//! The checks.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::Subject;
use crate::context::Context;
use crate::echo::error::StoreError;
use crate::echo::lock::RefreshLock;
use crate::echo::store::{Begun, Life, Within, Written};

/// What is put beside each other.
pub(super) const KEYS: [&str; 11] =
    ["key", "KEY", "key ", "lock:key", "a:b", "a.b", "a*", "å日本", "\n", "", LONG_KEY];
const LONG_KEY: &str = match std::str::from_utf8(&[b'k'; 200]) {
    Ok(key) => key,
    Err(_) => "k",
};

type Checked = Result<(), String>;
type Check = fn(&Subject<'_>) -> Checked;

pub(super) const KEEPS: &str = "keeps_what_is_put";
pub(super) const WHOLE: &str = "keeps_values_whole";
pub(super) const EXPIRES: &str = "lets_values_expire";
pub(super) const GRANTS_ONCE: &str = "grants_a_lock_to_one";
pub(super) const ANOTHERS: &str = "leaves_anothers_lock_alone";
pub(super) const READS_LAST: &str = "reads_what_was_written_last";
pub(super) const IN_TIME: &str = "answers_in_time";
pub(super) const KEYS_APART: &str = "keeps_keys_apart";

pub(super) const ALL: &[(&str, Check)] = &[
    (KEEPS, keeps_what_is_put),
    (WHOLE, keeps_values_whole),
    (READS_LAST, reads_what_was_written_last),
    (EXPIRES, lets_values_expire),
    ("removes_what_is_there", removes_what_is_there),
    (KEYS_APART, keeps_keys_apart),
    ("tells_ages_that_grow", tells_ages_that_grow),
    (GRANTS_ONCE, grants_a_lock_to_one),
    ("grants_a_lock_to_one_of_many", grants_a_lock_to_one_of_many),
    (ANOTHERS, leaves_anothers_lock_alone),
    ("frees_a_lock_that_is_given_back", frees_a_lock_that_is_given_back),
    ("lets_a_lock_expire", lets_a_lock_expire),
    ("renews_a_lock", renews_a_lock),
    ("writes_nothing_for_who_lost_the_lock", writes_nothing_for_who_lost_the_lock),
    ("takes_the_lock_away_with_the_value", takes_the_lock_away_with_the_value),
    (IN_TIME, answers_in_time),
];

fn ensure(holds: bool, message: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(message()) }
}

fn failed(error: StoreError) -> String {
    format!("the store failed: {error}")
}

/// A lock that does not expire during a check.
fn long() -> RefreshLock {
    RefreshLock::new(Duration::from_secs(3600))
}

impl Subject<'_> {
    fn put(&self, key: &str, value: &str, life: Life) -> Checked {
        self.store.put(key, &value.to_owned(), life, &self.within()).map_err(failed)
    }

    fn get(&self, key: &str) -> Result<Option<String>, String> {
        let found = self.store.get(key, &self.within()).map_err(failed)?;
        Ok(found.map(|found| found.value))
    }

    fn has(&self, key: &str, wanted: Option<&str>, when: &str) -> Checked {
        let found = self.get(key)?;
        ensure(found.as_deref() == wanted, || {
            format!("{when}: key {key:?} has {found:?}, and {wanted:?} is wanted")
        })
    }

    fn begin(&self, key: &str, lock: &RefreshLock) -> Result<Begun<String>, String> {
        self.store.begin_refresh(key, lock, &self.within()).map_err(failed)
    }

    fn grants(&self, lock: &RefreshLock, wanted: bool, when: &str) -> Checked {
        let granted = self.begin("key", lock)?.granted;
        ensure(granted == wanted, || format!("{when}: granted is {granted}"))
    }

    fn finish(&self, value: &str, life: Life, lock: &RefreshLock) -> Result<Written, String> {
        let value = value.to_owned();
        self.store.finish_refresh("key", &value, life, lock, &self.within()).map_err(failed)
    }

    fn writes(&self, value: &str, lock: &RefreshLock, wanted: Written, when: &str) -> Checked {
        let written = self.finish(value, Life::FOREVER, lock)?;
        ensure(written == wanted, || format!("{when}: written is {written:?}"))
    }

    fn abandon(&self, lock: &RefreshLock) -> Checked {
        self.store.abandon_refresh("key", lock, &self.within()).map_err(failed)
    }

    fn renews(&self, lock: &RefreshLock, wanted: bool, when: &str) -> Checked {
        let renewed = self.store.renew("key", lock, &self.within()).map_err(failed)?;
        ensure(renewed == wanted, || format!("{when}: renewed is {renewed}"))
    }

    fn remove(&self, key: &str) -> Checked {
        self.store.remove(key, &self.within()).map_err(failed)
    }

    /// So that what lives for the suite's time to live is over.
    fn pass_ttl(&self) {
        self.pass(self.suite.ttl + self.suite.ttl / 4);
    }
}

fn keeps_what_is_put(subject: &Subject<'_>) -> Checked {
    subject.has("key", None, "at first")?;
    subject.put("key", "value", Life::FOREVER)?;
    for _ in 0..3 {
        subject.has("key", Some("value"), "after a put")?;
    }
    Ok(())
}

fn keeps_values_whole(subject: &Subject<'_>) -> Checked {
    let large = "0123456789abcdef".repeat(4_096);
    for value in ["", " ", "null", "a\0b\r\n\"\\", "å日本語🦀", &large] {
        subject.put("key", value, Life::FOREVER)?;
        let by_put = subject.get("key")?;
        subject.remove("key")?;
        let lock = long();
        subject.grants(&lock, true, "nobody has it")?;
        subject.writes(value, &lock, Written::Yes, "it is the caller's")?;
        let by_finish = subject.get("key")?;
        subject.remove("key")?;
        let is_whole = [by_put, by_finish].iter().all(|found| found.as_deref() == Some(value));
        ensure(is_whole, || format!("a value of {} bytes came back as another", value.len()))?;
    }
    Ok(())
}

fn reads_what_was_written_last(subject: &Subject<'_>) -> Checked {
    subject.put("key", "one", Life::FOREVER)?;
    subject.has("key", Some("one"), "after the first put")?;
    subject.put("key", "two", Life::FOREVER)?;
    subject.has("key", Some("two"), "after the second put")?;
    let lock = long();
    let found = subject.begin("key", &lock)?.found.map(|found| found.value);
    ensure(found.as_deref() == Some("two"), || {
        format!("begin_refresh finds {found:?}, and \"two\" was put")
    })?;
    subject.writes("three", &lock, Written::Yes, "it is the caller's")?;
    subject.has("key", Some("three"), "after the refresh")
}

fn lets_values_expire(subject: &Subject<'_>) -> Checked {
    let life = Life::of(subject.suite.ttl);
    subject.put("key", "value", life)?;
    subject.has("key", Some("value"), "before its time is over")?;
    subject.pass_ttl();
    subject.has("key", None, "after its time to live")?;
    let lock = long();
    subject.grants(&lock, true, "nobody has it")?;
    let _ = subject.finish("value", life, &lock)?;
    subject.has("key", Some("value"), "before its time is over")?;
    subject.pass_ttl();
    let found = subject.begin("key", &long())?.found;
    ensure(found.is_none(), || format!("after its time to live a refresh finds {found:?}"))
}

fn removes_what_is_there(subject: &Subject<'_>) -> Checked {
    subject.remove("key")?;
    subject.put("key", "value", Life::FOREVER)?;
    subject.remove("key")?;
    subject.has("key", None, "after its removal")
}

fn keeps_keys_apart(subject: &Subject<'_>) -> Checked {
    let keys = &subject.suite.keys;
    for key in keys {
        subject.put(key, &format!("of {key}"), Life::FOREVER)?;
    }
    for key in keys {
        subject.has(key, Some(&format!("of {key}")), "with others beside it")?;
    }
    let [first, others @ ..] = &keys[..] else { return Ok(()) };
    for key in keys {
        let granted = subject.begin(key, &long())?.granted;
        ensure(granted, || format!("a lock of another key is in the way of {key:?}"))?;
    }
    subject.remove(first)?;
    subject.has(first, None, "after its removal")?;
    for key in others {
        subject.has(key, Some(&format!("of {key}")), "after the removal of another")?;
    }
    Ok(())
}

fn tells_ages_that_grow(subject: &Subject<'_>) -> Checked {
    let aged = 8 * subject.suite.ttl;
    subject.put("key", "value", Life { ttl: None, age: Some(aged) })?;
    let age = || {
        let found = subject.store.get("key", &subject.within()).map_err(failed)?;
        Ok::<_, String>(found.and_then(|found| found.age))
    };
    let Some(before) = age()? else { return Ok(()) };
    subject.pass(subject.suite.ttl);
    let after = age()?.unwrap_or_default();
    ensure(before >= aged, || format!("put at the age of {aged:?}, it is {before:?}"))?;
    ensure(after >= before + subject.suite.ttl / 2, || {
        format!("after {:?} the age is {after:?}, and was {before:?}", subject.suite.ttl)
    })
}

fn grants_a_lock_to_one(subject: &Subject<'_>) -> Checked {
    let (ours, theirs) = (long(), long());
    subject.grants(&ours, true, "nobody has it")?;
    subject.grants(&theirs, false, "another has it")?;
    subject.grants(&ours, true, "the caller has it")?;
    subject.grants(&theirs, false, "another has it still")
}

fn grants_a_lock_to_one_of_many(subject: &Subject<'_>) -> Checked {
    const THREADS: usize = 8;
    let (barrier, granted) = (Barrier::new(THREADS), AtomicUsize::new(0));
    let (store, budget) = (subject.store, subject.suite.budget);
    let results: Vec<Checked> = std::thread::scope(|scope| {
        let call = || {
            let context = Context::background();
            let within = Within::new(&context, budget);
            barrier.wait();
            let begun = store.begin_refresh("key", &long(), &within).map_err(failed)?;
            granted.fetch_add(usize::from(begun.granted), Ordering::Relaxed);
            Ok(())
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(call)).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, Checked>| thread.join();
        let panicked = |_| Err("a call panicked".to_owned());
        threads.into_iter().map(|thread| join(thread).unwrap_or_else(panicked)).collect()
    });
    results.into_iter().collect::<Checked>()?;
    let granted = granted.into_inner();
    ensure(granted == 1, || format!("it was granted to {granted} of {THREADS} at once"))
}

fn leaves_anothers_lock_alone(subject: &Subject<'_>) -> Checked {
    let (ours, theirs) = (long(), long());
    subject.grants(&theirs, true, "nobody has it")?;
    subject.abandon(&ours)?;
    subject.renews(&theirs, true, "another has tried to give it back")?;
    subject.renews(&ours, false, "it is another's")?;
    subject.writes("ours", &ours, Written::Lost, "it is another's")?;
    subject.has("key", None, "after a write without the lock")?;
    subject.writes("theirs", &theirs, Written::Yes, "it is the caller's")
}

fn frees_a_lock_that_is_given_back(subject: &Subject<'_>) -> Checked {
    for _ in 0..2 {
        let (first, second, third) = (long(), long(), long());
        subject.grants(&first, true, "nobody has it")?;
        subject.abandon(&first)?;
        subject.abandon(&first)?;
        subject.grants(&second, true, "it was given back")?;
        subject.writes("value", &second, Written::Yes, "it is the caller's")?;
        subject.writes("other", &second, Written::Lost, "it was given back by the write")?;
        subject.grants(&third, true, "it was given back by a write")?;
        subject.abandon(&third)?;
    }
    Ok(())
}

fn lets_a_lock_expire(subject: &Subject<'_>) -> Checked {
    let (dead, ours, theirs) = (RefreshLock::new(subject.suite.ttl), long(), long());
    subject.grants(&dead, true, "nobody has it")?;
    subject.grants(&ours, false, "its holder may be alive")?;
    subject.pass_ttl();
    subject.grants(&ours, true, "its holder is dead")?;
    subject.grants(&theirs, false, "another has taken it over")
}

fn renews_a_lock(subject: &Subject<'_>) -> Checked {
    let (ours, theirs) = (RefreshLock::new(subject.suite.ttl), long());
    subject.grants(&ours, true, "nobody has it")?;
    for _ in 0..3 {
        subject.pass(subject.suite.ttl / 2);
        subject.renews(&ours, true, "it is the caller's")?;
    }
    subject.grants(&theirs, false, "it has been renewed")?;
    subject.abandon(&ours)?;
    subject.renews(&ours, false, "it was given back")
}

fn writes_nothing_for_who_lost_the_lock(subject: &Subject<'_>) -> Checked {
    let (overran, theirs) = (RefreshLock::new(subject.suite.ttl), long());
    subject.grants(&overran, true, "nobody has it")?;
    subject.pass_ttl();
    subject.grants(&theirs, true, "its time is over")?;
    subject.renews(&overran, false, "it is another's by now")?;
    subject.writes("newer", &theirs, Written::Yes, "it is the caller's")?;
    subject.writes("older", &overran, Written::Lost, "it was another's")?;
    subject.has("key", Some("newer"), "after a write that came too late")
}

fn takes_the_lock_away_with_the_value(subject: &Subject<'_>) -> Checked {
    let first = long();
    subject.grants(&first, true, "nobody has it")?;
    subject.remove("key")?;
    subject.writes("older", &first, Written::Lost, "the key was removed since")?;
    subject.has("key", None, "after its removal")?;
    let second = long();
    subject.grants(&second, true, "nobody has it")?;
    subject.put("key", "newer", Life::FOREVER)?;
    subject.writes("older", &second, Written::Lost, "the key was written since")?;
    subject.has("key", Some("newer"), "after a put")
}

/// How much longer than its time a call may take on a busy machine.
const SLACK: Duration = Duration::from_millis(500);

fn answers_in_time(subject: &Subject<'_>) -> Checked {
    let budget = Duration::from_millis(20);
    let timed = |name: &str, call: &dyn Fn(&Within<'_>)| {
        let start = Instant::now();
        call(&Within::new(subject.context, budget));
        let took = start.elapsed();
        ensure(took <= budget + SLACK, || format!("{name} took {took:?}, and had {budget:?}"))
    };
    let (store, lock, value) = (subject.store, long(), String::new());
    // What they come to is another matter.
    timed("get", &|within| drop(store.get("key", within)))?;
    timed("begin_refresh", &|within| drop(store.begin_refresh("key", &lock, within)))?;
    timed("renew", &|within| drop(store.renew("key", &lock, within)))?;
    let finish = |within: &Within<'_>| {
        drop(store.finish_refresh("key", &value, Life::FOREVER, &lock, within));
    };
    timed("finish_refresh", &finish)?;
    timed("abandon_refresh", &|within| drop(store.abandon_refresh("key", &lock, within)))?;
    timed("put", &|within| drop(store.put("key", &value, Life::FOREVER, within)))?;
    timed("remove", &|within| drop(store.remove("key", within)))
}
