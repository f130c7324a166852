//! What one writes without this crate: a map of slots behind a mutex, and a condition variable in
//! each.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Callers of the same key share one run. A run that panics makes those that wait for it panic.
#[derive(Debug)]
pub(super) struct Group<K, T> {
    flights: Mutex<HashMap<K, Arc<Slot<T>>>>,
}

#[derive(Debug)]
struct Slot<T> {
    state: Mutex<State<T>>,
    landed: Condvar,
}

#[derive(Debug)]
enum State<T> {
    Runs,
    Done(T),
    Panicked,
}

impl<K, T> Default for Group<K, T> {
    fn default() -> Self {
        Group { flights: Mutex::default() }
    }
}

impl<K: Hash + Eq, T: Clone> Group<K, T> {
    /// Runs `work`, or waits for the run of `key` under way and shares its value.
    pub(super) fn run<Q>(&self, key: &Q, work: impl FnOnce() -> T) -> T
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let mut flights = lock(&self.flights);
        if let Some(slot) = flights.get(key) {
            let slot = Arc::clone(slot);
            drop(flights);
            return slot.wait();
        }
        let slot = Arc::new(Slot { state: Mutex::new(State::Runs), landed: Condvar::new() });
        flights.insert(key.to_owned(), Arc::clone(&slot));
        drop(flights);
        let mut lead = Lead { group: self, key, slot: &slot, outcome: State::Panicked };
        let value = work();
        lead.outcome = State::Done(value.clone());
        value
    }
}

impl<T: Clone> Slot<T> {
    fn wait(&self) -> T {
        let mut state = lock(&self.state);
        loop {
            match &*state {
                State::Runs => {
                    state = self.landed.wait(state).unwrap_or_else(PoisonError::into_inner)
                }
                State::Done(value) => return value.clone(),
                State::Panicked => panic!("the run panicked"),
            }
        }
    }
}

/// Ends the run, also by a panic: the key is free and those that wait are told.
struct Lead<'a, K: Hash + Eq + Borrow<Q>, Q: Hash + Eq + ?Sized, T> {
    group: &'a Group<K, T>,
    key: &'a Q,
    slot: &'a Slot<T>,
    outcome: State<T>,
}

impl<K: Hash + Eq + Borrow<Q>, Q: Hash + Eq + ?Sized, T> Drop for Lead<'_, K, Q, T> {
    fn drop(&mut self) {
        lock(&self.group.flights).remove(self.key);
        *lock(&self.slot.state) = std::mem::replace(&mut self.outcome, State::Panicked);
        self.slot.landed.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::thread;

    /// Until `callers` hold the slot of `key` besides the map: all of them have joined its run.
    fn wait_for(group: &Group<String, u64>, key: &str, callers: usize) {
        while lock(&group.flights).get(key).is_none_or(|slot| Arc::strong_count(slot) <= callers) {
            thread::yield_now();
        }
    }

    #[test]
    fn those_who_call_during_a_run_share_its_value() {
        let group = Group::<String, u64>::default();
        thread::scope(|scope| {
            let led = group.run("key", || {
                let joined: Vec<_> =
                    (0..3).map(|_| scope.spawn(|| group.run("key", || 2))).collect();
                wait_for(&group, "key", 1 + joined.len());
                scope.spawn(move || {
                    for caller in joined {
                        assert!(matches!(caller.join(), Ok(1)));
                    }
                });
                1
            });
            assert_eq!(led, 1);
        });
        assert_eq!(group.run("key", || 3), 3, "nothing is kept");
    }

    #[test]
    fn keys_do_not_meet() {
        let group = Group::<String, u64>::default();
        assert_eq!(group.run("outer", || group.run("inner", || 1) + 1), 2);
        assert!(lock(&group.flights).is_empty());
    }

    #[test]
    fn a_panic_reaches_those_who_wait_and_frees_the_key() {
        let group = Group::<String, u64>::default();
        thread::scope(|scope| {
            let led = catch_unwind(AssertUnwindSafe(|| {
                group.run("key", || {
                    let joined = scope.spawn(|| {
                        assert!(catch_unwind(AssertUnwindSafe(|| group.run("key", || 2))).is_err());
                    });
                    wait_for(&group, "key", 2);
                    drop(joined);
                    panic!("no value")
                })
            }));
            assert!(led.is_err());
        });
        assert_eq!(group.run("key", || 3), 3);
    }
}
