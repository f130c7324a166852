//! Calls from inside the work that they would wait for.

use crate::common::flight::{Gate, Task, message_of, until};
use docache::{FlightError, Group, KeyedGroup};
use std::task::Poll;

type Words = KeyedGroup<str, u32, &'static str>;

fn words() -> Words {
    KeyedGroup::builder().debug_keys().build().unwrap()
}

fn assert_reentrant(error: &FlightError<&str>) {
    assert!(matches!(error, FlightError::Reentrant(key) if &**key == "\"key\""), "{error:?}");
    let text = "key \"key\": the call came from inside the run that it would have waited for";
    assert_eq!(error.to_string(), text);
}

#[test]
fn a_thread_in_a_thread() {
    let group = words();
    let outer = group.try_run("key", || {
        assert_reentrant(&group.try_run("key", || unreachable!()).unwrap_err());
        assert_eq!(group.in_flight(), 1, "the run goes on");
        Ok(1)
    });
    assert_eq!(*outer.unwrap(), 1);
}

#[test]
fn a_task_in_a_thread() {
    let group = words();
    let outer = group.try_run("key", || {
        let inner = Task::new(group.try_run_async("key", || async { unreachable!() }));
        assert_reentrant(&inner.ends().unwrap_err());
        Ok(1)
    });
    assert_eq!(*outer.unwrap(), 1);
}

#[test]
fn a_thread_in_a_task_in_its_closure_and_in_each_poll() {
    let group = words();
    let gate = Gate::default();
    let inside = || assert_reentrant(&group.try_run("key", || unreachable!()).unwrap_err());
    let mut outer = Task::begun(group.try_run_async("key", || {
        inside();
        let mut passed = Box::pin(gate.then(Ok(1)));
        std::future::poll_fn(move |cx| {
            inside();
            passed.as_mut().poll(cx)
        })
    }));
    outer.waits();
    // Between the polls nobody is inside.
    let waiter = Task::begun(group.try_run_async("key", || async { Ok(2) }));
    gate.open();
    assert_eq!(*outer.ends().unwrap(), 1);
    assert_eq!(*waiter.ends().unwrap(), 1);
}

#[test]
fn a_task_in_a_task() {
    let group = words();
    let outer = Task::new(group.try_run_async("key", || async {
        assert_reentrant(
            &group.try_run_async("key", || async { unreachable!() }).await.unwrap_err(),
        );
        Ok(1)
    }));
    assert_eq!(*outer.ends().unwrap(), 1);
}

#[test]
fn an_heir_is_inside_its_own_work_too() {
    let group = words();
    let first = Task::begun(group.try_run_async("key", std::future::pending));
    let heir = Task::begun(group.try_run_async("key", || async {
        assert_reentrant(&group.try_run("key", || unreachable!()).unwrap_err());
        Ok(1)
    }));
    drop(first);
    assert!(heir.ends().unwrap().led());
}

/// Calls the group when it is dropped.
struct Calls<'a>(&'a Words, &'a Gate);

impl Drop for Calls<'_> {
    fn drop(&mut self) {
        assert_reentrant(&self.0.try_run("key", || unreachable!()).unwrap_err());
        self.1.open();
    }
}

#[test]
fn the_destructor_of_a_leading_future_is_inside_as_well() {
    for finishes in [false, true] {
        let (group, called) = (words(), Gate::default());
        let calls = Calls(&group, &called);
        let mut outer = Task::new(group.try_run_async("key", || {
            std::future::poll_fn(move |_| {
                let _kept = &calls;
                if finishes { Poll::Ready(Ok(1)) } else { Poll::Pending }
            })
        }));
        assert_eq!(outer.poll().is_ready(), finishes);
        assert_eq!(called.is_open(), finishes);
        drop(outer);
        assert!(called.is_open());
        assert_eq!(group.in_flight(), 0);
    }
}

#[test]
fn calls_that_cannot_fail_panic_and_name_the_key() {
    let group: KeyedGroup<str, u32> = KeyedGroup::builder().debug_keys().build().unwrap();
    let text = "key \"key\": the call came from inside the run that it would have waited for";
    assert_eq!(message_of(|| group.run("key", || *group.run("key", || 1))), text);
    assert_eq!(message_of(|| group.run("key", || *group.run_many(&["key"], |_| vec![1])[0])), text);
    let mut outer = Task::new(
        group.run_async("key", || async { *group.run_async("key", || async { 1 }).await }),
    );
    assert_eq!(message_of(|| outer.poll()), text);
    assert_eq!(group.in_flight(), 0);
    let group = Group::<u32>::new();
    assert!(message_of(|| group.run(|| *group.run(|| 1))).starts_with("key (): "));
    assert!(!group.in_flight());
}

#[test]
fn it_is_found_out_however_deep_it_is() {
    fn nest(group: &Words, names: &[&str]) -> Result<u32, &'static str> {
        match names {
            [] => {
                assert_reentrant(&group.try_run("key", || unreachable!()).unwrap_err());
                Ok(0)
            }
            [name, rest @ ..] => group
                .try_run(name, || nest(group, rest))
                .map(|depth| *depth + 1)
                .map_err(|_| "failed"),
        }
    }
    let group = KeyedGroup::builder().shards(1).debug_keys().build().unwrap();
    assert_eq!(nest(&group, &["key", "b", "c", "d", "e", "f", "g", "h", "i", "j"]), Ok(10));
    assert_eq!(group.in_flight(), 0);
}

#[test]
fn a_call_of_another_key_another_group_or_a_forgotten_run_is_no_re_entry() {
    let (group, other) = (words(), words());
    let outer = group.try_run("key", || {
        assert!(group.try_run("other", || Ok(1)).unwrap().led());
        assert!(other.try_run("key", || Ok(1)).unwrap().led());
        assert!(group.forget("key"));
        let inner = group.try_run("key", || {
            assert_reentrant(&group.try_run("key", || unreachable!()).unwrap_err());
            Ok(2)
        });
        Ok(*inner.unwrap() + 1)
    });
    assert_eq!(*outer.unwrap(), 3);
    assert_eq!(group.in_flight(), 0);
}

#[test]
fn a_call_after_the_work_ended_is_no_re_entry() {
    let group = words();
    let mut kept = None;
    let outer = group.try_run("key", || {
        kept = Some(Task::new(group.try_run_async("key", || async { Ok(2) })));
        Ok(1)
    });
    assert_eq!(*outer.unwrap(), 1);
    assert!(kept.unwrap().ends().unwrap().led());
}

#[test]
fn another_thread_waits_where_the_own_one_would_not() {
    let group = words();
    let (inside, leave) = (Gate::default(), Gate::default());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            group.try_run("key", || {
                inside.open();
                until(|| leave.is_open());
                Ok(1)
            })
        });
        until(|| inside.is_open());
        let waiter = Task::begun(group.try_run_async("key", || async { Ok(2) }));
        leave.open();
        until(|| waiter.wakes() == 1);
        assert_eq!(*waiter.ends().unwrap(), 1);
    });
}
