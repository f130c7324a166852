//! Values that are empty, large, borrowed, bound to one thread at a time, or that panic.

use crate::common::flight::{Gate, Joins, Key, Task, hush, message_of, until};
use docache::{FlightError, Group, KeyedGroup};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn nothing_at_all() {
    let group = Group::<()>::new();
    let gate = Gate::default();
    let leader = Task::begun(group.run_async(|| gate.pass()));
    let waiter = Task::begun(group.run_async(|| async {}));
    gate.open();
    assert!(leader.ends().is_shared() && !waiter.ends().led());
}

/// One value for `waiters` tasks and four threads; on threads with the smallest stack that std
/// gives by itself.
fn shared_by_all<const N: usize>(waiters: usize) {
    let (group, joins, gate) =
        (KeyedGroup::<Key, [u8; N]>::new(), Joins::default(), Gate::default());
    let key = joins.key("key");
    std::thread::scope(|scope| {
        let leader = scope.spawn(|| {
            group
                .run(&key, || {
                    until(|| gate.is_open());
                    [7; N]
                })
                .led()
        });
        until(|| group.in_flight() == 1);
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| group.run(&key, || [0; N]).iter().all(|byte| *byte == 7)))
            .collect();
        let tasks: Vec<_> = (0..waiters)
            .map(|_| Task::begun(group.run_async(key.clone(), || async { [0; N] })))
            .collect();
        joins.reach(waiters + 4, &group);
        gate.open();
        assert!(leader.join().unwrap());
        assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
        for task in tasks {
            until(|| task.wakes() == 1);
            assert!(task.ends().iter().all(|byte| *byte == 7));
        }
    });
}

#[test]
fn a_kibibyte() {
    shared_by_all::<1024>(50);
}

#[test]
fn much_more_than_should_be_cloned() {
    shared_by_all::<{ 32 * 1024 }>(20);
}

#[test]
fn a_value_may_be_for_one_thread_at_a_time() {
    // `Cell` is `Send` but not `Sync`: each clone belongs to its caller.
    let (group, joins, gate) =
        (KeyedGroup::<Key, Cell<u32>>::new(), Joins::default(), Gate::default());
    let key = joins.key("key");
    let leader = Task::begun(group.run_async(key.clone(), || gate.then(Cell::new(1))));
    std::thread::scope(|scope| {
        let waiters: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let end = group.run(&key, || Cell::new(9)).into_inner();
                    end.replace(8)
                })
            })
            .collect();
        joins.reach(4, &group);
        gate.open();
        assert_eq!(leader.ends().get(), 1);
        assert!(waiters.into_iter().all(|waiter| waiter.join().unwrap() == 1));
    });
}

#[test]
fn a_group_for_one_thread_takes_anything() {
    let text = String::from("borrowed");
    let group = Group::<(&str, Rc<u32>), Rc<str>>::new();
    let gate = Gate::default();
    let leader = Task::begun(group.try_run_async(|| gate.then(Ok((text.as_str(), Rc::new(1))))));
    let waiter = Task::begun(group.try_run_async(|| async { Err(Rc::from("no")) }));
    gate.open();
    let (led, joined) = (leader.ends().unwrap(), waiter.ends().unwrap());
    assert!(std::ptr::eq(led.0, joined.0) && Rc::ptr_eq(&led.1, &joined.1));
    let error = group.try_run(|| Err(Rc::from("no"))).unwrap_err();
    assert_eq!(&**error.failure().unwrap(), "no");
}

/// A value that counts how many of it there are, and whose clones and destructor do something else
/// besides.
struct Odd<'a> {
    alive: Rc<Cell<isize>>,
    on_clone: Rc<dyn Fn() + 'a>,
    on_drop: Rc<dyn Fn() + 'a>,
}

impl<'a> Odd<'a> {
    fn new(alive: &Rc<Cell<isize>>, on_clone: impl Fn() + 'a, on_drop: impl Fn() + 'a) -> Odd<'a> {
        alive.set(alive.get() + 1);
        Odd { alive: alive.clone(), on_clone: Rc::new(on_clone), on_drop: Rc::new(on_drop) }
    }
}

impl Clone for Odd<'_> {
    fn clone(&self) -> Self {
        (self.on_clone)();
        self.alive.set(self.alive.get() + 1);
        Odd {
            alive: self.alive.clone(),
            on_clone: self.on_clone.clone(),
            on_drop: self.on_drop.clone(),
        }
    }
}

impl Drop for Odd<'_> {
    fn drop(&mut self) {
        self.alive.set(self.alive.get() - 1);
        (self.on_drop)();
    }
}

fn nothing() {}

/// Does something at its `n`th use, from 1.
fn at(n: usize, uses: &Cell<usize>, what: impl FnOnce()) {
    uses.set(uses.get() + 1);
    if uses.get() == n {
        what();
    }
}

#[test]
fn a_clone_that_panics_is_the_end_of_that_waiters_call_only() {
    let (alive, clones) = (Rc::new(Cell::new(0)), Cell::new(0));
    let on_clone = || at(2, &clones, || hush("cannot be cloned"));
    let group = Group::new();
    let gate = Gate::default();
    let leader = Task::begun(group.run_async(|| gate.then(Odd::new(&alive, on_clone, nothing))));
    let context = docache::Context::new();
    let waiter = || Task::begun(group.run_async_in(&context, || async { unreachable!() }));
    let waiters: Vec<_> = (0..3).map(|_| waiter()).collect();
    gate.open();
    assert!(leader.ends().led());
    let ends: Vec<_> = waiters.into_iter().map(Task::ends).collect();
    let failed: Vec<_> = ends.iter().filter_map(|end| end.as_ref().err()).collect();
    assert_eq!(failed.len(), 1);
    let message = match failed[0] {
        FlightError::Panicked(message) => &**message,
        other => panic!("{other:?}"),
    };
    assert_eq!(message, "cannot be cloned", "the message is the panic's own");
    drop(ends);
    assert_eq!(alive.get(), 0);
    assert!(!group.in_flight());
}

/// A value whose first clone fails.
struct Shy(Arc<AtomicUsize>);

impl Clone for Shy {
    fn clone(&self) -> Self {
        if self.0.fetch_add(1, Ordering::SeqCst) == 0 {
            hush("cannot be cloned");
        }
        Shy(self.0.clone())
    }
}

#[test]
fn a_thread_whose_clone_panics_does_not_tell_the_others_so() {
    let (group, joins, gate) = (KeyedGroup::<Key, Shy>::new(), Joins::default(), Gate::default());
    let (key, context) = (joins.key("key"), docache::Context::new());
    let leader = Task::begun(group.run_async(key.clone(), || gate.then(Shy(Arc::default()))));
    let tasks: Vec<_> = (0..40)
        .map(|_| {
            Task::begun(group.run_async_in(&context, key.clone(), || async { unreachable!() }))
        })
        .collect();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| group.run_in(&context, &key, || unreachable!()).is_ok()))
            .collect();
        joins.reach(43, &group);
        gate.open();
        assert!(leader.ends().is_shared());
        let threads = threads.into_iter().map(|thread| thread.join().unwrap());
        let well = threads.filter(|well| *well).count();
        until(|| tasks.iter().all(|task| task.wakes() == 1));
        let well = well + tasks.into_iter().filter_map(|task| task.ends().ok()).count();
        assert_eq!(well, 42, "one clone failed");
    });
}

#[test]
fn a_destructor_that_panics_does_so_where_the_value_is_dropped() {
    let (alive, drops) = (Rc::new(Cell::new(0)), Cell::new(0));
    let on_drop = || at(1, &drops, || hush("a bad destructor"));
    let group = Group::new();
    let gate = Gate::default();
    let leader = Task::begun(group.run_async(|| gate.then(Odd::new(&alive, nothing, on_drop))));
    let told = Task::begun(group.run_async(|| async { unreachable!() }));
    let other = Task::begun(group.run_async(|| async { unreachable!() }));
    gate.open();
    let led = leader.ends();
    assert_eq!(message_of(|| drop(told)), "a bad destructor", "it was told and never looked");
    assert!(!other.ends().led());
    drop(led);
    assert_eq!((alive.get(), group.in_flight()), (0, false));
}

#[test]
fn a_copy_for_somebody_who_left_in_time_is_dropped_where_its_panic_harms_nobody() {
    type Waiter = Task<'static, docache::Shared<Odd<'static>>>;
    let (alive, clones, drops) = (Rc::new(Cell::new(0)), Cell::new(0), Rc::new(Cell::new(0)));
    let leaving: Rc<RefCell<Vec<Waiter>>> = Rc::default();
    // The first clone, which is user code, makes the other waiters leave: two clones are then too
    // many.
    let leave = leaving.clone();
    let on_clone = move || at(1, &clones, || drop(leave.take()));
    let dropped = drops.clone();
    let on_drop = move || at(1, &dropped, || hush("a bad destructor"));
    let group = Rc::new(Group::new());
    let gate = Gate::default();
    let leader = Task::begun(group.run_async(|| gate.then(Odd::new(&alive, on_clone, on_drop))));
    let waiter = || {
        let group = group.clone();
        Task::begun(async move { group.run_async(|| async { unreachable!() }).await })
    };
    let stays: Waiter = waiter();
    leaving.borrow_mut().extend([waiter(), waiter()]);
    gate.open();
    let led = leader.ends();
    assert!(led.led());
    assert!(!stays.ends().led());
    drop(led);
    assert_eq!((alive.get(), drops.get()), (0, 4));
    assert!(!group.in_flight());
}

#[test]
fn a_clone_may_use_the_group() {
    let (alive, clones) = (Rc::new(Cell::new(0)), Cell::new(0));
    let group = KeyedGroup::<str, Odd<'_>>::builder().shards(1).build().unwrap();
    let gate = Gate::default();
    let used = Cell::new(false);
    // The flight has ended when its value is cloned, so its key is free.
    let on_clone = || {
        at(1, &clones, || {
            assert!(group.run("key", || Odd::new(&alive, nothing, nothing)).led());
            used.set(true);
        });
    };
    let leader =
        Task::begun(group.run_async("key", || gate.then(Odd::new(&alive, on_clone, nothing))));
    let waiter = Task::begun(group.run_async("key", || async { unreachable!() }));
    gate.open();
    assert!(leader.ends().led() && !waiter.ends().led() && used.get());
    assert_eq!((alive.get(), group.in_flight()), (0, 0));
}

#[test]
fn errors_are_shared_and_not_kept() {
    #[derive(Debug)]
    struct Refused;
    let group = Group::<u32, Refused>::new();
    let gate = Gate::default();
    let leader = Task::begun(group.try_run_async(|| gate.then(Err(Refused))));
    let waiter = Task::begun(group.try_run_async(|| async { unreachable!() }));
    gate.open();
    let (FlightError::Failed(led), FlightError::Failed(joined)) =
        (leader.ends().unwrap_err(), waiter.ends().unwrap_err())
    else {
        panic!("the work failed");
    };
    assert!(Arc::ptr_eq(&led, &joined));
    drop(joined);
    assert_eq!(Arc::strong_count(&led), 1);
    assert_eq!(*group.try_run(|| Ok(1)).unwrap(), 1);
}
