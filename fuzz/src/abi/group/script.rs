//! What a case does: keys, owners, answers, reports, and the calls.

use arbitrary::{Arbitrary, Result, Unstructured};

use super::options::Options;
use crate::abi::args::{Pick, Returned, Span, Timeout};
use crate::abi::place::Given;
use crate::abi::registry::Drops;
use crate::input::{Bytes, Rare, Text, list};

/// Lengths of keys, among them those where the library keeps keys elsewhere.
pub(crate) const KEYS: [&[u8]; 8] =
    [b"", b"a", b"b", b"a\0", &[b'k'; 40], &[b'k'; 41], &[b'k'; 1000], &[b'k'; 5000]];

/// A key as an argument.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key(usize, Span);

impl<'a> Arbitrary<'a> for Key {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Key> {
        let which = u8::arbitrary(u)?;
        // Mostly few keys, so that calls meet.
        let key = usize::from(which) % if which < 192 { 2 } else { KEYS.len() };
        Ok(Key(key, u.arbitrary()?))
    }
}

impl Key {
    /// The arguments, and the key that the callee must see if it accepts them.
    pub(crate) fn arguments(self) -> (*const u8, usize, Option<usize>) {
        let (start, len, seen) = self.1.of(KEYS[self.0]);
        (start, len, seen.map(|seen| if seen.is_empty() { 0 } else { self.0 }))
    }
}

/// Who begins a call: what docache_group_begin_as is given, 0 being nobody; without, it is
/// docache_group_begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner(pub(crate) Option<u64>);

impl<'a> Arbitrary<'a> for Owner {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Owner> {
        Ok(Owner(match u8::arbitrary(u)? {
            0..=127 => None,
            // Few names, so that they meet.
            which @ 128..=247 => Some(u64::from(which % 4)),
            248..=251 => Some(u64::MAX),
            252..=255 => Some(1 << 32 | 1),
        }))
    }
}

/// What is done inside a notification.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inside {
    /// The call is polled.
    pub(crate) looks: bool,
    pub(crate) ops: Vec<Op>,
}

impl<'a> Arbitrary<'a> for Inside {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Inside> {
        let which = u8::arbitrary(u)?;
        Ok(Inside { looks: which % 2 == 1, ops: inside(u, which)? })
    }
}

fn inside(u: &mut Unstructured<'_>, which: u8) -> Result<Vec<Op>> {
    if which < 128 { Ok(Vec::new()) } else { list(u, usize::from(which / 16 - 7)) }
}

/// What the work returns.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: Returned,
    pub(crate) value: GivenValue,
    pub(crate) error: GivenError,
    pub(crate) unwinds: bool,
}

impl<'a> Arbitrary<'a> for Answer {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Answer> {
        let (status, value, error) = (u.arbitrary()?, u.arbitrary()?, u.arbitrary()?);
        Ok(Answer { status, value, error, unwinds: u8::arbitrary(u)? % 16 == 15 })
    }
}

/// What a leader reports.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    pub(crate) status: Returned,
    pub(crate) value: Option<Pick>,
    pub(crate) error: Option<Pick>,
}

impl<'a> Arbitrary<'a> for Report {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Report> {
        let (status, pick) = (u.arbitrary()?, u.arbitrary()?);
        let value = Report { status, value: Some(pick), error: None };
        let error = Report { status, value: None, error: Some(pick) };
        Ok(match u8::arbitrary(u)? {
            0..=119 if status.0 == docache::ffi::DOCACHE_OK => value,
            0..=119 => error,
            120..=159 => Report { status: Returned(docache::ffi::DOCACHE_PANIC), ..error },
            160..=199 => Report { status, value: None, error: None },
            200..=215 => value,
            216..=231 => error,
            232..=255 => Report { status, value: Some(pick), error: Some(u.arbitrary()?) },
        })
    }
}

/// One call, or a few of a kind.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    New {
        options: Option<Options>,
        out: Given,
        error: Given,
    },
    FreeGroup(Pick),
    InFlight(Pick),
    Forget {
        group: Pick,
        key: Key,
        error: Given,
    },
    Begin {
        group: Pick,
        key: Key,
        owner: Owner,
        away: bool,
        out: Given,
        error: Given,
    },
    /// Many that begin, and ask to be notified.
    Crowd {
        group: Pick,
        key: Key,
        named: bool,
        count: u8,
        inside: Inside,
    },
    Finish {
        call: Pick,
        report: Report,
        frees: bool,
        shared: Given,
        error: Given,
    },
    OnReady {
        call: Pick,
        no_notify: Rare,
        inside: Inside,
        error: Given,
    },
    Poll {
        call: Pick,
        value: Given,
        shared: Given,
        error: Given,
    },
    Cancel(Pick),
    Free(Pick),
    Run(Box<Run>),
    NewValue(Bytes, Option<Drops>),
    Release(Pick),
    NewError(i64, Text),
    ReleaseError(Pick),
    Shutdown,
}

impl<'a> Arbitrary<'a> for Op {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Op> {
        Ok(match u8::arbitrary(u)? % 36 {
            0..=6 => a_begin(u)?,
            7..=8 => {
                let (group, key, named) = (u.arbitrary()?, u.arbitrary()?, u.arbitrary()?);
                Op::Crowd { group, key, named, count: u.arbitrary()?, inside: u.arbitrary()? }
            }
            9..=15 => {
                let (call, report, frees) = (u.arbitrary()?, u.arbitrary()?, u.arbitrary()?);
                Op::Finish { call, report, frees, shared: u.arbitrary()?, error: u.arbitrary()? }
            }
            16..=18 => {
                let (call, no_notify) = (u.arbitrary()?, u.arbitrary()?);
                Op::OnReady { call, no_notify, inside: u.arbitrary()?, error: u.arbitrary()? }
            }
            19..=20 => {
                let (call, value) = (u.arbitrary()?, u.arbitrary()?);
                Op::Poll { call, value, shared: u.arbitrary()?, error: u.arbitrary()? }
            }
            21 => Op::Cancel(u.arbitrary()?),
            22..=24 => Op::Free(u.arbitrary()?),
            25..=27 => Op::Run(Box::new(a_run(u)?)),
            28 => Op::Forget { group: u.arbitrary()?, key: u.arbitrary()?, error: u.arbitrary()? },
            29 => Op::New { options: u.arbitrary()?, out: u.arbitrary()?, error: u.arbitrary()? },
            30 => Op::FreeGroup(u.arbitrary()?),
            31 => Op::InFlight(u.arbitrary()?),
            32 => Op::NewValue(u.arbitrary()?, u.arbitrary()?),
            33 => Op::Release(u.arbitrary()?),
            34 if bool::arbitrary(u)? => Op::NewError(u.arbitrary()?, u.arbitrary()?),
            34 => Op::ReleaseError(u.arbitrary()?),
            _ => Op::Shutdown,
        })
    }
}

fn a_begin(u: &mut Unstructured<'_>) -> Result<Op> {
    let (group, key, owner) = (u.arbitrary()?, u.arbitrary()?, u.arbitrary()?);
    let away = u8::arbitrary(u)? % 4 == 3;
    Ok(Op::Begin { group, key, owner, away, out: u.arbitrary()?, error: u.arbitrary()? })
}

fn a_run(u: &mut Unstructured<'_>) -> Result<Run> {
    let (group, key, timeout) = (u.arbitrary()?, u.arbitrary()?, u.arbitrary()?);
    let (away, no_perform, which) =
        (u8::arbitrary(u)? % 8 == 7, Rare::arbitrary(u)?.0, u8::arbitrary(u)?);
    let (joiners, answer, places) =
        (u8::arbitrary(u)?.saturating_sub(220) / 8, u.arbitrary()?, u.arbitrary()?);
    let inside = inside(u, which)?;
    let keyed = which % 2 == 1;
    Ok(Run { group, key, keyed, timeout, away, no_perform, joiners, inside, answer, places })
}

/// One docache_group_run, or docache_group_run_key if it is `keyed`.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) group: Pick,
    pub(crate) key: Key,
    pub(crate) keyed: bool,
    pub(crate) timeout: Timeout,
    pub(crate) away: bool,
    pub(crate) no_perform: bool,
    /// How many join it, on another thread, before anything else happens inside.
    pub(crate) joiners: u8,
    pub(crate) inside: Vec<Op>,
    pub(crate) answer: Answer,
    pub(crate) places: (Given, Given, Given),
}

/// A value that the caller gives away.
#[derive(Clone, Debug)]
pub(crate) enum GivenValue {
    Nothing,
    New(Bytes, Option<Drops>),
    /// One more share of one that it has.
    Share(Pick),
}

impl<'a> Arbitrary<'a> for GivenValue {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<GivenValue> {
        Ok(match u8::arbitrary(u)? {
            0..=127 => GivenValue::New(u.arbitrary()?, u.arbitrary()?),
            128..=239 => GivenValue::Share(u.arbitrary()?),
            240..=255 => GivenValue::Nothing,
        })
    }
}

/// An error that the caller gives away.
#[derive(Arbitrary, Clone, Debug)]
pub(crate) enum GivenError {
    Nothing,
    New(i64, Text),
    Share(Pick),
}
