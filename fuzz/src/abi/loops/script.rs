//! What each call of a Doer does and returns. What a loop cache publishes as its `n`-th result
//! therefore follows from `n` alone.

use arbitrary::{Arbitrary, Result, Unstructured};
use docache::ffi::*;

use super::inside::Inside;
use crate::abi::args::Returned;
use crate::abi::outcome::name;
use crate::abi::registry::Drops;
use crate::input::{Bytes, Rare, Text, list};

/// What a call returns.
#[derive(Arbitrary, Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: Returned,
    no_value: Rare,
    value: Bytes,
    pub(crate) wrapped: Option<Drops>,
    pub(crate) error: Option<(i64, Text)>,
    pub(crate) unwinds: Rare,
}

/// One call of the Doer.
#[derive(Arbitrary, Clone, Debug)]
pub(crate) struct Step {
    inside: Inside,
    pub(crate) answer: Answer,
}

/// The calls of the Doer; after the last one they begin again, but then only answer.
#[derive(Clone, Debug)]
pub(crate) struct Script(Vec<Step>);

impl<'a> Arbitrary<'a> for Script {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Script> {
        let most = usize::from(u8::arbitrary(u)? % 7) + 1;
        let steps: Vec<Step> = list(u, most)?;
        if steps.is_empty() {
            return Ok(Script(vec![Step::arbitrary(&mut Unstructured::new(&[]))?]));
        }
        Ok(Script(steps))
    }
}

/// What an entry must show.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    Value(Vec<u8>),
    Error { status: docache_status, error_status: docache_status, code: i64, message: String },
}

impl Shown {
    pub(crate) fn is_value(&self) -> bool {
        matches!(self, Shown::Value(_))
    }

    /// What becomes of a failure that the Doer returned under `status`.
    fn failed(status: docache_status, code: i64, message: String) -> Shown {
        let status = if status == DOCACHE_PANIC { DOCACHE_PANIC } else { DOCACHE_DOER_FAILED };
        Shown::Error { status, error_status: status, code, message }
    }
}

impl Script {
    pub(crate) fn step(&self, sequence: u64) -> &Step {
        // The remainder is below a usize.
        &self.0[((sequence - 1) % self.0.len() as u64) as usize]
    }

    /// What the call does besides answering.
    pub(crate) fn inside(&self, sequence: u64) -> Inside {
        if sequence <= self.0.len() as u64 { self.step(sequence).inside } else { Inside::Nothing }
    }

    pub(crate) fn any_inside(&self, test: impl Fn(Inside) -> bool) -> bool {
        self.0.iter().any(|step| test(step.inside))
    }

    /// The bytes of a value tell whose they are, unless there are none.
    pub(crate) fn value(&self, sequence: u64) -> Option<Vec<u8>> {
        let Answer { value, no_value, .. } = &self.step(sequence).answer;
        let mut bytes = value.0.clone();
        if !bytes.is_empty() {
            bytes.extend_from_slice(&sequence.to_le_bytes());
        }
        (!no_value.0).then_some(bytes)
    }

    /// What the library must make of the answer.
    pub(crate) fn shown(&self, sequence: u64) -> Shown {
        let answer = &self.step(sequence).answer;
        if answer.unwinds.0 {
            return Shown::failed(DOCACHE_PANIC, 0, "panicked: a Doer that unwinds".into());
        }
        match (answer.status.0, self.value(sequence), &answer.error) {
            (DOCACHE_OK, Some(value), _) => Shown::Value(value),
            (DOCACHE_OK, None, _) => {
                Shown::failed(DOCACHE_OK, 0, "the Doer returned OK without a value".into())
            }
            (status, _, Some((code, message))) => Shown::failed(status, *code, message.0.clone()),
            (status, _, None) => {
                Shown::failed(status, 0, format!("the Doer returned {} ({status})", name(status)))
            }
        }
    }
}
