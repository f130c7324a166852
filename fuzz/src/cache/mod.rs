//! Operations on a small cache, and within its loaders, against the sequential model that the tests
//! use.

#[path = "../../../tests/cache_model/model.rs"]
mod model;
#[path = "../../../tests/cache_model/play.rs"]
mod play;

use arbitrary::{Arbitrary, Result, Unstructured};

use crate::input::list;
use model::Bound;
use play::{Ending, Load, Op, Settings, World};

/// Loaders inside of loaders: further down nothing is done.
const DEPTH: u32 = 3;

fn keys(u: &mut Unstructured<'_>, below: u8) -> Result<Vec<u16>> {
    let count = usize::from(u8::arbitrary(u)? % below);
    (0..count).map(|_| Ok(u8::arbitrary(u)?.into())).collect()
}

fn load(u: &mut Unstructured<'_>, depth: u32) -> Result<Load> {
    let which = u8::arbitrary(u)?;
    let ending = match which % 8 {
        0..=4 => Ending::Value,
        5..=6 => Ending::Error,
        _ => Ending::Panic,
    };
    let inside = if which < 160 || depth == 0 { None } else { Some(Box::new(op(u, depth - 1)?)) };
    Ok(Load { inside, ending })
}

fn op(u: &mut Unstructured<'_>, depth: u32) -> Result<Op> {
    let (which, key) = (u8::arbitrary(u)? % 32, u16::from(u8::arbitrary(u)?));
    Ok(match which {
        0..=3 => Op::Get(key),
        4 => Op::Contains(key),
        5..=6 => Op::GetPinned(key),
        7..=11 => Op::Insert(key),
        12..=13 => Op::InsertFor(key, u.arbitrary()?),
        14 => Op::TryInsert(key),
        15..=16 => Op::Remove(key),
        17..=20 => Op::Fetch(key, load(u, depth)?),
        21 => Op::FetchFor(key, u.arbitrary()?, load(u, depth)?),
        22 => Op::GetMany(keys(u, 6)?),
        23 => Op::InsertMany(keys(u, 24)?),
        24 => Op::RemoveMany(keys(u, 6)?),
        25..=26 => Op::FetchMany(keys(u, 6)?, load(u, depth)?),
        27 => Op::Clear,
        28 => Op::Purge,
        29 => Op::Flush,
        30 => Op::Iterate,
        _ => Op::Advance(key as u8),
    })
}

impl<'a> Arbitrary<'a> for Op {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Op> {
        op(u, DEPTH)
    }
}

impl<'a> Arbitrary<'a> for Settings {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Settings> {
        let size = [1, 2, 7, 64][usize::from(u8::arbitrary(u)? % 4)];
        let mut shards = [1, 2, 8][usize::from(u8::arbitrary(u)? % 3)];
        let which = u8::arbitrary(u)? % 4;
        let bound = match which {
            0 => Bound::None,
            1 => Bound::Some(size),
            2 => Bound::Weight((5 + size as u64) * shards as u64),
            _ => Bound::Lru(size),
        };
        let lru = which == 3;
        if lru {
            shards = 1;
        }
        let adaptive = bool::arbitrary(u)? && !lru;
        let keys = [3, 10, 256][usize::from(u8::arbitrary(u)? % 3)];
        Ok(Settings {
            bound,
            shards,
            adaptive,
            ttl: u.arbitrary()?,
            negative: u.arbitrary()?,
            keys,
        })
    }
}

/// A cache, and what is done with it.
#[derive(Clone, Debug)]
pub struct Case {
    settings: Settings,
    ops: Vec<Op>,
}

impl<'a> Arbitrary<'a> for Case {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Case> {
        Ok(Case { settings: u.arbitrary()?, ops: list(u, 200)? })
    }
}

/// Runs a case.
///
/// # Panics
/// If the cache answers anything but what the model allows: that is a finding.
pub fn run(case: &Case) {
    let world = World::new(case.settings.clone());
    case.ops.iter().for_each(|op| world.apply(op));
    world.finish();
}
