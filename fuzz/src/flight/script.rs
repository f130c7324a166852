//! What a case does: work, and the steps of a schedule.

use arbitrary::{Arbitrary, Result, Unstructured};

use super::model::Ending;
use crate::input::list;

/// What work does: once, or in one poll.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) inside: Vec<Op>,
    /// Not yet, for a task; others end with a value.
    pub(super) ending: Option<Ending>,
}

impl<'a> Arbitrary<'a> for Step {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Step> {
        let which = u8::arbitrary(u)?;
        let ending = match which % 8 {
            0..=2 => None,
            3..=5 => Some(Ending::Value),
            6 => Some(Ending::Error),
            _ => Some(Ending::Panic),
        };
        Ok(Step { inside: inside(u, which)?, ending })
    }
}

fn inside(u: &mut Unstructured<'_>, which: u8) -> Result<Vec<Op>> {
    if which < 128 { Ok(Vec::new()) } else { list(u, usize::from(which / 16 - 7)) }
}

/// What a task brings to its call.
#[derive(Clone, Debug, Default)]
pub(super) struct Script {
    /// What each poll of the work does; after the last one it is ready.
    pub(super) steps: Vec<Step>,
    /// What is done when the work is dropped.
    pub(super) at_drop: Vec<Op>,
}

impl<'a> Arbitrary<'a> for Script {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Script> {
        let which = u8::arbitrary(u)?;
        let steps = list(u, usize::from(which % 4))?;
        Ok(Script { steps, at_drop: inside(u, which)? })
    }
}

/// How long a call may wait.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) enum Patience {
    Endless,
    Seconds(u8),
    Cancel,
}

/// One step of a schedule.
#[derive(Clone, Debug)]
pub(super) enum Op {
    New {
        key: u8,
        patience: Patience,
        script: Script,
    },
    /// Many tasks without much ado, polled once.
    Crowd {
        key: u8,
        count: u8,
    },
    Poll(u8),
    Drop(u8),
    Single {
        key: u8,
        patience: Patience,
        step: Step,
    },
    Bulk {
        keys: [u8; 4],
        count: u8,
        step: Step,
    },
    Forget(u8),
    Advance(u8),
    Cancel,
}

impl<'a> Arbitrary<'a> for Op {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Op> {
        Ok(match u8::arbitrary(u)? % 32 {
            0..=7 => {
                Op::New { key: u.arbitrary()?, patience: u.arbitrary()?, script: u.arbitrary()? }
            }
            8 => Op::Crowd { key: u.arbitrary()?, count: u.arbitrary()? },
            9..=17 => Op::Poll(u.arbitrary()?),
            18..=21 => Op::Drop(u.arbitrary()?),
            22..=24 => {
                Op::Single { key: u.arbitrary()?, patience: u.arbitrary()?, step: u.arbitrary()? }
            }
            25..=27 => {
                Op::Bulk { keys: u.arbitrary()?, count: u.arbitrary()?, step: u.arbitrary()? }
            }
            28..=29 => Op::Forget(u.arbitrary()?),
            30 => Op::Advance(u.arbitrary()?),
            _ => Op::Cancel,
        })
    }
}
