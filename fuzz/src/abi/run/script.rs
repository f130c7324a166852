//! What a case does.

use arbitrary::{Arbitrary, Result, Unstructured};

use crate::abi::args::{Pick, Returned, Span};
use crate::abi::memory::{Size, Tail};
use crate::abi::place::Given;
use crate::abi::registry::Drops;
use crate::input::{Rare, Text};

/// How a group or a loop is to be.
#[derive(Arbitrary, Clone, Debug)]
pub(crate) struct Make {
    pub(crate) repeats: bool,
    pub(crate) no_options: Rare,
    pub(crate) deadline: u8,
    pub(crate) stop_on: u8,
    pub(crate) name: Text,
    pub(crate) span: Span,
    pub(crate) size: Size,
    pub(crate) tail: Tail,
    pub(crate) out: Given,
    pub(crate) error: Given,
}

/// What an execute does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Does {
    Return(Returned),
    Fail(i8),
    /// Waits to be told to stop.
    Wait,
    Stop,
    StopWaiting,
    /// Frees the group that it is in.
    Free,
    /// Frees another one, which has run.
    FreeOther(Pick),
    /// Calls what is refused while it runs.
    Meddle,
    /// Runs a group of its own.
    RunAnother(Returned),
    /// Stays beyond its deadline.
    Stay,
    /// Breaks its contract.
    Unwind,
}

impl<'a> Arbitrary<'a> for Does {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Does> {
        Ok(match u8::arbitrary(u)? % 24 {
            0..=4 => Does::Return(u.arbitrary()?),
            5..=7 => Does::Fail(u.arbitrary()?),
            8..=12 => Does::Wait,
            13 => Does::Stop,
            14 => Does::StopWaiting,
            15..=16 => Does::Free,
            17 => Does::FreeOther(u.arbitrary()?),
            18 => Does::Meddle,
            19 => Does::RunAnother(u.arbitrary()?),
            20..=22 => Does::Stay,
            _ => Does::Unwind,
        })
    }
}

/// What an interrupt or a failure handler does, if there is one.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reacts {
    NotThere,
    Nothing,
    Free,
    Stop,
    Unwind,
}

/// An actor, and how it is given.
#[derive(Arbitrary, Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) does: Does,
    pub(crate) interrupt: Reacts,
    pub(crate) failure: Reacts,
    pub(crate) stage: u8,
    /// Of an actor in a loop: after so many calls it stops that.
    pub(crate) calls: u8,
    pub(crate) backoff: Option<Backoff>,
    pub(crate) limit: (u8, u8),
    pub(crate) name: Text,
    pub(crate) span: Span,
    pub(crate) no_execute: Rare,
    pub(crate) reserved: Rare,
    pub(crate) size: Size,
    pub(crate) tail: Tail,
    pub(crate) drops: Drops,
    pub(crate) error: Given,
}

/// A backoff; the times are in units of 100 ns.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) struct Backoff {
    pub(crate) first: u8,
    pub(crate) most: u8,
    pub(crate) growth: u8,
    pub(crate) jitter: u8,
    pub(crate) size: Size,
}

/// A retry.
#[derive(Clone, Debug)]
pub(crate) struct Retry {
    pub(crate) most: u8,
    pub(crate) statuses: Vec<Returned>,
    pub(crate) stops_at: u8,
    pub(crate) permanent: bool,
    pub(crate) backoff: Option<Backoff>,
    pub(crate) no_options: bool,
    pub(crate) no_attempt: Rare,
    pub(crate) size: Size,
    pub(crate) tail: Tail,
    pub(crate) out: Given,
    pub(crate) error: Given,
}

impl<'a> Arbitrary<'a> for Retry {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Retry> {
        let count = usize::from(u8::arbitrary(u)? % 8);
        Ok(Retry {
            most: u8::arbitrary(u)? % 6,
            stops_at: u8::arbitrary(u)? % 8,
            permanent: u.arbitrary()?,
            backoff: u.arbitrary()?,
            no_options: u8::arbitrary(u)? >= 224,
            no_attempt: u.arbitrary()?,
            size: u.arbitrary()?,
            tail: u.arbitrary()?,
            out: u.arbitrary()?,
            error: u.arbitrary()?,
            statuses: (0..count).map(|_| u.arbitrary()).collect::<Result<_>>()?,
        })
    }
}

/// How a scheduler is to be.
#[derive(Arbitrary, Clone, Debug)]
pub(crate) struct MakeScheduler {
    pub(crate) no_options: Rare,
    pub(crate) workers: u8,
    pub(crate) max_workers: u8,
    pub(crate) grace: u8,
    pub(crate) name: Text,
    pub(crate) span: Span,
    pub(crate) size: Size,
    pub(crate) tail: Tail,
    pub(crate) out: Given,
    pub(crate) error: Given,
}

/// What a call of a scheduler, or a Doer on one, does.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) enum Calls {
    Return,
    /// Frees the scheduler that it is on.
    Free,
    FreeOther(Pick),
    FreeLoop(Pick),
    FreeOwnLoop,
    Cancel(Pick),
    /// Schedules another call.
    CallAgain,
    Shutdown,
    /// Breaks its contract.
    Unwind,
}

/// A call, and how it is given.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) struct CallPlan {
    pub(crate) does: Calls,
    pub(crate) delay: u8,
    pub(crate) drops: Drops,
    pub(crate) no_callback: Rare,
    pub(crate) out: Given,
    pub(crate) error: Given,
}

impl CallPlan {
    pub(crate) const PLAIN: CallPlan = CallPlan {
        does: Calls::Return,
        delay: 0,
        drops: Drops::Counted,
        no_callback: Rare(false),
        out: Given::Null,
        error: Given::Valid,
    };
}

/// What is done with schedulers.
#[derive(Arbitrary, Clone, Debug)]
pub(crate) enum SchedulerOp {
    New(MakeScheduler),
    Call(Pick, CallPlan),
    Loop(Pick, CallPlan),
    Cancel(Pick),
    /// Of the handle of a call.
    Release(Pick),
    Stats(Pick),
    Shutdown(Pick, bool),
    Free(Pick),
    FreeLoop(Pick),
}

/// One call, or a few.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    New(Make),
    Add(Pick, Box<Plan>),
    Give { outer: Pick, inner: Pick, stage: u8, no_name: Rare },
    Deadline { pick: Pick, stage: u8, error: Given },
    Signals(Pick),
    Handle(Pick),
    Stop { pick: Pick, waiting: bool },
    Release(Pick),
    Run { pick: Pick, report: Given, error: Given },
    Free(Pick),
    Detach(Pick),
    Retry(Retry),
    Scheduler(SchedulerOp),
}

impl<'a> Arbitrary<'a> for Op {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Op> {
        Ok(match u8::arbitrary(u)? % 48 {
            0..=4 => Op::New(u.arbitrary()?),
            5..=13 => Op::Add(u.arbitrary()?, u.arbitrary()?),
            14..=15 => Op::Give {
                outer: u.arbitrary()?,
                inner: u.arbitrary()?,
                stage: u.arbitrary()?,
                no_name: u.arbitrary()?,
            },
            16 => {
                Op::Deadline { pick: u.arbitrary()?, stage: u.arbitrary()?, error: u.arbitrary()? }
            }
            17 => Op::Signals(u.arbitrary()?),
            18 => Op::Handle(u.arbitrary()?),
            19 => Op::Stop { pick: u.arbitrary()?, waiting: u.arbitrary()? },
            20 => Op::Release(u.arbitrary()?),
            21..=26 => {
                Op::Run { pick: u.arbitrary()?, report: u.arbitrary()?, error: u.arbitrary()? }
            }
            27..=28 => Op::Free(u.arbitrary()?),
            29 => Op::Detach(u.arbitrary()?),
            30..=31 => Op::Retry(u.arbitrary()?),
            _ => Op::Scheduler(u.arbitrary()?),
        })
    }
}
