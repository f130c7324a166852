//! Calls that block, where there is nothing to wait for: this thread does everything.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use super::model::{Begins, Caller, End, Ending, Limit};
use super::script::Step;
use super::world::{Produced, World, ended, panicked};

/// A call that leads, or ends at once.
pub(super) fn single(world: &Rc<World>, key: u8, limit: Limit, step: &Step) {
    if world.model.borrow().outlook(key, limit) == Begins::Waits {
        return;
    }
    let caller = world.caller();
    let begins = world.model.borrow_mut().begin(caller, key, limit, false);
    let (ending, calls) = (step.ending.unwrap_or(Ending::Value), Cell::new(0));
    let work = || {
        calls.set(calls.get() + 1);
        world.inside(&[caller], &step.inside);
        world.produce(caller, ending)
    };
    let flown = catch_unwind(AssertUnwindSafe(|| match world.context(limit) {
        None => world.group.try_run(&key, work),
        Some(context) => world.group.try_run_in(&context, &key, work),
    }));
    let expected = match begins {
        Begins::Ends(end) => end,
        Begins::Leads | Begins::Waits => world.model.borrow_mut().land(caller, caller, ending),
    };
    assert_eq!(calls.get(), u32::from(begins == Begins::Leads), "how often the work was called");
    assert_eq!(flown.map_or_else(|payload| panicked(&*payload), ended), expected, "call {caller}");
}

/// A bulk call whose work lets its time run out, so that it waits for nothing that did not come
/// meanwhile.
pub(super) fn bulk(world: &Rc<World>, keys: &[u8], step: &Step) {
    let limit = Limit::Until(world.model.borrow().now + 1);
    let leads = |key: &u8| world.model.borrow().outlook(*key, limit) == Begins::Leads;
    let waits = |key: &u8| world.model.borrow().outlook(*key, limit) == Begins::Waits;
    if keys.iter().any(waits) && !keys.iter().any(leads) {
        return;
    }
    let parts: Vec<(Caller, Begins)> = keys
        .iter()
        .map(|key| {
            let caller = world.caller();
            (caller, world.model.borrow_mut().begin(caller, *key, limit, true))
        })
        .collect();
    let led: Vec<Caller> = parts
        .iter()
        .filter(|(_, begins)| *begins == Begins::Leads)
        .map(|(caller, _)| *caller)
        .collect();
    let first = led.first().copied().unwrap_or(0);
    let (ending, calls) = (step.ending.unwrap_or(Ending::Value), Cell::new(0));
    let context = world.context(limit).expect("a limit");
    let asked: Vec<&u8> = keys.iter().collect();
    let flown = catch_unwind(AssertUnwindSafe(|| {
        world.group.try_run_many_in(&context, &asked, |asked| {
            calls.set(calls.get() + 1);
            let mut of_led = keys.iter().zip(&parts).filter(|(_, part)| part.1 == Begins::Leads);
            assert!(asked.iter().all(|key| of_led.next().is_some_and(|(led, _)| *key == led)));
            world.inside(&led, &step.inside);
            world.advance(1);
            world.produce(first, ending)?;
            Ok(led.iter().map(|caller| world.product(*caller)).collect::<Vec<Produced>>())
        })
    }));
    assert_eq!(calls.get(), u32::from(!led.is_empty()), "how often the work was called");
    let expected = land_all(world, &parts, ending, first);
    match flown {
        Ok(flown) => {
            assert_eq!(flown.into_iter().map(ended).collect::<Vec<_>>(), expected, "a bulk call")
        }
        Err(payload) => {
            assert_eq!((panicked(&*payload), ending), (End::Panics(first), Ending::Panic))
        }
    }
}

/// What each part of a bulk call comes to once its work is done.
fn land_all(world: &World, parts: &[(Caller, Begins)], ending: Ending, first: Caller) -> Vec<End> {
    let mut model = world.model.borrow_mut();
    let led: Vec<Option<End>> = parts
        .iter()
        .map(|(caller, begins)| {
            let run = if ending == Ending::Value { *caller } else { first };
            (*begins == Begins::Leads).then(|| model.land(*caller, run, ending))
        })
        .collect();
    let panics = led.iter().flatten().any(|end| matches!(end, End::Panics(_)));
    let ends = parts.iter().zip(led).map(|((caller, begins), led)| match (begins, led) {
        (Begins::Ends(end), _) => *end,
        (_, Some(end)) => end,
        // The call unwinds.
        (_, None) if panics => {
            model.leave(*caller);
            End::Panics(first)
        }
        (_, None) => model.look(*caller).expect("its time is over"),
    });
    ends.collect()
}
