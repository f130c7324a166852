//! What is done while the Doer is in its call: requests that meet there share one call, and a start
//! after a stop is remembered.

use std::time::Duration;

use arbitrary::Arbitrary;
use docache::Refresh;

use super::check;
use super::model::Model;
use super::stage::Counted;
use super::world::World;

/// One step.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) enum BusyOp {
    Refresh,
    Stop,
    Start,
    Advance(u8),
    Look,
}

/// What has been asked of the loop meanwhile.
#[derive(Default)]
struct Asked {
    stopping: bool,
    restart: bool,
    call: bool,
}

pub(super) fn run(world: &mut World, ops: &[BusyOp]) {
    if !world.model.is_running() {
        return;
    }
    let began = world.model.now;
    world.stage.hold_next();
    let first = world.cache.refresh();
    world.stage.await_held();
    let (mut asked, mut requests) = (Asked::default(), Vec::new());
    for op in ops.iter().take(16) {
        step(world, *op, &mut asked, &mut requests);
    }
    world.stage.forget_sleep();
    world.stage.release();
    world.model.finish_call(began, 0, true);
    let owed = world.model.shown.version + 1;
    after(&mut world.model, &asked);
    if asked.stopping && !asked.restart {
        world.cache.stop();
    }
    let found = first.wait(None).expect("the call had begun");
    assert!((owed - 1..=world.model.shown.version).contains(&found.sequence()));
    world.sync();
    for request in requests {
        check_request(&world.model, request, owed, &asked);
    }
}

fn step(world: &mut World, op: BusyOp, asked: &mut Asked, requests: &mut Vec<Refresh<Counted>>) {
    let World { cache, stage, model, .. } = world;
    match op {
        BusyOp::Refresh => {
            let refresh = cache.refresh();
            asked.call |= !asked.stopping;
            if asked.stopping {
                let error = refresh.wait(None).expect_err("the loop is stopping");
                assert!(error.is_closed(), "{error}");
            } else {
                requests.push(refresh);
            }
        }
        BusyOp::Stop => {
            let error = cache.stop_within(Duration::ZERO).expect_err("the Doer is in its call");
            assert!(error.is_timeout(), "{error}");
            (asked.stopping, asked.restart) = (true, false);
        }
        BusyOp::Start => {
            let first = asked.stopping && !asked.restart;
            assert_eq!(cache.start().expect("the context is not done"), first);
            asked.restart |= first;
        }
        BusyOp::Advance(ns) => {
            stage.clock.advance(Duration::from_nanos(ns.into()));
            model.advance(ns.into());
        }
        BusyOp::Look => {
            assert!(cache.is_running());
            check::view(&cache.snapshot(), &model.shown, model.settings.capacity);
            check::stats(&cache.stats(), model);
        }
    }
}

/// What the loop does once the call has ended.
fn after(model: &mut Model, asked: &Asked) {
    if asked.stopping {
        model.run = None;
        if asked.restart {
            model.begin();
        }
    } else if asked.call {
        model.refresh();
    }
    model.catch_up();
}

fn check_request(model: &Model, request: Refresh<Counted>, owed: u64, asked: &Asked) {
    match request.wait(None) {
        Ok(found) => assert!((owed..=model.shown.version).contains(&found.sequence()), "{found:?}"),
        Err(error) => assert!(asked.stopping && error.is_closed(), "{error}"),
    }
}
