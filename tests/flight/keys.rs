//! Keys of all kinds, alone and by the thousand.

use crate::common::flight::{Gate, Task, hush, message_of};
use docache::{FlightError, Group, KeyedGroup};
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

#[test]
fn keys_without_a_size() {
    #[derive(Debug, Hash, PartialEq, Eq)]
    struct Unit;
    let group = KeyedGroup::<Unit, u32>::new();
    let leader = Task::begun(group.run_async(Unit, std::future::pending));
    let heir = Task::begun(group.run_async(Unit, || async { 2 }));
    drop(leader);
    assert!(heir.ends().led());
    assert_eq!(*group.run(&Unit, || 3), 3);
    let group = KeyedGroup::<(), u32>::new();
    assert_eq!(*group.run(&(), || group.in_flight() as u32), 1);
    assert_eq!(group.run_many(&[&(), &()], |keys| vec![keys.len() as u32]).len(), 2);
}

#[test]
fn keys_are_compared_as_what_they_are_borrowed_as() {
    let group = KeyedGroup::<str, u32>::new();
    let gate = Gate::default();
    let leader = Task::begun(group.run_async("key".to_owned(), || gate.then(1)));
    let waiters = [
        Task::begun(group.run_async("key", || async { 2 })),
        Task::begun(group.run_async(Arc::<str>::from("key"), || async { 2 })),
        Task::begun(group.run_async(Box::<str>::from("key"), || async { 2 })),
    ];
    assert!(group.run("kez", || 3).led());
    assert_eq!(group.in_flight(), 1);
    gate.open();
    assert!(leader.ends().is_shared());
    assert!(waiters.into_iter().all(|waiter| *waiter.ends() == 1));
}

#[test]
fn slices_and_vectors() {
    let group: KeyedGroup<[u8], u32> = KeyedGroup::builder().debug_keys().build().unwrap();
    let gate = Gate::default();
    let leader = Task::begun(group.run_async(vec![0, 255, 0], || gate.then(1)));
    let waiter = Task::begun(group.run_async([0_u8, 255, 0], || async { 2 }));
    assert!(group.run(&[0, 255], || 3).led());
    assert!(group.run(&[], || 4).led());
    gate.open();
    assert_eq!((*leader.ends(), *waiter.ends()), (1, 1));
    assert!(
        message_of(|| group.run(&[1, 2], || *group.run(&[1, 2], || 1))).starts_with("key [1, 2]: ")
    );
}

#[test]
fn the_key_of_an_heir_takes_the_place_of_its_leaders() {
    // The leader's key goes with its future; later calls are compared with the heir's.
    let group = KeyedGroup::<str, u32>::builder().shards(1).build().unwrap();
    let gate = Gate::default();
    let leader = Task::begun(group.run_async(String::from("key"), std::future::pending));
    let heir = Task::begun(group.run_async(String::from("key"), || gate.then(2)));
    drop(leader);
    let late = Task::begun(group.run_async(String::from("key"), || async { 3 }));
    let key = String::from("key");
    assert!(group.forget(&key) && !group.forget(&key));
    gate.open();
    assert_eq!((*heir.ends(), *late.ends()), (2, 2));
}

#[test]
fn one_shard_holds_thousands_of_flights() {
    const KEYS: usize = 5_000;
    let group = KeyedGroup::<usize, usize>::builder().shards(1).build().unwrap();
    let gate = Gate::default();
    let (mut leaders, begin) = (Vec::new(), &gate);
    for key in 0..KEYS {
        leaders.push(Task::begun(group.run_async(key, move || begin.then(key))));
        assert_eq!(group.in_flight(), key + 1);
    }
    let waiters: Vec<_> =
        (0..KEYS).map(|key| Task::begun(group.run_async(key, || async { KEYS }))).collect();
    assert_eq!(group.in_flight(), KEYS);
    // Every third is forgotten, every third is dropped, and its waiter leads.
    for key in (0..KEYS).step_by(3) {
        assert!(group.forget(&key));
    }
    assert_eq!(group.in_flight(), KEYS - KEYS.div_ceil(3));
    gate.open();
    for (key, (leader, waiter)) in leaders.into_iter().zip(waiters).enumerate() {
        if key % 3 == 1 {
            drop(leader);
            let led = waiter.ends();
            assert!(led.led() && *led == KEYS);
        } else {
            assert_eq!((*leader.ends(), *waiter.ends()), (key, key));
        }
    }
    assert_eq!(group.in_flight(), 0);
    assert!(group.run(&7, || 7).led());
}

#[test]
fn runs_within_runs_go_as_deep_as_the_stack() {
    fn nest(group: &KeyedGroup<usize, usize>, depth: usize) -> usize {
        *group.run(&depth, || if depth == 0 { group.in_flight() } else { nest(group, depth - 1) })
    }
    let group = KeyedGroup::builder().shards(1).build().unwrap();
    assert_eq!(nest(&group, 200), 201);
    assert_eq!(group.in_flight(), 0);
}

/// A key whose comparison panics while it is told to.
#[derive(Clone)]
struct Touchy(u32, Arc<AtomicBool>);

impl PartialEq for Touchy {
    fn eq(&self, other: &Touchy) -> bool {
        if self.1.load(Ordering::SeqCst) {
            hush("cannot be compared");
        }
        self.0 == other.0
    }
}

impl Eq for Touchy {}

impl Hash for Touchy {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl std::fmt::Debug for Touchy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[test]
fn a_comparison_that_panics_harms_its_own_call_only() {
    let group = KeyedGroup::<Touchy, u32>::builder().shards(1).build().unwrap();
    let (armed, gate) = (Arc::new(AtomicBool::new(false)), Gate::default());
    let key = |number| Touchy(number, armed.clone());
    let leader = Task::begun(group.run_async(key(1), || gate.then(1)));
    let waiter = Task::begun(group.run_async(key(1), || async { 4 }));
    armed.store(true, Ordering::SeqCst);
    let text = "cannot be compared";
    assert_eq!(message_of(|| group.run(&key(1), || 3)), text);
    assert_eq!(message_of(|| Task::new(group.run_async(key(1), || async { 3 })).poll()), text);
    assert_eq!(message_of(|| group.forget(&key(1))), text);
    let runs = AtomicUsize::new(0);
    let many = || {
        group.run_many(&[&key(2), &key(1), &key(3)], |keys| {
            runs.fetch_add(1, Ordering::SeqCst);
            keys.iter().map(|key| key.0).collect()
        })
    };
    assert_eq!(message_of(many), text);
    assert_eq!(
        (runs.load(Ordering::SeqCst), group.in_flight()),
        (0, 1),
        "the lead of key 2 was given up"
    );
    armed.store(false, Ordering::SeqCst);
    gate.open();
    assert_eq!((*leader.ends(), *waiter.ends()), (1, 1));
    assert_eq!(many().iter().map(|end| **end).collect::<Vec<_>>(), [2, 1, 3]);
}

fn assert_send<T: Send>(value: T) -> T {
    value
}

#[test]
fn futures_are_send_if_what_they_are_made_of_is() {
    fn send_and_sync<T: Send + Sync>() {}
    send_and_sync::<KeyedGroup<str, std::cell::Cell<u32>, String>>();
    send_and_sync::<Group<std::cell::Cell<u32>, String>>();
    send_and_sync::<FlightError<String>>();
    let group = KeyedGroup::<str, std::cell::Cell<u32>, String>::new();
    let single = Group::<std::cell::Cell<u32>, String>::new();
    let context = docache::Context::new();
    let work = || async { Ok(std::cell::Cell::new(1)) };
    let futures = [
        Task::new(assert_send(group.try_run_async(String::from("a"), work))),
        Task::new(assert_send(group.try_run_async_in(&context, "b", work))),
        Task::new(assert_send(single.try_run_async(work))),
    ];
    assert!(futures.into_iter().all(|future| future.ends().unwrap().get() == 1));
    let group = KeyedGroup::<u64, u32>::new();
    let single = Group::<u32>::new();
    let futures = [
        Task::new(assert_send(group.run_async(1, || async { 1 }))),
        Task::new(assert_send(single.run_async(|| async { 1 }))),
    ];
    assert!(futures.into_iter().all(|future| *future.ends() == 1));
}
