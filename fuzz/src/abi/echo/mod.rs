//! Sequences of calls of the families `store` and `echo`. Work, stores, hooks, notifications and
//! destructors fail, call back in, and free what they are called for; each `drop` is counted; and a
//! model of the stores says what a fetch may return.
//!
//! All calls are made on one thread; the library's own refresh in the background and wait for
//! locks.

mod caches;
mod calls;
mod fetch;
mod model;
mod own;
mod script;
mod stores;
mod world;

use std::sync::atomic::Ordering;

use arbitrary::{Arbitrary, Result, Unstructured};

use super::args::Pick;
use super::place::Given;
use super::shutdown::{shut_down_at_last, shutdown};
use crate::input::list;
use script::{Make, Op, Stock};
use world::World;

/// As many caches, and stores, may be there.
const MOST: usize = 6;

/// A sequence of calls, and in which order what is left is freed.
#[derive(Clone, Debug)]
pub struct Case {
    /// Which of stores, caches and calls goes first, second and last.
    order: u8,
    /// After each call it waits until nothing is refreshed.
    settles: bool,
    /// Nothing of the library's is to be left.
    shuts_down: bool,
    /// The caches that are there at the beginning.
    makes: [(u8, u8); 3],
    ops: Vec<Op>,
}

impl<'a> Arbitrary<'a> for Case {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Case> {
        let flags = u8::arbitrary(u)?;
        let (order, settles, shuts_down) = (flags % 6, flags & 64 == 0, flags == 255);
        Ok(Case { order, settles, shuts_down, makes: u.arbitrary()?, ops: list(u, 64)? })
    }
}

/// Does one call of a script.
fn apply(world: &World, op: &Op) {
    match op {
        Op::NewStore(..) | Op::RetainStore(_) if world.stores.borrow().len() >= 2 * MOST => {}
        Op::NewStore(stock, out, error) => stores::new(world, stock, (*out, *error)),
        Op::ReleaseStore(pick) => stores::release(world, *pick),
        Op::RetainStore(pick) => stores::retain(world, *pick),
        Op::Fail { store, status, count, unwinds } => {
            stores::fail(world, *store, *status, (*count, *unwinds));
        }
        Op::Age(pick, which) => stores::age(world, *pick, *which),
        Op::NewCache { .. } if world.caches.borrow().len() >= MOST => {}
        Op::NewCache { store, make, out, error } => {
            caches::new(world, *store, make, (*out, *error));
        }
        Op::FreeCache(pick) => caches::free(world, *pick),
        Op::FreeInRefresh(pick) => caches::free_in_refresh(world, *pick),
        Op::Work(pick, answer) => caches::set_work(world, *pick, *answer),
        Op::Fetch(fetch) => fetch::fetch(world, fetch),
        Op::Put { cache, name, empty, drops, error } => {
            caches::write(world, (*cache, *name), Some((*empty, *drops)), *error);
        }
        Op::RemoveKey { cache, name, error } => {
            caches::write(world, (*cache, *name), None, *error);
        }
        Op::Stats(pick, error) => caches::stats(world, *pick, *error),
        Op::Settle(pick) => {
            if let Some(echo) = world.cache(*pick).1 {
                caches::settle(&echo);
            }
        }
        Op::EndRefreshes(pick, timeout) => caches::end_refreshes(world, *pick, *timeout),
        Op::Inside(kind, ops) => world.plan(*kind, ops),
        Op::Shutdown => shutdown(),
        op => apply_to_call(world, op),
    }
}

fn apply_to_call(world: &World, op: &Op) {
    match op {
        Op::Begin { cache, name, outs, call } => {
            calls::begin(world, (*cache, *name), *outs, *call);
        }
        Op::Finish(pick, report) => calls::finish(world, *pick, *report),
        Op::OnReady(pick, error) => calls::on_ready(world, *pick, *error),
        Op::Cancel(pick) => calls::cancel(world, *pick),
        Op::Poll(pick, outs) => calls::poll(world, *pick, *outs),
        Op::FreeCall(pick) => calls::free(world, *pick),
        Op::OnRefresh(pick, error) => calls::on_refresh(world, *pick, *error),
        Op::CancelRefresh(pick, error) => calls::cancel_refresh(world, *pick, *error),
        Op::BeginRefresh { cache, call, error } => {
            calls::begin_refresh(world, *cache, (*call, *error));
        }
        op => unreachable!("{op:?} was done"),
    }
}

/// Frees what is left.
fn finish_all(world: &World, order: u8) {
    let free_stores = || {
        while !world.stores.borrow().is_empty() {
            stores::release(world, Pick::at(0));
        }
    };
    let free_caches = || {
        world.caches.borrow().iter().for_each(|echo| caches::take_back(echo));
        while world.cache(Pick::at(0)).1.is_some() {
            caches::free(world, Pick::at(0));
        }
    };
    let free_calls = || {
        while !world.calls.borrow().is_empty() {
            calls::free(world, Pick::at(0));
        }
    };
    let all: [&dyn Fn(); 3] = [&free_stores, &free_caches, &free_calls];
    const ORDERS: [[usize; 3]; 6] =
        [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for which in ORDERS[usize::from(order)] {
        all[which]();
    }
}

/// Each `drop` has been called once.
fn check_drops(world: &World) {
    for about in &*world.abouts.borrow() {
        assert_eq!(about.registration.is_dropped(), about.registration.is_counted());
    }
    for own in &*world.owns.borrow() {
        own.registration.settle("the drop of a store");
    }
    world.common.registry.finish();
    for told in &*world.all_told.borrow() {
        assert!(told.over.load(Ordering::SeqCst), "a call that was not freed");
    }
}

/// Runs a case.
///
/// # Panics
/// If the library breaks a promise.
pub fn run(case: &Case) {
    let world = World::new(apply);
    world.enter(|| {
        let valid = (Given::Valid, Given::Valid);
        for stock in [Stock::MEMORY, Stock::OWN] {
            stores::new(&world, &stock, valid);
        }
        for (at, (bits, more)) in case.makes.into_iter().enumerate() {
            caches::new(&world, Pick::at(at % 2), &Make::plain(bits, more), valid);
        }
        for op in &case.ops {
            world.act(std::slice::from_ref(op));
            if case.settles {
                let caches = world.caches.borrow().clone();
                caches.iter().for_each(|echo| caches::settle(echo));
            }
        }
        world.calm();
        finish_all(&world, case.order);
    });
    check_drops(&world);
    if case.shuts_down {
        shut_down_at_last();
    }
}
