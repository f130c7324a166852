//! Random sequences of operations on one thread, each compared with what a simple model answers:
//! all of it where nothing is evicted, or where it is known what is; else that nothing is answered
//! which is not there any more.

mod model;
mod play;

use model::Bound;
use play::{Ending, Load, Op, Settings, World};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use std::sync::{Mutex, PoisonError};

/// Long enough for tables that grow and for keys that come back.
const STEPS: usize = 120;
const CASES: u32 = 300;

fn ending() -> impl Strategy<Value = Ending> {
    prop_oneof![3 => Just(Ending::Value), 1 => Just(Ending::Error), 1 => Just(Ending::Panic)]
}

fn load(inside: impl Strategy<Value = Op>) -> impl Strategy<Value = Load> {
    let inside = option::weighted(0.3, inside.prop_map(Box::new));
    (inside, ending()).prop_map(|(inside, ending)| Load { inside, ending })
}

/// What does not load.
fn plain() -> impl Strategy<Value = Op> {
    let keys = || vec(any::<u16>(), 0..6);
    prop_oneof![
        4 => any::<u16>().prop_map(Op::Get),
        1 => any::<u16>().prop_map(Op::Contains),
        2 => any::<u16>().prop_map(Op::GetPinned),
        6 => any::<u16>().prop_map(Op::Insert),
        2 => (any::<u16>(), prop_oneof![0..40_u8, Just(u8::MAX)]).prop_map(|(key, ttl)| Op::InsertFor(key, ttl)),
        1 => any::<u16>().prop_map(Op::TryInsert),
        3 => any::<u16>().prop_map(Op::Remove),
        1 => keys().prop_map(Op::GetMany),
        // More than what is stored under one lock.
        1 => vec(any::<u16>(), 0..24).prop_map(Op::InsertMany),
        1 => keys().prop_map(Op::RemoveMany),
        1 => Just(Op::Clear),
        1 => Just(Op::Purge),
        1 => Just(Op::Flush),
        1 => Just(Op::Iterate),
        2 => (0..20_u8).prop_map(Op::Advance),
    ]
}

fn loads(inside: impl Strategy<Value = Op> + Clone + 'static) -> impl Strategy<Value = Op> {
    let loader = move || load(inside.clone());
    prop_oneof![
        3 => (any::<u16>(), loader()).prop_map(|(key, load)| Op::Fetch(key, load)),
        1 => (any::<u16>(), 0..40_u8, loader()).prop_map(|(key, ttl, load)| Op::FetchFor(key, ttl, load)),
        1 => (vec(any::<u16>(), 0..6), loader()).prop_map(|(keys, load)| Op::FetchMany(keys, load)),
    ]
}

/// Operations, loaders that do some, and loaders within those.
fn op() -> impl Strategy<Value = Op> {
    let inner = prop_oneof![plain(), loads(plain().boxed())].boxed();
    prop_oneof![3 => plain(), 1 => loads(inner)]
}

/// One case at a time, so that no reader on another thread keeps what a case retires.
static TURN: Mutex<()> = Mutex::new(());

fn play(settings: Settings, ops: &[Op]) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let world = World::new(settings);
    ops.iter().for_each(|op| world.apply(op));
    world.finish();
}

/// A bound, and a number of shards each of which holds the heaviest value that is not too heavy for
/// all.
fn bounded() -> impl Strategy<Value = (Bound, usize)> {
    let shards = prop::sample::select(vec![1_usize, 2, 8]);
    (any::<bool>(), prop::sample::select(vec![1, 2, 7, 64]), shards).prop_map(
        |(weighted, size, shards)| {
            let bound = if weighted {
                Bound::Weight((5 + size as u64) * shards as u64)
            } else {
                Bound::Some(size)
            };
            (bound, shards)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn an_unbounded_cache_answers_as_the_model_does(
        shards in prop::sample::select(vec![1_usize, 2, 16]),
        ttl in option::of(1..40_u8),
        negative in option::of(1..40_u8),
        keys in prop::sample::select(vec![3_u16, 10, 300]),
        ops in vec(op(), 1..STEPS),
    ) {
        play(Settings { bound: Bound::None, shards, adaptive: true, ttl, negative, keys }, &ops);
    }

    #[test]
    fn a_bounded_cache_answers_with_what_is_there_or_nothing(
        (bound, shards) in bounded(),
        adaptive in any::<bool>(),
        ttl in option::of(1..40_u8),
        negative in option::of(1..40_u8),
        keys in prop::sample::select(vec![3_u16, 10, 300]),
        ops in vec(op(), 1..STEPS),
    ) {
        play(Settings { bound, shards, adaptive, ttl, negative, keys }, &ops);
    }

    #[test]
    fn a_strict_lru_evicts_what_was_used_least_recently(
        capacity in prop::sample::select(vec![1_usize, 2, 7, 64]),
        keys in prop::sample::select(vec![3_u16, 10, 100]),
        ttl in option::of(1..40_u8),
        negative in option::of(1..40_u8),
        ops in vec(op(), 1..STEPS),
    ) {
        play(Settings { bound: Bound::Lru(capacity), shards: 1, adaptive: false, ttl, negative, keys }, &ops);
    }
}
