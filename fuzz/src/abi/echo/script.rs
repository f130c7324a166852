//! What a case does.

use arbitrary::{Arbitrary, Result, Unstructured};

use crate::abi::args::{Pick, Returned, Timeout};
pub(crate) use crate::abi::keys::{KEYS, Key};
use crate::abi::memory::{Size, Tail};
use crate::abi::place::Given;
use crate::abi::registry::Drops;
use crate::input::{Rare, list};

/// A kind of callbacks; inside the next one of it, on the thread of the case, a script can run.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Callback {
    Get,
    Begin,
    Renew,
    Finish,
    Abandon,
    Put,
    Remove,
    Warning,
    /// The work of a lazy cache.
    Work,
    Notify,
    Refresh,
    DropValue,
    DropStore,
    DropCache,
}

/// A store that is to be made.
#[derive(Clone, Debug)]
pub(crate) enum Stock {
    Memory { capacity: u8, time_to_live: u8, lru: bool, size: Size, tail: Tail },
    Single { time_to_live: u8 },
    Tiered { near: Pick, far: Pick, most: u8 },
    Breaker { inner: Pick, failures: u8 },
    Own { drops: Drops, missing: Option<u8>, size: Size },
}

impl Stock {
    pub(crate) const MEMORY: Stock = Stock::Memory {
        capacity: 0,
        time_to_live: 0,
        lru: false,
        size: Size::Exact,
        tail: Tail::NONE,
    };
    pub(crate) const OWN: Stock =
        Stock::Own { drops: Drops::Counted, missing: None, size: Size::Exact };
}

impl<'a> Arbitrary<'a> for Stock {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Stock> {
        Ok(match u8::arbitrary(u)? % 16 {
            0..=4 => Stock::Memory {
                capacity: u8::arbitrary(u)? % 4,
                time_to_live: u.arbitrary()?,
                lru: u.arbitrary()?,
                size: u.arbitrary()?,
                tail: u.arbitrary()?,
            },
            5 => Stock::Single { time_to_live: u.arbitrary()? },
            6..=7 => {
                Stock::Tiered { near: u.arbitrary()?, far: u.arbitrary()?, most: u.arbitrary()? }
            }
            8..=9 => Stock::Breaker { inner: u.arbitrary()?, failures: u8::arbitrary(u)? % 4 },
            _ => {
                let (drops, missing) = (u.arbitrary()?, Rare::arbitrary(u)?.0);
                let missing = if missing { Some(u8::arbitrary(u)? % 7) } else { None };
                Stock::Own { drops, missing, size: u.arbitrary()? }
            }
        })
    }
}

/// How a cache is to be.
#[derive(Clone, Debug)]
pub(crate) struct Make {
    pub(crate) lazy: bool,
    /// A lazy one has work of its own.
    pub(crate) works: bool,
    pub(crate) ages: u8,
    pub(crate) negative: bool,
    pub(crate) lock_wait: u8,
    pub(crate) budget: u8,
    pub(crate) refresh_timeout: u8,
    pub(crate) backoff: bool,
    pub(crate) small_queue: bool,
    pub(crate) hook: bool,
    pub(crate) no_options: bool,
    pub(crate) flags: u32,
    pub(crate) size: Size,
    pub(crate) tail: Tail,
    pub(crate) drops: Drops,
}

impl Make {
    /// What few bytes say.
    pub(crate) fn plain(bits: u8, more: u8) -> Make {
        let is_set = |bit: u8| (bits >> bit) & 1 == 1;
        Make {
            lazy: is_set(0),
            works: is_set(1),
            negative: is_set(2),
            backoff: is_set(3),
            small_queue: is_set(4),
            hook: !is_set(5),
            no_options: bits >= 250,
            ages: more >> 1,
            lock_wait: 0,
            budget: 0,
            refresh_timeout: 0,
            flags: u32::from(more & 1),
            size: Size::Exact,
            tail: Tail::NONE,
            drops: Drops::Counted,
        }
    }
}

impl<'a> Arbitrary<'a> for Make {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Make> {
        let make = Make::plain(u.arbitrary()?, u.arbitrary()?);
        let flags = if Rare::arbitrary(u)?.0 { u.arbitrary()? } else { make.flags };
        Ok(Make {
            lock_wait: u.arbitrary()?,
            budget: u.arbitrary()?,
            refresh_timeout: u.arbitrary()?,
            flags,
            size: u.arbitrary()?,
            tail: u.arbitrary()?,
            drops: u.arbitrary()?,
            ..make
        })
    }
}

/// A key as an argument, which is not always a text.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Name {
    Text(Key),
    Garbage,
}

impl<'a> Arbitrary<'a> for Name {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Name> {
        Ok(if Rare::arbitrary(u)?.0 { Name::Garbage } else { Name::Text(u.arbitrary()?) })
    }
}

impl Name {
    /// As [`Key::arguments`].
    pub(crate) fn arguments(self) -> (*const u8, usize, Option<usize>) {
        match self {
            Name::Text(key) => key.arguments(),
            Name::Garbage => (b"a\xff".as_ptr(), 2, None),
        }
    }
}

/// What work returns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) status: Returned,
    /// Whether there is a value, and whether that is empty.
    pub(crate) value: Option<bool>,
    pub(crate) error: Option<i64>,
    pub(crate) unwinds: bool,
}

impl<'a> Arbitrary<'a> for Answer {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Answer> {
        let status = Returned::arbitrary(u)?;
        let (value, error) = (u8::arbitrary(u)?, i64::from(i8::arbitrary(u)?));
        let is_ok = status.0 == docache::ffi::DOCACHE_OK;
        let value = match value {
            0..=159 if is_ok => Some(false),
            160..=239 if is_ok => Some(true),
            240..=247 => Some(false),
            _ => None,
        };
        let error = (if is_ok { error > 120 } else { error > 0 }).then_some(error);
        Ok(Answer { status, value, error, unwinds: Rare::arbitrary(u)?.0 })
    }
}

/// Places for what a fetch returns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outs {
    pub(crate) value: Given,
    pub(crate) fetched: Given,
    pub(crate) age: Given,
    pub(crate) error: Given,
}

impl<'a> Arbitrary<'a> for Outs {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Outs> {
        let valid = Given::Valid;
        if u8::arbitrary(u)? < 224 {
            return Ok(Outs { value: valid, fetched: valid, age: valid, error: valid });
        }
        let (value, fetched) = (u.arbitrary()?, u.arbitrary()?);
        Ok(Outs { value, fetched, age: u.arbitrary()?, error: u.arbitrary()? })
    }
}

/// A blocking fetch.
#[derive(Clone, Debug)]
pub(crate) struct Fetch {
    pub(crate) cache: Pick,
    pub(crate) name: Name,
    pub(crate) timeout: Timeout,
    /// With the cache's own work.
    pub(crate) no_perform: bool,
    pub(crate) answer: Answer,
    pub(crate) inside: Vec<Op>,
    pub(crate) outs: Outs,
}

/// What a leader reports.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    pub(crate) answer: Answer,
    pub(crate) error: Given,
}

impl<'a> Arbitrary<'a> for Report {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Report> {
        Ok(Report { answer: u.arbitrary()?, error: u.arbitrary()? })
    }
}

/// One call, or what others are to do.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    NewStore(Stock, Given, Given),
    ReleaseStore(Pick),
    RetainStore(Pick),
    /// The next calls of a store of callbacks fail.
    Fail {
        store: Pick,
        status: Returned,
        count: u8,
        unwinds: bool,
    },
    Age(Pick, u8),
    NewCache {
        store: Pick,
        make: Box<Make>,
        out: Given,
        error: Given,
    },
    FreeCache(Pick),
    /// The next refresh in the background frees its cache.
    FreeInRefresh(Pick),
    /// What the own work of a cache returns from now on.
    Work(Pick, Answer),
    Fetch(Box<Fetch>),
    Put {
        cache: Pick,
        name: Name,
        empty: bool,
        drops: Option<Drops>,
        error: Given,
    },
    RemoveKey {
        cache: Pick,
        name: Name,
        error: Given,
    },
    Stats(Pick, Given),
    Settle(Pick),
    EndRefreshes(Pick, Timeout),
    Begin {
        cache: Pick,
        name: Name,
        outs: Outs,
        call: Given,
    },
    Finish(Pick, Report),
    OnReady(Pick, Given),
    Cancel(Pick),
    Poll(Pick, Outs),
    FreeCall(Pick),
    OnRefresh(Pick, Given),
    CancelRefresh(Pick, Given),
    BeginRefresh {
        cache: Pick,
        call: Given,
        error: Given,
    },
    /// Inside the next callback of a kind.
    Inside(Callback, Vec<Op>),
    Shutdown,
}

fn a_fetch(u: &mut Unstructured<'_>) -> Result<Op> {
    let (cache, name, timeout) = (u.arbitrary()?, u.arbitrary()?, u.arbitrary()?);
    let (inside, answer, outs) = (u8::arbitrary(u)?, u.arbitrary()?, u.arbitrary()?);
    let (no_perform, most) = (inside >= 200, usize::from(inside % 8).saturating_sub(4));
    let inside = list(u, most)?;
    Ok(Op::Fetch(Box::new(Fetch { cache, name, timeout, no_perform, answer, inside, outs })))
}

fn a_call(u: &mut Unstructured<'_>) -> Result<Op> {
    Ok(match u8::arbitrary(u)? % 20 {
        0..=5 => Op::Begin {
            cache: u.arbitrary()?,
            name: u.arbitrary()?,
            outs: u.arbitrary()?,
            call: u.arbitrary()?,
        },
        6..=9 => Op::Finish(u.arbitrary()?, u.arbitrary()?),
        10..=12 => Op::OnReady(u.arbitrary()?, u.arbitrary()?),
        13 => Op::Cancel(u.arbitrary()?),
        14..=16 => Op::Poll(u.arbitrary()?, u.arbitrary()?),
        _ => Op::FreeCall(u.arbitrary()?),
    })
}

fn a_refresh(u: &mut Unstructured<'_>) -> Result<Op> {
    Ok(match u8::arbitrary(u)? % 8 {
        0..=1 => Op::OnRefresh(u.arbitrary()?, u.arbitrary()?),
        2 => Op::CancelRefresh(u.arbitrary()?, u.arbitrary()?),
        3..=6 => {
            Op::BeginRefresh { cache: u.arbitrary()?, call: u.arbitrary()?, error: u.arbitrary()? }
        }
        _ => Op::EndRefreshes(u.arbitrary()?, u.arbitrary()?),
    })
}

fn a_store(u: &mut Unstructured<'_>) -> Result<Op> {
    Ok(match u8::arbitrary(u)? % 12 {
        0..=3 => Op::NewStore(u.arbitrary()?, u.arbitrary()?, u.arbitrary()?),
        4..=5 => Op::ReleaseStore(u.arbitrary()?),
        6 => Op::RetainStore(u.arbitrary()?),
        7..=9 => {
            let (store, status) = (u.arbitrary()?, u.arbitrary()?);
            let (count, unwinds) = (u8::arbitrary(u)? % 5, Rare::arbitrary(u)?.0);
            Op::Fail { store, status, count, unwinds }
        }
        _ => Op::Age(u.arbitrary()?, u.arbitrary()?),
    })
}

impl<'a> Arbitrary<'a> for Op {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Op> {
        Ok(match u8::arbitrary(u)? % 64 {
            0..=13 => a_fetch(u)?,
            14..=29 => a_call(u)?,
            30..=36 => a_refresh(u)?,
            37..=41 => a_store(u)?,
            42..=45 => {
                let (store, make) = (u.arbitrary()?, Box::new(u.arbitrary()?));
                Op::NewCache { store, make, out: u.arbitrary()?, error: u.arbitrary()? }
            }
            46..=47 => Op::FreeCache(u.arbitrary()?),
            48 => Op::FreeInRefresh(u.arbitrary()?),
            49..=50 => Op::Work(u.arbitrary()?, u.arbitrary()?),
            51..=53 => {
                let (cache, name) = (u.arbitrary()?, u.arbitrary()?);
                let (empty, drops) = (u8::arbitrary(u)? >= 200, u.arbitrary()?);
                Op::Put { cache, name, empty, drops, error: u.arbitrary()? }
            }
            54..=55 => {
                Op::RemoveKey { cache: u.arbitrary()?, name: u.arbitrary()?, error: u.arbitrary()? }
            }
            56 => Op::Stats(u.arbitrary()?, u.arbitrary()?),
            57 => Op::Settle(u.arbitrary()?),
            58..=62 => {
                let (kind, most) = (u.arbitrary()?, u8::arbitrary(u)? % 3);
                Op::Inside(kind, list(u, 1 + usize::from(most))?)
            }
            _ if u8::arbitrary(u)? >= 252 => Op::Shutdown,
            _ => a_call(u)?,
        })
    }
}
