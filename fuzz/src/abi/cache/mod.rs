//! Sequences of calls of the family `cache`, each checked against a model that knows every status
//! beforehand: all that happens, happens on one thread.

mod calls;
mod entries;
mod fetch;
mod model;
mod script;
mod world;

use std::sync::atomic::Ordering;

use arbitrary::{Arbitrary, Result, Unstructured};

use super::args::Pick;
use super::shutdown::{shut_down_at_last, shutdown};
use crate::input::list;
use calls::{begin, cancel, finish, free, on_ready, poll};
use entries::{clear, read, remove, set, set_many, visit};
use fetch::fetch;
use script::Op;
use world::World;

const CALLS: usize = 48;

/// A sequence of calls, and in which order what is left is freed.
#[derive(Clone, Debug)]
pub struct Case {
    keeps_failures: bool,
    cache_first: bool,
    listens: bool,
    /// Nothing of the library's is to be left.
    shuts_down: bool,
    ops: Vec<Op>,
}

impl<'a> Arbitrary<'a> for Case {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Case> {
        let flags = u8::arbitrary(u)?;
        let (keeps_failures, cache_first, listens) =
            (flags & 1 == 1, flags & 2 == 2, flags & 4 == 4);
        let shuts_down = flags >= 240;
        Ok(Case { keeps_failures, cache_first, listens, shuts_down, ops: list(u, 64)? })
    }
}

/// Does one call of a script.
fn apply(world: &World, op: &Op) {
    let without_cache = matches!(
        op,
        Op::Finish(..)
            | Op::OnReady(_)
            | Op::Cancel(_)
            | Op::Poll(_)
            | Op::Free(_)
            | Op::FreeIn(_)
            | Op::Shutdown
    );
    if world.cache.get().is_null() && !without_cache {
        return;
    }
    match op {
        Op::FreeCache => world.free_cache(),
        Op::FreeIn(callback) => world.free_in.set(Some(*callback)),
        Op::Set(key, value, shares) => set(world, *key, *value, *shares),
        Op::SetMany(pairs) => set_many(world, pairs),
        Op::Remove(key) => remove(world, *key),
        Op::Clear => clear(world),
        Op::Read(key) => read(world, *key),
        Op::Visit => visit(world),
        Op::Begin(..) if world.calls.borrow().len() >= CALLS => {}
        Op::Begin(key, owner) => begin(world, *key, *owner),
        Op::Finish(pick, answer, ends) => {
            world.with(*pick, |held| finish(world, held, answer.0, *ends))
        }
        Op::OnReady(pick) => world.with(*pick, on_ready),
        Op::Cancel(pick) => world.with(*pick, cancel),
        Op::Poll(pick) => world.with(*pick, |held| poll(world, held)),
        Op::Free(pick) => world.with(*pick, |held| free(world, held)),
        Op::Fetch(key, answer, keyed, inside) => fetch(world, *key, answer.0, *keyed, inside),
        Op::Shutdown => shutdown(),
    }
}

/// Frees what is left; nothing is kept then.
fn finish_all(world: &World, cache_first: bool) {
    if cache_first {
        world.free_cache();
        let dropped = world.drops.load(Ordering::SeqCst) == 1;
        assert!(dropped || !world.calls.borrow().is_empty(), "only calls keep a registration");
    }
    while !world.calls.borrow().is_empty() {
        world.with(Pick::at(0), |held| {
            poll(world, held);
            free(world, held);
        });
        world.records.borrow().iter().for_each(|held| held.check());
    }
    if !cache_first {
        world.free_cache();
    }
    assert_eq!(world.drops.load(Ordering::SeqCst), 1);
    assert_eq!(world.blobs.load(Ordering::SeqCst), 0, "values that were not dropped");
}

/// Runs a case.
///
/// # Panics
/// If the library breaks a promise.
pub fn run(case: &Case) {
    let world = World::new(apply, case.keeps_failures, case.listens);
    world.act(&case.ops);
    finish_all(&world, case.cache_first);
    if case.shuts_down {
        shut_down_at_last();
    }
}
